"""Writes with one commit: each fails by itself, and what follows a commit waits for it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from midspan.kernel.errors import Conflict, Unavailable
from midspan.storage import SqliteDatabase
from midspan.storage.database import Database, Transaction
from midspan.storage.postgres import PostgresDatabase

INSERT = "INSERT INTO written VALUES (?)"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    found = SqliteDatabase(tmp_path / "together.db")
    make_table(found)
    yield found
    found.close()


def make_table(database: Database) -> None:
    with database.write() as transaction:
        transaction.execute("CREATE TABLE written (number INTEGER PRIMARY KEY)")


def numbers(transaction: Transaction) -> list[int]:
    return [row[0] for row in transaction.rows("SELECT number FROM written ORDER BY 1")]


def committed(database: Database) -> list[int]:
    with database.read() as transaction:
        return numbers(transaction)


def test_a_write_sees_those_before_it_and_readers_see_none_until_the_end(
    database: SqliteDatabase,
) -> None:
    with database.together():
        with database.write() as transaction:
            transaction.execute(INSERT, (1,))
        with database.write() as transaction:
            assert numbers(transaction) == [1]
            transaction.execute(INSERT, (2,))
        assert committed(database) == []
    assert committed(database) == [1, 2]


def test_what_raises_takes_back_its_own_writes_alone(database: SqliteDatabase) -> None:
    heard: list[str] = []
    with database.together():
        for number in (1, 2, 3):
            try:
                with database.write() as transaction:
                    transaction.execute(INSERT, (number,))
                    transaction.after_commit(partial(heard.append, f"kept {number}"))
                    transaction.after_rollback(partial(heard.append, f"undone {number}"))
                    with transaction.savepoint():
                        transaction.execute(INSERT, (10 * number,))
                    if number == 2:
                        raise ValueError
            except ValueError:
                assert heard == ["undone 2"]
    assert heard == ["undone 2", "kept 1", "kept 3"]
    assert committed(database) == [1, 3, 10, 30]


def test_a_group_that_is_not_committed_leaves_nothing(database: SqliteDatabase) -> None:
    heard: list[str] = []

    def one_that_fails_at_its_end() -> None:
        with database.together():
            with database.write() as transaction:
                transaction.execute(INSERT, (1,))
                transaction.after_commit(lambda: heard.append("kept"))
                transaction.after_rollback(lambda: heard.append("undone"))
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        one_that_fails_at_its_end()
    assert heard == ["undone"]
    assert committed(database) == []
    with database.write() as transaction:  # and the next one is by itself again
        transaction.execute(INSERT, (2,))
    assert committed(database) == [2]


def test_a_transaction_that_the_database_gave_up_is_not_taken_for_committed(
    database: SqliteDatabase,
) -> None:
    def first() -> None:
        with database.write() as transaction:
            transaction.execute(INSERT, (1,))

    def giving_up() -> None:
        with database.write() as transaction:
            transaction.execute("ROLLBACK")  # as a full disk does
            raise ValueError("given up")

    def all_of_them() -> None:
        with database.together() as group:
            first()
            with pytest.raises(ValueError, match="given up"):
                giving_up()
            assert group.is_over
            with pytest.raises(Unavailable):
                first()

    with pytest.raises(sqlite3.OperationalError, match="no transaction is active"):
        all_of_them()
    assert committed(database) == []


def test_a_write_inside_a_write_is_refused(database: SqliteDatabase) -> None:
    with database.together(), database.write(), pytest.raises(Conflict), database.write():
        pass


def test_a_write_may_end_its_group(database: SqliteDatabase) -> None:
    with database.together() as group, database.write() as transaction:
        assert not group.is_over
        transaction.end_group()
        assert group.is_over
    with database.write() as transaction:
        transaction.end_group()  # which is none


def test_postgresql_commits_each_by_itself(postgres_database: str) -> None:
    database = PostgresDatabase(postgres_database, connections=2)
    make_table(database)
    with database.together() as group:
        with database.write() as transaction:
            transaction.execute(INSERT, (1,))
            transaction.end_group()
        assert committed(database) == [1]
        assert not group.is_over
    database.close()
