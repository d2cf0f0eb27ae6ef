"""SQLite, PostgreSQL and the evaluator in memory agree on functions, wherever they stand."""

from __future__ import annotations

from functools import partial
from itertools import accumulate

from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from midspan.dictionary import FieldPath, Strategy
from midspan.query import (
    ALWAYS,
    Operator,
    Order,
    Query,
    ReadOptions,
    Term,
    Unknown,
    parse,
    plan_aggregate,
    plan_read,
)
from midspan.query.computed import value_of
from midspan.query.functions import DEEPEST, PREFIX
from midspan.storage.compile import compile_read
from midspan.storage.groups import compile_aggregate

from .stores import Store
from .test_dialect_groups import grouped
from .worlds import SESSION, SETTINGS, Record, World, expected, tables, worlds

NUMBERS = ("whole", "amount", "parent_link.amount", "ref_leaf.extra", "'2'", "'-0.5'", "3", "'0'")
DAYS = ("moment", "day", "parent_link.moment", "'2026-01-05 10:00:00'")
WORDS = ("text", "code", "person.name", "ref_middle.own", "'a'", '"it\'s ?%^"', "' '", "''")
OTHERS = ("flag", "person", "sys_id", "sys_class_name")
WHOLES = st.sampled_from(("'0'", "1", "'2'", "3", "'40'"))


def called(name: str, *arguments: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*arguments).map(lambda given: f"{name}({','.join(given)})")


def many(name: str, argument: st.SearchStrategy[str], least: int = 2) -> st.SearchStrategy[str]:
    several = st.lists(argument, min_size=least, max_size=3)
    return several.map(lambda given: f"{name}({', '.join(given)})")


def numeric(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        *(many(name, inner) for name in ("add", "multiply", "greatest", "least", "coalesce")),
        *(called(name, inner, inner) for name in ("subtract", "divide")),
    )


DATED = st.one_of(st.sampled_from(DAYS[::2]), many("coalesce", st.sampled_from(DAYS[::2])))
ANY = st.sampled_from((*NUMBERS, *DAYS, *WORDS, *OTHERS))
TEXTS = st.recursive(
    st.sampled_from(WORDS),
    lambda inner: st.one_of(
        many("concat", st.one_of(inner, ANY), 1),
        many("coalesce", st.one_of(inner, ANY), 1),
        many("greatest", st.one_of(st.sampled_from(WORDS), many("concat", inner))),
        many("least", st.one_of(st.sampled_from(WORDS), called("substring", inner, WHOLES))),
        called("substring", inner, WHOLES),
        called("substring", inner, WHOLES, WHOLES),
    ),
    max_leaves=4,
)
COUNTS = st.one_of(
    called("length", st.one_of(TEXTS, ANY)),
    called("position", TEXTS, TEXTS),
    called("position", TEXTS, TEXTS, WHOLES),
    called("dayofweek", DATED),
    called("dayofweek", DATED, st.sampled_from(("'1'", "'2'", "'7'"))),
)
AMOUNTS = st.recursive(
    st.one_of(st.sampled_from(NUMBERS), st.sampled_from(NUMBERS), COUNTS), numeric, max_leaves=4
)


def depth(text: str) -> int:
    """How many functions stand inside each other; the brackets in constants do not count."""
    marks = [mark for mark in "".join(text.split('"')[::2]) if mark in "()"]
    return max(accumulate((1 if mark == "(" else -1) for mark in marks))


