"""One call of a Scripted REST resource: the request a script gets, the reply it makes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from email.message import Message
from typing import Any

import orjson
from msgspec import Struct

from midspan.formats import xml
from midspan.kernel.errors import InvalidRequest, MidspanError
from midspan.sandbox import JsonValue, Limits, Script, ScriptError
from midspan.scripting.attachmentcalls import AttachmentCalls
from midspan.scripting.runner import ScriptRunner, ScriptSession
from midspan.scripting.streams import stream_pieces, stream_text
from midspan.scripting.unit import Unit
from midspan.scripting.workbookcalls import WorkbookCalls

MAX_STREAM = 256 * 1024 * 1024
"""Bytes that a script may write to its answer."""
ERROR_MARK = "\0sn_ws_err"
_CHARSET = re.compile(r"us-ascii|utf-?(8|16|16le|16be|16-le|16-be)|iso-8859-\d{1,2}|windows-125\d")
_MIN_STATUS, _MAX_STATUS = 200, 599


class RestRequest(Struct, frozen=True, kw_only=True):
    """What a script may read of a request; names and values are decoded, ``body`` is raw."""

    path_params: Mapping[str, str]
    query_params: Mapping[str, list[str]]
    query_string: str
    uri: str
    url: str
    headers: Mapping[str, str]
    accept: tuple[str, ...] = ()
    content_type: str = ""
    body: bytes = b""
    method: str = ""
    target: str | None = None
    """What the path names, where the script is one of the old style and sees it as ``g_target``."""
    address: str = ""
    """Of the client."""


class RestReply(Struct, frozen=True, kw_only=True):
    """What a script answered; ``stream`` goes out as it is, ``value`` inside an envelope.

    ``error`` is (message, detail) and makes it an error document. Without any of the three there
    is no body.
    """

    status: int
    headers: Mapping[str, str] = {}
    content_type: str = ""
    value: JsonValue = None
    has_value: bool = False
    stream: bytes | None = None
    error: tuple[str, str] | None = None


class _Exchange:
    """Collects what the ``response`` object of a running script is told."""

    def __init__(self, request: RestRequest, unit: Unit) -> None:
        self._request = request
        self._unit = unit
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.type = ""
        self.body: str | None = None
        self.stream: bytearray | None = None
        self.error: Mapping[str, Any] | None = None

    def calls(self, session: ScriptSession) -> dict[str, Callable[..., Any]]:
        """Return the host calls of this exchange."""
        body = self._request.body
        return {
            "rest.open": self._open,
            "rest.address": lambda: self._request.address or None,
            "rest.status": self._set_status,
            "rest.header": self._set_header,
            "rest.type": self._set_type,
            "rest.body": self._set_body,
            "rest.error": self._set_error,
            "rest.stream": self._start_stream,
            "rest.write": self._write,
            "rest.copy": self._copy,
            "stream.text": self._text,
            **AttachmentCalls(self._unit, session.lend, body).calls(),
            **WorkbookCalls(self._unit, body).calls(),
        }

    def _open(self) -> JsonValue:
        request = self._request
        sent: dict[str, JsonValue] = {
            "path_params": dict(request.path_params),
            "query_params": {name: list(texts) for name, texts in request.query_params.items()},
            "query_string": request.query_string,
            "uri": request.uri,
            "url": request.url,
            "headers": dict(request.headers),
            "accept": list(request.accept),
            "body": _body(request),
            "method": request.method,
        }
        if request.target is not None:
            sent["target"] = request.target
        return sent

    def _set_status(self, status: int) -> None:
        self.status = status

    def _set_header(self, name: str, value: str) -> None:
        self.headers[name] = value

    def _set_type(self, content_type: str) -> None:
        self.type = content_type

    def _set_body(self, text: str | None) -> None:
        self.body = text

    def _set_error(self, error: Mapping[str, Any]) -> None:
        self.error = error

    def _start_stream(self) -> None:
        self.stream = bytearray() if self.stream is None else self.stream

    def _write(self, text: str) -> None:
        self._start_stream()
        if self.stream is not None:
            self.stream += text.encode(errors="replace")

    def _copy(self, source: Mapping[str, Any]) -> None:
        """Write what a stream stands for; nobody could guess the type of bytes."""
        typed = self.type or any(name.lower() == "content-type" for name in self.headers)
        if not typed and source.get("kind") != "text":
            raise InvalidRequest(
                "A stream needs a content type: call response.setContentType() before writeStream()"
            )
        self._start_stream()
        if self.stream is not None:
            for piece in stream_pieces(self._unit, source, self._request.body):
                self.stream += piece
                if len(self.stream) > MAX_STREAM:
                    raise InvalidRequest(f"An answer is larger than {MAX_STREAM} bytes")

    def _text(self, source: Mapping[str, Any]) -> str:
        return stream_text(self._unit, source, self._request.body)

    def reply(self, value: JsonValue) -> RestReply:
        """Return the reply once the script ended with ``value``."""
        error = self.error or marked_error(value)
        if error is not None:
            return error_reply(error, self.headers)
        if self.stream is not None:
            return self._reply(stream=bytes(self.stream))
        if self.body is not None:
            return self._reply(value=_read(self.body), has_value=True)
        return self._reply(value=value, has_value=value is not None)

    def _reply(self, **content: Any) -> RestReply:
        status = 200 if self.status is None else _status(self.status)
        return RestReply(status=status, headers=self.headers, content_type=self.type, **content)


def _read(text: str) -> JsonValue:
    """Read what the worker wrote as JSON; in it may be half a character, which orjson refuses."""
    try:
        value: JsonValue = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = json.loads(text)
    return value


def serve(
    runner: ScriptRunner,
    script: Script,
    request: RestRequest,
    unit: Unit,
    *,
    limits: Limits | None = None,
) -> RestReply:
    """Run a resource's script for one request.

    Raises:
        ScriptError: the script failed in a way that is not one of its own error answers.
        SandboxUnavailable: no worker was free in time.
    """
    exchange = _Exchange(request, unit)
    with runner.session(unit, limits=limits) as session:
        try:
            value = session.run(script, calls=exchange.calls(session))
        except ScriptError as failure:
            thrown = marked_error(failure.thrown)
            if thrown is None:
                raise
            return error_reply(thrown, exchange.headers)
    return exchange.reply(value)


def ask(runner: ScriptRunner, script: Script, request: RestRequest, unit: Unit) -> JsonValue:
    """Run a script for one request, and return its value; what it answers by itself is dropped.

    Raises:
        ScriptError: the script failed.
        SandboxUnavailable: no worker was free in time.
    """
    with runner.session(unit) as session:
        return session.run(script, calls=_Exchange(request, unit).calls(session))


def marked_error(value: JsonValue) -> Mapping[str, Any] | None:
    """Return the content of an ``sn_ws_err`` object that crossed as JSON, or None."""
    found = value.get(ERROR_MARK) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else None


def error_reply(error: Mapping[str, Any], headers: Mapping[str, str]) -> RestReply:
    """Return the reply that an ``sn_ws_err`` object stands for."""
    shown = (str(error.get("message") or ""), str(error.get("detail") or ""))
    return RestReply(status=_status(error.get("status")), headers=headers, error=shown)


def _status(status: object) -> int:
    """Return a final status; what cannot be one, such as the text "OK", is a 500."""
    if isinstance(status, int | float) and _MIN_STATUS <= status <= _MAX_STATUS:
        return int(status)
    return 500


def _body(request: RestRequest) -> JsonValue:
    media = request.content_type.partition(";")[0].strip().lower()
    body: dict[str, JsonValue] = {
        "text": _decoded(request),
        "type": media,
        "kind": _kind(media),
        "data": None,
        "problem": "",
    }
    if body["kind"] == "xml" and request.body:
        try:
            body["data"] = xml.to_object(xml.parse(request.body))
        except MidspanError as error:
            body["problem"] = error.message
    return body


def _decoded(request: RestRequest) -> str:
    """Return the body as text, without a byte order mark, in the charset of its type or UTF-8."""
    sent = next((text for name, text in request.headers.items() if name == "content-type"), "")
    if "charset" not in sent.lower():
        return request.body.decode(errors="replace").removeprefix("\ufeff")
    named = Message()
    named["content-type"] = sent
    charset = named.get_content_charset("utf-8")
    try:
        text = request.body.decode(charset if _CHARSET.fullmatch(charset) else "utf-8", "replace")
    except LookupError:
        text = request.body.decode(errors="replace")
    return text.removeprefix("\ufeff")


def _kind(media: str) -> str:
    if not media or media.endswith(("/json", "+json")):
        return "json"
    return "xml" if media.endswith(("/xml", "+xml")) else "other"
