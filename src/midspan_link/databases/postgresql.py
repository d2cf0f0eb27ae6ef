"""PostgreSQL: the server's own COPY text, handed on unread."""

from __future__ import annotations

import selectors
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psycopg
from psycopg import pq, sql

from midspan_link.blocks import Column
from midspan_link.databases.query import ReadRequest, checked_columns, checked_statement
from midspan_link.databases.target import DatabaseTarget
from midspan_link.errors import DatabaseUnavailable, QueryFailed, QueryRefused
from midspan_link.protocol import Secret

_BATCH = 64 * 1024
_DESCRIBE_SECONDS = 30
_SETTINGS = {
    "default_transaction_read_only": "on",
    # How values look as text must not depend on what the server, database or role prefers.
    "datestyle": "ISO,YMD",
    "timezone": "UTC",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "lc_monetary": "C",
}
_TYPES = """
SELECT pg_catalog.format_type(kind.oid_, kind.modifier)
FROM unnest(%s::oid[], %s::int4[]) WITH ORDINALITY AS kind(oid_, modifier, place)
ORDER BY place
"""


class PostgresqlReading:
    """A statement that was described and waits to be copied out."""

    def __init__(
        self,
        connection: psycopg.Connection[tuple[object, ...]],
        statement: str,
        columns: Sequence[Column],
    ) -> None:
        self._connection = connection
        self._statement = statement
        self.columns = checked_columns(columns)

    def chunks(self) -> Iterator[bytes]:
        """Yield COPY text in pieces of about 64 KiB, whole rows each."""
        # The statement was prepared alone before, so it is one statement with balanced parentheses.
        copy_out = sql.SQL("COPY (\n{}\n) TO STDOUT").format(sql.SQL(self._statement))
        parts: list[bytes] = []
        size = 0
        try:
            with self._connection.cursor() as cursor, cursor.copy(copy_out) as copy:
                for row in copy:
                    parts.append(bytes(row))
                    size += len(row)
                    if size >= _BATCH:
                        yield b"".join(parts)
                        parts, size = [], 0
        except psycopg.Error as error:
            raise QueryFailed(f"PostgreSQL broke off the query: {_text(error)}") from None
        if parts:
            yield b"".join(parts)

    def cancel(self) -> None:
        """Ask the server to stop; a connection that is gone has stopped already."""
        with suppress(psycopg.Error, OSError):
            self._connection.cancel_safe(timeout=5)


class PostgresqlReader:
    """Opens read-only transactions with a statement time-out."""

    @contextmanager
    def open(
        self,
        target: DatabaseTarget,
        secret: Secret,
        request: ReadRequest,
        addresses: Sequence[str] = (),
    ) -> Iterator[PostgresqlReading]:
        """Connect, prepare the statement alone and describe its columns."""
        statement = checked_statement(request.statement)
        with _connect(target, secret, request, addresses) as connection:
            try:
                columns = _describe(connection, statement)
            except psycopg.Error as error:
                raise QueryFailed(f"PostgreSQL refused the query: {_text(error)}") from None
            yield PostgresqlReading(connection, statement, columns)


@contextmanager
def _connect(
    target: DatabaseTarget, secret: Secret, request: ReadRequest, addresses: Sequence[str]
) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    timeout = request.statement_timeout
    millis = int(timeout.total_seconds() * 1000) if timeout else 0
    hosts = ",".join([target.host] * max(len(addresses), 1))
    try:
        connection = psycopg.connect(
            "",
            host=hosts,
            hostaddr=",".join(addresses) or None,
            port=target.port,
            dbname=target.database,
            user=secret.user or target.user or None,
            password=secret.password or None,
            passfile="/dev/null/none",  # a ~/.pgpass of this machine never signs in for a job
            sslmode=target.options.get("sslmode", "prefer"),
            connect_timeout=max(2, int(request.connect_timeout.total_seconds())),
            client_encoding="UTF8",
            application_name="midspan-mid",
            options=_options(millis),
        )
    except psycopg.Error as error:
        raise DatabaseUnavailable(
            f"{target} cannot be reached: {_text(error)}",
            hint="Check host, port, network rules and the credential.",
        ) from None
    connection.read_only = True
    try:
        yield connection
    finally:
        connection.close()


def _options(millis: int) -> str:
    settings = {**_SETTINGS, "statement_timeout": str(millis)}
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


def _describe(connection: psycopg.Connection[tuple[object, ...]], statement: str) -> list[Column]:
    """Prepare the statement by itself, which the server allows for exactly one statement."""
    connection.execute("SELECT 1")  # opens the read-only transaction
    wire = connection.pgconn
    wire.send_prepare(b"", statement.encode())
    _answer(wire)
    wire.send_describe_prepared(b"")
    result = _answer(wire)
    if result.nparams:
        raise QueryRefused("The statement has parameters ($1), which cannot be filled")
    count = range(result.nfields)
    names = [(result.fname(n) or b"").decode() for n in count]
    kinds = [result.ftype(n) for n in count]
    rows = connection.execute(_TYPES, (kinds, [result.fmod(n) for n in count])).fetchall()
    return [Column(name, str(row[0])) for name, row in zip(names, rows, strict=True)]


def _answer(wire: pq.abc.PGconn) -> pq.abc.PGresult:
    """Wait for the answer to what was sent.

    libpq's blocking calls would hold the interpreter's lock, and with it the whole agent, for as
    long as the server is silent.
    """
    end = time.monotonic() + _DESCRIBE_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(wire.socket, selectors.EVENT_READ)
        while (unsent := wire.flush()) or wire.is_busy():
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if unsent else 0)
            selector.modify(wire.socket, wanted)
            left = end - time.monotonic()
            if left <= 0 or not selector.select(left):
                raise DatabaseUnavailable(
                    f"PostgreSQL did not explain the query within {_DESCRIBE_SECONDS} s"
                )
            wire.consume_input()
    result = wire.get_result()
    while wire.get_result() is not None:
        continue
    if result is None or result.status != pq.ExecStatus.COMMAND_OK:
        raise QueryFailed(f"PostgreSQL refused the query: {_diagnosis(result)}")
    return result


def _diagnosis(result: pq.abc.PGresult | None) -> str:
    if result is None:
        return "the connection was lost"
    primary = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b""
    place = result.error_field(pq.DiagnosticField.STATEMENT_POSITION)
    at = f" at character {place.decode()}" if place else ""
    return primary.decode(errors="replace") + at


def _text(error: psycopg.Error) -> str:
    return " ".join((error.diag.message_primary or str(error)).split())


reader = PostgresqlReader()
