"""Requests that are answered before their body was read: over a socket, and at the gate alone."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.types import Message, Receive, Scope, Send
from tests.guard import GUARD

from midspan.cli import leftover
from midspan.cli.gate import Gate

LARGE = 200_000
"""More bytes than the server reads in one go, less than are dropped."""
HUGE = leftover.LONGEST_DROPPED + 300_000
DOORS = {
    "table": (b"POST", b"/api/now/table/incident", 401),
    "table of nobody": (b"POST", b"/api/now/table/no_such_table", 401),
    "bodiless": (b"DELETE", b"/api/now/table/incident/1", 401),
    "read": (b"GET", b"/api/now/table/incident", 401),
    "attachment": (b"POST", b"/api/now/attachment/file?table_name=incident", 401),
    "import set": (b"POST", b"/api/now/import/imp_user", 401),
    "batch": (b"POST", b"/api/now/v1/batch", 401),
    "soap": (b"POST", b"/incident.do?SOAP", 401),
    "scripted": (b"POST", b"/api/x_none/nothing", 401),
    "servlet": (b"POST", b"/xmlhttp.do", 401),
    "unknown": (b"POST", b"/no/such/path", 404),
    "method": (b"PUT", b"/healthz", 405),
}
"""Method, target and what a stranger is answered."""


class Line:
    """One connection to an instance, which is used again and again."""

    def __init__(self, url: str, password: str) -> None:
        where = urlsplit(url)
        self._socket = socket.create_connection((where.hostname or "", where.port or 0), GUARD)
        token = base64.b64encode(f"admin:{password}".encode())
        self.admin = (b"authorization: Basic " + token,)

    def close(self) -> None:
        self._socket.close()

    def send(self, method: bytes, target: bytes, body: bytes = b"", *headers: bytes) -> None:
        """Send a request; where no header frames the body, its length does."""
        if body and not any(header.startswith(b"transfer-encoding") for header in headers):
            headers = (*headers, b"content-length: %d" % len(body))
        lines = [method + b" " + target + b" HTTP/1.1", b"host: localhost", *headers, b"", b""]
        self._socket.sendall(b"\r\n".join(lines) + body)

    def answer(self) -> HTTPResponse:
        answer = HTTPResponse(self._socket)
        answer.begin()
        answer.read()
        return answer

    def is_open(self) -> bool:
        """Tell whether the next request on the connection is answered."""
        self.send(b"GET", b"/healthz")
        return self.answer().status == 200

    def has_ended(self) -> bool:
        """Tell whether the server closed it, without a reset that could lose the answer."""
        return self._socket.recv(1) == b""


@pytest.fixture
def line(url: str, password: str) -> Iterator[Line]:
    with closing(Line(url, password)) as found:
        yield found


@pytest.mark.parametrize("door", DOORS)
def test_after_a_refused_body_the_connection_goes_on(line: Line, door: str) -> None:
    method, target, status = DOORS[door]
    for size in (1, LARGE, leftover.LONGEST_DROPPED):
        line.send(method, target, b"x" * size, b"content-type: application/json")
        answer = line.answer()
        assert (answer.status, answer.getheader("connection")) == (status, None)
        assert line.is_open()


def test_a_stream_that_is_refused_half_way_goes_on_too(line: Line) -> None:
    """The attachment's record is looked for when part of the file is there."""
    target = b"/api/now/attachment/file?table_name=incident&table_sys_id=1&file_name=a.txt"
    line.send(b"POST", target, b"x" * LARGE, b"content-type: text/plain", *line.admin)
    answer = line.answer()
    assert (answer.status, answer.getheader("connection")) == (404, None)
    assert line.is_open()


@pytest.mark.parametrize("door", ["table", "attachment", "soap", "unknown"])
@pytest.mark.parametrize("kind", ["long", "chunked"])
def test_before_the_connection_ends_the_answer_says_so(line: Line, door: str, kind: str) -> None:
    """The whole body is sent before the answer is read, as most clients do it."""
    method, target, status = DOORS[door]
    if kind == "long":
        line.send(method, target, b"x" * HUGE)
    else:
        chunks = b"%x\r\n%s\r\n" % (LARGE, b"x" * LARGE)
        line.send(method, target, chunks + b"0\r\n\r\n", b"transfer-encoding: chunked")
    answer = line.answer()
    assert (answer.status, answer.getheader("connection")) == (status, "close")
    assert line.has_ended()


