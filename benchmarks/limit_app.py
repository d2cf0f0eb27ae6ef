"""The limit: a bare ASGI application on granian that runs Midspan's SQL and does nothing else.

No sign-in, no access rules, no rules, no audit, no outbox. Usage: ``limit_app.py WORK.json`` where
the file has the statements (see ``dataset.LimitWork``), and either ``sqlite`` or ``postgresql``.
Prints one JSON line {url, pid} when it listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import orjson
import psycopg
from granian.constants import Interfaces
from granian.server.embed import Server

CONNECTIONS = 8
Row = Sequence[Any]
Bound = tuple[str, list[Any]]


class Store(Protocol):
    """What the application needs of a database."""

    async def read(self, *statements: Bound) -> list[list[Row]]:
        """Run queries on one connection; return the rows of each."""
        ...

    async def write(self, change: Bound, read: Bound) -> list[Row]:
        """Insert or update and read back in one transaction."""
        ...


class SqliteStore:
    """SQLite on the event loop itself: the quickest way when one writer is all there can be."""

    def __init__(self, path: str) -> None:
        from midspan.storage.functions import register_functions  # noqa: PLC0415 - not for PostgreSQL

        self._connection = sqlite3.connect(path, isolation_level=None, cached_statements=512)
        register_functions(self._connection)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-16000"):
            self._connection.execute(f"PRAGMA {pragma}")

    async def read(self, *statements: Bound) -> list[list[Row]]:
        """Run queries."""
        return [self._connection.execute(*statement).fetchall() for statement in statements]

    async def write(self, change: Bound, read: Bound) -> list[Row]:
        """Write, read back, commit to disk."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute(*change)
        rows = self._connection.execute(*read).fetchall()
        self._connection.execute("COMMIT")
        return rows


class PostgresStore:
    """PostgreSQL through psycopg: a fixed set of connections, handed out without further care."""

    def __init__(self) -> None:
        self._idle: asyncio.LifoQueue[psycopg.AsyncConnection[Any]] = asyncio.LifoQueue()

    async def open(self, url: str) -> None:
        """Connect as often as Midspan has threads."""
        for _ in range(CONNECTIONS):
            self._idle.put_nowait(await psycopg.AsyncConnection.connect(url, autocommit=True))

    async def close(self) -> None:
        """Close every connection."""
        for _ in range(CONNECTIONS):
            await (await self._idle.get()).close()

    async def read(self, *statements: Bound) -> list[list[Row]]:
        """Run queries."""
        async with self._connection() as connection:
            return [await (await connection.execute(*one)).fetchall() for one in statements]

    async def write(self, change: Bound, read: Bound) -> list[Row]:
        """Write, read back, commit."""
        async with self._connection() as connection, connection.transaction():
            await connection.execute(*change)
            return await (await connection.execute(*read)).fetchall()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        connection = await self._idle.get()
        try:
            yield connection
        finally:
            self._idle.put_nowait(connection)


def bound(statement: Bound, values: dict[str, Any]) -> Bound:
    """Put the values of a request in place of their marks."""
    sql, params = statement
    return sql, [values.get(v, v) if isinstance(v, str) else v for v in params]


class ListOf:
    """One list: its statements and the shape of its objects."""

    def __init__(self, work: dict[str, Any]) -> None:
        self.page: Bound = tuple(work["page"])
        self.count: Bound = tuple(work["count"])
        self._shown = work["shown"]
        self._names = [one[0] for one in self._shown]
        self._both = work["both"]

    def objects(self, rows: list[Row]) -> list[dict[str, Any]]:
        """Return the rows as objects."""
        if self._both:
            return [self._with_texts(row) for row in rows]
        return [dict(zip(self._names, [v or "" for v in row], strict=True)) for row in rows]

    def _with_texts(self, row: Row) -> dict[str, Any]:
        found = {}
        for name, at, shown_at, labels in self._shown:
            value = row[at] or ""
            text = row[shown_at] or "" if shown_at is not None else value
            found[name] = {
                "display_value": labels.get(text, text) if labels else text,
                "value": value,
            }
        return found


class LimitApp:
    """GET, POST and PATCH on the paths of the Table API."""

    def __init__(self, store: Store, work: dict[str, Any]) -> None:
        self._store = store
        self._work = {name: tuple(work[name]) for name in ("get", "insert", "update")}
        self._columns = work["columns"]
        self._lists = {text.encode(): ListOf(one) for text, one in work["lists"].items()}
        self._number = 0
        self._run = secrets.token_hex(3)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        extra: list[tuple[bytes, bytes]]
        if scope["method"] == "POST":
            status, result, extra = 201, await self._post(await _body(receive)), []
        elif scope["method"] == "PATCH":
            sys_id = scope["path"].rpartition("/")[2]
            status, result, extra = 200, await self._patch(sys_id, await _body(receive)), []
        elif scope["path"].count("/") == 5:
            status, result, extra = 200, await self._get(scope["path"].rpartition("/")[2]), []
        else:
            status = 200
            result, total = await self._list(self._lists[scope["query_string"]])
            extra = [(b"x-total-count", str(total).encode())]
        body = orjson.dumps({"result": result})
        headers = [
            (b"content-type", b"application/json;charset=UTF-8"),
            (b"content-length", str(len(body)).encode()),
            *extra,
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _get(self, sys_id: str) -> object:
        (rows,) = await self._store.read(bound(self._work["get"], {"{sys_id}": sys_id}))
        return self._objects(rows)[0]

    async def _list(self, wanted: ListOf) -> tuple[object, int]:
        rows, counted = await self._store.read(wanted.page, wanted.count)
        return wanted.objects(rows), counted[0][0]

    async def _post(self, body: bytes) -> object:
        orjson.loads(body)
        self._number += 1
        sys_id = secrets.token_hex(16)
        values = {"{sys_id}": sys_id, "{number}": f"B{self._run}{self._number:07}"}
        rows = await self._store.write(
            bound(self._work["insert"], values), bound(self._work["get"], values)
        )
        return self._objects(rows)[0]

    async def _patch(self, sys_id: str, body: bytes) -> object:
        values = {"{sys_id}": sys_id, "{text}": orjson.loads(body)["short_description"]}
        rows = await self._store.write(
            bound(self._work["update"], values), bound(self._work["get"], values)
        )
        return self._objects(rows)[0]

    def _objects(self, rows: list[Row]) -> list[dict[str, Any]]:
        return [dict(zip(self._columns, [v or "" for v in row], strict=True)) for row in rows]


async def _body(receive: Callable[[], Awaitable[Any]]) -> bytes:
    chunks = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)


async def serve(description: dict[str, Any]) -> None:
    """Listen on a free port of loopback until SIGTERM."""
    store: Store
    if description["database"]:
        store = postgres = PostgresStore()
        await postgres.open(description["database"])
    else:
        store = SqliteStore(description["file"])
    await listen(LimitApp(store, description["work"]))
    if isinstance(store, PostgresStore):
        await store.close()


async def listen(app: Any) -> None:
    """Serve an application on a free port of loopback until SIGTERM; print a line with the URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Server(app, address="127.0.0.1", port=port, interface=Interfaces.ASGINL)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    serving = asyncio.ensure_future(server.serve())
    print(json.dumps({"url": f"http://127.0.0.1:{port}", "pid": os.getpid()}), flush=True)
    with contextlib.suppress(asyncio.CancelledError):
        await serving


if __name__ == "__main__":
    asyncio.run(serve(json.loads(Path(sys.argv[1]).read_text())))
