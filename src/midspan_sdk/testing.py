"""Runs an action outside an instance: against prepared replies, an ASGI app or a local server."""

from __future__ import annotations

import asyncio
import http.client
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import msgspec

from midspan_sdk.action import Action, ActionContext
from midspan_sdk.errors import OutcomeUnknown, RetryLater, SdkError
from midspan_sdk.http import ActionHttp, ConnectionInfo, HttpReply, HttpRequest, HttpTransport

Answer = HttpReply | SdkError
AsgiApp = Callable[
    [
        MutableMapping[str, Any],
        Callable[[], Awaitable[MutableMapping[str, Any]]],
        Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ],
    Awaitable[None],
]


def json_reply(value: Any, status: int = 200, **headers: str) -> HttpReply:
    """Return a JSON reply; ``headers`` with ``_`` for ``-``, e.g. ``retry_after="3"``."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return HttpReply(
        status, {"Content-Type": "application/json", **named}, msgspec.json.encode(value)
    )


def text_reply(text: str, status: int = 200, **headers: str) -> HttpReply:
    """Return a plain text reply; ``headers`` as in ``json_reply``."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return HttpReply(status, {"Content-Type": "text/plain; charset=utf-8", **named}, text.encode())


class PreparedReplies:
    """A transport in memory: gives the prepared answers in order; an error is raised."""

    def __init__(self, answers: Iterable[Answer]) -> None:
        self._answers = deque(answers)

    async def send(self, request: HttpRequest) -> HttpReply:
        """Return or raise the next answer; AssertionError when there is none left."""
        if not self._answers:
            raise AssertionError(f"no reply prepared for {request.method} {request.url}")
        answer = self._answers.popleft()
        if isinstance(answer, SdkError):
            raise answer
        return answer


class AsgiTransport:
    """Calls an ASGI app in process; an app that ends without a reply gives OutcomeUnknown."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app

    async def send(self, request: HttpRequest) -> HttpReply:
        """Run the app once for ``request``, whose URL is absolute."""
        parts = urlsplit(request.url)
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": parts.scheme,
            "path": unquote(parts.path) or "/",
            "raw_path": (parts.path or "/").encode(),
            "query_string": parts.query.encode(),
            "root_path": "",
            "headers": [
                (name.lower().encode("latin-1"), value.encode("latin-1"))
                for name, value in {"Host": parts.netloc, **request.headers}.items()
            ],
        }
        sent: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": request.content, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        if not sent:
            raise OutcomeUnknown(f"No reply to {request.method} {parts.path}")
        pairs = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in sent[0]["headers"]
        ]
        content = b"".join(message.get("body", b"") for message in sent[1:])
        return HttpReply(sent[0]["status"], pairs, content)


class SocketTransport:
    """Calls a real server over a socket, plain HTTP to a loopback address only."""

    async def send(self, request: HttpRequest) -> HttpReply:
        """Send ``request``, whose URL is absolute, on a connection of its own."""
        parts = urlsplit(request.url)
        if parts.scheme != "http" or parts.hostname not in {"127.0.0.1", "localhost", "::1"}:
            raise ValueError(f"tests talk to http://127.0.0.1 only, not to {request.url}")
        return await asyncio.to_thread(self._send, request)

    @staticmethod
    def _send(request: HttpRequest) -> HttpReply:
        parts = urlsplit(request.url)
        seconds = request.timeout.total_seconds() if request.timeout else 10.0
        peer = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=seconds)
        try:
            try:
                peer.connect()
            except OSError as error:
                raise RetryLater(f"No connection to {parts.netloc}: {error}") from error
            path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
            try:
                peer.request(request.method, path, request.content or None, request.headers)
                reply = peer.getresponse()
                return HttpReply(reply.status, reply.getheaders(), reply.read())
            except (OSError, http.client.HTTPException) as error:
                raise OutcomeUnknown(f"No reply from {parts.netloc}: {error!r}") from error
        finally:
            peer.close()


@dataclass(frozen=True)
class LogLine:
    """A line an action wrote."""

    level: str
    text: str
    fields: Mapping[str, object]


@dataclass
class RecordedLog:
    """Keeps the lines in order."""

    lines: list[LogLine] = field(default_factory=list)

    def info(self, text: str, **fields: object) -> None:
        """Keep an info line."""
        self.lines.append(LogLine("info", text, fields))

    def warning(self, text: str, **fields: object) -> None:
        """Keep a warning line."""
        self.lines.append(LogLine("warning", text, fields))

    def error(self, text: str, **fields: object) -> None:
        """Keep an error line."""
        self.lines.append(LogLine("error", text, fields))


class ActionHarness:
    """Runs actions as a step would; ``requests`` are the calls as the action worded them.

    ``transport``: prepared answers, or any transport. ``url`` is the connection's URL (the secret
    one of a webhook); ``headers`` is what its credential adds. Both are added on the way out, as
    an instance does, so ``requests`` never holds them.
    """

    def __init__(
        self,
        transport: HttpTransport | Iterable[Answer],
        *,
        connection: ConnectionInfo | None = None,
        url: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.connection = connection or ConnectionInfo(name="test", base_url="http://peer.test")
        self.requests: list[HttpRequest] = []
        self.log = RecordedLog()
        self._inner = transport if hasattr(transport, "send") else PreparedReplies(transport)
        self._url = url or self.connection.base_url
        self._headers = dict(headers or {})

    def context(self, group: str = "run-1/1/0/1") -> ActionContext:
        """Return the context of one run of a step whose calls are keyed under ``group``."""
        return ActionContext(ActionHttp(self, group), self.log, self.connection)

    def run(self, action: Action, group: str = "run-1/1/0/1", **inputs: Any) -> dict[str, Any]:
        """Run ``action`` to its end and return its outputs; errors come through."""
        return asyncio.run(action.run(inputs, self.context(group)))

    async def send(self, request: HttpRequest) -> HttpReply:
        """Record ``request``, then send it with the connection's URL and credential."""
        self.requests.append(request)
        url = request.url
        if not urlsplit(url).scheme:
            url = f"{self._url.rstrip('/')}/{url.lstrip('/')}" if url else self._url
        complete = msgspec.structs.replace(
            request, url=urljoin(self._url, url), headers={**request.headers, **self._headers}
        )
        return await self._inner.send(complete)
