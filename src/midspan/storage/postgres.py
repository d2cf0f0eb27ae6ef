"""PostgreSQL through psycopg 3: a pool of connections, one per transaction."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from typing import LiteralString

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from midspan.kernel.errors import DuplicateKey, Unavailable
from midspan.storage.callbacks import Callbacks
from midspan.storage.clients import run_client
from midspan.storage.database import Params, Row
from midspan.storage.dialect import POSTGRESQL, POSTGRESQL_SETUP, Dialect
from midspan.storage.lives import Lives

MINIMUM_VERSION = 140_000
_QUOTED = re.compile(r"""('(?:[^']|'')*'|"(?:[^"]|"")*")|(\?)|(%)""")
_Connection = psycopg.Connection[Row]
LONGEST_KEPT = 20_000
"""Characters of a statement that is remembered, here and by psycopg and the server as a prepared
one; one of thousands of conditions has ten times as many."""


def native(sql: str) -> LiteralString:
    """Turn ``?`` placeholders into psycopg's, and literal per cents into doubled ones.

    >>> native("a = ? AND b LIKE '%?'")
    "a = %s AND b LIKE '%%?'"
    """
    return _remembered(sql) if len(sql) <= LONGEST_KEPT else _native(sql)


def _native(sql: str) -> LiteralString:
    def replace(match: re.Match[str]) -> str:
        quoted, mark, _ = match.groups()
        if quoted is not None:
            return quoted.replace("%", "%%")
        return "%s" if mark else "%%"

    return _QUOTED.sub(replace, sql)


_remembered = lru_cache(maxsize=1024)(_native)


def _prepared(sql: str) -> bool | None:
    """Tell psycopg never to prepare a long statement; else it counts how often it comes."""
    return False if len(sql) > LONGEST_KEPT else None


class PostgresTransaction:
    """A transaction on one PostgreSQL connection."""

    dialect: Dialect = POSTGRESQL

    def __init__(self, connection: _Connection, callbacks: Callbacks | None = None) -> None:
        self._connection = connection
        self._callbacks = callbacks or Callbacks()
        self.after_commit: Callable[[Callable[[], None]], None] = self._callbacks.after_commit
        self.after_rollback: Callable[[Callable[[], None]], None] = self._callbacks.after_rollback

    def rows(self, sql: str, params: Params = ()) -> list[Row]:
        """Return all rows of a query."""
        return self._connection.execute(native(sql), params, prepare=_prepared(sql)).fetchall()

    def row(self, sql: str, params: Params = ()) -> Row | None:
        """Return the first row of a query, or None."""
        return self._connection.execute(native(sql), params, prepare=_prepared(sql)).fetchone()

    def stream(self, sql: str, params: Params = (), size: int = 1000) -> Iterator[list[Row]]:
        """Yield the rows of a query in lists of at most ``size``, through a server-side cursor."""
        with (
            self._connection.transaction(),
            self._connection.cursor(name="midspan_stream") as cursor,
        ):
            cursor.execute(native(sql), params)
            while rows := cursor.fetchmany(size):
                yield rows

    def execute(self, sql: str, params: Params = ()) -> int:
        """Run a statement; return the number of rows touched."""
        with _translated():
            return self._connection.execute(native(sql), params, prepare=_prepared(sql)).rowcount

    def execute_many(self, sql: str, params: Iterable[Params]) -> None:
        """Run a statement for each set of parameters, in pipeline mode."""
        with _translated(), self._connection.cursor() as cursor:
            cursor.executemany(native(sql), params)

    def copy_blocks(self, table: str, columns: Sequence[str], blocks: Iterable[bytes]) -> int:
        """Hand blocks of COPY text to the server unread."""
        names = ", ".join(POSTGRESQL.quote(column) for column in columns)
        sql = f"COPY {POSTGRESQL.quote(table)} ({names}) FROM STDIN"
        with _translated(), self._connection.cursor() as cursor:
            with cursor.copy(sql) as copy:
                for block in blocks:
                    copy.write(block)
            return cursor.rowcount

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo the block's writes when it raises."""
        with self._connection.transaction():
            yield

    def end_group(self) -> None:
        """There is none."""


class PostgresGroup:
    """Nothing is grouped: writers do not wait for each other, and the server joins commits."""

    is_over = False


class PostgresDatabase:
    """A PostgreSQL database behind a connection pool."""

    dialect: Dialect = POSTGRESQL
    single_writer = False

    def __init__(
        self, url: str, *, connections: int = 20, timeout: timedelta = timedelta(seconds=30)
    ) -> None:
        self.url = url
        self.lives = Lives()
        self._timeout = timeout.total_seconds()
        self._pool: ConnectionPool[_Connection] = ConnectionPool(
            url,
            min_size=1,
            max_size=connections,
            timeout=self._timeout,
            configure=self._configure,
            kwargs={"autocommit": True},
            open=False,
        )
        try:
            self._pool.open(wait=True, timeout=self._timeout)
        except PoolTimeout as error:
            self._pool.close()
            raise Unavailable(
                "Cannot reach the PostgreSQL database",
                detail=str(error),
                hint="Check --database: postgresql://USER:PASSWORD@HOST:PORT/NAME",
            ) from error

        with self._connection() as connection:
            connection.execute(POSTGRESQL_SETUP)

    @staticmethod
    def _configure(connection: _Connection) -> None:
        if connection.info.server_version < MINIMUM_VERSION:
            raise Unavailable("PostgreSQL is too old", hint="Midspan needs PostgreSQL 14 or newer.")
        connection.execute("SET TIME ZONE 'UTC'")
        connection.execute("SET idle_in_transaction_session_timeout = '5min'")
        connection.execute("SET lock_timeout = '30s'")

    @contextmanager
    def _connection(self, within: timedelta | None = None) -> Iterator[_Connection]:
        seconds = within.total_seconds() if within else self._timeout
        try:
            with self._pool.connection(timeout=seconds) as connection:
                yield connection
        except PoolTimeout as error:
            raise Unavailable("No database connection is free", detail=str(error)) from error

    @contextmanager
    def read(self, within: timedelta | None = None) -> Iterator[PostgresTransaction]:
        """Read committed data; each statement sees the newest."""
        with self._connection(within) as connection:
            yield PostgresTransaction(connection)

    def rows_at_once(self, sql: str, params: Params = ()) -> list[Row] | None:
        """Return None: the server is at the other end of a network."""
        return None

    @contextmanager
    def write(self) -> Iterator[PostgresTransaction]:
        """Write; commits when the block ends, undoes everything when it raises."""
        callbacks = Callbacks()
        committed = False
        try:
            with self._connection() as connection:
                with connection.transaction():
                    yield PostgresTransaction(connection, callbacks)
                committed = True
        finally:
            callbacks.finish(committed=committed)

    @contextmanager
    def together(self) -> Iterator[PostgresGroup]:
        """Commit each write of the block by itself."""
        yield PostgresGroup()

    def backup(self, path: str) -> None:
        """Write a custom-format dump with ``pg_dump``, which must be installed."""
        run_client("pg_dump", ("--format=custom", f"--file={path}"), self.url)

    def close(self) -> None:
        """Close the pool."""
        self._pool.close()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except psycopg.errors.UniqueViolation as error:
        raise DuplicateKey(
            "A record with this value exists already", detail=error.diag.message_detail
        ) from error
