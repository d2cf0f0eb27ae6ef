"""The host call behind GlideAggregate: groups with their aggregates."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from midspan.kernel.errors import AccessDenied, InvalidRequest, LimitExceeded
from midspan.query import (
    AggregatePlan,
    Grouping,
    GroupOrder,
    HavingTerm,
    ReadOptions,
    plan_aggregate,
)
from midspan.records import RecordTransaction
from midspan.sandbox import JsonValue
from midspan.scripting import recordcalls_plans as plans
from midspan.scripting.aggregation import (
    FUNCTIONS,
    PLAIN,
    UNITS,
    Coarse,
    Fine,
    Text,
    Wanted,
    combine,
    meets,
    period,
    sort_key,
)
from midspan.scripting.criteria import Criteria, operator_of
from midspan.storage import Row

MOST_GROUPS = 50_000
_log = logging.getLogger("midspan.script")


class Trend(Struct, frozen=True):
    """Groups by period: the field of an instant, the unit, and for minutes how many of them.

    With ``year`` days of the week are of a year, those of others are groups of their own.
    """

    field: str
    unit: str
    minutes: int = 1
    year: bool = True

    @property
    def period(self) -> str:
        """The unit as ``period`` names it."""
        return "dayofweek/year" if self.unit == "dayofweek" and self.year else self.unit


class Having(Struct, frozen=True):
    """A test of groups."""

    function: str
    field: str | None
    operator: str
    value: str


class Sorting(Struct, frozen=True):
    """A sort key of groups: a group's field, or an aggregate."""

    function: str
    field: str | None
    descending: bool


class Groups(Struct, frozen=True, kw_only=True):
    """What a GlideAggregate asks for, as the prelude sends it."""

    criteria: Criteria
    groups: list[str] = []
    aggregates: list[Wanted] = []
    having: list[Having] = []
    sort: list[Sorting] = []
    trend: Trend | None = None
    window: tuple[int, int] | None = None
    """The records that are counted, of those that the criteria find: the first, and one too far."""


class GroupCalls:
    """Answers ``record.aggregate``; ``lend`` gives the transaction, as for ``RecordCalls``."""

    def __init__(self, lend: Callable[[bool, bool], Any]) -> None:
        self._lend = lend

    def calls(self) -> Mapping[str, Callable[..., Any]]:
        """Return the functions by the name of their call."""
        return {"record.aggregate": self.aggregate}

    def aggregate(self, raw: Any) -> JsonValue:
        """Return ``{"groups": [names], "rows": [[group values, aggregates]], "trend": bool}``.

        With a trend the period is the last group value. What cannot be grouped or computed is left
        out of ``groups``, or None in each row.

        Raises:
            InvalidRequest: there is no such function or unit.
            LimitExceeded: there are more than 50,000 groups.
        """
        wanted = msgspec.convert(raw, Groups)
        _refuse_unknown(wanted)
        with self._lend(False, wanted.criteria.secure) as transaction:
            try:
                names, found = _groups(transaction, _windowed(transaction, wanted))
            except AccessDenied as error:
                _log.warning("the groups are not for the user: %s", error.explain())
                return {"groups": [], "rows": []}
        if len(found) > MOST_GROUPS:
            raise LimitExceeded(
                f"The query of {wanted.criteria.table} has more than {MOST_GROUPS} groups",
                hint="Add conditions, or group by fewer fields.",
            )
        rows: list[JsonValue] = [[*group.keys, *group.aggregates] for group in found]
        return {"groups": list(names), "rows": rows}


def _refuse_unknown(wanted: Groups) -> None:
    asked: list[Wanted | Having | Sorting] = [*wanted.aggregates, *wanted.having, *wanted.sort]
    functions = (one.function for one in asked)
    for function in functions:
        if function and function not in FUNCTIONS:
            raise InvalidRequest(
                f"There is no aggregate {function}", hint=f"There are {', '.join(FUNCTIONS)}."
            )
    if wanted.trend and wanted.trend.unit not in UNITS:
        raise InvalidRequest(
            f"There is no trend by {wanted.trend.unit}", hint=f"There are {', '.join(UNITS)}."
        )


def _windowed(transaction: RecordTransaction, wanted: Groups) -> Groups:
    """Return groups of the records of the window alone."""
    if wanted.window is None:
        return wanted
    criteria = msgspec.structs.replace(wanted.criteria, window=wanted.window, limit=None)
    ids = plans.ids_of(transaction, plans.plan(transaction, criteria))
    chosen = {"terms": [["", "sys_id", "IN", ",".join(ids)]]}
    criteria = msgspec.structs.replace(wanted.criteria, conditions=[chosen], rules=False)
    return msgspec.structs.replace(wanted, criteria=criteria)


def _groups(
    transaction: RecordTransaction, wanted: Groups
) -> tuple[Sequence[str], Sequence[Coarse]]:
    asked = (*wanted.aggregates, *(Wanted(test.function, test.field) for test in wanted.having))
    asked += tuple(Wanted(sort.function, sort.field) for sort in wanted.sort if sort.function)
    if wanted.trend is None and all(one.function in PLAIN for one in asked):
        return _plain_groups(transaction, wanted)
    return _derived_groups(transaction, wanted, tuple(dict.fromkeys(asked)))


