"""Conditions decided on values in memory: for flows, rules, and as oracle of both dialects."""

from __future__ import annotations

import operator as python
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from midspan.dictionary import Field, FieldPath
from midspan.formats.periods import moved, part_of, truncated
from midspan.query.comparison import Key, comparison_key, fold, measure, measured
from midspan.query.computed import Getter, value_of
from midspan.query.condition import (
    And,
    Condition,
    Operator,
    Or,
    Related,
    RelatedTerm,
    Term,
    Test,
    Unread,
)
from midspan.query.moments import local_time
from midspan.query.plan import Sort
from midspan.query.regex import matches_regex
from midspan.query.related import holds
from midspan.query.wildcard import matches

Row = TypeVar("Row")
Counter = Callable[[Related, str], int]
"""Returns how many related rows belong to a value that is not empty."""


def evaluate(
    condition: Condition,
    get: Getter,
    before: Getter | None = None,
    count: Counter | None = None,
) -> bool:
    """Tell whether a resolved condition holds for the values that ``get`` returns.

    ``before`` gives the values that a change started from; without it the change operators hold,
    as they do in a read. Without ``count`` no condition on related rows holds, whatever it asks.

    Raises:
        TypeError: the condition holds a ``Term``, so it was never resolved.
    """
    match condition:
        case Test():
            return _tested(condition, get, before)
        case And() | Or():
            decides = isinstance(condition, Or)
            for part in condition.parts:
                if evaluate(part, get, before, count) is decides:
                    return decides
            return not decides
        case Related():
            return count is not None and _counted(condition, value_of(condition.own, get), count)
        case Term() | RelatedTerm() | Unread():
            raise TypeError(f"Condition {condition} is not resolved; call resolve_condition first")


def awaited_changes(condition: Condition) -> frozenset[str] | None:
    """Return fields of a record of which one has to change for a resolved condition to hold.

    None where it may hold although nothing changes.
    """
    match condition:
        case Test() if condition.operator in _CHANGES and len(condition.path.steps) == 1:
            return frozenset({condition.path.steps[0].name})
        case And():
            asked = (awaited_changes(part) for part in condition.parts)
            return next((names for names in asked if names is not None), None)
        case Or():
            parts = [awaited_changes(part) for part in condition.parts]
            known = [names for names in parts if names is not None]
            return frozenset().union(*known) if len(known) == len(parts) else None
    return None


def _tested(test: Test, get: Getter, before: Getter | None) -> bool:
    if test.operator in _CHANGES:
        return before is None or _changed(test, get(test.path), before)
    if test.other is None:
        return _holds(test, value_of(test.path, get))
    if test.operator in _DISTANCES:
        return _apart(test, value_of(test.path, get), get(test.other))
    return _related(test, test.other, get)


def _counted(related: Related, text: str, count: Counter) -> bool:
    return holds(related.operator, count(related, text) if text else 0, related.count)


def in_order(
    rows: Iterable[Row],
    order: Sequence[Sort],
    get: Callable[[Row, FieldPath], str],
    sys_id: Callable[[Row], str],
) -> list[Row]:
    """Return the rows sorted as a ``ReadPlan`` sorts them: by ``order``, then by ``sys_id``."""
    found = sorted(rows, key=sys_id)
    for sort in reversed(order):
        path = sort.path

        def key(row: Row, path: FieldPath = path) -> tuple[bool, Key]:
            return sort_key(path.field, value_of(path, lambda leaf: get(row, leaf)))

        found.sort(key=key, reverse=sort.descending)
    return found


def sort_key(field: Field, text: str) -> tuple[bool, Key]:
    """Return what a wire text sorts by, ascending: the empty value comes first."""
    return (False, "") if text == "" else (True, comparison_key(field, text))


def _holds(test: Test, text: str) -> bool:
    match test.operator:
        case Operator.ANYTHING:
            return True
        case Operator.IS_EMPTY:
            return text == ""
        case Operator.IS_NOT_EMPTY:
            return text != ""
        case Operator.DIFFERS | Operator.NOT_IN | Operator.NOT_CONTAINS:
            return text == "" or not _POSITIVE[test.operator](test, text)
        case _:
            return text != "" and _POSITIVE[test.operator](test, text)


def _equals(test: Test, text: str) -> bool:
    return comparison_key(test.path.field, text) in _keys(test)


