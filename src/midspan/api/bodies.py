"""The bodies of requests, read up to a limit and unpacked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from io import BytesIO

from starlette.types import Receive

from midspan.api.compression import unpacked
from midspan.api.errors import BodyTooLarge, InflatedTooLarge
from midspan.api.request import Request
from midspan.api.router import Route
from midspan.api.waiting import Disconnected

LARGEST_BODY = 25 * 1024 * 1024
_BODY_PROPERTY = "glide.rest.max_content_length"


def body_limit(request: Request, route: Route) -> int:
    """Return how many bytes a request may bring to a route: a property says so, within bounds."""
    given = request.property(_BODY_PROPERTY)
    if given.isdecimal():
        return min(int(given), LARGEST_BODY, route.max_body * 3)
    return route.max_body


async def read_body(request: Request, receive: Receive, limit: int) -> bytes:
    """Read the body up to ``limit`` bytes.

    Raises:
        BodyTooLarge: it announces or brings more.
        InflatedTooLarge: it is packed and becomes more.
        MalformedBody: the announced length is no number.
    """
    announced = request.announced or 0
    if announced > limit:
        raise BodyTooLarge(announced, limit)
    whole = BytesIO()  # gives its bytes away as they are: joined pieces would be there twice
    first, size = b"", 0
    came = chunks(receive, announced)
    body = unpacked(request, came)
    async for chunk in body:  # to its end: what is left of a generator costs the loop a task
        size += len(chunk)
        if size > limit:
            raise BodyTooLarge(size, limit) if body is came else InflatedTooLarge
        if size == len(chunk):
            first = chunk
            continue
        if first:
            whole.write(first)
            first = b""
        whole.write(chunk)
    return first or whole.getvalue()


async def chunks(receive: Receive, announced: int = 0) -> AsyncIterator[bytes]:
    """Yield the body; where its length is known, without waiting for word of its end."""
    came = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        if chunk := message.get("body"):
            came += len(chunk)
            yield chunk
        if not message.get("more_body", False) or 0 < announced == came:
            return
