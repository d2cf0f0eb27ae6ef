"""SQLite, PostgreSQL and the evaluator in memory agree on every read: ids, order, pages, count."""

from __future__ import annotations

import itertools
import operator as python
import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from midspan.dictionary import Dictionary, FieldPath, FieldSpec, Storage, Strategy, TableSpec
from midspan.query import (
    ALWAYS,
    Aggregate,
    AggregatePlan,
    And,
    Condition,
    Form,
    Grouping,
    GroupOrder,
    Having,
    HavingTerm,
    Operator,
    Or,
    Order,
    Query,
    ReadOptions,
    Related,
    RelatedTerm,
    Sort,
    Term,
    evaluate,
    in_order,
    plan_aggregate,
    plan_read,
)
from midspan.query.aggregate import COMPARISONS, compared_as
from midspan.query.comparison import comparison_key, measure, measured
from midspan.query.evaluate import sort_key
from midspan.query.moments import RELATIVE
from midspan.query.plan import ReadPlan
from midspan.query.related import OPPOSITE
from midspan.security import Actor, SessionValues
from midspan.storage.compile import Statement, compile_count, compile_ids, compile_read
from midspan.storage.dialect import (
    POSTGRESQL,
    POSTGRESQL_SETUP,
    SQLITE,
    Dialect,
)
from midspan.storage.functions import register_functions
from midspan.storage.groups import compile_aggregate

Record = dict[str, str]
"""Wire texts by field name, with ``sys_id`` and ``class``."""

TYPES = {
    "text": "string",
    "code": "char",
    "whole": "integer",
    "amount": "decimal",
    "flag": "boolean",
    "moment": "glide_date_time",
    "day": "glide_date",
}
LETTERS = "aAbBßẞİiıΣσςΑαéÉ%_\\'\" ?^,@𐐀𐐨zZ"  # noqa: RUF001
TEXTS = st.text(alphabet=LETTERS, max_size=4)
VALUES: dict[str, st.SearchStrategy[str]] = {
    "text": TEXTS,
    "code": st.text(alphabet="aAbB1", max_size=3),
    "whole": st.one_of(st.integers(-3, 12), st.integers(-(2**63) + 1, 2**63 - 1)).map(str),
    "amount": st.sampled_from(
        ["0", "-1.5", "1.5", "2", "10", "0.1", "100", "9007199254740993.1", "1" + "0" * 40]
    ),
    "flag": st.sampled_from(["true", "false"]),
    "moment": st.integers(0, 400).map(
        lambda hours: str(datetime(2026, 1, 1) + timedelta(hours=hours))
    ),
    "day": st.integers(0, 40).map(
        lambda days: str(datetime(2026, 1, 1) + timedelta(days=days))[:10]
    ),
}
REFERENCES = ("parent_link", "person")


@dataclass(frozen=True)
class World:
    """A dictionary and its records by sys_id."""

    dictionary: Dictionary
    records: dict[str, Record]

    def rows(self, table: str) -> list[Record]:
        classes = self.dictionary.table(table).classes
        return [record for record in self.records.values() if record["class"] in classes]

    def get(self, record: Record, path: FieldPath) -> str:
        """Walk as a reader would: a reference to another class leads nowhere."""
        here: Record | None = record
        for position, (table, field) in enumerate(zip(path.tables, path.steps, strict=True)):
            if here is None or not self.dictionary.is_a(here["class"], table):
                return ""
            value = here["class"] if field.name == "sys_class_name" else here.get(field.name, "")
            if position == len(path.steps) - 1:
                return value
            here = self.records.get(value)
        return ""

    def holds(self, condition: Condition, record: Record) -> bool:
        """Decide a resolved condition on one record."""
        return evaluate(condition, partial(self.get, record), count=self.count)

    def count(self, related: Related, own: str) -> int:
        """Count related rows as a reader would: look at every row of the other table."""
        how = measure(related.own.field, related.other.field)
        wanted = measured(how, related.own.field, own)
        return sum(
            measured(how, related.other.field, text) == wanted
            for row in self.rows(related.table)
            if (text := self.get(row, related.other)) and self.holds(related.condition, row)
        )


