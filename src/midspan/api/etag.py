"""ETags of single records and attachments, and the conditions that requests put on them.

An ETag is a digest of the answer itself: of what this caller sees of the record, in the form and
with the fields that he asked for. So it tells nothing about what he may not read, and a condition
compares like with like: a write is compared with what a read with its own parameters would answer.
Source: RFC 9110, sections 8.8.3 and 13.
"""

from __future__ import annotations

import hashlib
import re

from midspan.api.description import Parameter, header
from midspan.api.errors import PreconditionFailed
from midspan.api.request import Request
from midspan.api.response import Response

IF_MATCH, IF_NONE_MATCH = "If-Match", "If-None-Match"
READ_IF: Parameter = header(
    IF_NONE_MATCH, "ETags that are known; the answer is 304 where the record still has one."
)
WRITE_IF: Parameter = header(
    IF_MATCH, "ETags of which the record must still have one, shown with the same parameters."
)
_TAG = re.compile(r'(?:W/)?("[^"]*")')
_ANY = "*"


def etag(body: bytes) -> str:
    """Return the ETag of an answer.

    >>> etag(b"") == etag(b""), etag(b"a") == etag(b"b")
    (True, False)
    """
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def tagged(request: Request, response: Response) -> Response:
    """Return a read's answer with its ETag, or 304 where the client has it already."""
    body = response.body
    tag = etag(body) if isinstance(body, bytes) else ""
    headers = {**response.headers, "ETag": tag}
    if is_fresh(request, tag):
        return Response(304, headers=headers)
    return Response(response.status, body, response.content_type, headers, response.cookies)


def is_fresh(request: Request, tag: str) -> bool:
    """Tell whether a reader has what ``tag`` stands for already."""
    known = request.headers.get(IF_NONE_MATCH)
    return known is not None and _has(known, tag)


def check(request: Request, tag: str) -> None:
    """Refuse a request whose conditions do not hold; ``tag`` is the ETag of what is there now.

    For a write whoever calls has locked the record.

    Raises:
        PreconditionFailed: one does not.
    """
    wanted, unwanted = request.headers.get(IF_MATCH), request.headers.get(IF_NONE_MATCH)
    if wanted is not None and not _has(wanted, tag):
        raise PreconditionFailed(IF_MATCH)
    if unwanted is not None and _has(unwanted, tag):
        raise PreconditionFailed(IF_NONE_MATCH)


def is_conditional(request: Request) -> bool:
    """Tell whether a write has conditions."""
    return IF_MATCH in request.headers or IF_NONE_MATCH in request.headers


def _has(given: str, tag: str) -> bool:
    """Tell whether a list of ETags, or ``*``, stands for ``tag``; weak ones count, too.

    >>> _has('"a", W/"b"', '"b"'), _has("*", '"x"'), _has('"a"', '"b"')
    (True, True, False)
    """
    return given.strip() == _ANY or tag in _TAG.findall(given)
