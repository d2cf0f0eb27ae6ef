"""What the operators of dates mean: periods and distances from now, as plain comparisons."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from midspan.dictionary import Field, FieldPath, Storage
from midspan.formats.periods import wall_time
from midspan.query.condition import Condition, Operator, Or, Term, Test
from midspan.query.functions import asks_the_present

if TYPE_CHECKING:
    from midspan.query.resolve import Resolver

SCRIPT_PREFIX = "javascript:"
RELATIVE = {
    Operator.LATER_THAN_RELATIVE: Operator.GREATER,
    Operator.EARLIER_THAN_RELATIVE: Operator.LESS,
    Operator.SINCE_RELATIVE: Operator.GREATER_OR_EQUAL,
    Operator.UNTIL_RELATIVE: Operator.LESS_OR_EQUAL,
    Operator.ON_RELATIVE: Operator.BETWEEN,
}
"""Operators whose value is a distance from now, and what they compare with the instant there."""
_SAMENESS = (Operator.SAME_AS, Operator.NOT_SAME_AS)
_ASKING = frozenset({Operator.DYNAMIC, Operator.IN_HIERARCHY_DYNAMIC, *RELATIVE})
_DISTANCE = re.compile(
    r"@(minute|hour|day|dayofweek|week|month|quarter|year)@(ago|ahead)@([0-9]{1,7})"
)
_APART = re.compile(
    r"([a-z0-9_.]+)@(minute|hour|day|dayofweek|week|month|quarter|year)@(before|after)@"
    r"(0*[1-9][0-9]{0,3})"
)
_SAME = re.compile(
    r"([a-z0-9_.]+)@(minute|hour|day|dayofweek|week|month|quarter|year)(?:@.*)?", re.DOTALL
)
_PART = re.compile(
    r"[^@]*@javascript:\s*gs\.datePart\(\s*(['\"])(\w+)\1\s*,\s*(['\"])(\w+)\3\s*,"
    r"\s*(['\"])(EE|GE|LE|GT|LT)\5\s*\)\s*;?"
)
_SIGNS = {"EE": "=", "GE": ">=", "LE": "<=", "GT": ">", "LT": "<"}
_NAMES = {
    "dayofweek": ("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
    "month": (
        *("", "jan", "feb", "mar", "apr", "may", "jun"),
        *("jul", "aug", "sep", "oct", "nov", "dec"),
    ),
}
_SPANS = {"hour": (0, 23), "week": (0, 53), "quarter": (1, 4), "year": (1, 9999)}
_MOST_YEARS = 1000
"""Farther away lie dates that a database does not know."""
_DATED = (Storage.DATETIME, Storage.DATE)


def asks_who_or_when(term: Term) -> bool:
    """Tell whether a term means something else for another user or at another time.

    >>> asks_who_or_when(Term("opened_at", Operator.SINCE_RELATIVE, "@hour@ago@1"))
    True
    """
    in_zone = term.operator in _SAMENESS and "@" in term.value
    by_itself = in_zone or asks_the_present(term.field)
    return SCRIPT_PREFIX in term.value or term.operator in _ASKING or by_itself


def split_bounds(value: str) -> list[str]:
    """Split ``low@high``; an expression may hold an ``@`` of its own, so its prefix decides.

    >>> split_bounds("javascript:f('a@b')@javascript:g()")
    ["javascript:f('a@b')", 'javascript:g()']
    """
    low, found, high = value.rpartition("@" + SCRIPT_PREFIX)
    if found:
        return [low, SCRIPT_PREFIX + high]
    low, found, high = value.partition("@")
    return [low, high] if found else []


def on_day(resolver: Resolver, path: FieldPath, operator: Operator, value: str) -> Condition | None:
    """``label@start@end``: between both, whatever the label says; NOTON also matches empty."""
    _, _, bounds = value.partition("@")
    found = [resolver.value(bound, path.field) for bound in split_bounds(bounds)]
    known = [bound for bound in found if bound]
    if len(known) != 2 or path.field.storage not in _DATED:
        return None
    low, high = (*resolver.fit(path.field, known), "", "")[:2]
    if not high:
        return None
    if operator is Operator.ON:
        return Test(path, Operator.BETWEEN, (low, high))
    return Or(
        (
            Test(path, Operator.LESS, (low,)),
            Test(path, Operator.GREATER, (high,)),
            Test(path, Operator.IS_EMPTY),
        )
    )


def relative(
    resolver: Resolver, path: FieldPath, operator: Operator, value: str
) -> Condition | None:
    """``@unit@ago@n``: compares with now and that many units; RELATIVEEE is in that very unit."""
    match = _DISTANCE.fullmatch(value)
    if match is None or path.field.storage not in _DATED:
        return None
    unit = "day" if match[1] == "dayofweek" else match[1]
    count = int(match[3]) if match[2] == "ago" else -int(match[3])
    sides = ("Start", "End") if operator is Operator.ON_RELATIVE else ("",)
    texts = [f"{SCRIPT_PREFIX}gs.{unit}sAgo{side}({count})" for side in sides]
    found = [resolver.value(text, path.field) for text in texts]
    known = [text for text in found if text]
    if len(known) != len(sides):
        return None
    return Test(path, RELATIVE[operator], tuple(known))


def apart(resolver: Resolver, path: FieldPath, operator: Operator, value: str) -> Condition | None:
    """``column@unit@before@n``: more, or less, than n units before (or after) the other column."""
    match = _APART.fullmatch(value)
    if match is None or (match[2] == "year" and int(match[4]) > _MOST_YEARS):
        return None
    other = resolver.comparable(match[1], "Condition")
    if other is None or {path.field.storage, other.field.storage} != {Storage.DATETIME}:
        return None
    unit = "day" if match[2] == "dayofweek" else match[2]
    count = int(match[4]) if match[3] == "after" else -int(match[4])
    return Test(path, operator, (unit, str(count)), other)


def date_part(
    resolver: Resolver, path: FieldPath, operator: Operator, value: str
) -> Condition | None:
    """``label@javascript:gs.datePart('dayofweek','monday','GE')``: what the calendar says."""
    match = _PART.fullmatch(value)
    if match is None or path.field.storage not in _DATED or resolver.zone is None:
        return None
    part, number = match[2], _number(match[2], match[4].lower())
    if number is None or (part == "hour" and path.field.storage is Storage.DATE):
        return None
    return Test(path, operator, (part, _SIGNS[match[6]], str(number), _zone(resolver)))


def _number(part: str, text: str) -> int | None:
    """Return the number of a named or counted part; a name counts by its first three letters."""
    if part in _NAMES:
        return _NAMES[part].index(text[:3]) if text[:3] in _NAMES[part] else None
    low, high = _SPANS.get(part, (1, 0))
    return int(text) if text.isascii() and text.isdigit() and low <= int(text) <= high else None


def same_period(
    resolver: Resolver, path: FieldPath, operator: Operator, value: str
) -> Condition | None:
    """``column@unit``: both dates lie in one and the same day, week, month.. of the user's zone."""
    match = _SAME.fullmatch(value)
    if match is None:
        return None
    other = resolver.comparable(match[1], "Condition")
    if other is None or not {path.field.storage, other.field.storage}.issubset(_DATED):
        return None
    unit = "day" if match[2] == "dayofweek" else match[2]
    return Test(path, operator, (unit, _zone(resolver)), other)


def _zone(resolver: Resolver) -> str:
    zone = resolver.zone or ""
    return "" if zone == "UTC" else zone


def local_time(field: Field, text: str, zone: str) -> datetime:
    """Return what clocks and calendars of the zone show at a stored date; a day is a day anywhere.

    >>> local_time(Field(name="f", label="F", type="glide_date_time"), "2026-01-31 23:30:00", "")
    datetime.datetime(2026, 1, 31, 23, 30)
    """
    found = datetime.fromisoformat(text)
    return found if field.storage is Storage.DATE else shown_in(found, zone)


def shown_in(moment: datetime, zone: str) -> datetime:
    """Return the wall time of a zone at a moment of UTC without a zone; ``''`` is UTC itself."""
    if not zone:
        return moment
    try:
        return wall_time(moment.replace(tzinfo=UTC), zone)
    except OverflowError:
        return moment
