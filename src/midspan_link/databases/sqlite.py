"""SQLite: a file opened read-only, rows encoded one by one."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from urllib.parse import quote

from midspan_link.blocks import Column, encode_row
from midspan_link.databases.query import ReadRequest, checked_columns, checked_statement
from midspan_link.databases.target import DatabaseTarget
from midspan_link.errors import DatabaseUnavailable, InvalidBlock, QueryFailed
from midspan_link.protocol import Secret

_PAGE = 500
_VIEW = "midspan_described"
_STEPS_BETWEEN_CHECKS = 20_000
_ALLOWED = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)


class SqliteReading:
    """A described statement on one open file."""

    def __init__(
        self, connection: sqlite3.Connection, statement: str, columns: Sequence[Column]
    ) -> None:
        self._connection = connection
        self._statement = statement
        self.columns = checked_columns(columns)

    def chunks(self) -> Iterator[bytes]:
        """Yield COPY text, 500 rows a chunk; a value is written as SQLite's own text of it."""
        try:
            cursor = self._connection.execute(self._statement)
            first = 1
            while page := cursor.fetchmany(_PAGE):
                yield _encode(page, first, self.columns)
                first += len(page)
        except sqlite3.Error as error:
            raise QueryFailed(f"SQLite broke off the query: {error}") from None

    def cancel(self) -> None:
        """Interrupt the running statement."""
        self._connection.interrupt()


class SqliteReader:
    """Opens files with ``mode=ro``; only reading operations pass its authorizer."""

    @contextmanager
    def open(
        self,
        target: DatabaseTarget,
        secret: Secret,
        request: ReadRequest,
        addresses: Sequence[str] = (),
    ) -> Iterator[SqliteReading]:
        """Open the file and describe the statement; a file needs no secret and no address."""
        statement = checked_statement(request.statement)
        try:
            connection = sqlite3.connect(
                f"file:{quote(target.database)}?mode=ro",
                uri=True,
                timeout=request.connect_timeout.total_seconds(),
                check_same_thread=False,
                isolation_level=None,
            )
        except sqlite3.Error as error:
            raise DatabaseUnavailable(f"{target} cannot be opened: {error}") from None
        with closing(connection):
            _limit_time(connection, request)
            try:
                columns = _describe(connection, statement)
            except sqlite3.DatabaseError as error:
                raise QueryFailed(f"SQLite refused the query: {error}") from None
            yield SqliteReading(connection, statement, columns)


def _describe(connection: sqlite3.Connection, statement: str) -> list[Column]:
    """Name the columns and their declared types through a view, without running the statement.

    SQLite names a view's second column ``a`` ``a:1``; that is how a double name shows.
    """
    connection.execute(f'CREATE TEMP VIEW "{_VIEW}" AS {statement}')
    described = connection.execute(f'PRAGMA temp.table_info("{_VIEW}")').fetchall()
    connection.execute(f'DROP VIEW temp."{_VIEW}"')
    connection.execute("PRAGMA query_only = ON")
    _only_reading(connection)
    names = {str(row[1]) for row in described}
    columns = [Column(str(row[1]), str(row[2] or "").lower()) for row in described]
    for column in columns:
        base, _, count = column.name.rpartition(":")
        if count.isdigit() and base in names:
            checked_columns([Column(base), Column(base)])
    return columns


def _only_reading(connection: sqlite3.Connection) -> None:
    def decide(action: int, first: str | None, second: str | None, *_: object) -> int:
        if action not in _ALLOWED or second == "load_extension":
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK

    connection.set_authorizer(decide)


def _limit_time(connection: sqlite3.Connection, request: ReadRequest) -> None:
    if request.statement_timeout is None:
        return
    end = time.monotonic() + request.statement_timeout.total_seconds()
    connection.set_progress_handler(lambda: int(time.monotonic() > end), _STEPS_BETWEEN_CHECKS)


def _encode(page: Sequence[Sequence[object]], first: int, columns: Sequence[Column]) -> bytes:
    rows: list[bytes] = []
    names = ", ".join(column.name for column in columns[:20])
    for number, row in enumerate(page, first):
        try:
            rows.append(encode_row([_text(value) for value in row]))
        except InvalidBlock as error:
            raise QueryFailed(
                f"Row {number} cannot be sent: {error.message}",
                hint=f"{error.hint or ''} Columns: {names}.".strip(),
            ) from None
    return b"".join(rows)


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    return str(value)


reader = SqliteReader()
