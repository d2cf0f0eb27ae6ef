"""What compiled statements look like, and that SQLite uses its indexes for them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from midspan.dictionary import Dictionary, FieldSpec, Storage, Strategy, TableSpec
from midspan.query import ReadOptions, parse, plan_aggregate, plan_read
from midspan.storage.compile import compile_count, compile_ids, compile_read
from midspan.storage.dialect import POSTGRESQL, SQLITE, Dialect
from midspan.storage.functions import register_functions
from midspan.storage.groups import compile_aggregate

DICTIONARY = Dictionary.build(
    [
        TableSpec(
            name="task",
            extendable=True,
            fields=(
                FieldSpec(name="number", display=True),
                FieldSpec(name="cost", type="decimal"),
                FieldSpec(name="assigned_to", type="reference", reference="sys_user"),
            ),
        ),
        TableSpec(name="incident", extends="task", fields=(FieldSpec(name="category"),)),
        TableSpec(
            name="sys_user",
            fields=(
                FieldSpec(name="name"),
                FieldSpec(name="manager", type="reference", reference="sys_user"),
            ),
        ),
        TableSpec(
            name="row",
            strategy=Strategy.PER_CLASS,
            extendable=True,
            fields=(FieldSpec(name="state"), FieldSpec(name="seen", type="glide_date_time")),
        ),
        TableSpec(
            name="row_users",
            extends="row",
            fields=(FieldSpec(name="born", type="glide_date"),),
        ),
    ]
)


def read(table: str, query: str, *columns: str) -> str:
    plan = plan_read(DICTIONARY, table, parse(query), ReadOptions(columns=columns))
    return compile_read(plan, DICTIONARY, SQLITE).sql


def test_a_hierarchy_in_one_table_is_told_apart_by_class() -> None:
    assert read("task", "", "number") == (
        'SELECT t0."number" FROM "task" AS t0 ORDER BY t0."sys_id"'
    )
    assert read("incident", "categoryISEMPTY", "number") == (
        'SELECT t0."number" FROM "task" AS t0'
        " WHERE likelihood(t0.\"sys_class_name\" = 'incident', 0.3)"
        ' AND t0."category" IS NULL ORDER BY t0."sys_id"'
    )


def test_a_parent_of_classes_with_tables_of_their_own_is_a_union() -> None:
    assert read("row", "state=x", "ref_row_users.born") == (
        'SELECT t0."row_users.born" FROM ('
        'SELECT "sys_id" AS "sys_id", NULL AS "row_users.born", "state" AS "state" FROM "row"'
        ' UNION ALL SELECT "sys_id" AS "sys_id", "born" AS "row_users.born", "state" AS "state"'
        ' FROM "row_users") AS t0 WHERE fold(t0."state") = fold(?) ORDER BY t0."sys_id"'
    )
    assert 'FROM "row_users" AS t0 ORDER' in read("row_users", "", "state")


def test_a_reference_is_joined_once() -> None:
    sql = read(
        "task",
        "assigned_to.nameSTARTSWITHa^assigned_to.manager.name=b^ORDERBYassigned_to",
        "assigned_to.name",
        "assigned_to.manager.name",
    )
    assert sql.count("LEFT JOIN") == 2


def test_the_count_joins_only_what_its_condition_needs() -> None:
    plan = plan_read(DICTIONARY, "task", parse("cost>1^ORDERBYassigned_to"))
    assert "JOIN" not in compile_count(plan, DICTIONARY, SQLITE).sql
    assert compile_count(plan, DICTIONARY, SQLITE).params == ("1",)


def test_ids_come_with_the_class() -> None:
    plan = plan_read(DICTIONARY, "sys_user", parse("name=x"))
    statement = compile_ids("sys_user", plan.condition, DICTIONARY, POSTGRESQL)
    assert statement.sql.startswith("""SELECT t0."sys_id", 'sys_user' FROM "sys_user" AS t0""")
    statement = compile_ids("task", plan_read(DICTIONARY, "task", parse("")).condition,
                            DICTIONARY, POSTGRESQL)  # fmt: skip
    assert 't0."sys_class_name"' in statement.sql


@pytest.mark.parametrize("dialect", [SQLITE, POSTGRESQL], ids=lambda dialect: dialect.name)
def test_values_are_parameters_always(dialect: Dialect) -> None:
    attack = "x' OR 1=1 --?%"
    query = parse(
        f"number={attack}^numberLIKE{attack}^numberIN{attack}^assigned_to={attack}"
        f"^numberSTARTSWITH{attack}^sys_id={attack}"
    )
    statement = compile_read(plan_read(DICTIONARY, "task", query), DICTIONARY, dialect)
    assert "1=1" not in statement.sql
    assert statement.sql.count("?") == len(statement.params)


def test_wildcards_are_escaped() -> None:
    plan = plan_read(DICTIONARY, "task", parse("numberLIKE50%_\\x"))
    assert compile_read(plan, DICTIONARY, POSTGRESQL).params == ("%50\\%\\_\\\\x%",)


def test_pages() -> None:
    def ending(limit: int | None, offset: int) -> list[str]:
        options = ReadOptions(columns=["number"], limit=limit, offset=offset)
        plan = plan_read(DICTIONARY, "task", parse(""), options)
        return [
            compile_read(plan, DICTIONARY, dialect).sql.partition('t0."sys_id"')[2]
            for dialect in (SQLITE, POSTGRESQL)
        ]

    assert ending(None, 0) == ["", ""]
    assert ending(10, 0) == [" LIMIT ? OFFSET ?"] * 2
    assert ending(None, 5) == [" LIMIT ? OFFSET ?", " OFFSET ?"]


def test_groups_fold_and_show_the_first_spelling() -> None:
    plan = plan_aggregate(DICTIONARY, "task", parse("GROUPBYnumber"), [("COUNT", None)])
    assert compile_aggregate(plan, DICTIONARY, SQLITE).sql == (
        'SELECT MIN(t0."number"), CAST(COUNT(*) AS TEXT) FROM "task" AS t0'
        ' GROUP BY fold(t0."number") ORDER BY fold(t0."number")'
    )


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    register_functions(connection)
    columns = ", ".join(
        f'"{field.column}" {SQLITE.column_type(field.storage)}'
        for field in DICTIONARY.table("incident").fields.values()
        if field.storage is not Storage.NONE
    )
    connection.execute(f'CREATE TABLE "task" ({columns})')
    connection.execute('CREATE UNIQUE INDEX by_id ON "task" ("sys_id")')
    connection.execute('CREATE INDEX by_number ON "task" (fold("number"))')
    connection.execute('CREATE INDEX by_cost ON "task" ("cost")')
    connection.execute('CREATE INDEX by_person ON "task" ("assigned_to")')
    yield connection
    connection.close()


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("number=INC0010001", "by_number"),
        ("numberSTARTSWITHINC", "by_number"),
        ("numberINa,b", "by_number"),
        ("numberIN" + ",".join(map(str, range(1000))), "by_number"),
        ("cost=10", "by_cost"),
        ("costBETWEEN1@2", "by_cost"),
        ("sys_id=6816f79cc0a8016401c5a33be04be441", "by_id"),
        ("assigned_to=6816f79cc0a8016401c5a33be04be441", "by_person"),
        ("ORDERBYnumber", "by_number"),
    ],
)
def test_sqlite_uses_the_index(connection: sqlite3.Connection, query: str, index: str) -> None:
    plan = plan_read(DICTIONARY, "task", parse(query), ReadOptions(columns=["number"]))
    statement = compile_read(plan, DICTIONARY, SQLITE)
    steps = connection.execute(f"EXPLAIN QUERY PLAN {statement.sql}", statement.params).fetchall()
    assert any(f"USING INDEX {index}" in str(step[3]) for step in steps), steps
