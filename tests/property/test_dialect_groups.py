"""SQLite, PostgreSQL and the evaluator in memory agree on every aggregate."""

from __future__ import annotations

import operator as python
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st

from midspan.dictionary import Dictionary, FieldPath, FieldSpec, TableSpec
from midspan.query import (
    Aggregate,
    AggregatePlan,
    Condition,
    Grouping,
    GroupOrder,
    Having,
    HavingTerm,
    Operator,
    Query,
    ReadOptions,
    plan_aggregate,
)
from midspan.query.aggregate import COMPARISONS, compared_as
from midspan.query.comparison import comparison_key
from midspan.query.evaluate import sort_key
from midspan.storage.groups import compile_aggregate

from .stores import Store
from .worlds import CONDITIONS, SESSION, SETTINGS, Record, World, field_values, sys_id, worlds

NUMERIC = ("whole", "amount", "parent_link.amount")
COMPARED = (*NUMERIC, "flag", "moment", "code", "text", "person.name")
FUNCTIONS = ("COUNT", "SUM", "AVG", "MIN", "MAX")


@st.composite
def groupings(draw: st.DrawFn) -> Grouping:
    """Tests and sort keys of every function, and sometimes a limit."""

    def chosen() -> tuple[str, str | None]:
        function = draw(st.sampled_from(FUNCTIONS))
        if function == "COUNT" and draw(st.booleans()):
            return function, None
        return function, draw(st.sampled_from(NUMERIC if function in ("SUM", "AVG") else COMPARED))

    having = []
    for _ in range(draw(st.integers(0, 2))):
        function, field = chosen()
        if function in ("MIN", "MAX"):
            value = draw(field_values((field or "").rpartition(".")[2]))
        else:
            value = draw(st.sampled_from(["0", "1", "2", "-1.5", "3.25"]))
        having.append(
            HavingTerm(function, field, draw(st.sampled_from(sorted(COMPARISONS))), value)
        )
    order = []
    for _ in range(draw(st.integers(0, 2))):
        function, field = chosen()
        if draw(st.booleans()):
            function, field = "", draw(st.sampled_from(GROUPS))
        order.append(GroupOrder(field, function, draw(st.booleans())))
    limit = draw(st.one_of(st.none(), st.integers(0, 4)))
    return Grouping(having=tuple(having), order=tuple(order), limit=limit)


GROUPS = ("text", "code", "flag", "day", "amount", "parent_link.text", "person", "parent_link")


@SETTINGS
@given(
    world=worlds(),
    table=st.sampled_from(("base", "middle", "leaf")),
    groups=st.lists(st.sampled_from(GROUPS), max_size=2, unique=True),
    condition=CONDITIONS,
    grouping=groupings(),
)
def test_aggregates_agree(
    stores: tuple[Store, Store],
    world: World,
    table: str,
    groups: list[str],
    condition: Condition,
    grouping: Grouping,
) -> None:
    dictionary = world.dictionary
    plan = plan_aggregate(
        dictionary,
        table,
        Query(condition),
        [
            ("COUNT", None),
            *(("COUNT", name) for name in COMPARED),
            *((name, field) for name in ("SUM", "AVG") for field in NUMERIC),
            *((name, field) for name in ("MIN", "MAX") for field in COMPARED),
        ],
        ReadOptions(columns=groups, values=SESSION),
        grouping,
    )
    wanted = grouped(world, plan)
    event(f"groups: {min(len(wanted), 3)}, tests: {len(plan.having)}")
    for store in stores:
        store.fill(world)
        compiled = compile_aggregate(plan, dictionary, store.dialect)
        assert store.run(compiled) == wanted, compiled


