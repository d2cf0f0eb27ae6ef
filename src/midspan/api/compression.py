"""gzip: bodies that come packed, and long answers for clients that take them packed.

A body is unpacked as it comes, in pieces, and never beyond the limit of its route nor a hundred
times its packed size: what would become larger is refused with 413 before it is there.
"""

from __future__ import annotations

import asyncio
import gzip
import re
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping

from msgspec import structs

from midspan.api.errors import InflatedTooLarge, UnsupportedEncoding
from midspan.api.request import Request
from midspan.api.response import Response
from midspan.kernel.errors import MalformedBody, MidspanError

PIECE = 65_536
LEAST_ANSWER = 8_192
"""Bytes of an answer below which packing costs more than it saves."""
_MOST_RATIO = 100
_FREE = 10 * 1024 * 1024
"""Bytes that any packed body may become."""
_UNBOUNDED = float("inf")
_MOST_MEMBERS = 100
GZIP = 31
"""What zlib calls a stream with the header of gzip."""
_PACKED = ("gzip", "x-gzip")
_TEXTS = ("application/json", "application/xml", "text/xml")
_SWITCH = "midspan.rest.compress"
_QUALITY_ZERO = re.compile(r"q=0(?:\.0*)?$")


def unpacked(request: Request, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Return the bytes of a body as they were before its Content-Encoding.

    Raises:
        UnsupportedEncoding: it is neither gzip nor identity.
    """
    if "content-encoding" not in request.headers:
        return chunks
    names = [name.strip().lower() for name in request.headers["content-encoding"].split(",")]
    names = [name for name in names if name not in ("", "identity")]
    if not names:
        return chunks
    if len(names) > 1 or names[0] not in _PACKED:
        raise UnsupportedEncoding
    return _inflated(chunks)


async def _inflated(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    stream = _Stream()
    async for chunk in chunks:
        for piece in stream.feed(chunk):
            yield piece
            await asyncio.sleep(0)  # others have their turn, however much comes of one chunk
    stream.end()


class _Stream:
    """One or more gzip members, unpacked piece by piece."""

    def __init__(self, most: float = _MOST_RATIO) -> None:
        self._member = zlib.decompressobj(GZIP)
        self._most = most
        self._members = 1
        self._taken = 0
        self._given = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what comes of further packed bytes, at most ``PIECE`` bytes at a time.

        Raises:
            MalformedBody: this is no gzip.
            InflatedTooLarge: it becomes too much.
        """
        self._taken += len(data)
        while data:
            if self._member.eof:
                self._next()
            try:
                piece = self._member.decompress(data, PIECE)
            except zlib.error as error:
                raise MalformedBody("The body is not gzip") from error
            self._given += len(piece)
            if self._given > max(_FREE, self._most * self._taken):
                raise InflatedTooLarge
            if piece:
                yield piece
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail

    def end(self) -> None:
        """Check that the last member is complete.

        Raises:
            MalformedBody: it is not.
        """
        if self._taken and not self._member.eof:
            raise MalformedBody("The gzip body ends too early")

    def _next(self) -> None:
        self._members += 1
        if self._members > _MOST_MEMBERS:
            raise MalformedBody("The gzip body has too many members")
        self._member = zlib.decompressobj(GZIP)


async def packed(request: Request, response: Response) -> Response:
    """Return a long JSON or XML answer packed, where the client takes gzip.

    Pages are left alone: they hold tokens beside what others may have written. An ETag is that of
    the content and becomes a weak one, because the bytes are others.
    """
    body = response.body
    if not isinstance(body, bytes) or not response.content_type.startswith(_TEXTS):
        return response
    if "Content-Encoding" in response.headers or not _takes_gzip(request):
        return response
    small = await asyncio.to_thread(_small, request, body)
    if small is None:
        return response
    varies = (response.headers.get("Vary"), "Accept-Encoding")
    more = {"Content-Encoding": "gzip", "Vary": ", ".join(filter(None, varies))}
    tag = response.headers.get("ETag")
    if tag:
        more["ETag"] = f"W/{tag}"
    return structs.replace(response, body=small).with_headers(more)


def kept_packed(
    request: Request, small: bytes, content_type: str, headers: Mapping[str, str]
) -> Response:
    """Answer with content that is kept as one gzip member; not called on the event loop.

    Who takes gzip gets it as it is; to others it goes piece by piece and is never there as a whole.
    """
    if _takes_gzip(request) and _wanted(request):
        more = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return Response(200, small, content_type, {**headers, **more})
    return Response(200, _pieces(small), content_type, headers)


async def _pieces(small: bytes) -> AsyncIterator[bytes]:
    for piece in _Stream(_UNBOUNDED).feed(small):
        yield piece
        await asyncio.sleep(0)


def _small(request: Request, body: bytes) -> bytes | None:
    """Return a body packed, None where that is not wanted; in a thread."""
    return gzip.compress(body, 1, mtime=0) if _wanted(request) else None


def _wanted(request: Request) -> bool:
    """Tell whether answers are to be packed; in a thread, which may ask the database.

    An answer that is ready is never lost because the property cannot be read any more.
    """
    try:
        return request.property(_SWITCH, "true").strip().lower() == "true"
    except MidspanError:
        return False


def _takes_gzip(request: Request) -> bool:
    for entry in request.headers.get("accept-encoding", "").lower().split(","):
        name, *parameters = (part.strip() for part in entry.split(";"))
        if name in (*_PACKED, "*"):
            return not any(_QUALITY_ZERO.match(part) for part in parameters)
    return False
