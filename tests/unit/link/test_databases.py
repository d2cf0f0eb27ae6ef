"""Targets, statements and readers, on SQLite files and a real PostgreSQL."""

from __future__ import annotations

import sqlite3
import threading
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from midspan.kernel.errors import MidspanError
from midspan_link.blocks import BlockWriter, decode_block, decode_rows
from midspan_link.databases import (
    DatabaseTarget,
    ReadRequest,
    checked_statement,
    parse_target,
    read_blocks,
    reader_for,
    table_statement,
)
from midspan_link.errors import (
    DatabaseUnavailable,
    InvalidTarget,
    LinkError,
    QueryFailed,
    QueryRefused,
)
from midspan_link.protocol import Secret

Rows = list[list[str | None]]


def _read(
    target: DatabaseTarget, statement: str, secret: Secret | None = None
) -> tuple[list[tuple[str, str]], Rows]:
    request = ReadRequest(statement)
    with reader_for(target.scheme).open(target, secret or Secret(), request) as reading:
        columns = [(column.name, column.source_type) for column in reading.columns]
        blocks = [decode_block(frame) for frame in read_blocks(reading)]
    return columns, [row for block in blocks for row in decode_rows(block.raw, len(columns))]


@pytest.mark.parametrize(
    ("url", "place", "database", "user"),
    [
        ("postgresql://u@db.corp:6432/assets?sslmode=require", "db.corp:6432", "assets", "u"),
        ("postgres://db.corp/a%20b", "db.corp:5432", "a b", ""),
        ("jdbc:postgresql://10.0.0.1:5433/x?ssl=true", "10.0.0.1:5433", "x", ""),
        ("postgresql://[fd00::1]/x", "[fd00::1]:5432", "x", ""),
        ("postgresql:///x?host=/run/pg", "unix:/run/pg", "x", ""),
        ("sqlite:///srv/a.db", "sqlite:/srv/a.db", "/srv/a.db", ""),
        ("jdbc:sqlite:/srv/a.db", "sqlite:/srv/a.db", "/srv/a.db", ""),
    ],
)
def test_addresses_are_read(url: str, place: str, database: str, user: str) -> None:
    target = parse_target(url)
    assert (target.place, target.database, target.user) == (place, database, user)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("postgresq://h/x", "Did you mean 'postgresql'?"),
        ("postgresql://u:p@h/x", "must not hold a password"),
        ("postgresql://h/x?hostaddr=10.0.0.1", "'hostaddr'"),
        ("postgresql://h/x?host=/run/pg", "only for a socket"),
        ("postgresql:///x?host=other", "only for a socket"),
        ("postgresql://h/x?sslmode=never", "sslmode is one of"),
        ("postgresql://h", "lacks its host or database"),
        ("postgresql:///x", "lacks its host or database"),
        ("postgresql://h:port/x", "cannot be read"),
        ("postgresql://h/x%00y", "control characters"),
        ("sqlite:relative.db", "absolute path"),
        ("sqlite:///srv/../etc/x", "absolute path"),
        ("sqlite:///srv/a.db?mode=rw", "no options"),
    ],
)
def test_addresses_that_are_refused(url: str, text: str) -> None:
    with pytest.raises(InvalidTarget) as caught:
        parse_target(url)
    assert text in caught.value.explain()


@pytest.mark.parametrize(
    "text", ["select 1", " -- c\n/* d */ WITH a AS (SELECT 1 b) SELECT b FROM a"]
)
def test_reading_statements_pass(text: str) -> None:
    assert checked_statement(text + " ; ") == text.strip()


@pytest.mark.parametrize(
    "text", ["", ";", "-- select", "DELETE FROM a", "(SELECT 1)", "a\0", "VALUES (1)"]
)
def test_other_statements_are_refused(text: str) -> None:
    with pytest.raises(QueryRefused):
        checked_statement(text)


@pytest.mark.parametrize("text", ["a b", 'a"b', "a.b.c", "", "a;drop", "1a"])
def test_tables_are_plain_names(text: str) -> None:
    with pytest.raises(QueryRefused):
        table_statement(text)


