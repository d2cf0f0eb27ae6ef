"""The Batch API: ``/api/now/batch``; its parts are requests to this very application.

Each part takes the whole way of a request (path, access rule, body limits, handler) under the
identity that the batch proved; it cannot bring another one. A part that was begun is carried to
its end and answered, so that what is listed as not served was never begun and may be sent again.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import re
from http import HTTPStatus
from typing import Any

from msgspec import Struct
from starlette.types import ASGIApp, Message, Receive, Scope

from midspan.api.acting import acting_as
from midspan.api.batchrequest import LARGEST_BATCH, Batch, Part, read_batch
from midspan.api.description import (
    FLAG,
    TEXT,
    Answer,
    Body,
    Description,
    header,
    listed,
    members,
    texts,
)
from midspan.api.errors import BodyTooLarge, NotAcceptable, error_response, unexpected
from midspan.api.idempotency import HEADER as IDEMPOTENCY
from midspan.api.negotiation import preferred
from midspan.api.request import Request
from midspan.api.response import Response, json_response
from midspan.api.router import Route, SignedIn, normal_path, versioned
from midspan.api.strict import HEADER, refuse_in_strict_mode, warning_header
from midspan.api.table import STRICT
from midspan.kernel.errors import InvalidRequest, MidspanError

log = logging.getLogger(__name__)

MOST_PARTS = 1_000
LONGEST = 30.0
"""Seconds after which no further part is begun."""
LARGEST_ANSWER = 25 * 1024 * 1024
"""Bytes of all answers after which no further part is begun."""
_MEGABYTE = 1024 * 1024
_INPUT = ("glide.rest.batch.max.inputSize", 5 * _MEGABYTE, 10 * _MEGABYTE)
_OUTPUT = ("glide.rest.batch.max.outputSize", 10 * _MEGABYTE, 25 * _MEGABYTE)
_OUTPUT_HEADER = "x-batchrequest-max-output-size"
_ITSELF = re.compile(r"/api/now/(?:v[0-9]+/)?batch")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OF_THE_BATCH = re.compile(
    "host|authorization|cookie|origin|forwarded|x-usertoken|x-sn-apikey|sec-fetch-.*|x-forwarded-.*"
)
"""Headers that say who sends a request and by which way; the parts have those of the batch."""
_FRAMING = frozenset(
    {b"content-length", b"transfer-encoding", b"connection", b"expect", b"accept-encoding"}
)
_NOT_SHOWN = frozenset({"set-cookie", "connection", "transfer-encoding"})


_ID: dict[str, object] = {"type": ["string", "integer"]}
_HEADERS = listed(texts("name", "value"))
_PART = members(
    ("id", "method", "url"),
    id=_ID,
    method=TEXT,
    url=TEXT,
    headers=_HEADERS,
    body={"type": "string", "contentEncoding": "base64"},
    exclude_response_headers=FLAG,
)
_SERVED = members(
    ("id", "body", "status_code", "status_text", "headers", "execution_time"),
    id=TEXT,
    body={"type": "string", "contentEncoding": "base64"},
    status_code={"type": "integer"},
    status_text=TEXT,
    headers=_HEADERS,
    execution_time={"type": "integer"},
    error_message=TEXT,
    redirect_url=TEXT,
)
_SERVE = Description(
    summary="Send several requests as one",
    tag="Batch API",
    parameters=(header("X-BatchRequest-Max-Output-Size", "Most bytes of one answer."), STRICT),
    body=Body(members(("rest_requests",), batch_request_id=_ID, rest_requests=listed(_PART))),
    answers={
        200: Answer(
            "The answers in order, and the ids of what was never begun.",
            members(
                ("batch_request_id", "serviced_requests", "unserviced_requests"),
                batch_request_id=TEXT,
                serviced_requests=listed(_SERVED),
                unserviced_requests=listed(TEXT),
            ),
            headers=("X-Midspan-Warning",),
        )
    },
    refuses=(400, 403, 406, 415),
)


class BatchApi:
    """Serves batches by calling the application once for each part."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of the Batch API in all its versions."""
        return versioned(
            Route(
                name="batch",
                methods=("POST",),
                path="/api/now/batch",
                handler=self.serve,
                access=SignedIn(),
                max_body=LARGEST_BATCH,
                description=_SERVE,
            )
        )

    async def serve(self, request: Request) -> Response:
        """Answer each part in order; the ids of those that were not begun stand in a list."""
        if preferred(request.headers.get("accept", ""), ("json",)) is None:
            raise NotAcceptable("Not acceptable", hint="Accept application/json.")
        batch = await asyncio.to_thread(read_batch, request)
        warnings = batch.warnings
        if IDEMPOTENCY in request.headers:
            warnings = (*warnings, f"{IDEMPOTENCY} of a batch left out: give one to each part")
        if warnings:
            await asyncio.to_thread(refuse_in_strict_mode, request, warnings)
        served = await self._serve_all(request, batch)
        return json_response(
            {
                "batch_request_id": batch.id,
                "serviced_requests": served,
                "unserviced_requests": [part.id for part in batch.parts[len(served) :]],
            },
            headers=warning_header(warnings),
        )

    async def _serve_all(self, request: Request, batch: Batch) -> list[dict[str, object]]:
        clock = request.parts.clock
        end = clock.monotonic() + LONGEST
        most = _Sizes(_limit(request, *_INPUT), _output_limit(request))
        served: list[dict[str, object]] = []
        size = 0
        for part in batch.parts[:MOST_PARTS]:
            if clock.monotonic() >= end or size >= LARGEST_ANSWER:
                break
            began = clock.monotonic()
            answer = await self._answer(request, part, most)
            size += len(answer.body)
            served.append(_entry(part, answer, round((clock.monotonic() - began) * 1000)))
        return served

    async def _answer(self, request: Request, part: Part, most: _Sizes) -> _Answer:
        if part.problem:
            return _refused(InvalidRequest("Exception while reading request", detail=part.problem))
        if part.size > most.input:
            return _refused(BodyTooLarge(part.size, most.input))
        if _leads_to_a_batch(part):
            return _refused(InvalidRequest("A batch cannot hold another batch"))
        answer = _Answer(most.output)
        try:
            with acting_as(request.identity):
                await self._app(_scope(request, part), _body_once(part.body), answer.take)
        except Exception:
            log.exception("unexpected error in a part of a batch")
            return _refused(unexpected(request.id))
        return _fitting(part, answer)