def tables(strategy: Strategy, person: Strategy) -> Dictionary:
    """A hierarchy of four classes beside a table of people, each with fields of all storages."""
    fields = tuple(FieldSpec(name=name, type=kind) for name, kind in TYPES.items())
    people = FieldSpec(name="person", type="reference", reference="person")
    return Dictionary.build(
        [
            TableSpec(
                name="base",
                extendable=True,
                strategy=strategy,
                fields=(
                    *fields,
                    FieldSpec(name="parent_link", type="reference", reference="middle"),
                    people,
                ),
            ),
            TableSpec(
                name="middle",
                extends="base",
                fields=(FieldSpec(name="own"), FieldSpec(name="worth", type="decimal")),
            ),
            TableSpec(
                name="leaf", extends="middle", fields=(FieldSpec(name="extra", type="integer"),)
            ),
            TableSpec(
                name="other", extends="base", fields=(FieldSpec(name="own", type="integer"),)
            ),
            TableSpec(
                name="person",
                extendable=True,
                strategy=person,
                fields=(FieldSpec(name="name", display=True), people),
            ),
            TableSpec(
                name="agent", extends="person", fields=(FieldSpec(name="rank", type="integer"),)
            ),
        ]
    )


DICTIONARIES = [tables(first, second) for first in Strategy for second in Strategy]
CLASSES = ("base", "middle", "leaf", "other", "person", "agent")


def field_values(name: str) -> st.SearchStrategy[str]:
    if name == "own":
        return st.one_of(VALUES["whole"], TEXTS)
    aliases = {"name": "text", "extra": "whole", "rank": "whole", "worth": "amount"}
    return VALUES[aliases.get(name, name)]


def sys_id(number: int) -> str:
    return f"{number:032x}"


@st.composite
def worlds(draw: st.DrawFn) -> World:
    dictionary = draw(st.sampled_from(DICTIONARIES))
    count = draw(st.integers(3, 12))
    records: dict[str, Record] = {}
    for number in range(count):
        cls = draw(st.sampled_from(CLASSES))
        record = {"sys_id": sys_id(number), "class": cls}
        for name, field in dictionary.table(cls).fields.items():
            if name.startswith("sys_") or draw(st.integers(0, 3)) == 0:
                continue
            if name in REFERENCES:
                record[name] = sys_id(draw(st.integers(0, count)))
            elif name == "own" and field.storage is Storage.INTEGER:
                record[name] = draw(VALUES["whole"])
            else:
                record[name] = draw(TEXTS if name == "own" else field_values(name))
        records[record["sys_id"]] = record
    return World(dictionary, records)


NAMES = (
    *TYPES,
    *REFERENCES,
    "own",
    "extra",
    "sys_id",
    "sys_class_name",
    "name",
    "rank",
    "parent_link.text",
    "parent_link.amount",
    "parent_link.own",
    "parent_link.sys_class_name",
    "parent_link.person",
    "parent_link.person.name",
    "person.name",
    "person.person.name",
    "ref_middle.own",
    "ref_middle.worth",
    "ref_other.own",
    "ref_leaf.extra",
    "ref_leaf.parent_link.moment",
    "ref_agent.rank",
    "missing",
)
OPERATORS = tuple(
    operator
    for operator in Operator
    if operator not in (Operator.CHANGES, Operator.CHANGES_FROM, Operator.CHANGES_TO)
)


BETWEEN_FIELDS = (
    *(Operator.SAME_AS, Operator.NOT_SAME_AS, Operator.GREATER_FIELD, Operator.LESS_FIELD),
    *(Operator.GREATER_OR_EQUAL_FIELD, Operator.LESS_OR_EQUAL_FIELD),
)
ZOE = Actor(
    sys_id="f" * 32,
    user_name="aB",
    time_zone="Europe/Berlin",
    groups=frozenset({sys_id(3), sys_id(5), sys_id(7)}),
)
OPTIONS = {
    sys_id(1): "gs.getUser().getMyGroups()",
    sys_id(2): "gs.getUserName()",
    sys_id(3): "gs.daysAgo(2)",
    sys_id(4): "new Unknown().list()",
}
SESSION = SessionValues(ZOE, datetime(2026, 1, 9, 23, 30, tzinfo=UTC), options=OPTIONS)
"""Already the tenth where this user is."""
CALLS = (
    "gs.nowDateTime()",
    "gs.beginningOfToday()",
    "gs.endOfLastWeek()",
    "gs.daysAgo(2)",
    "gs.hoursAgoStart(-3)",
    "gs.dateGenerate('2026-01-05','end')",
    "gs.dateGenerate('2026-01-10 08:00:00')",
    "gs.unknown()",
)
DISTANCES = st.builds(
    "@{}@{}@{}".format,
    st.sampled_from(("minute", "hour", "dayofweek", "week", "month", "year", "eon")),
    st.sampled_from(("ago", "ahead")),
    st.integers(0, 40),
)


