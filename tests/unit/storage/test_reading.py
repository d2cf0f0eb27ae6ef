"""A read that finds no free connection says so in the time its caller has."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from midspan.kernel.errors import Unavailable
from midspan.storage.database import Database
from midspan.storage.postgres import PostgresDatabase
from midspan.storage.sqlite import MAX_READERS, SqliteDatabase

SHORT = timedelta(milliseconds=20)


def refuses_while_all_are_used(database: Database, connections: int) -> None:
    with ExitStack() as readers:
        for _ in range(connections):
            readers.enter_context(database.read())
        with pytest.raises(Unavailable), database.read(within=SHORT):
            pass
    with database.read(within=timedelta(seconds=20)) as transaction:
        assert transaction.row("SELECT 1") == (1,)


def test_sqlite(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "midspan.db")
    refuses_while_all_are_used(database, MAX_READERS)
    database.close()


def test_postgresql(postgres_database: str) -> None:
    database = PostgresDatabase(postgres_database, connections=2)
    refuses_while_all_are_used(database, 2)
    database.close()
