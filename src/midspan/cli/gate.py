"""Stands before the application: tells when it is ready and lets requests finish at the end.

What a request's answer leaves of its body is dealt with here, too, behind the application: nothing
of it waits for a slow client then.
"""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from midspan.cli.leftover import Leftover, leftover

_BUSY = b'{"error":{"message":"The instance is stopping","detail":null},"status":"failure"}'


class Gate:
    """An ASGI application around another; used on one event loop."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._open = 0
        self._closing = False
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._dropping: set[asyncio.Task[None]] = set()
        self.ready = asyncio.Event()
        """Set once the application finished its start-up."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an event on; a request that comes while the gate closes is answered 503."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, self._watched(send))
        elif self._closing and scope["type"] == "http":
            await _refuse(send)
        elif scope["type"] != "http" or (left := leftover(scope, receive, send)) is None:
            await self._counted(scope, receive, send)
        else:
            await self._counted(scope, left.receive, left.send)
            if left.is_open():
                await self._drop(left)

    async def drain(self, seconds: float) -> bool:
        """Take no more requests and wait for those that run; return whether all finished."""
        self._closing = True
        try:
            await asyncio.wait_for(self._quiet.wait(), seconds)
        except TimeoutError:
            return False
        finally:
            for task in self._dropping:
                task.cancel()  # their answers are out; the end need not wait for slow clients
        return True

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._open += 1
        self._quiet.clear()
        try:
            await self._app(scope, receive, send)
        finally:
            self._open -= 1
            if not self._open:
                self._quiet.set()

    async def _drop(self, left: Leftover) -> None:
        """Drop a rest in a task of its own, which ends with the gate or with the connection."""
        task = asyncio.ensure_future(left.drop())
        self._dropping.add(task)
        try:
            await asyncio.wait((task,))
        finally:
            self._dropping.discard(task)
            task.cancel()
        if not task.cancelled():
            task.result()

    def _watched(self, send: Send) -> Send:
        async def watch(message: Message) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                self.ready.set()

        return watch


async def _refuse(send: Send) -> None:
    headers = [
        (b"content-type", b"application/json;charset=UTF-8"),
        (b"retry-after", b"1"),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": _BUSY})