PARTS = st.builds(
    "label@javascript:gs.datePart('{}','{}','{}')".format,
    st.sampled_from(("hour", "dayofweek", "week", "month", "quarter", "year", "decade")),
    st.sampled_from(("0", "1", "2", "9", "23", "2026", "monday", "Friday", "jan", "june")),
    st.sampled_from(("EE", "GE", "LE", "GT", "LT", "XX")),
)
PERIODS = ("minute", "hour", "day", "dayofweek", "week", "month", "quarter", "year")
DATES = ("moment", "day", "parent_link.moment", "ref_leaf.parent_link.moment", "text")
APART = st.builds(
    "{}@{}@{}@{}".format,
    st.sampled_from(("moment", "parent_link.moment", "ref_leaf.parent_link.moment", "day")),
    st.sampled_from(("minute", "hour", "dayofweek", "week", "month", "quarter", "year")),
    st.sampled_from(("before", "after")),
    st.sampled_from((1, 2, 3, 24, 900)),
)


@st.composite
def terms(draw: st.DrawFn) -> Term:
    name = draw(st.sampled_from(NAMES))
    operator = draw(st.sampled_from(OPERATORS))
    last = name.rpartition(".")[2]
    if last in REFERENCES:
        one = st.one_of(st.integers(0, 9).map(sys_id), TEXTS)
    elif last in ("sys_id", "sys_class_name"):
        one = st.one_of(st.integers(0, 9).map(sys_id), st.sampled_from(CLASSES))
    elif last == "missing":
        one = TEXTS
    else:
        one = field_values(last)
    one = st.one_of(one, one, one, TEXTS)
    if last in ("moment", "day") and operator not in (Operator.IN, Operator.NOT_IN):
        one = st.one_of(one, one, st.sampled_from(CALLS).map("javascript:".__add__))
    return Term(name, operator, draw(values_of(operator, one)))


TREES = ("parent_link", "person", "x")
SAME = (Operator.SAME_AS, Operator.NOT_SAME_AS)
TOGETHER = st.one_of(
    st.sampled_from(NAMES), st.builds("{}@{}".format, *map(st.sampled_from, (DATES, PERIODS)))
)
ASKED: dict[Operator, st.SearchStrategy[str]] = {
    **dict.fromkeys(BETWEEN_FIELDS, st.sampled_from(NAMES)),
    **dict.fromkeys(SAME, TOGETHER),
    **dict.fromkeys(RELATIVE, DISTANCES),
    **dict.fromkeys((Operator.MORE_THAN, Operator.LESS_THAN), APART),
    Operator.DYNAMIC: st.sampled_from((*OPTIONS, "0")),
    **dict.fromkeys(
        (Operator.IN_HIERARCHY, Operator.IN_HIERARCHY_DYNAMIC),
        st.builds("{}@{}".format, st.sampled_from(TREES), st.integers(0, 9).map(sys_id)),
    ),
    Operator.DATE_PART: PARTS,
    Operator.INSTANCE_OF: st.sampled_from(CLASSES),
    Operator.MATCHES: st.text(alphabet=f"{LETTERS}***???", max_size=6),
}


