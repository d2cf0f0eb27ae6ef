"""What is left of a request's body once its answer is there.

An answer may come before the body was read: to somebody who may not send it, at a path that does
not exist, for a body that is too large. HTTP/1.1 cannot leave the rest out, because the next
request of the connection begins behind it. The server tries once to read it and then closes the
connection, often without having said so. So, as nginx and Go's server do it: the answer goes out
at once; a rest that is known to be short is read and dropped behind it, and the connection stays.
Where it is long, of unknown length, or held back until the client is told to go on, the answer
says ``Connection: close``; what still comes is dropped for a while, because closing a socket with
bytes unread resets it, and then the client may never see its answer.

Source: RFC 9112 9.3 (persistence) and 9.6 (tear-down), RFC 9110 10.1.1 (Expect).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.types import Message, Receive, Scope, Send

LONGEST_DROPPED = 1024 * 1024
"""Bytes that are read for nothing so that a connection can stay; a new one costs less than more."""
LONGEST = 30.0
"""Seconds that are spent on a rest in all, as nginx does (``lingering_time``)."""
SILENCE = 5.0
"""Seconds without a byte after which no more is waited for (``lingering_timeout``)."""


class Leftover:
    """Stands between the server and an application for one request, and counts its body."""

    def __init__(
        self, receive: Receive, send: Send, length: int | None, *, held_back: bool
    ) -> None:
        self._receive = receive
        self._send = send
        self._length = length
        self._came = 0
        self._held_back = held_back
        """The client waits for word to go on, which the server gives with the first read."""
        self._over = length == 0

    async def receive(self) -> Message:
        """Return the next message for the application."""
        message = await self._receive()
        self._held_back = False
        if message["type"] == "http.request":
            self._came += len(message.get("body", b""))
            self._over = not message.get("more_body", False) or self._came == self._length
        else:
            self._over = True  # nobody is there to send more
        return message

    async def send(self, message: Message) -> None:
        """Pass a message of the application on; an answer that ends the connection says so."""
        if message["type"] == "http.response.start" and not self._can_stay():
            message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        await self._send(message)

    def _can_stay(self) -> bool:
        if self._over:
            return True
        known = self._length is not None and self._length - self._came <= LONGEST_DROPPED
        return known and not self._held_back

    def is_open(self) -> bool:
        """Tell whether something is left that the client sends."""
        return not self._over and not self._held_back

    async def drop(self) -> None:
        """Read what is left, for a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST):
                while not self._over:
                    await asyncio.wait_for(self.receive(), SILENCE)


def leftover(scope: Scope, receive: Receive, send: Send) -> Leftover | None:
    """Return what watches over the body of a request; None where nothing can be left of one.

    HTTP/2 has its own way to end a stream early, and no header for connections.
    """
    if not scope["http_version"].startswith("1"):
        return None
    length: int | None = 0
    held_back = False
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            length = None
        elif name == b"content-length" and length is not None:
            length = int(value)
        elif name == b"expect":
            held_back = True
    if length == 0:
        return None
    return Leftover(receive, send, length, held_back=held_back)