def _between(test: Test, text: str) -> bool:
    low, high = test.values
    return _compares(python.ge, test, text, low) and _compares(python.le, test, text, high)


def _compares(compare: Callable[[Key, Key], bool], test: Test, text: str, value: str) -> bool:
    field = test.path.field
    return compare(comparison_key(field, text), comparison_key(field, value))


def _comparison(compare: Callable[[Key, Key], bool]) -> Callable[[Test, str], bool]:
    return lambda test, text: _compares(compare, test, text, test.values[0])


def _in_part(test: Test, text: str) -> bool:
    part, sign, number, zone = test.values
    found = part_of(local_time(test.path.field, text, zone), part)
    return holds(Operator(sign), found, int(number))


_POSITIVE: dict[Operator, Callable[[Test, str], bool]] = {
    Operator.EQUALS: _equals,
    Operator.DIFFERS: _equals,
    Operator.IN: _equals,
    Operator.NOT_IN: _equals,
    Operator.GREATER: _comparison(python.gt),
    Operator.GREATER_OR_EQUAL: _comparison(python.ge),
    Operator.LESS: _comparison(python.lt),
    Operator.LESS_OR_EQUAL: _comparison(python.le),
    Operator.BETWEEN: _between,
    Operator.DATE_PART: _in_part,
    Operator.CONTAINS: lambda test, text: fold(test.values[0]) in fold(text),
    Operator.NOT_CONTAINS: lambda test, text: fold(test.values[0]) in fold(text),
    Operator.STARTS_WITH: lambda test, text: fold(text).startswith(fold(test.values[0])),
    Operator.ENDS_WITH: lambda test, text: fold(text).endswith(fold(test.values[0])),
    Operator.MATCHES: lambda test, text: matches(fold(test.values[0]), fold(text)),
    Operator.MATCHES_REGEX: lambda test, text: matches_regex(test.values[0], fold(text)),
}
_DISTANCES = (Operator.MORE_THAN, Operator.LESS_THAN)
_SAMENESS = (Operator.SAME_AS, Operator.NOT_SAME_AS)
_BETWEEN_FIELDS: dict[Operator, Callable[[Any, Any], bool]] = {
    Operator.SAME_AS: python.eq,
    Operator.NOT_SAME_AS: python.ne,
    Operator.GREATER_FIELD: python.gt,
    Operator.LESS_FIELD: python.lt,
    Operator.GREATER_OR_EQUAL_FIELD: python.ge,
    Operator.LESS_OR_EQUAL_FIELD: python.le,
}
_CHANGES = frozenset({Operator.CHANGES, Operator.CHANGES_FROM, Operator.CHANGES_TO})


def _keys(test: Test) -> list[Key]:
    return [comparison_key(test.path.field, value) for value in test.values]


def _related(test: Test, other: FieldPath, get: Getter) -> bool:
    """Two empty values are the same; nothing comes before or after an empty value."""
    first, second = value_of(test.path, get), get(other)
    how = measure(test.path.field, other.field)
    if first == "" or second == "":
        same = first == second
        return test.operator in _SAMENESS and same is (test.operator is Operator.SAME_AS)
    compare = _BETWEEN_FIELDS[test.operator]
    if test.values:
        unit, zone = test.values
        fields = (test.path.field, first), (other.field, second)
        return bool(compare(*(truncated(local_time(*each, zone), unit) for each in fields)))
    return bool(compare(measured(how, test.path.field, first), measured(how, other.field, second)))


def _apart(test: Test, text: str, other: str) -> bool:
    """An empty date is no distance away."""
    if text == "" or other == "":
        return False
    unit, count = test.values[0], int(test.values[1])
    here, there = datetime.fromisoformat(text), datetime.fromisoformat(other)
    more = test.operator is Operator.MORE_THAN
    side = here <= there if count < 0 else here >= there
    try:
        edge = moved(there, unit, count)
    except (ValueError, OverflowError):
        return side and not more
    distance = here - edge if count > 0 else edge - here
    return distance > timedelta(0) if more else side and distance < timedelta(0)


def _changed(test: Test, now: str, before: Getter) -> bool:
    field = test.path.field
    then = before(test.path)
    if then == now:
        return False
    match test.operator:
        case Operator.CHANGES_FROM:
            return sort_key(field, then) == sort_key(field, test.values[0])
        case Operator.CHANGES_TO:
            return sort_key(field, now) == sort_key(field, test.values[0])
        case _:
            return True
