"""Names to fields: turns a parsed query into a plan against one dictionary snapshot. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from midspan.dictionary import Dictionary, FieldPath
from midspan.kernel.errors import InvalidRequest
from midspan.query.condition import (
    ALWAYS,
    And,
    Condition,
    Operator,
    Or,
    Order,
    Query,
    RelatedTerm,
    Test,
    Unread,
)
from midspan.query.parse import MOST_PARTS
from midspan.query.plan import ReadPlan, Sort
from midspan.query.resolve import Resolver, Unknown, display_path, simplify
from midspan.query.sessionvalues import ValueResolver

_CHANGES = frozenset({Operator.CHANGES, Operator.CHANGES_FROM, Operator.CHANGES_TO})


class ReadOptions(Struct, frozen=True, kw_only=True):
    """What a read wants besides its query.

    ``columns`` are field names, maybe dotted, in the order of the row; None means every field of
    the table. ``unknown`` says what becomes of names that do not exist, ``values`` evaluates
    ``javascript:`` values; without it such a term counts as unknown.
    """

    columns: Sequence[str] | None = None
    limit: int | None = None
    offset: int = 0
    unknown: Unknown = Unknown.IGNORE
    values: ValueResolver | None = None


_DEFAULTS = ReadOptions()


def plan_read(
    dictionary: Dictionary, table: str, query: Query, options: ReadOptions = _DEFAULTS
) -> ReadPlan:
    """Plan a read of ``table`` and its descendants.

    Change operators mean nothing in a read and always hold.

    Raises:
        InvalidTable: there is no such table.
        InvalidRequest: limit or offset is negative, or the query has over 4,000 parts.
        InvalidField, InvalidQuery, InvalidValue: only with ``Unknown.REFUSE``.
    """
    if options.offset < 0 or (options.limit is not None and options.limit < 0):
        raise InvalidRequest("Limit and offset of a read must not be negative")
    resolver = Resolver(dictionary, table, options.unknown, options.values)
    condition = query_condition(resolver, query)
    order = _orders(resolver, query.order)
    columns = _columns(resolver, options.columns)
    return ReadPlan(
        table=table,
        columns=columns,
        condition=condition,
        order=order,
        limit=options.limit,
        offset=options.offset,
        warnings=tuple(resolver.warnings),
    )


def resolve_condition(
    dictionary: Dictionary,
    table: str,
    condition: Condition,
    unknown: Unknown = Unknown.IGNORE,
    values: ValueResolver | None = None,
) -> tuple[Condition, tuple[str, ...]]:
    """Resolve the terms of a condition to ``Test`` leaves; the second part is the warnings.

    Change operators stay, for a trigger to evaluate. Tests already resolved are kept.

    Raises:
        InvalidTable: there is no such table.
        InvalidField, InvalidQuery, InvalidValue: only with ``Unknown.REFUSE``.
    """
    resolver = Resolver(dictionary, table, unknown, values)
    return resolver.condition(condition), tuple(resolver.warnings)


def resolve_query(
    dictionary: Dictionary,
    table: str,
    query: Query,
    unknown: Unknown = Unknown.IGNORE,
    values: ValueResolver | None = None,
) -> tuple[Condition, tuple[str, ...]]:
    """Like ``resolve_condition``; ``unknown`` also applies to the parts that were not readable."""
    resolver = Resolver(dictionary, table, unknown, values)
    return resolver.query(query), tuple(resolver.warnings)


def query_condition(resolver: Resolver, query: Query) -> Condition:
    """Return the resolved condition of a read; change operators always hold.

    Raises:
        InvalidRequest: the query has more parts than a database can plan in a moment.
    """
    keys = len(query.order) + len(query.group_by)
    parts = _terms(query.condition) + keys + len(query.invalid)
    if parts > MOST_PARTS:
        raise InvalidRequest(
            f"The query has more than {MOST_PARTS} parts",
            detail="No more are possible; an IN takes any number of values.",
        )
    return _without_changes(resolver.query(query))


def _terms(condition: Condition) -> int:
    """Return how many conditions there are, those about related rows included."""
    if isinstance(condition, And | Or):
        return sum(_terms(part) for part in condition.parts)
    if isinstance(condition, RelatedTerm):
        return 1 + _terms(condition.query.condition) + len(condition.query.invalid)
    return MOST_PARTS + 1 if isinstance(condition, Unread) else 1


def _without_changes(condition: Condition) -> Condition:
    match condition:
        case Test() if condition.operator in _CHANGES:
            return ALWAYS
        case And() | Or():
            parts = tuple(_without_changes(part) for part in condition.parts)
            return simplify(type(condition)(parts))
        case _:
            return condition


def _orders(resolver: Resolver, orders: Sequence[Order]) -> tuple[Sort, ...]:
    """A reference sorts by the display value of its target."""
    sorts: dict[str, Sort] = {}
    for order in orders:
        path = resolver.comparable(order.field, "Sort")
        if path is not None:
            path = display_path(resolver.dictionary, resolver.table, path) or path
            sorts.setdefault(path.name, Sort(path, order.descending))
    return tuple(sorts.values())


def _columns(resolver: Resolver, names: Sequence[str] | None) -> tuple[FieldPath, ...]:
    if names is None:
        table = resolver.dictionary.table(resolver.table)
        return tuple(
            FieldPath(name, (field,), (table.name,)) for name, field in table.fields.items()
        )
    found = (resolver.path(name, "Column") for name in dict.fromkeys(names))
    return tuple(path for path in found if path is not None)