def _plan(
    transaction: RecordTransaction,
    wanted: Groups,
    columns: Sequence[str],
    aggregates: Sequence[tuple[str, str | None]],
    grouping: Grouping,
) -> AggregatePlan:
    criteria = wanted.criteria
    options = ReadOptions(
        columns=columns, unknown=plans.policy(transaction), values=transaction.values
    )
    query = plans.narrowed(transaction, criteria)
    plan = plan_aggregate(
        transaction.dictionary, criteria.table, query, aggregates, options, grouping
    )
    plans.warn(criteria.table, plan.warnings)
    return transaction.access.restrict_groups(plan) if transaction.enforce else plan


def _plain_groups(
    transaction: RecordTransaction, wanted: Groups
) -> tuple[Sequence[str], Sequence[Coarse]]:
    """Have the database do all of it."""
    start, most = _window(wanted.criteria)
    having = tuple(
        HavingTerm(test.function, test.field, operator, test.value)
        for test in wanted.having
        if (operator := operator_of(test.operator)) is not None
    )
    order = tuple(GroupOrder(one.field, one.function, one.descending) for one in wanted.sort)
    limit = MOST_GROUPS + 1 if most is None else start + most
    grouping = Grouping(having=having, order=order, limit=limit)
    asked = [(one.function, one.field) for one in wanted.aggregates]
    plan = _plan(transaction, wanted, wanted.groups, asked, grouping)
    have = {
        (one.function, one.path.name if one.path else None): place
        for place, one in enumerate(plan.aggregates)
    }
    width = len(plan.group_by)
    places = [have.get(one) for one in asked]

    def shown(row: Row) -> Coarse:
        values = (None if place is None else row[width + place] for place in places)
        return Coarse(tuple(row[:width]), tuple(values))

    rows = transaction.aggregate(plan)[start:]
    return [path.name for path in plan.group_by], [shown(row) for row in rows]


def _derived_groups(
    transaction: RecordTransaction, wanted: Groups, asked: Sequence[Wanted]
) -> tuple[Sequence[str], Sequence[Coarse]]:
    """Ask the database for groups of one value each, and put those together."""
    fields = dict.fromkeys(one.field for one in asked if one.field is not None)
    trend = [wanted.trend.field] if wanted.trend else []
    columns = list(dict.fromkeys((*wanted.groups, *trend, *fields)))
    order = tuple(
        GroupOrder(one.field, "", one.descending) for one in wanted.sort if not one.function
    )
    grouping = Grouping(order=order, limit=MOST_GROUPS * 4)
    plan = _plan(transaction, wanted, columns, [("COUNT", None)], grouping)
    names = [path.name for path in plan.group_by]
    groups = [name for name in names if name in wanted.groups]
    if wanted.trend and wanted.trend.field not in names:
        return groups, []
    fine = [_fine(transaction, wanted, names, groups, row) for row in transaction.aggregate(plan)]
    single = not groups and wanted.trend is None
    found = combine(fine, asked, single=single)
    if wanted.trend:
        found = _by_period(wanted, found)
        found = [
            Coarse((*g.keys[:-1], (g.keys[-1] or "").partition("\0")[2]), g.aggregates)
            for g in found
        ]
    found = _chosen(wanted, asked, found)
    start, most = _window(wanted.criteria)
    return groups, found[start:] if most is None else found[start : start + most]


def _by_period(wanted: Groups, found: list[Coarse]) -> list[Coarse]:
    """Return groups, which come in the order of the fields that were asked for, by their period.

    With such fields the period only decides within the groups.
    """
    ranks: dict[tuple[Text, ...], int] = {}
    for group in found:
        ranks.setdefault(group.keys[:-1], len(ranks))
    by_field = any(not sort.function for sort in wanted.sort)
    return sorted(
        found,
        key=lambda group: (ranks[group.keys[:-1]] if by_field else 0, group.keys[-1] or ""),
    )


def _fine(
    transaction: RecordTransaction,
    wanted: Groups,
    names: Sequence[str],
    groups: Sequence[str],
    row: Row,
) -> Fine:
    values: dict[str, Text] = dict(zip(names, row, strict=False))
    keys: tuple[Text, ...] = tuple(values[name] for name in groups)
    trend = wanted.trend
    if trend:
        zone = transaction.values.zone
        sorted_by, shown = period(values[trend.field], trend.period, zone, max(1, trend.minutes))
        keys = (*keys, f"{sorted_by}\0{shown}")
    return Fine(int(row[len(names)] or 0), keys, values)


def _chosen(wanted: Groups, asked: Sequence[Wanted], found: list[Coarse]) -> list[Coarse]:
    """Leave the groups that pass, in the order that was asked for, with the wanted aggregates."""
    place = {one: number for number, one in enumerate(asked)}
    for test in wanted.having:
        number = place[Wanted(test.function, test.field)]
        found = [one for one in found if meets(one.aggregates[number], test.operator, test.value)]
    for sort in reversed([one for one in wanted.sort if one.function]):
        number = place[Wanted(sort.function, sort.field)]
        found.sort(key=lambda one, n=number: sort_key(one.aggregates[n]), reverse=sort.descending)  # type: ignore[misc]
    places = [place[one] for one in wanted.aggregates]
    return [Coarse(one.keys, tuple(one.aggregates[n] for n in places)) for one in found]


def _window(criteria: Criteria) -> tuple[int, int | None]:
    return criteria.offset, criteria.most
