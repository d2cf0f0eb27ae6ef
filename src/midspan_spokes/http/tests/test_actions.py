"""The three actions, in memory and against a real server on loopback."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from midspan_sdk import (
    ActionError,
    ConnectionInfo,
    InvalidInputs,
    OutcomeUnknown,
    RetryLater,
    SignInAgain,
)
from midspan_sdk.spoke import check_spoke, load_spoke
from midspan_sdk.testing import ActionHarness, SocketTransport, json_reply, text_reply

SPOKE = load_spoke("midspan_spokes.http")
GET, SEND, KEYED = (SPOKE.action(name) for name in ("get", "send_request", "send_idempotent"))


def test_what_a_repeat_does_is_declared() -> None:
    assert (GET.repeat, SEND.repeat, KEYED.repeat) == ("safe", "never", "keyed")
    assert check_spoke(SPOKE.folder) == []


def test_get() -> None:
    harness = ActionHarness([json_reply({"hosts": [1]}, x_page="2")])
    outputs = harness.run(GET, path="/v1/hosts", query='{"site": "berlin"}', headers={"X-A": "b"})
    assert outputs == {
        "status": 200,
        "headers": {"content-type": "application/json", "x-page": "2"},
        "body": '{"hosts":[1]}',
        "json": {"hosts": [1]},
    }
    (request,) = harness.requests
    assert (request.method, request.url) == ("GET", "/v1/hosts?site=berlin")
    assert request.headers == {"X-A": "b"}


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        (text_reply("hello"), None),
        (json_reply(None), None),
        (json_reply([1]), [1]),
        (text_reply("{", content_type="application/json"), None),
    ],
)
def test_json_output(reply: Any, value: Any) -> None:
    assert ActionHarness([reply]).run(GET)["json"] == value


def test_bodies() -> None:
    harness = ActionHarness([text_reply("")] * 3)
    harness.run(SEND, method="PUT", path="/a", json='{"b": 1}')
    harness.run(SEND, body="<a/>", headers={"Content-Type": "application/xml"})
    harness.run(SEND, method="DELETE", path="/a")
    first, second, third = harness.requests
    assert (first.method, first.content) == ("PUT", b'{"b":1}')
    assert (second.headers, second.content) == ({"Content-Type": "application/xml"}, b"<a/>")
    assert (third.method, third.content, third.headers) == ("DELETE", b"", {})


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ({"json": {}, "body": "x"}, "content"),
        ({"method": "TRACE"}, "method"),
        ({"json": "{"}, "json"),
        ({"headers": {"X": "a\nb"}}, "headers"),
        ({"paht": "/"}, "paht"),
    ],
)
def test_what_cannot_be_worded_is_not_sent(inputs: dict[str, Any], field: str) -> None:
    harness = ActionHarness([])
    with pytest.raises(InvalidInputs) as caught:
        harness.run(SEND, **inputs)
    assert caught.value.field == field
    assert harness.requests == []


def test_the_key_is_the_same_for_every_try_and_the_header_is_a_choice() -> None:
    harness = ActionHarness([text_reply("")] * 3)
    for _ in range(2):
        harness.run(KEYED, group="run-1/2/0/1", path="/orders", json={"a": 1})
    harness.run(KEYED, group="run-2/2/0/1", key_header="X-Request-Id")
    keys = [each.headers.get("Idempotency-Key") for each in harness.requests]
    assert keys == ["run-1/2/0/1/call-1", "run-1/2/0/1/call-1", None]
    assert harness.requests[2].headers["X-Request-Id"] == "run-2/2/0/1/call-1"


@pytest.mark.parametrize(
    ("action", "kind"), [(GET, RetryLater), (KEYED, RetryLater), (SEND, OutcomeUnknown)]
)
@pytest.mark.parametrize("answer", [text_reply("", 500), OutcomeUnknown("time-out")])
def test_what_may_have_happened(action: Any, kind: type[Exception], answer: Any) -> None:
    with pytest.raises(kind):
        ActionHarness([answer]).run(action)


@pytest.mark.parametrize("action", [GET, SEND, KEYED], ids=lambda each: each.name)
def test_statuses(action: Any) -> None:
    with pytest.raises(ActionError) as refused:
        ActionHarness([text_reply("no", 404)]).run(action)
    assert (refused.value.code, refused.value.detail) == ("http.404", "no")
    with pytest.raises(SignInAgain):
        ActionHarness([text_reply("", 401)]).run(action)
    with pytest.raises(RetryLater) as slow:
        ActionHarness([text_reply("", 429, retry_after="2")]).run(action)
    assert slow.value.after == timedelta(seconds=2)
    assert ActionHarness([text_reply("no", 404)]).run(action, fail_on_error=False)["status"] == 404


class Orders(http.server.BaseHTTPRequestHandler):
    """Creates an order once per idempotency key and loses the first answer of each."""

    def do_POST(self) -> None:
        key = self.headers["Idempotency-Key"] or f"none-{len(ORDERS)}"
        seen = key in ORDERS
        ORDERS.setdefault(key, self.rfile.read(int(self.headers["Content-Length"])))
        if seen:
            self.send_response(201)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


ORDERS: dict[str, bytes] = {}


@pytest.fixture
def url() -> Iterator[str]:
    ORDERS.clear()
    with http.server.HTTPServer(("127.0.0.1", 0), Orders) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_peer_that_honours_the_key_acts_once(url: str) -> None:
    harness = ActionHarness(SocketTransport(), connection=ConnectionInfo(base_url=url))
    with pytest.raises(RetryLater):
        harness.run(KEYED, path="/orders", json={"item": 1})
    assert harness.run(KEYED, path="/orders", json={"item": 1})["status"] == 201
    assert list(ORDERS.values()) == [b'{"item":1}']


def test_without_a_key_a_lost_answer_ends_unknown(url: str) -> None:
    harness = ActionHarness(SocketTransport(), connection=ConnectionInfo(base_url=url))
    with pytest.raises(OutcomeUnknown):
        harness.run(SEND, path="/orders", json={"item": 1})
    assert len(ORDERS) == 1