COMPARISONS = st.one_of(
    *(
        called("compare", values, st.sampled_from(("'='", "'<'", "'>'", "'<='", "'>='")), values)
        for values in (
            st.sampled_from(NUMBERS),
            st.sampled_from((*WORDS[:6], "concat(text,code)")),
            st.sampled_from(("moment", "now()", DAYS[3])),
            st.sampled_from(("code", "person")),
            st.sampled_from(("flag", "parent_link.flag")),
        )
    ),
    st.just("flag"),
)
TRUTHS = st.one_of(many("and", COMPARISONS, 1), many("or", COMPARISONS, 1))
FUNCTIONS = (
    st.one_of(
        TRUTHS,
        called("datediff", DATED, st.just("now()")),
        numeric(AMOUNTS),
        COUNTS,
        TEXTS.filter(lambda text: "(" in text),
        called("datediff", DATED, DATED),
        many("greatest", st.sampled_from(("day", "ref_leaf.parent_link.day", "'2026-01-20'"))),
        many("coalesce", st.sampled_from(("flag", "parent_link.flag", "'true'"))),
    )
    .filter(lambda text: len(text) < 150 and depth(text) <= DEEPEST)
    .map(PREFIX.__add__)
)
VALUES = st.sampled_from(
    ("0", "1", "3", "-0.5", "a", "true", "2026-01-03", "1970-01-02 00:00:00", "it's ?%^a", "")
)
COMPARED = (
    *(Operator.EQUALS, Operator.DIFFERS, Operator.GREATER, Operator.LESS_OR_EQUAL, Operator.IN),
    *(Operator.CONTAINS, Operator.STARTS_WITH, Operator.IS_EMPTY, Operator.IS_NOT_EMPTY),
    *(Operator.SAME_AS, Operator.MATCHES),
)


@settings(SETTINGS, max_examples=60)
@given(
    world=worlds(),
    table=st.sampled_from(("base", "middle")),
    functions=st.lists(FUNCTIONS, min_size=1, max_size=3, unique=True),
    operator=st.sampled_from(COMPARED),
    value=VALUES,
)
def test_functions_agree_as_columns_conditions_and_keys(
    stores: tuple[Store, Store],
    world: World,
    table: str,
    functions: list[str],
    operator: Operator,
    value: str,
) -> None:
    first = functions[0]
    asked = value if operator is not Operator.SAME_AS else "text"
    query = Query(Term(first, operator, asked), order=(Order(functions[-1], descending=True),))
    options = ReadOptions(columns=("sys_id", *functions), values=SESSION)
    plan = plan_read(world.dictionary, table, query, options)
    assert [path.name for path in plan.columns] == ["sys_id", *functions], plan.warnings
    wanted = [
        tuple(value_of(path, partial(world.get, row)) or None for path in plan.columns)
        for row in expected(world, plan)
    ]
    event(f"rows: {min(len(wanted), 2)}")
    for store in stores:
        store.fill(world)
        compiled = compile_read(plan, world.dictionary, store.dialect)
        assert store.run(compiled) == wanted, compiled


class Computing(World):
    """Records that answer for functions of their fields, too."""

    def get(self, record: Record, path: FieldPath) -> str:
        return value_of(path, partial(super().get, record))


@settings(SETTINGS, max_examples=60)
@given(
    world=worlds(), group=FUNCTIONS, amount=numeric(st.sampled_from(NUMBERS)).map(PREFIX.__add__)
)
def test_functions_agree_as_groups_and_in_aggregates(
    stores: tuple[Store, Store], world: World, group: str, amount: str
) -> None:
    options = ReadOptions(columns=(group,), values=SESSION, unknown=Unknown.REFUSE)
    aggregates = [("COUNT", amount), ("MIN", group), ("MAX", amount)]
    plan = plan_aggregate(world.dictionary, "base", Query(ALWAYS), aggregates, options)
    wanted = grouped(Computing(world.dictionary, world.records), plan)
    for store in stores:
        store.fill(world)
        compiled = compile_aggregate(plan, world.dictionary, store.dialect)
        assert store.run(compiled) == wanted, compiled


@given(function=FUNCTIONS, operator=st.sampled_from(COMPARED), value=VALUES)
@example(function=f"{PREFIX}concat(text,'=^ORDERBY)(')", operator=Operator.EQUALS, value="x")
def test_functions_are_read_from_a_query_as_written(
    function: str, operator: Operator, value: str
) -> None:
    escaped = function.replace("^", "^^")
    text = f"{escaped}{operator.value}{value.replace('^', '^^')}^ORDERBY{escaped}^GROUPBY{escaped}"
    query = parse(text)
    assert isinstance(query.condition, Term), query
    assert query.condition.field == function
    assert (query.order, query.group_by) == ((Order(function),), (function,))
    dictionary = tables(Strategy.SINGLE, Strategy.SINGLE)
    assert plan_read(dictionary, "base", query, ReadOptions(values=SESSION)).order
