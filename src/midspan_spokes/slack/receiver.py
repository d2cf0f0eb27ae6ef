"""A chat receiver for demo and tests: it refuses what Slack's published description refuses.

    POST   /services/<team>/<app>/<token>   incoming webhook: "ok", or an error word with its status
    POST   /api/chat.postMessage            bearer token; {"ok": ...} with HTTP 200
    GET    /messages                        what was accepted, oldest first, and what was refused
    DELETE /messages                        forget both
    POST   /faults                          {"status", "body", "retry_after", "drop", "stored",
                                            "delay", "times"}: the fate of the next messages

Run it alone: ``python -m midspan_spokes.slack.receiver --port 0``.
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import json
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from midspan_spokes.slack.contract import PayloadError, check_message
from midspan_spokes.slack.loopback import LoopbackServer

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_BODY = 1_000_000
KEPT = 10_000

# Published 2016-05 for incoming webhooks, except no_service and invalid_token: seen in the wild.
_WEBHOOK_STATUS = {
    "action_prohibited": 403,
    "invalid_token": 403,
    "channel_not_found": 404,
    "no_service": 404,
    "channel_is_archived": 410,
    "rollup_error": 500,
}


@dataclass(frozen=True)
class Message:
    """An accepted message; ``via`` is webhook or api, ``time`` UTC in ISO form."""

    ts: str
    time: str
    via: str
    channel: str
    text: str
    truncated: bool
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Refused:
    """A refused message: Slack's error word, the HTTP status and the reason for people."""

    time: str
    via: str
    error: str
    status: int
    reason: str


@dataclass(frozen=True)
class Fault:
    """What happens to the next ``times`` messages instead of an answer by the rules.

    ``status`` and ``body`` are answered, with ``Retry-After`` if ``retry_after`` is given;
    ``drop`` closes the connection without an answer. With ``stored`` the message is accepted all
    the same, as when only the answer is lost. ``delay`` (seconds) comes before the answer; alone
    it leaves the answer as it is.
    """

    status: int = 0
    body: str = ""
    retry_after: int | None = None
    drop: bool = False
    stored: bool = False
    delay: float = 0.0
    times: int = 1