def grouped(world: World, plan: AggregatePlan) -> list[tuple[str | None, ...]]:
    found: dict[tuple[Any, ...], list[Record]] = {} if plan.group_by else {(): []}
    for record in world.rows(plan.table):
        if world.holds(plan.condition, record):
            key = tuple(sort_key(path.field, world.get(record, path)) for path in plan.group_by)
            found.setdefault(key, []).append(record)
    keys = [
        key for key in sorted(found) if all(met(world, found[key], test) for test in plan.having)
    ]
    for sort in reversed(plan.order):
        places = {key: placed(world, found[key], sort.by) for key in keys}
        keys.sort(key=places.__getitem__, reverse=sort.descending)
    rows = [
        (
            *(min(world.get(row, path) for row in found[key]) or None for path in plan.group_by),
            *(computed(world, found[key], wanted) for wanted in plan.aggregates),
        )
        for key in keys
    ]
    return rows if plan.limit is None else rows[: plan.limit]


def placed(world: World, rows: list[Record], by: FieldPath | Aggregate) -> tuple[bool, Any]:
    """Return what a group sorts by; all its rows have the same group value and display value."""
    if isinstance(by, Aggregate):
        return sort_key(compared_as(by), computed(world, rows, by) or "")
    return sort_key(by.field, world.get(rows[0], by))


def met(world: World, rows: list[Record], test: Having) -> bool:
    text = computed(world, rows, test.aggregate)
    if text is None:
        return False
    field = compared_as(test.aggregate)
    found, wanted = comparison_key(field, text), comparison_key(field, test.value)
    return bool(SIGNS[test.operator](found, wanted))


SIGNS: dict[Operator, Callable[[Any, Any], bool]] = {
    Operator.EQUALS: python.eq,
    Operator.DIFFERS: python.ne,
    Operator.GREATER: python.gt,
    Operator.GREATER_OR_EQUAL: python.ge,
    Operator.LESS: python.lt,
    Operator.LESS_OR_EQUAL: python.le,
}


def computed(world: World, rows: list[Record], wanted: Aggregate) -> str | None:
    if wanted.path is None:
        return str(len(rows))
    field = wanted.path.field
    texts = [text for row in rows if (text := world.get(row, wanted.path))]
    if wanted.function == "COUNT":
        return str(len(texts))
    if not texts:
        return None
    if wanted.function in ("MIN", "MAX"):
        choose = min if wanted.function == "MIN" else max
        return choose(texts, key=lambda text: (comparison_key(field, text), text))
    # In ten-thousandths of a hundredth, so that only whole numbers are added and divided.
    total = sum(int(Decimal(text).scaleb(2)) for text in texts)
    if wanted.function == "SUM":
        return shown(total, 2)
    quotient, rest = divmod(abs(total) * 100, len(texts))
    rounded = quotient + (2 * rest >= len(texts))
    return shown(-rounded if total < 0 else rounded, 4)


def shown(number: int, digits: int) -> str:
    whole, part = divmod(abs(number), 10**digits)
    text = f"{whole}.{part:0{digits}d}".rstrip("0").rstrip(".")
    return f"-{text}" if number < 0 else text


def test_durations_add_up_in_seconds(stores: tuple[Store, Store]) -> None:
    fields = (FieldSpec(name="span", type="glide_duration"), FieldSpec(name="kind"))
    dictionary = Dictionary.build([TableSpec(name="work", extendable=True, fields=fields)])
    spans = ["1970-01-01 00:00:30", "1970-01-02 04:14:21", "1969-12-31 23:59:50", "", ""]
    records = {
        sys_id(number): {
            "sys_id": sys_id(number),
            "class": "work",
            "span": span,
            "kind": "ab"[number // 4],
        }
        for number, span in enumerate(spans)
    }
    wanted = [("SUM", "span"), ("AVG", "span"), ("MAX", "span")]
    having = (HavingTerm("SUM", "span", Operator.GREATER, "100000"),)
    for store in stores:
        store.fill(World(dictionary, records))
        for grouping, expected_rows in (
            (Grouping(), [("a", "101681", "33893.6667", spans[1]), ("b", None, None, None)]),
            (Grouping(having=having), [("a", "101681", "33893.6667", spans[1])]),
        ):
            options = ReadOptions(columns=["kind"])
            plan = plan_aggregate(dictionary, "work", Query(), wanted, options, grouping)
            assert store.run(compile_aggregate(plan, dictionary, store.dialect)) == expected_rows