@pytest.fixture
def file(tmp_path: Path) -> DatabaseTarget:
    """A SQLite file with one table of every storage class."""
    path = tmp_path / "a b?.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (i INTEGER, r REAL, s VARCHAR(9), b BLOB)")
    connection.execute("INSERT INTO t VALUES (1, 0.1, 'a\tb', x'00ff'), (NULL, 2e300, '', NULL)")
    connection.commit()
    connection.close()
    return DatabaseTarget("sqlite", str(path))


def test_sqlite_rows_and_types(file: DatabaseTarget) -> None:
    columns, rows = _read(file, "SELECT *, i + 1 AS next FROM t -- all")
    assert [kind for _, kind in columns] == ["integer", "real", "varchar(9)", "blob", ""]
    assert rows == [["1", "0.1", "a\tb", "\\x00ff", "2"], [None, "2e+300", "", None, None]]


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("WITH a AS (SELECT 1) DELETE FROM t", "syntax error"),
        ("SELECT load_extension('x')", "column|not authorized"),
        ("SELECT load_extension('x') AS x", "not authorized"),
        ("SELECT 1 AS a; DROP TABLE t", "one statement"),
        ("SELECT i, i FROM t", "Two columns are named 'i'"),
        ("SELECT nope FROM t", "no such column"),
        ("SELECT 'a' || char(0) AS z FROM t", "Row 1 cannot be sent: Column 1 holds a NUL"),
    ],
)
def test_sqlite_refuses(file: DatabaseTarget, statement: str, text: str) -> None:
    with pytest.raises(LinkError, match=text):
        _read(file, statement)
    assert _read(file, "SELECT count(*) AS n FROM t")[1] == [["2"]]


def test_sqlite_files_are_neither_made_nor_mistaken(tmp_path: Path) -> None:
    missing = tmp_path / "none.db"
    with pytest.raises(DatabaseUnavailable, match=r"none\.db cannot be opened"):
        _read(DatabaseTarget("sqlite", str(missing)), "SELECT 1 AS a")
    assert not missing.exists()
    (tmp_path / "text.db").write_text("no database, but long enough to be looked at" * 30)
    with pytest.raises(QueryFailed, match="not a database"):
        _read(DatabaseTarget("sqlite", str(tmp_path / "text.db")), "SELECT * FROM t")


ENDLESS = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS m FROM n"
)


def test_sqlite_obeys_time_and_cancel(file: DatabaseTarget) -> None:
    short = ReadRequest(ENDLESS, timedelta(milliseconds=30))
    reader = reader_for("sqlite")
    with (
        reader.open(file, Secret(), short) as reading,
        pytest.raises(QueryFailed, match="interrupt"),
    ):
        list(reading.chunks())
    with reader.open(file, Secret(), ReadRequest(ENDLESS)) as reading:
        timer = threading.Timer(0.05, reading.cancel)
        timer.start()
        with pytest.raises(QueryFailed, match="interrupt"):
            list(reading.chunks())
        timer.join()


def test_postgresql_hands_on_what_the_server_sends(postgres_url: str) -> None:
    target = parse_target(postgres_url)
    columns, rows = _read(
        target,
        r"""SELECT 1 AS i, 1.50::numeric(6,2) AS n, E'a\tb\\c\nd' AS s, NULL::text AS z, '' AS e,
            ARRAY[1,2] AS a, true AS t, 'é漢😀'::varchar(9) AS u -- end""",
    )
    types = ["integer", "numeric(6,2)", "text", "text", "text", "integer[]", "boolean"]
    assert [kind for _, kind in columns] == [*types, "character varying(9)"]
    assert rows == [["1", "1.50", "a\tb\\c\nd", None, "", "{1,2}", "t", "é漢😀"]]


def test_postgresql_texts_do_not_depend_on_the_servers_settings(postgres_url: str) -> None:
    odd = {
        "datestyle": "German", "timezone": "Asia/Kolkata", "intervalstyle": "iso_8601",
        "bytea_output": "escape", "extra_float_digits": "-10",
    }  # fmt: skip
    statement = r"""SELECT TIMESTAMPTZ '2024-03-31 00:30:00+00' AS z, DATE '2024-02-29' AS d,
        INTERVAL '1 day 2 hours' AS i, '\x00ff'::bytea AS b, 0.1::float8 + 0.2 AS f"""
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        for name, value in odd.items():
            admin.execute(f"ALTER ROLE CURRENT_USER SET {name} = '{value}'".encode())
        try:
            _, rows = _read(parse_target(postgres_url), statement)
        finally:
            for name in odd:
                admin.execute(f"ALTER ROLE CURRENT_USER RESET {name}".encode())
    expected = ["2024-03-31 00:30:00+00", "2024-02-29", "1 day 02:00:00", r"\x00ff"]
    assert rows == [[*expected, "0.30000000000000004"]]


