"""SQLite, PostgreSQL and the evaluator in memory agree on every read: ids, order, pages, count."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from midspan.dictionary import Dictionary, Storage, Strategy
from midspan.query import (
    ALWAYS,
    And,
    Condition,
    Form,
    Operator,
    Or,
    Order,
    Query,
    ReadOptions,
    RelatedTerm,
    Sort,
    Term,
    plan_read,
)
from midspan.query.moments import RELATIVE
from midspan.query.related import OPPOSITE
from midspan.storage.compile import compile_count, compile_ids, compile_read

from .stores import Store
from .worlds import (
    BETWEEN_FIELDS,
    CLASSES,
    DATES,
    DICTIONARIES,
    NAMES,
    OPERATORS,
    OPTIONS,
    PERIODS,
    QUERIES,
    REFERENCES,
    SAME,
    SESSION,
    SETTINGS,
    TAGS,
    TREES,
    Record,
    World,
    expected,
    sys_id,
    tables,
    worlds,
)


@SETTINGS
@given(
    world=worlds(),
    table=st.sampled_from(CLASSES),
    queries=st.lists(QUERIES, min_size=1, max_size=8),
    limit=st.one_of(st.none(), st.integers(0, 4)),
    offset=st.integers(0, 3),
)
def test_reads_agree(
    stores: tuple[Store, Store],
    world: World,
    table: str,
    queries: list[Query],
    limit: int | None,
    offset: int,
) -> None:
    for store in stores:
        store.fill(world)
    options = ReadOptions(columns=("sys_id", *NAMES), limit=limit, offset=offset, values=SESSION)
    for query in queries:
        plan = plan_read(world.dictionary, table, query, options)
        rows = expected(world, plan)
        event(f"rows: {'some' if 0 < len(rows) < len(world.rows(table)) else 'none or all'}")
        page = rows[offset:] if limit is None else rows[offset : offset + limit]
        wanted = [tuple(world.get(row, path) or None for path in plan.columns) for row in page]
        ids = sorted((row["sys_id"], row["class"]) for row in rows)
        for store in stores:
            compiled = compile_read(plan, world.dictionary, store.dialect)
            assert store.run(compiled) == wanted, compiled
            assert store.run(compile_count(plan, world.dictionary, store.dialect)) == [(len(rows),)]
            matching = compile_ids(table, plan.condition, world.dictionary, store.dialect)
            assert store.run(matching) == ids


DATE_PARTS = (
    *(("dayofweek", "thursday"), ("dayofweek", "sunday"), ("week", "0"), ("week", "1")),
    *(("week", "53"), ("month", "jan"), ("month", "march"), ("quarter", "1"), ("quarter", "4")),
    *(("year", "2025"), ("year", "2026"), ("hour", "0"), ("hour", "1"), ("hour", "9")),
)
AWAY = ("hour@before@8", "hour@after@9", "month@after@1", "year@before@1")


def crowd(dictionary: Dictionary) -> World:
    """Sixty records of all classes, always the same, with many equal values among them."""
    chance = random.Random(7)  # noqa: S311 - reproducible on purpose
    samples = {
        "text": ["Ab", "aB", "ßa", "Σας", "ΣΑΣ", "50%_\\", "i̇", "İ", "2", "true"],
        "code": ["a", "A", "b1"],
        "whole": ["-1", "2", "10", "9007199254740993"],
        "amount": ["-1.5", "2", "10", "0.1"],
        "flag": ["true", "false"],
        "moment": [
            *("2026-01-01 00:00:00", "2026-01-01 08:30:00", "2026-02-01 00:00:00"),
            *("2025-12-31 23:30:00", "2026-03-29 00:59:59", "2026-03-29 01:00:00"),
            *("2026-10-25 00:30:00", "2026-10-25 01:30:00", "1890-06-30 23:30:00"),
        ],
        "day": ["2026-01-01", "2026-01-02", "2026-02-01", "2025-12-31", "2024-12-29"],
    }
    samples |= {"name": samples["text"], "extra": samples["whole"], "rank": samples["whole"]}
    samples["worth"] = samples["amount"]
    ids = [sys_id(number) for number in range(60)]
    records: dict[str, Record] = {}
    for number, own_id in enumerate(ids):
        cls = CLASSES[number % len(CLASSES)]
        records[own_id] = record = {"sys_id": own_id, "class": cls}
        for name, field in dictionary.table(cls).fields.items():
            if name.startswith("sys_") or chance.random() < 0.2:
                continue
            kind = "whole" if field.storage is Storage.INTEGER else "text"
            record[name] = chance.choice(
                ids if name in REFERENCES else samples.get(name, samples[kind])
            )
    return World(dictionary, records)


def questions(world: World) -> Iterator[Term]:
    """Every operator on every field, with values that occur and one that does not fit."""
    rows = list(world.records.values())
    for name in NAMES:
        path = world.dictionary.find_path("base", name)
        known = {world.get(row, path) for row in rows} - {""} if path else set()
        found = sorted(known) or ["x"]
        values = [*found[:4], found[-1][:2].swapcase(), "x"]
        dated = path is not None and path.field.storage in (Storage.DATETIME, Storage.DATE)
        for operator in OPERATORS:
            texts = asked(operator, values, found[-1])
            if operator in (Operator.DATE_PART, *SAME) and not dated:
                texts = [text for text in texts if "@" not in text] or texts[:1]
            yield from (Term(name, operator, text) for text in texts)


FIXED: dict[Operator, tuple[str, ...]] = {
    **dict.fromkeys(BETWEEN_FIELDS, NAMES),
    **dict.fromkeys(SAME, (*NAMES, *(f"{name}@{unit}" for name in DATES for unit in PERIODS))),
    **dict.fromkeys(
        (Operator.MORE_THAN, Operator.LESS_THAN),
        tuple(f"parent_link.moment@{distance}" for distance in AWAY),
    ),
    **dict.fromkeys(
        RELATIVE, ("@hour@ago@1", "@hour@ago@205", "@dayofweek@ago@9", "@dayofweek@ahead@9")
    ),
    Operator.INSTANCE_OF: CLASSES,
    Operator.MATCHES: (
        "*",
        "?",
        "??",
        "*a*",
        "a*",
        "*B",
        "?*?",
        "*%*",
        "*_?",
        "*\\\\*",
        "-?*",
        "*0*1*",
    ),
    Operator.MATCHES_REGEX: (
        *(".*", ".", "..?", "A.*|.*b", "[^a]*", "(a|b|ß)+", "\\d+", "-?\\d*", "(?:.*[\\W_])?.*"),
        *("^.+$", "[Σς]Α.*", "50%_\\\\", ".*0{2}.*", "[0-9a-f]{32}", "(.)(?=b)", "((a*)*)*b?"),  # noqa: RUF001
    ),
    Operator.DYNAMIC: tuple(OPTIONS),
    **dict.fromkeys(
        (Operator.IN_HIERARCHY, Operator.IN_HIERARCHY_DYNAMIC),
        tuple(f"{tree}@{sys_id(number)}" for tree in TREES for number in range(1, 9)),
    ),
    Operator.DATE_PART: tuple(
        f"x@javascript:gs.datePart('{part}','{value}','{sign}')"
        for part, value in DATE_PARTS
        for sign in ("EE", "GE", "LE", "GT", "LT")
    ),
}


def asked(operator: Operator, values: list[str], last: str) -> Sequence[str]:
    """Return the texts that an operator is asked with."""
    if operator in FIXED:
        return FIXED[operator]
    if operator is Operator.BETWEEN:
        return [f"{value}@{last}" for value in values]
    if operator in (Operator.ON, Operator.NOT_ON):
        return [f"on@{value}@{last}" for value in values]
    return [*values, ",".join(values)]


@pytest.mark.parametrize("strategy", Strategy)
def test_every_operator_agrees_on_every_field(
    stores: tuple[Store, Store], strategy: Strategy
) -> None:
    world = crowd(tables(strategy, strategy))
    for store in stores:
        store.fill(world)
    discerning = 0
    for term in questions(world):
        query = Query(term, order=(Order(term.field, descending=True),))
        options = ReadOptions(columns=("sys_id",), values=SESSION)
        plan = plan_read(world.dictionary, "base", query, options)
        wanted = [(row["sys_id"],) for row in expected(world, plan)]
        discerning += 0 < len(wanted) < len(world.rows("base"))
        for store in stores:
            compiled = compile_read(plan, world.dictionary, store.dialect)
            assert store.run(compiled) == wanted, (str(term), compiled)
    assert discerning > 500


@pytest.mark.parametrize("strategy", Strategy)
def test_every_count_of_related_rows_agrees(
    stores: tuple[Store, Store], strategy: Strategy
) -> None:
    world = crowd(tables(strategy, strategy))
    for store in stores:
        store.fill(world)
    insides: tuple[Condition, ...] = (
        ALWAYS,
        Term("text", Operator.CONTAINS, "a"),
        Term("parent_link", Operator.IN, ""),
    )
    discerning = 0
    for table, field, own in [
        ("base", "parent_link", "sys_id"), ("leaf", "parent_link", "sys_id"),
        ("base", "person", "person"), ("person", "sys_id", "person"), ("agent", "name", "text"),
        ("other", "own", "text"), ("middle", "own", "whole"), ("base", "amount", "whole"),
        ("base", "moment", "day"), ("base", "parent_link.text", "text"), ("base", "flag", "flag"),
        ("base", "code", "text"), ("middle", "worth", "amount"), ("base", "sys_class_name", "code"),
    ]:  # fmt: skip
        for operator, count, inside in itertools.product(OPPOSITE, (0, 1, 2, 5), insides):
            term = RelatedTerm(
                form=Form.LIST, table=table, field=field, own=own, operator=operator,
                count=count, query=Query(inside),
            )  # fmt: skip
            plan = plan_read(world.dictionary, "base", Query(term), ReadOptions(columns=["sys_id"]))
            wanted = [(row["sys_id"],) for row in expected(world, plan)]
            discerning += 0 < len(wanted) < len(world.rows("base"))
            for store in stores:
                compiled = compile_read(plan, world.dictionary, store.dialect)
                assert store.run(compiled) == wanted, (str(term), compiled)
    assert discerning > 200


TAG_TERMS = tuple(
    Term(f"sys_tags.{sys_id(900)}", operator, value)
    for operator, values in {
        **dict.fromkeys(
            (Operator.EQUALS, Operator.DIFFERS, Operator.IN, Operator.NOT_IN),
            (sys_id(900), sys_id(902), "blue", f"{sys_id(900)},{sys_id(901)}", ""),
        ),
        **dict.fromkeys((Operator.DOES_NOT_HAVE, Operator.EXCLUDING), (sys_id(900), sys_id(902))),
        **dict.fromkeys((Operator.CONTAINS, Operator.NOT_CONTAINS, Operator.MATCHES), ("LU", "*e")),
        **dict.fromkeys((Operator.STARTS_WITH, Operator.ENDS_WITH), ("B", "D")),
        **dict.fromkeys((Operator.IS_EMPTY, Operator.IS_NOT_EMPTY, Operator.ANYTHING), ("",)),
        Operator.MATCHES_REGEX: ("(blue|red)", ".*u.*"),
    }.items()
    for value in values
)


@pytest.mark.parametrize("strategy", Strategy)
def test_every_question_about_tags_agrees(stores: tuple[Store, Store], strategy: Strategy) -> None:
    world = crowd(tables(strategy, strategy, *TAGS))
    for number, name in enumerate(("Blue", "Red", "Unused"), 900):
        world.records[sys_id(number)] = {"sys_id": sys_id(number), "class": "label", "name": name}
    for number in range(40):
        world.records[sys_id(950 + number)] = {
            "sys_id": sys_id(950 + number),
            "class": "label_entry",
            "label": sys_id(900 + number % 2),
            "table": ("base", "middle", "leaf", "person", "elsewhere")[number % 5],
            "table_key": sys_id(number if number % 3 else number // 2),
        }
    for store in stores:
        store.fill(world)
    discerning = 0
    for table, term in itertools.product(("base", "middle", "person"), TAG_TERMS):
        plan = plan_read(world.dictionary, table, Query(term), ReadOptions(columns=["sys_id"]))
        wanted = [(row["sys_id"],) for row in expected(world, plan)]
        discerning += 0 < len(wanted) < len(world.rows(table))
        for store in stores:
            compiled = compile_read(plan, world.dictionary, store.dialect)
            assert store.run(compiled) == wanted, (table, str(term), compiled)
    assert discerning > 60


def test_long_lists_and_wide_conditions_agree(stores: tuple[Store, Store]) -> None:
    dictionary = DICTIONARIES[0]
    records = {
        sys_id(number): {
            "sys_id": sys_id(number),
            "class": "base",
            "text": f"Row {number}",
            "whole": str(number),
            "amount": f"{number}.5",
            "moment": str(datetime(2026, 1, 1) + timedelta(seconds=number)),
        }
        for number in range(5)
    }
    world = World(dictionary, records)
    long = [f"rOW {number}" for number in range(1, 4000, 2)]
    wide = tuple(Term("text", Operator.EQUALS, text) for text in long)
    queries = [
        Query(Term("text", Operator.IN, ",".join(long))),
        Query(Term("text", Operator.NOT_IN, ",".join(long))),
        Query(Term("whole", Operator.IN, ",".join(map(str, range(1, 4000, 2))))),
        Query(Term("amount", Operator.NOT_IN, ",".join(f"{n}.50" for n in range(1, 4000, 2)))),
        Query(Or(wide)),
        Query(And(tuple(Term("text", Operator.DIFFERS, text) for text in long))),
        Query(ALWAYS, order=(Order("amount", True),)),
        Query(Term("text", Operator.NOT_CONTAINS, "x" * 60_000)),
    ]
    for store in stores:
        store.fill(world)
        for query in queries:
            plan = plan_read(dictionary, "base", query)
            wanted = [record["sys_id"] for record in expected(world, plan)]
            assert wanted
            found = store.run(compile_read(plan, dictionary, store.dialect))
            assert [row[0] for row in found] == wanted


def test_sorts_of_a_plan_follow_the_query() -> None:
    plan = plan_read(DICTIONARIES[0], "base", Query(order=(Order("person"), Order("whole", True))))
    assert plan.order == (
        Sort(DICTIONARIES[0].path("base", "person.name")),
        Sort(DICTIONARIES[0].path("base", "whole"), descending=True),
    )
