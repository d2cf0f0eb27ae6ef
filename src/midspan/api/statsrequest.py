"""The Aggregate API's wire names, read into a typed request. Source: ``spec/rest-api.md`` 3."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Struct

from midspan.api.request import Request
from midspan.api.strict import PREFIX, unknown_parameters
from midspan.api.tablerequest import Display, read_query
from midspan.dictionary import Dictionary
from midspan.kernel.errors import InvalidRequest
from midspan.query import Grouping, GroupOrder, HavingTerm, Operator, Query, Unknown

MOST_PARTS = 500
"""Fields, tests and sort keys of one request; a statement has at most 1,664 columns."""
MOST_GROUPS = 100_000
_LIMIT_PROPERTY = "glide.db.max.aggregates"
_LISTED = ("avg", "sum", "min", "max")
_FUNCTION = "count|sum|avg|min|max"
_TEST = re.compile(
    rf"\s*({_FUNCTION})\^([a-z0-9_.]*)\^(=|!=|<>|>=|<=|>|<)\^(.*)", re.IGNORECASE | re.DOTALL
)
_NEXT_TEST = re.compile(rf",(?=\s*(?:{_FUNCTION})\^)", re.IGNORECASE)
_SORT = re.compile(rf"(?:({_FUNCTION})\^)?([a-z0-9_.]+)", re.IGNORECASE)
_DIRECTION = re.compile(r"\^(asc|desc)$", re.IGNORECASE)
KNOWN = frozenset(
    {
        "sysparm_query",
        "sysparm_count",
        *(f"sysparm_{name}_fields" for name in _LISTED),
        "sysparm_group_by",
        "sysparm_having",
        "sysparm_order_by",
        "sysparm_display_value",
        "sysparm_query_category",
        "sysparm_tiny",
    }
)


class StatsRequest(Struct, frozen=True, kw_only=True):
    """A wish for aggregates; groups and aggregates by the names they came with."""

    query: Query
    unknown: Unknown
    groups: tuple[str, ...]
    aggregates: tuple[tuple[str, str | None], ...]
    grouping: Grouping
    display: Display
    warnings: tuple[str, ...] = ()


def read_stats(request: Request, dictionary: Dictionary, table: str) -> StatsRequest:
    """Read an aggregate request for a table that exists.

    Raises:
        InvalidRequest: it has more parts than one statement can compute.
    """
    query, unknown, warnings = read_query(request, dictionary, table)
    groups = tuple(_names(request, "group_by"))
    having, unreadable = _having(request.parameter(f"{PREFIX}having"))
    order, without = _order(request, groups)
    if unreadable:
        query = msgspec.structs.replace(query, invalid=(*query.invalid, *unreadable))
    aggregates = tuple(_aggregates(request))
    parts = len(groups) + len(aggregates) + len(having) + len(order)
    if parts > MOST_PARTS:
        raise InvalidRequest(
            f"The request has {parts} fields, tests and sort keys",
            detail=f"At most {MOST_PARTS} are possible.",
        )
    limit = _limit(request) + 1 if groups or query.group_by else None
    shown = request.parameter(f"{PREFIX}display_value").strip().lower()
    return StatsRequest(
        query=query,
        unknown=unknown,
        groups=groups,
        aggregates=aggregates,
        grouping=Grouping(having=tuple(having), order=tuple(order), limit=limit),
        display=Display(shown) if shown in ("true", "all") else Display.VALUE,
        warnings=(*unknown_parameters(request, KNOWN), *warnings, *without),
    )


def _aggregates(request: Request) -> Iterator[tuple[str, str | None]]:
    if request.flag(f"{PREFIX}count"):
        yield "COUNT", None
    for name in _LISTED:
        for field in _names(request, f"{name}_fields"):
            yield name.upper(), field


def _names(request: Request, parameter: str) -> Iterable[str]:
    text = request.parameter(f"{PREFIX}{parameter}")
    return dict.fromkeys(name.strip() for name in text.split(",") if name.strip())


def _having(text: str) -> tuple[list[HavingTerm], list[str]]:
    """Return the tests, and what is none as it was written.

    >>> [str(term) for term in _having("count^priority^>^3,AVG^state^<=^5")[0]]
    ['COUNT(priority)>3', 'AVG(state)<=5']
    >>> _having("sum^^>^1,count>5")
    ([], ['sum^^>^1,count>5'])
    """
    terms: list[HavingTerm] = []
    unreadable: list[str] = []
    for piece in _NEXT_TEST.split(text):
        match = _TEST.fullmatch(piece)
        if match is None or not (match[2] or match[1].lower() == "count"):
            unreadable += [piece] if piece.strip() else []
            continue
        operator = Operator("!=" if match[3] == "<>" else match[3])
        terms.append(HavingTerm(match[1].upper(), match[2] or None, operator, match[4].strip()))
    return terms, unreadable


def _order(request: Request, groups: tuple[str, ...]) -> tuple[list[GroupOrder], list[str]]:
    """Return the sort keys, and a warning for each that cannot be read.

    ``COUNT`` alone is the number of rows, unless a group has that name.
    """
    orders: list[GroupOrder] = []
    warnings: list[str] = []
    for piece in _names(request, "order_by"):
        key = _DIRECTION.sub("", piece)
        match = _SORT.fullmatch(key)
        if match is None:
            warnings.append(f"Sort left out: cannot read {piece[:80]!r}")
            continue
        function, field = match.groups()
        if function is None and field.lower() == "count" and field not in groups:
            function, field = field, None
        falling = key != piece and piece[-4:].lower() == "desc"
        orders.append(GroupOrder(field, (function or "").upper(), falling))
    return orders, warnings


def _limit(request: Request) -> int:
    given = request.property(_LIMIT_PROPERTY)
    return min(int(given), MOST_GROUPS) if given.isdecimal() else MOST_GROUPS