def values_of(operator: Operator, one: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return the texts behind an operator, made of single values."""
    if operator in ASKED:
        return ASKED[operator]
    if operator in (Operator.ON, Operator.NOT_ON):
        return st.builds("label@{}@{}".format, one, one)
    if operator in (Operator.IN, Operator.NOT_IN):
        return st.lists(one, max_size=4).map(",".join)
    return st.builds("{}@{}".format, one, one) if operator is Operator.BETWEEN else one


def related(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[RelatedTerm]:
    """Conditions on related rows of every form; some name what does not exist."""
    return st.builds(
        RelatedTerm,
        form=st.sampled_from(Form),
        table=st.sampled_from((*CLASSES, *CLASSES, "nowhere")),
        field=st.sampled_from((*REFERENCES, *REFERENCES, *REFERENCES, *NAMES)),
        own=st.sampled_from(("sys_id", "sys_id", "sys_id", *NAMES)),
        owner=st.sampled_from(("", "base", "person")),
        operator=st.sampled_from(tuple(OPPOSITE)),
        count=st.integers(0, 3),
        query=st.builds(Query, condition=inner),
    )


CONDITIONS: st.SearchStrategy[Condition] = st.recursive(
    terms(),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: And(tuple(parts))),
        st.lists(inner, max_size=3).map(lambda parts: Or(tuple(parts))),
        related(st.one_of(st.just(ALWAYS), inner)),
    ),
    max_leaves=5,
)
QUERIES = st.builds(
    Query,
    condition=CONDITIONS,
    order=st.lists(
        st.builds(Order, st.sampled_from(NAMES), st.booleans()),
        max_size=3,
        unique_by=lambda o: o.field,
    ).map(tuple),
)


class Store:
    """Puts a world into one database and runs statements there; everything is undone after it."""

    def __init__(self, dialect: Dialect, connection: Any) -> None:
        self.dialect = dialect
        self._connection = connection
        self._tables: set[tuple[str, int]] = set()

    def run(self, statement: Statement) -> list[tuple[Any, ...]]:
        return self._execute(statement.sql, statement.params)

    def fill(self, world: World) -> None:
        """Create the physical tables of the world's dictionary anew, with its records."""
        columns: dict[str, dict[str, Storage]] = {}
        for table in world.dictionary:
            physical = columns.setdefault(table.physical, {})
            for field in table.fields.values():
                if field.storage is not Storage.NONE:
                    physical[field.column] = field.storage
        for name, kinds in columns.items():
            self._execute(f"DROP TABLE IF EXISTS {self.dialect.quote(name)}")
            described = ", ".join(
                f"{self.dialect.quote(column)} {self.dialect.column_type(kind)}"
                for column, kind in kinds.items()
            )
            self._execute(f"CREATE TABLE {self.dialect.quote(name)} ({described})")
        for record in world.records.values():
            self._insert(world, record)

    def _insert(self, world: World, record: Record) -> None:
        table = world.dictionary.table(record["class"])
        values = {
            table.fields[name].column: self.dialect.bind(table.fields[name].storage, text)
            for name, text in record.items()
            if name != "class"
        }
        values["sys_class_name"] = record["class"]
        names = ", ".join(self.dialect.quote(column) for column in values)
        marks = ", ".join("?" * len(values))
        sql = f"INSERT INTO {self.dialect.quote(table.physical)} ({names}) VALUES ({marks})"  # noqa: S608
        self._execute(sql, tuple(values.values()))

    def _execute(self, sql: str, params: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        if self.dialect is POSTGRESQL:
            sql = sql.replace("%", "%%").replace("?", "%s")
        cursor = self._connection.execute(sql, params)
        return list(cursor.fetchall()) if cursor.description else []


@pytest.fixture(scope="module")
def stores(new_database: Callable[[], str]) -> Iterator[tuple[Store, Store]]:
    light = sqlite3.connect(":memory:", isolation_level=None)
    register_functions(light)
    with psycopg.connect(new_database(), autocommit=True) as heavy:
        heavy.execute(POSTGRESQL_SETUP)
        heavy.execute("SET client_min_messages = warning")
        heavy.prepare_threshold = None
        yield Store(SQLITE, light), Store(POSTGRESQL, heavy)
    light.close()


SETTINGS = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def expected(world: World, plan: ReadPlan) -> list[Record]:
    """All rows of the plan in order, without its page."""
    found = [record for record in world.rows(plan.table) if world.holds(plan.condition, record)]
    return in_order(found, plan.order, world.get, lambda record: record["sys_id"])


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


def test_sorts_of_a_plan_follow_the_query() -> None:
    plan = plan_read(DICTIONARIES[0], "base", Query(order=(Order("person"), Order("whole", True))))
    assert plan.order == (
        Sort(DICTIONARIES[0].path("base", "person.name")),
        Sort(DICTIONARIES[0].path("base", "whole"), descending=True),
    )