@dataclass(frozen=True)
class Reply:
    """Status, content type, body and further headers; status 0 means no answer at all."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Call:
    """A request read whole."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def media(self) -> str:
        """The content type without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class SlackReceiver:
    """The receiver as an ASGI app; safe to call from several threads."""

    def __init__(
        self,
        *,
        webhook_token: str = "midspan-demo-webhook",  # noqa: S107  # not a secret: a test peer
        bot_token: str = "xoxb-midspan-demo",  # noqa: S107
        webhook_channel: str = "C0000CHANGES",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.webhook_path = f"/services/T000/B000/{webhook_token}"
        self.bot_token = bot_token
        self._webhook_channel = webhook_channel
        self._now = now
        self._lock = threading.Lock()
        self._count = 0
        self._messages: deque[Message] = deque(maxlen=KEPT)
        self._refused: deque[Refused] = deque(maxlen=KEPT)
        self._faults: deque[Fault] = deque()

    @property
    def messages(self) -> list[Message]:
        """The accepted messages, oldest first, at most the last 10,000."""
        with self._lock:
            return list(self._messages)

    @property
    def refused(self) -> list[Refused]:
        """The refused messages, oldest first, at most the last 10,000."""
        with self._lock:
            return list(self._refused)

    def inject(self, fault: Fault) -> None:
        """Let ``fault`` happen to the next messages, after the faults already waiting."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Forget messages, refusals and faults."""
        with self._lock:
            self._messages.clear()
            self._refused.clear()
            self._faults.clear()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; a dropped one ends without any message."""
        if scope["type"] != "http":
            raise ValueError(f"expected an HTTP request, got {scope['type']}")
        call = await _read(scope, receive)
        reply = (
            Reply(413, b"request_entity_too_large") if call is None else await self._answer(call)
        )
        if reply.status == 0:
            return
        headers = [
            ("content-type", reply.content_type),
            ("content-length", str(len(reply.body))),
            *reply.headers,
        ]
        raw = [(name.encode(), value.encode()) for name, value in headers]
        await send({"type": "http.response.start", "status": reply.status, "headers": raw})
        await send({"type": "http.response.body", "body": reply.body})

    async def _answer(self, call: Call) -> Reply:
        if call.path == "/messages":
            return self._show(call)
        if call.path == "/faults":
            return self._add_fault(call)
        if call.path.startswith("/services/"):
            return await self._receive(call, self._webhook)
        if call.path == "/api/chat.postMessage":
            return await self._receive(call, self._post_message)
        return Reply(404, b"not_found")

    async def _receive(self, call: Call, handle: Callable[[Call], Reply]) -> Reply:
        if call.method != "POST":
            return Reply(405, b"method_not_allowed", headers=(("allow", "POST"),))
        fault = self._next_fault()
        if fault is None:
            return handle(call)
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if not fault.status and not fault.drop:
            return handle(call)
        if fault.stored:
            handle(call)
        return _fault_reply(fault)

    def _webhook(self, call: Call) -> Reply:
        try:
            if not hmac.compare_digest(call.path.encode(), self.webhook_path.encode()):
                known = call.path.startswith("/services/T000/B000/")
                raise PayloadError("invalid_token" if known else "no_service", "no such webhook")
            payload = _webhook_payload(call)
            self._accept("webhook", self._webhook_channel, payload)
        except PayloadError as error:
            status = _WEBHOOK_STATUS.get(error.word, 400)
            self._refuse("webhook", error, status)
            return Reply(status, error.word.encode())
        return Reply(200, b"ok")

    def _post_message(self, call: Call) -> Reply:
        try:
            payload = _api_payload(call)
            self._check_token(call, payload)
            channel = payload.get("channel")
            if not isinstance(channel, str) or not channel.strip():
                raise PayloadError("channel_not_found", "channel is required", "/channel")
            message = self._accept("api", channel, payload)
        except PayloadError as error:
            self._refuse("api", error, 200)
            details = {"response_metadata": {"messages": [error.message]}}
            return _json({"ok": False, "error": error.word, **details})
        shown = {"type": "message", "text": message.text, "ts": message.ts}
        return _json({"ok": True, "channel": channel, "ts": message.ts, "message": shown})

    def _check_token(self, call: Call, payload: Mapping[str, Any]) -> None:
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":  # only a form may carry the token in its body
            form = call.media == "application/x-www-form-urlencoded"
            token = str(payload.get("token", "")) if form else ""
        if not token.strip():
            raise PayloadError("not_authed", "no token")
        if not hmac.compare_digest(token.strip().encode(), self.bot_token.encode()):
            raise PayloadError("invalid_auth", "wrong token")

    def _accept(self, via: str, channel: str, payload: Mapping[str, Any]) -> Message:
        text = check_message(payload)
        kept = {name: value for name, value in payload.items() if name != "token"}
        with self._lock:
            now = self._now()
            self._count += 1
            message = Message(
                ts=f"{int(now.timestamp())}.{self._count:06d}",
                time=now.isoformat(timespec="milliseconds"),
                via=via,
                channel=channel,
                text=text,
                truncated=len(payload.get("text") or "") > len(text),
                payload=kept,
            )
            self._messages.append(message)
        return message

    def _refuse(self, via: str, error: PayloadError, status: int) -> None:
        with self._lock:
            time = self._now().isoformat(timespec="milliseconds")
            self._refused.append(Refused(time, via, error.word, status, error.message))

    def _next_fault(self) -> Fault | None:
        with self._lock:
            if not self._faults:
                return None
            fault = self._faults.popleft()
            if fault.times > 1:
                self._faults.appendleft(replace(fault, times=fault.times - 1))
            return fault

    def _show(self, call: Call) -> Reply:
        if call.method == "DELETE":
            self.clear()
        elif call.method != "GET":
            return Reply(405, b"method_not_allowed", headers=(("allow", "GET, DELETE"),))
        return _json(
            {
                "messages": [asdict(each) for each in self.messages],
                "refused": [asdict(each) for each in self.refused],
            }
        )

    def _add_fault(self, call: Call) -> Reply:
        if call.method != "POST":
            return Reply(405, b"method_not_allowed", headers=(("allow", "POST"),))
        try:
            self.inject(Fault(**json.loads(call.body)))
        except (TypeError, ValueError) as error:
            return Reply(400, f"expected a JSON object with the fields of Fault: {error}".encode())
        return Reply(200, b"ok")


async def _read(scope: Scope, receive: Receive) -> Call | None:
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY:
            return None
    headers = {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
    }
    return Call(scope["method"], scope["path"], headers, body)


def _webhook_payload(call: Call) -> Mapping[str, Any]:
    body = call.body
    if call.media == "application/x-www-form-urlencoded":
        body = _form(body, "invalid_payload").get("payload", "").encode()
    elif call.media != "application/json":
        raise PayloadError("invalid_payload", f"content type {call.media or 'none'} is not JSON")
    payload = _decoded(body, "invalid_payload")
    if not isinstance(payload, dict):
        raise PayloadError("invalid_payload", "the payload is not a JSON object")
    return payload


def _api_payload(call: Call) -> Mapping[str, Any]:
    if call.media == "application/json":
        payload = _decoded(call.body, "invalid_json")
        if not isinstance(payload, dict):
            raise PayloadError("json_not_object", "the payload is not a JSON object")
        return payload
    if call.media == "application/x-www-form-urlencoded":
        form: dict[str, Any] = dict(_form(call.body, "invalid_form_data"))
        for name, word in (("blocks", "invalid_blocks_format"), ("attachments", "invalid_payload")):
            if name in form:
                form[name] = _decoded(form[name].encode(), word)
        return form
    word = "invalid_post_type" if call.media else "missing_post_type"
    raise PayloadError(word, f"content type {call.media or 'none'} is neither JSON nor form")


def _form(body: bytes, word: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=100))
    except ValueError as error:
        raise PayloadError(word, f"the form cannot be read: {error}") from None


def _decoded(body: bytes, word: str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise PayloadError(word, f"not JSON: {error}") from None


def _json(value: object) -> Reply:
    return Reply(200, json.dumps(value).encode(), "application/json; charset=utf-8")


def _fault_reply(fault: Fault) -> Reply:
    if fault.drop:
        return Reply(0, b"")
    wait = fault.retry_after
    headers = () if wait is None else (("retry-after", str(wait)),)
    default = "ratelimited" if fault.status == 429 else "internal_error"
    return Reply(fault.status, (fault.body or default).encode(), headers=headers)


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; print one JSON line with the URLs when ready.

    Returns 0, or 2 when the port is taken.
    """
    parser = argparse.ArgumentParser(prog="python -m midspan_spokes.slack.receiver")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port")
    parser.add_argument("--host", default="127.0.0.1")
    options = parser.parse_args(arguments)
    receiver = SlackReceiver()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        server = LoopbackServer(receiver, host=options.host, port=options.port)
    except OSError as error:
        sys.stderr.write(f"cannot listen on {options.host}:{options.port}: {error}\n")
        return 2
    with server:
        ready = {
            "url": server.url,
            "webhook": f"{server.url}{receiver.webhook_path}",
            "api": f"{server.url}/api",
            "token": receiver.bot_token,
            "pid": os.getpid(),
        }
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        stopped.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
