"""The Batch API's wire names, read into typed parts. Source: ``spec/rest-api.md`` 6."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from urllib.parse import quote

from msgspec import Struct

from midspan.api.negotiation import body_form
from midspan.api.request import Request
from midspan.api.strict import MOST_WARNINGS
from midspan.formats import JsonValue, lenient_json
from midspan.kernel.errors import InvalidRequest, MalformedBody, did_you_mean

LARGEST_BATCH = 25 * 1024 * 1024
_MEMBERS = frozenset({"batch_request_id", "rest_requests"})
_PART_MEMBERS = frozenset({"id", "method", "url", "headers", "body", "exclude_response_headers"})
_METHOD = re.compile(r"[A-Z]{1,20}")
_HEADER_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,100}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SPACE = re.compile(r"\s+")


class Part(Struct, frozen=True, kw_only=True):
    """One request of a batch; with a ``problem`` it cannot be carried out."""

    id: str
    method: str = ""
    path: bytes = b""
    query: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Names in lower case."""
    body: bytes = b""
    exclude_headers: bool = False
    problem: str = ""

    @property
    def size(self) -> int:
        """Bytes of its body and address."""
        return len(self.body) + len(self.path) + len(self.query)


class Batch(Struct, frozen=True):
    """All parts of one call, in order; ``warnings`` tell what of it has no meaning."""

    id: str
    parts: tuple[Part, ...]
    warnings: tuple[str, ...] = ()


def read_batch(request: Request) -> Batch:
    """Read the body of a batch; JSON as lenient as the Table API's.

    Raises:
        MalformedBody: not JSON, no object, or no list of requests in it.
        InvalidRequest: another content type.
    """
    if body_form(request) != "json":
        raise InvalidRequest("Unsupported media type", hint="Send application/json.")
    value = lenient_json.parse(request.body, max_bytes=LARGEST_BATCH)
    if not isinstance(value, dict):
        raise MalformedBody("Expected an object with the member rest_requests")
    listed = value.get("rest_requests")
    if not isinstance(listed, list):
        raise MalformedBody("Expected a list in the member rest_requests")
    parts = tuple(read_part(one, request.base_url) for one in listed)
    return Batch(
        _text(value.get("batch_request_id")),
        parts,
        tuple(islice(_unused(value, listed), MOST_WARNINGS)),
    )


def _unused(value: Mapping[str, JsonValue], listed: Iterable[JsonValue]) -> Iterator[str]:
    """Yield a warning for each member that a batch, a part or a header does not have."""
    yield from _unknown(value, _MEMBERS, "the batch")
    for place, part in enumerate(listed, 1):
        if not isinstance(part, dict):
            continue
        yield from _unknown(part, _PART_MEMBERS, f"part {place}")
        headers = part.get("headers")
        if headers is None or headers == "":
            continue
        if not isinstance(headers, list):
            yield f"Headers of part {place} left out: they are no list"
            continue
        for header in headers:
            if not isinstance(header, dict) or not _header_name(header):
                yield f"Header of part {place} left out: expected name and value"


def _unknown(value: Mapping[str, JsonValue], known: frozenset[str], what: str) -> Iterator[str]:
    for name in value:
        if name in known:
            continue
        near = did_you_mean(name[:80], known)
        yield f"Member {name[:80]} of {what} left out{f'. {near}' if near else ''}"


def read_part(value: JsonValue, base_url: str) -> Part:
    """Read one request; what is wrong with it is told in its own answer."""
    if not isinstance(value, dict):
        return Part(id="", problem="A request of a batch is an object")
    own_id, method = _text(value.get("id")), _text(value.get("method")).strip().upper()
    excluded = value.get("exclude_response_headers")
    part = Part(
        id=own_id,
        method=method,
        exclude_headers=excluded is True or _text(excluded).strip().lower() == "true",
    )
    if not _METHOD.fullmatch(method):
        return _with_problem(part, "The method is missing or is none")
    path, _, query = _relative(_text(value.get("url")).strip(), base_url).partition("?")
    if not path.startswith("/api/"):
        return _with_problem(part, "The url has to begin with /api/")
    try:
        body = base64.b64decode(_SPACE.sub("", _text(value.get("body"))), validate=True)
    except (binascii.Error, ValueError):
        return _with_problem(part, "The body is not Base64")
    return Part(
        id=own_id,
        method=method,
        path=quote(path, safe="/%;:@!$&'()*+,=~").encode(),
        query=query.encode("utf-8", "replace"),
        headers=tuple(_headers(value.get("headers"))),
        body=body,
        exclude_headers=part.exclude_headers,
    )


def _with_problem(part: Part, problem: str) -> Part:
    return Part(
        id=part.id, method=part.method, exclude_headers=part.exclude_headers, problem=problem
    )


def _relative(url: str, base_url: str) -> str:
    """Return an address without this instance's own scheme and host.

    >>> _relative("api/now/table/incident", "http://inst"), _relative("http://inst/api/x", "http://inst")
    ('/api/now/table/incident', '/api/x')
    """
    if url.startswith(f"{base_url}/"):
        return url[len(base_url) :]
    return url if url.startswith("/") or ":" in url.partition("?")[0] else f"/{url}"


def _headers(value: JsonValue) -> Iterator[tuple[bytes, bytes]]:
    """Yield the headers of a list of names and values; what is none is left out."""
    for entry in value if isinstance(value, list) else ():
        if not isinstance(entry, dict):
            continue
        name = _header_name(entry)
        if name:
            text = _CONTROL.sub(" ", _text(entry.get("value"))).strip()
            yield name.encode(), text.encode("latin-1", "replace")


def _header_name(entry: Mapping[str, JsonValue]) -> str:
    name = _text(entry.get("name")).strip().lower()
    return name if _HEADER_NAME.fullmatch(name) else ""


def _text(value: JsonValue) -> str:
    """Ids go back as strings, whatever they came as.

    >>> _text(7), _text("a b"), _text(None), _text(True)
    ('7', 'a b', '', 'true')
    """
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None or isinstance(value, dict | list) else str(value)
