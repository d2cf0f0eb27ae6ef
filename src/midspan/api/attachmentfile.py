"""The bytes of an attachment on their way out: all of them or one range, piece by piece.

A file is what some user sent, and is never shown as a page of this site: browsers save it, do not
guess its type, and would run no script of it. ``Accept`` does not choose: clients send the same one
with every request. Ranges: RFC 9110, section 14; of several ranges, none is answered alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from urllib.parse import quote

from midspan.api.attachmentshow import TABLE, description
from midspan.api.etag import is_fresh
from midspan.api.request import Request
from midspan.api.response import Response
from midspan.api.strict import refuse_in_strict_mode, unknown_parameters, warning_header
from midspan.api.tableread import open_table
from midspan.api.waiting import in_thread
from midspan.attachments import AttachmentStore, StoredFile
from midspan.attachments.file import UNKNOWN_TYPE, is_type

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
_PLAIN = re.compile(r"[A-Za-z0-9 !#$&+.^_`|~()\[\]{},@=-]+")


def read_file(request: Request) -> Response:
    """Answer the file: 200, or 206 for one range of it."""
    open_table(request.snapshot, TABLE)
    warnings = unknown_parameters(request)
    refuse_in_strict_mode(request, warnings)
    store = request.parts.attachments
    with request.parts.records.read(request.actor) as transaction:
        file = store.find(transaction, request.arguments["sys_id"])
        metadata = description(request, transaction, file.sys_id)
    etag = f'"{file.digest}"'
    headers = {
        "X-Attachment-Metadata": json.dumps(metadata, separators=(",", ":")),
        "Content-Disposition": disposition(file.name),
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Accept-Ranges": "bytes",
        "ETag": etag,
        **warning_header(warnings),
    }
    if is_fresh(request, etag):
        return Response(304, headers=headers)
    wanted = request.headers.get("range", "")
    if request.headers.get("if-range", etag) != etag:
        wanted = ""
    return _answer(store, file, byte_range(wanted, file.size), headers)


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """Return start and end (not included) of the wanted bytes; None: all of them.

    An empty range means that none of the wanted bytes exist.

    >>> byte_range("bytes=0-4", 10), byte_range("bytes=7-", 10), byte_range("bytes=-2", 10)
    ((0, 5), (7, 10), (8, 10))
    >>> byte_range("bytes=10-", 10), byte_range("bytes=-0", 10)
    ((0, 0), (0, 0))
    >>> byte_range("bytes=0-1,3-4", 10), byte_range("bytes=5-2", 10), byte_range("", 10)
    (None, None, None)
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, end = max(size - int(last), 0), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    return (start, end) if start < end else (0, 0)


def disposition(name: str) -> str:
    """Return the header that makes a browser save a file under its name (RFC 6266).

    >>> disposition("plan 1.pdf")
    'attachment; filename="plan 1.pdf"'
    >>> disposition('Übersicht "neu".txt')
    "attachment; filename*=UTF-8''%C3%9Cbersicht%20%22neu%22.txt"
    """
    if _PLAIN.fullmatch(name):
        return f'attachment; filename="{name}"'
    return f"attachment; filename*=UTF-8''{quote(name, safe='')}"


def _answer(
    store: AttachmentStore,
    file: StoredFile,
    wanted: tuple[int, int] | None,
    headers: dict[str, str],
) -> Response:
    kind = file.content_type if is_type(file.content_type) else UNKNOWN_TYPE
    if wanted == (0, 0):
        return Response(416, b"", "", {**headers, "Content-Range": f"bytes */{file.size}"})
    start, end = wanted or (0, file.size)
    headers = {**headers, "Content-Length": str(end - start)}
    if wanted is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
    body = _pieces(store, file, start, end)
    return Response(200 if wanted is None else 206, body, kind, headers)


async def _pieces(
    store: AttachmentStore, file: StoredFile, start: int, end: int
) -> AsyncIterator[bytes]:
    pieces = store.pieces(file, start, end)
    while piece := await in_thread(next, pieces, b""):
        yield piece
