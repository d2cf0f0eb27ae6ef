"""What conditions on related rows mean: which fields meet, and where joined tables stand."""

from __future__ import annotations

import operator as python
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from msgspec import structs

from midspan.dictionary import FieldPath, Storage
from midspan.dictionary.values import canonical
from midspan.kernel.errors import InvalidQuery, InvalidValue
from midspan.query.comparison import Measure, measure
from midspan.query.condition import (
    NEVER,
    And,
    Condition,
    Form,
    Operator,
    Or,
    Query,
    Related,
    RelatedTerm,
    Test,
    both,
)

if TYPE_CHECKING:
    from midspan.query.resolve import Resolver

MOST_RELATED = 20
"""Conditions on related rows in one query, those inside each other counted; each one is a
statement within the statement."""
MOST_FUNCTIONS = 50
"""Functions of fields in one query; in SQL one may be a hundred times as long as it is written."""
_COMPARE: dict[Operator, Callable[[int, int], bool]] = {
    Operator.EQUALS: python.eq,
    Operator.DIFFERS: python.ne,
    Operator.GREATER: python.gt,
    Operator.GREATER_OR_EQUAL: python.ge,
    Operator.LESS: python.lt,
    Operator.LESS_OR_EQUAL: python.le,
}
OPPOSITE = {
    Operator.EQUALS: Operator.DIFFERS,
    Operator.DIFFERS: Operator.EQUALS,
    Operator.GREATER: Operator.LESS_OR_EQUAL,
    Operator.GREATER_OR_EQUAL: Operator.LESS,
    Operator.LESS: Operator.GREATER_OR_EQUAL,
    Operator.LESS_OR_EQUAL: Operator.GREATER,
}


class Budget:
    """How many conditions on related rows, and functions of fields, one query still may have."""

    def __init__(self) -> None:
        self.left = MOST_RELATED
        self.functions = MOST_FUNCTIONS

    def take(self) -> bool:
        """Use one up; False when there was none left."""
        self.left -= 1
        return self.left >= 0

    def take_function(self) -> None:
        """Use up a function.

        Raises:
            InvalidQuery: there was none left.
        """
        self.functions -= 1
        if self.functions < 0:
            raise InvalidQuery(f"More than {MOST_FUNCTIONS} functions of fields")

    def exhaust(self) -> None:
        """Count as asked for too many."""
        self.left = min(self.left, -1)

    @property
    def exceeded(self) -> bool:
        """Tell whether the query asked for too many; it then finds nothing."""
        return self.left < 0 or self.functions < 0


def holds(operator: Operator, found: int, count: int) -> bool:
    """Compare how many rows were found with the number asked for."""
    return _COMPARE[operator](found, count)


def belonging(related: Related, text: str) -> Condition:
    """Return what a row of the related table meets that belongs to the own value ``text``."""
    if text == "":
        return NEVER
    field = related.other.field
    if measure(related.own.field, field) is not Measure.VALUES:
        try:
            text = canonical(field, text)
        except InvalidValue:
            return NEVER
    return both(Test(related.other, Operator.EQUALS, (text,)), related.condition)


def paths_met(resolver: Resolver, term: RelatedTerm) -> tuple[FieldPath, FieldPath] | None:
    """Return the own field and that of the related table; None after reporting what is missing."""
    dictionary = resolver.dictionary
    if term.table not in dictionary:
        resolver.report_table(term.table)
        return None
    own_name = term.own
    if term.owner and not dictionary.is_a(resolver.table, term.owner):
        if not dictionary.is_a(term.owner, resolver.table):
            resolver.report(
                InvalidQuery(f"Condition left out: {term.owner[:80]} is not joined before")
            )
            return None
        own_name = f"ref_{term.owner}.{term.own}"
    own = resolver.comparable(own_name, "Condition")
    other = dictionary.find_path(term.table, term.field)
    if other is None and own is not None:
        resolver.report_field(term.table, term.field, "Condition")
    if own is None or other is None:
        return None
    if other.field.storage is Storage.NONE:
        resolver.report(InvalidQuery(f"Condition left out: {term.field} cannot be compared"))
        return None
    return own, other


def arranged(condition: Condition) -> Condition:
    """Put joined tables where they act.

    A JOIN whose owner is a table joined before stands among the conditions of that table. Tables
    are joined for the whole result, whatever OR and ^NQ say, which are about the conditions only.
    """
    joins = list(_joins(condition))
    if not joins:
        return condition
    owners = _nested_in(joins)
    inside: dict[int, RelatedTerm] = {}
    for place in reversed(range(len(joins))):
        term = joins[place]
        for child in (each for each, owner in owners.items() if owner == place):
            query = term.query
            inner = both(query.condition, inside[child])
            term = structs.replace(term, query=structs.replace(query, condition=inner))
        inside[place] = term
    places = iter(range(len(joins)))
    found = _placed(condition, places, owners, inside)
    if not _stands_in_or(found):
        return found
    tops = [inside[place] for place in range(len(joins)) if place not in owners]
    return And((*(structs.replace(term, query=Query()) for term in tops), found))


def _nested_in(joins: list[RelatedTerm]) -> dict[int, int]:
    """Return which join each nested one belongs to, by their places."""
    owners: dict[int, int] = {}
    for place, join in enumerate(joins):
        if join.owner == joins[0].owner:
            continue
        earlier = [one for one in range(place) if joins[one].table == join.owner]
        if earlier:
            owners[place] = earlier[-1]
    return owners


def _joins(condition: Condition) -> Iterator[RelatedTerm]:
    match condition:
        case And() | Or():
            for part in condition.parts:
                yield from _joins(part)
        case RelatedTerm() if condition.form is Form.JOIN:
            yield condition


def _placed(
    condition: Condition,
    places: Iterator[int],
    owners: dict[int, int],
    inside: dict[int, RelatedTerm],
) -> Condition:
    """Replace each join by what became of it; a nested one leaves nothing where it stood."""
    match condition:
        case And() | Or():
            parts = [_placed(part, places, owners, inside) for part in condition.parts]
            kept = tuple(part for part in parts if part != _NOTHING)
            return type(condition)(kept) if kept or not condition.parts else _NOTHING
        case RelatedTerm() if condition.form is Form.JOIN:
            place = next(places)
            return _NOTHING if place in owners else inside[place]
        case _:
            return condition


_NOTHING = And((And(()),))
"""Stands for a part that is gone; no parser or planner makes it."""


def _stands_in_or(condition: Condition) -> bool:
    match condition:
        case Or():
            return next(_joins(condition), None) is not None
        case And():
            return any(_stands_in_or(part) for part in condition.parts)
        case _:
            return False