def test_a_body_too_large_is_refused_before_it_came(line: Line) -> None:
    length = b"content-length: 30000000"
    line.send(b"POST", b"/api/now/table/incident", b"", length, *line.admin)
    answer = line.answer()
    assert (answer.status, answer.getheader("connection")) == (400, "close")


def test_who_waits_for_word_to_go_on_gets_the_answer_instead(line: Line) -> None:
    held = (b"content-length: %d" % LARGE, b"expect: 100-continue")
    line.send(b"POST", b"/api/now/table/incident", b"", *held)
    answer = line.answer()
    assert (answer.status, answer.getheader("connection")) == (401, "close")


class Wire:
    """A server's side of one request: what it hands over, and what it was told to send."""

    def __init__(self, *pieces: bytes, version: str = "1.1", **headers: str) -> None:
        self.scope: Scope = {
            "type": "http",
            "http_version": version,
            "headers": [
                (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
            ],
        }
        self.left = list(pieces)
        self.told: list[Message] = []
        self.silent = asyncio.Event()
        """Set once more is asked for than there is."""

    async def receive(self) -> Message:
        if not self.left:
            self.silent.set()
            await asyncio.Event().wait()
        body = self.left.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(self.left)}

    async def send(self, message: Message) -> None:
        self.told.append(message)

    @property
    def closes(self) -> bool:
        return (b"connection", b"close") in self.told[0]["headers"]


def application(take: int = 0) -> Callable[[Scope, Receive, Send], Any]:
    """Return an application that reads a number of messages and then answers."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(take):
            await receive()
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b"no"})

    return app


async def through(wire: Wire, take: int = 0) -> None:
    await Gate(application(take))(wire.scope, wire.receive, wire.send)


@pytest.mark.parametrize(
    ("wire", "take", "closes", "left"),
    [
        (Wire(b"12", b"34", content_length="4"), 0, False, 0),
        (Wire(b"12", b"34", content_length="4"), 1, False, 0),
        (Wire(b"1234", b"", content_length="4"), 1, False, 1),
        (Wire(b"12", b"34", transfer_encoding="chunked"), 1, True, 0),
        (Wire(b"12", b"34", transfer_encoding="chunked"), 2, False, 0),
        (Wire(b"12", b"34", content_length="4", expect="100-continue"), 0, True, 2),
        (Wire(b"12", b"34", content_length="4", expect="100-continue"), 1, False, 0),
        (Wire(b"12", b"34", content_length=str(HUGE)), 0, True, 0),
        (Wire(b"", content_length="0"), 0, False, 1),
        (Wire(b"12", b"34", version="2", content_length=str(HUGE)), 0, False, 2),
    ],
    ids=["unread", "begun", "whole", "chunked", "all chunks", "held", "let go", "huge", "no body",
         "HTTP/2"],
)  # fmt: skip
def test_what_is_left_is_said_and_dropped(wire: Wire, take: int, closes: bool, left: int) -> None:
    """``left``: messages that stay with the server; after a body's last byte none is awaited."""
    asyncio.run(through(wire, take))
    assert wire.closes is closes
    assert len(wire.left) == left
    assert [message["type"] for message in wire.told] == [
        "http.response.start",
        "http.response.body",
    ]


@pytest.mark.parametrize("bound", ["SILENCE", "LONGEST"])
def test_a_client_that_stops_is_not_waited_for(monkeypatch: Any, bound: str) -> None:
    monkeypatch.setattr(leftover, bound, 0.01)
    wire = Wire(content_length="4")
    asyncio.run(asyncio.wait_for(through(wire), GUARD))
    assert wire.silent.is_set()


def test_the_end_of_the_gate_does_not_wait_for_slow_clients() -> None:
    async def run() -> None:
        gate = Gate(application())
        wire = Wire(content_length="4")
        request = asyncio.ensure_future(gate(wire.scope, wire.receive, wire.send))
        await wire.silent.wait()
        assert not request.done()
        assert await gate.drain(GUARD)
        await request

    asyncio.run(asyncio.wait_for(run(), leftover.SILENCE / 2))