class _Sizes(Struct, frozen=True):
    """The most bytes that one part may bring, and its answer may have."""

    input: int
    output: int


class _Answer:
    """Collects what the application sends for one part, up to ``limit`` bytes of body."""

    def __init__(self, limit: int) -> None:
        self.status = 500
        self.headers: list[tuple[str, str]] = []
        self.body = b""
        self.size = 0
        self.limit = limit
        self.error = ""
        self._chunks: list[bytes] = []

    @property
    def too_large(self) -> bool:
        """Whether the body was longer than the limit; it is not kept then."""
        return self.size > self.limit

    async def take(self, message: Message) -> None:
        """Take one event of the application."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = [
                (name.decode("latin-1").title(), value.decode("latin-1"))
                for name, value in message["headers"]
            ]
            return
        chunk = message.get("body", b"")
        self.size += len(chunk)
        if self.too_large:
            self._chunks.clear()
        else:
            self._chunks.append(chunk)
        if not message.get("more_body", False):
            self.body = b"".join(self._chunks)


def _refused(error: MidspanError) -> _Answer:
    response = error_response(error)
    answer = _Answer(0)
    answer.status = response.status
    answer.headers = [("Content-Type", response.content_type)]
    answer.body = response.body if isinstance(response.body, bytes) else b""
    answer.error = error.detail or error.message
    return answer


def _fitting(part: Part, answer: _Answer) -> _Answer:
    """Return the answer, or why there is none; what a write did stands, whatever it answered."""
    if not answer.too_large:
        return answer
    error = InvalidRequest(
        "Response too large",
        detail=f"The answer has {answer.size} bytes. Max allowed: {answer.limit} bytes.",
    )
    refused = _refused(error)
    if part.method in _SAFE:
        refused.status = 500
        return refused
    answer.error = refused.error
    return answer


def _entry(part: Part, answer: _Answer, milliseconds: int) -> dict[str, object]:
    shown = [
        {"name": name, "value": value}
        for name, value in answer.headers
        if name.lower() not in _NOT_SHOWN
    ]
    entry: dict[str, object] = {
        "id": part.id,
        "body": base64.b64encode(answer.body).decode(),
        "status_code": answer.status,
        "status_text": _phrase(answer.status),
        "headers": [] if part.exclude_headers else shown,
        "execution_time": milliseconds,
    }
    if answer.error:
        entry["error_message"] = answer.error
    location = dict(answer.headers).get("Location")
    if location and 300 <= answer.status < 400:
        entry["redirect_url"] = location
    return entry


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _leads_to_a_batch(part: Part) -> bool:
    try:
        return _ITSELF.fullmatch(normal_path(part.path)) is not None
    except MidspanError:
        return False  # the application refuses it, too, and says why


def _scope(request: Request, part: Part) -> Scope:
    kept = [
        (name.encode(), value.encode("latin-1", "replace"))
        for name, value in request.headers.items()
        if _OF_THE_BATCH.fullmatch(name.lower())
    ]
    own = [
        header
        for header in part.headers
        if header[0] not in _FRAMING and not _OF_THE_BATCH.fullmatch(header[0].decode())
    ]
    strict = HEADER.lower().encode()
    if request.header_flag(HEADER) and all(name != strict for name, _ in own):
        own.append((strict, b"true"))
    length = [(b"content-length", str(len(part.body)).encode())] if part.body else []
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": part.method,
        "scheme": request.base_url.partition(":")[0],
        "path": part.path.decode(),
        "raw_path": part.path,
        "query_string": part.query,
        "root_path": "",
        "headers": [*kept, *own, *length],
        "server": None,
        "client": (request.address, 0),
    }


def _body_once(body: bytes) -> Receive:
    """Return what gives the body, and then says that the client is gone."""
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive


def _limit(request: Request, name: str, usual: int, most: int) -> int:
    given = request.property(name)
    return min(int(given), most) if given.isdecimal() and len(given) < 12 else usual


def _output_limit(request: Request) -> int:
    """A caller may ask for less than the instance allows."""
    allowed = _limit(request, *_OUTPUT)
    given = request.headers.get(_OUTPUT_HEADER, "").strip()
    return min(int(given), allowed) if given.isdecimal() and len(given) < 12 else allowed
