"""Groups and aggregates to a plan: names to fields, values to canonical texts. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from midspan.dictionary import Dictionary, Field, FieldPath, Storage
from midspan.dictionary.values import canonical
from midspan.kernel.errors import InvalidQuery, InvalidRequest, InvalidValue
from midspan.query.condition import NEVER, Operator, Query
from midspan.query.plan import Aggregate, AggregatePlan, GroupSort, Having
from midspan.query.planner import ReadOptions, query_condition
from midspan.query.resolve import Resolver, Unknown, display_path

FUNCTIONS = frozenset({"COUNT", "SUM", "AVG", "MIN", "MAX"})
COMPARISONS = frozenset(
    {
        Operator.EQUALS,
        Operator.DIFFERS,
        Operator.GREATER,
        Operator.GREATER_OR_EQUAL,
        Operator.LESS,
        Operator.LESS_OR_EQUAL,
    }
)
"""The operators that ``HavingTerm`` knows."""
_NUMERIC = frozenset({Storage.INTEGER, Storage.DECIMAL})
DURATIONS = frozenset({"glide_duration", "timer"})
"""Types whose SUM and AVG are numbers of seconds."""
_NUMBER = Field(name="number", label="Number", type="decimal")


class HavingTerm(Struct, frozen=True):
    """A test of groups as written; without ``field`` COUNT counts rows."""

    function: str
    field: str | None
    operator: Operator
    value: str

    def __str__(self) -> str:
        return f"{self.function}({self.field or '*'}){self.operator.value}{self.value}"


class GroupOrder(Struct, frozen=True):
    """A sort key of groups as written: a group's field, or a function of a field or of rows."""

    field: str | None
    function: str = ""
    descending: bool = False


class Grouping(Struct, frozen=True, kw_only=True):
    """What is wanted of groups besides their fields and aggregates."""

    having: tuple[HavingTerm, ...] = ()
    order: tuple[GroupOrder, ...] = ()
    limit: int | None = None


_DEFAULTS = ReadOptions()
_PLAIN = Grouping()


def plan_aggregate(
    dictionary: Dictionary,
    table: str,
    query: Query,
    aggregates: Sequence[tuple[str, str | None]],
    options: ReadOptions = _DEFAULTS,
    grouping: Grouping = _PLAIN,
) -> AggregatePlan:
    """Plan groups of ``table``: ``options.columns`` and then ``^GROUPBY`` name the groups.

    ``aggregates`` are pairs of function and field name: ``("COUNT", None)``, ``("AVG", "impact")``.
    SUM and AVG need a number or a duration, which counts in seconds; of another field they count
    as an unknown field. Groups are sorted by ``grouping.order``, by those sort keys of the query
    that name a group, and by all groups; a reference sorts by the display value of its target.

    Raises:
        InvalidTable, InvalidRequest: no such table, no such function.
        InvalidField, InvalidQuery, InvalidValue: only with ``Unknown.REFUSE``.
    """
    resolver = Resolver(dictionary, table, options.unknown, options.values)
    condition = query_condition(resolver, query)
    names = dict.fromkeys((*(options.columns or ()), *query.group_by))
    groups = {
        path.name: path
        for name in names
        if (path := resolver.comparable(name, "Group")) is not None
    }
    wanted = [_aggregate(resolver, function, name) for function, name in dict.fromkeys(aggregates)]
    having = [_having(resolver, term) for term in grouping.having]
    if None in having and options.unknown is Unknown.NOTHING:
        condition = NEVER
    return AggregatePlan(
        table=table,
        group_by=tuple(groups.values()),
        aggregates=tuple(one for one in wanted if one is not None),
        condition=condition,
        having=tuple(one for one in having if one is not None),
        order=tuple(_order(resolver, groups, grouping.order, query)),
        limit=grouping.limit,
        warnings=tuple(resolver.warnings),
    )


def _aggregate(resolver: Resolver, function: str, name: str | None) -> Aggregate | None:
    if function not in FUNCTIONS or (name is None and function != "COUNT"):
        raise InvalidRequest(
            f"Cannot compute {function} of {name or 'nothing'}",
            hint="COUNT, or SUM, AVG, MIN, MAX of a field.",
        )
    if name is None:
        return Aggregate("COUNT")
    path = resolver.comparable(name, "Aggregate")
    if path is not None and function in ("SUM", "AVG") and not _adds_up(path.field):
        resolver.report(InvalidQuery(f"{function} needs a number, {name} is {path.field.type}"))
        return None
    return Aggregate(function, path) if path is not None else None


def _adds_up(field: Field) -> bool:
    return field.storage in _NUMERIC or field.type in DURATIONS


def compared_as(aggregate: Aggregate) -> Field:
    """Return the field whose rules of comparison hold for the values of an aggregate."""
    if aggregate.path is None or aggregate.function in ("COUNT", "SUM", "AVG"):
        return _NUMBER
    return aggregate.path.field


def _having(resolver: Resolver, term: HavingTerm) -> Having | None:
    aggregate = _aggregate(resolver, term.function, term.field)
    if aggregate is None:
        return None
    try:
        value = canonical(compared_as(aggregate), term.value)
    except InvalidValue as error:
        resolver.report(InvalidQuery(f"Having left out: {error.message}"))
        return None
    if value == "" or term.operator not in COMPARISONS:
        resolver.report(InvalidQuery(f"Having left out: cannot use {str(term)[:80]!r}"))
        return None
    return Having(aggregate, term.operator, value)


def _order(
    resolver: Resolver,
    groups: Mapping[str, FieldPath],
    wanted: Sequence[GroupOrder],
    query: Query,
) -> Iterator[GroupSort]:
    """Yield each sort key once: what was asked for, and then the groups that are left."""
    seen: set[str] = set()
    asked = (_sort(resolver, groups, order) for order in wanted)
    named = (
        GroupSort(groups[order.field], order.descending)
        for order in query.order
        if order.field in groups
    )
    for sort in (*asked, *named, *map(GroupSort, groups.values())):
        if sort is not None and (key := _key(sort)) not in seen:
            seen.add(key)
            yield _shown(resolver, sort)


def _key(sort: GroupSort) -> str:
    if isinstance(sort.by, Aggregate):
        return f"{sort.by.function} {sort.by.path.name if sort.by.path else '*'}"
    return sort.by.name


def _sort(
    resolver: Resolver, groups: Mapping[str, FieldPath], order: GroupOrder
) -> GroupSort | None:
    if order.function:
        aggregate = _aggregate(resolver, order.function, order.field)
        return GroupSort(aggregate, order.descending) if aggregate is not None else None
    path = groups.get(order.field or "")
    if path is None:
        text = (order.field or "")[:80]
        resolver.report(InvalidQuery(f"Sort left out: {text} is not one of the groups"))
        return None
    return GroupSort(path, order.descending)


def _shown(resolver: Resolver, sort: GroupSort) -> GroupSort:
    if isinstance(sort.by, Aggregate):
        return sort
    path = display_path(resolver.dictionary, resolver.table, sort.by) or sort.by
    return GroupSort(path, sort.descending)