def test_postgresql_cuts_many_rows_into_blocks(postgres_url: str) -> None:
    request = ReadRequest("SELECT n AS id, md5(n::text) AS h FROM generate_series(1, 60000) n")
    with reader_for("postgresql").open(parse_target(postgres_url), Secret(), request) as reading:
        writer = BlockWriter(reading.columns)
        blocks = [decode_block(frame) for frame in read_blocks(reading, writer)]
    assert writer.rows == 60000
    assert len(blocks) == writer.blocks >= 3
    ids = [row[0] for block in blocks for row in decode_rows(block.raw, 2)]
    assert ids == [str(n) for n in range(1, 60001)]


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("SELECT 1 AS a; DROP TABLE kept", "multiple commands"),
        ("SELECT 1) TO STDOUT; DROP TABLE kept; COPY (SELECT 1 AS a", "syntax error"),
        ("SELECT 1 AS a /* open", "unterminated"),
        ("WITH d AS (DELETE FROM kept RETURNING a) SELECT a FROM d", "read-only transaction"),
        ("SELECT set_config('transaction_read_only', 'off', true) AS a", "read-write mode"),
        ("SELECT 1", "Column 1 has no name"),
        ("SELECT a, a FROM kept", "Two columns are named 'a'"),
        ("SELECT a FROM kept WHERE a = $1", "parameters"),
        ("SELECT b FROM kept", 'column "b" does not exist at character'),
        ("SELECT 1/(a-a) AS a FROM kept", "division by zero"),
    ],
)
def test_postgresql_refuses(postgres_url: str, statement: str, text: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("CREATE TABLE IF NOT EXISTS kept AS SELECT 7 AS a")
        with pytest.raises(LinkError, match=text):
            _read(parse_target(postgres_url), statement)
        assert admin.execute("SELECT count(*) FROM kept").fetchall() == [(1,)]


def test_postgresql_obeys_time_and_cancel(postgres_url: str) -> None:
    target = parse_target(postgres_url)
    reader = reader_for("postgresql")
    statement = "SELECT pg_sleep(60)::text AS s"
    short = ReadRequest(statement, timedelta(milliseconds=50))
    with (
        reader.open(target, Secret(), short) as reading,
        pytest.raises(QueryFailed, match="timeout"),
    ):
        list(reading.chunks())
    with reader.open(target, Secret(), ReadRequest(statement)) as reading:
        timer = threading.Timer(0.1, reading.cancel)
        timer.start()
        with pytest.raises(QueryFailed, match="cancel"):
            list(reading.chunks())
        timer.join()


def test_postgresql_that_cannot_be_reached_or_signed_in(postgres_url: str) -> None:
    with pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1:1") as caught:
        _read(
            parse_target("postgresql://127.0.0.1:1/x"), "SELECT 1 AS a", Secret(password="hunter2")
        )
    assert "hunter2" not in caught.value.explain()
    with pytest.raises(DatabaseUnavailable, match="nobody"):
        _read(parse_target(postgres_url), "SELECT 1 AS a", Secret(user="nobody_here"))


@pytest.mark.parametrize("kind", [LinkError, MidspanError])
def test_message_and_hint_are_two_sentences(kind: type[LinkError] | type[MidspanError]) -> None:
    assert kind("It is wrong", hint="Mend it.").explain() == "It is wrong. Mend it."
    assert kind("Is it wrong?", hint="Mend it").explain() == "Is it wrong? Mend it"
    assert kind("It is wrong").explain() == "It is wrong"


def test_an_unknown_reader_is_named() -> None:
    with pytest.raises(InvalidTarget, match="'oracle'"):
        reader_for("oracle")
