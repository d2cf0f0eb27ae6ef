"""Probe ``JDBCProbe``: read a table or a query of a database in the agent's network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import timedelta
from typing import Annotated, TypeVar

from midspan_link.databases import (
    Reading,
    ReadRequest,
    parse_target,
    reader_for,
    table_statement,
)
from midspan_link.errors import DatabaseUnavailable, LinkError
from midspan_link.protocol import Secret
from midspan_sdk import (
    ActionError,
    Column,
    InvalidInputs,
    Meta,
    ProbeContext,
    Struct,
    Target,
    probe,
)

T = TypeVar("T")

_CHUNK = 1024 * 1024
_TOLD_EVERY = 0.2
"""Seconds between two calls to a database that it shall stop."""


class Request(Struct, frozen=True):
    """What to read and where."""

    target: Annotated[str, Meta(description="A target named in the agent's mid.yaml")] = ""
    connection_url: Annotated[str, Meta(description="Or an address, also in jdbc: form")] = ""
    credential: Annotated[str, Meta(description="Alias of the credential sealed with the job")] = ""
    query: Annotated[str, Meta(description="One SELECT or WITH; each column named")] = ""
    sql_statement: Annotated[str, Meta(description="The same under the vendor's name")] = ""
    table: Annotated[str, Meta(description="Or all rows of table or schema.table")] = ""
    query_timeout: Annotated[int, Meta(ge=0, le=86_400, description="Seconds; 0 = none")] = 600
    connection_timeout: Annotated[int, Meta(ge=1, le=300, description="Seconds")] = 10


class Result(Struct, frozen=True):
    """What was read; the rows themselves went ahead as blocks."""

    rows: int
    columns: list[str]
    types: list[str]


@probe("JDBCProbe", repeatable=True, capability="JDBC")
async def jdbc(request: Request, ctx: ProbeContext) -> Result:
    """Read rows in a read-only session and stream them as blocks."""
    wanted = ReadRequest(
        _statement(request),
        timedelta(seconds=request.query_timeout) if request.query_timeout else None,
        timedelta(seconds=request.connection_timeout),
    )
    target = await asyncio.to_thread(ctx.target, _place(request))
    secret = _secret(request, target, ctx)
    try:
        return await _stream(target, secret, wanted, ctx)
    except DatabaseUnavailable as error:
        raise ActionError("jdbc.unreachable", error.message, detail=error.hint) from None
    except LinkError as error:
        raise ActionError("jdbc.query", error.message, detail=error.hint) from None


async def _stream(target: Target, secret: Secret, wanted: ReadRequest, ctx: ProbeContext) -> Result:
    database = parse_target(target.address)
    addresses = [each for each in target.attributes.get("addresses", "").split(",") if each]
    opening = reader_for(database.scheme).open(database, secret, wanted, addresses)
    stack = ExitStack()
    reading: Reading | None = None
    try:
        reading = await _finished(lambda: stack.enter_context(opening), None)
        columns = [Column(column.name, column.source_type) for column in reading.columns]
        await ctx.blocks.header(columns)
        rows = 0
        pieces = _pieces(reading)
        while (piece := await _finished(lambda: next(pieces, None), reading)) is not None:
            count = piece.count(b"\n")
            rows += count
            await ctx.blocks.write(piece, count)
    finally:
        await _finished(stack.close, reading)
    return Result(rows, [column.name for column in columns], [column.type for column in columns])


async def _finished(work: Callable[[], T], reading: Reading | None) -> T:
    """Run blocking work in a thread; when cancelled, stop the database and wait for the thread.

    A database that is told to stop before its statement began has nothing to stop, so it is told
    until the thread has ended.
    """
    pending = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(pending)
    except asyncio.CancelledError:
        while not pending.done():
            if reading is not None:
                await asyncio.to_thread(reading.cancel)
            await asyncio.wait([pending], timeout=None if reading is None else _TOLD_EVERY)
        with suppress(Exception):
            pending.exception()
        raise


def _pieces(reading: Reading) -> Iterator[bytes]:
    """Join the reader's chunks, so that a hop between threads carries about 1 MiB."""
    parts: list[bytes] = []
    size = 0
    for chunk in reading.chunks():
        parts.append(chunk)
        size += len(chunk)
        if size >= _CHUNK:
            yield b"".join(parts)
            parts, size = [], 0
    if parts:
        yield b"".join(parts)


def _statement(request: Request) -> str:
    given = [text for text in (request.query, request.sql_statement, request.table) if text.strip()]
    if len(given) != 1:
        raise InvalidInputs(
            "JDBCProbe needs exactly one of 'query', 'sql_statement' and 'table'", field="query"
        )
    if request.table.strip():
        try:
            return table_statement(request.table)
        except LinkError as error:
            raise InvalidInputs(error.message, field="table", detail=error.hint) from None
    return given[0]


def _place(request: Request) -> str:
    if bool(request.target) == bool(request.connection_url):
        raise InvalidInputs("JDBCProbe needs either 'target' or 'connection_url'", field="target")
    if ":" in request.target:
        raise InvalidInputs("'target' is a name; an address goes into 'connection_url'")
    return request.target or request.connection_url


def _secret(request: Request, target: Target, ctx: ProbeContext) -> Secret:
    """Prefer what the local administrator configured; a job's credential never goes elsewhere."""
    if target.secret is not None and (target.secret.get("password") or not request.credential):
        found = target.secret
    elif request.credential:
        found = ctx.secret(request.credential)
    else:
        return Secret()
    return Secret(user=found.get("user"), password=found.get("password"))
