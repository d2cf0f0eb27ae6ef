"""A read that finds no free connection says so in the time its caller has."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.guard import GUARD

from midspan.kernel.errors import Unavailable
from midspan.storage.database import Database
from midspan.storage.postgres import PostgresDatabase, native
from midspan.storage.sqlite import LONGEST_KEPT, MAX_READERS, UNUSED, SqliteDatabase

SHORT = timedelta(milliseconds=20)


def refuses_while_all_are_used(database: Database, connections: int) -> None:
    with ExitStack() as readers:
        for _ in range(connections):
            readers.enter_context(database.read())
        with pytest.raises(Unavailable), database.read(within=SHORT):
            pass
    with database.read(within=timedelta(seconds=GUARD)) as transaction:
        assert transaction.row("SELECT 1") == (1,)


def test_sqlite(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "midspan.db")
    refuses_while_all_are_used(database, MAX_READERS)
    database.close()


def test_postgresql(postgres_database: str) -> None:
    database = PostgresDatabase(postgres_database, connections=2)
    refuses_while_all_are_used(database, 2)
    database.close()


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """The connections to SQLite files that are open, in the order in which they were opened."""
    found: list[sqlite3.Connection] = []

    class Counted(sqlite3.Connection):
        def __init__(self, *args: Any, **named: Any) -> None:
            super().__init__(*args, **named)
            found.append(self)

        def close(self) -> None:
            found.remove(self)
            super().close()

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Counted))
    return found


def test_readers_that_a_crowd_needed_are_closed_when_it_is_gone(
    tmp_path: Path, connections: list[sqlite3.Connection]
) -> None:
    """Each keeps megabytes of compiled statements; the one that is always wanted stays."""
    database = SqliteDatabase(tmp_path / "midspan.db")
    alone = len(connections)
    with ExitStack() as readers:
        for _ in range(5):
            readers.enter_context(database.read())
    assert len(connections) == alone + 5
    for _ in range(UNUSED + 20):
        with database.read() as transaction:
            assert transaction.row("SELECT 1") == (1,)
    assert len(connections) == alone + 1
    database.close()
    assert not connections


def test_a_statement_of_thousands_of_conditions_does_not_stay_compiled(
    tmp_path: Path, connections: list[sqlite3.Connection]
) -> None:
    """It takes megabytes, and dozens of them would be kept for each connection."""
    database = SqliteDatabase(tmp_path / "midspan.db")
    with database.write() as transaction:
        transaction.execute("CREATE TABLE t (a INTEGER)")
        transaction.execute("INSERT INTO t VALUES (7)")
    (writer,) = connections
    long = "SELECT a FROM t WHERE a IN (" + "7, 8, " * (LONGEST_KEPT // 6) + "9)"
    with database.read() as transaction:
        assert transaction.rows(long) == [(7,)]
    assert connections == [writer]
    assert database.rows_at_once(long) is None
    assert database.rows_at_once("SELECT a FROM t") == [(7,)]
    prompt = connections[-1]
    with database.together():
        for number in (8, 9):
            with database.write() as transaction:
                assert len(transaction.rows(long)) == number - 7
                transaction.execute("INSERT INTO t VALUES (?)", (number,))
    assert writer not in connections
    assert len(connections) == 2
    with database.write() as transaction:
        transaction.execute("INSERT INTO t VALUES (10)")
    assert database.rows_at_once("SELECT count(*) FROM t") == [(4,)]
    assert prompt in connections
    database.close()
    assert not connections


def test_only_short_statements_are_remembered_for_postgresql() -> None:
    before = native.__globals__["_remembered"].cache_info().currsize
    long = "SELECT " + "?, " * LONGEST_KEPT + "?"
    assert native(long) == long.replace("?", "%s")
    assert native.__globals__["_remembered"].cache_info().currsize == before
