"""Connections resolve, credentials stay with their origin, errors say what to do next."""

from __future__ import annotations

import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from datetime import timedelta
from typing import Any

import pytest
from tests.guard import GUARD

from midspan.instance import Instance
from midspan.kernel.errors import Conflict, InvalidDefinition, NotFound, Unavailable
from midspan.outbound import ALLOW, CallSource, Outbound
from midspan.records import insert
from midspan.security.actor import SYSTEM
from midspan.testing import open_instance
from midspan_sdk import ActionError, HttpReply, HttpRequest, OutcomeUnknown, RetryLater
from midspan_spokes.slack.loopback import LoopbackServer

SECRET = "s3cret-pass"


class Peer:
    """Answers by path and remembers the headers of each call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, str]]] = []
        self.elsewhere = ""
        self.hold = threading.Event()

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.calls.append((scope["path"], headers))
        if scope["path"] == "/drop":
            return
        if scope["path"] == "/slow":
            self.hold.wait(GUARD)
        moved = scope["path"] == "/moved"
        extra = [(b"location", f"{self.elsewhere}/here".encode())] if moved else []
        extra.append((b"content-length", b"20"))
        status = 302 if moved else 200
        await send({"type": "http.response.start", "status": status, "headers": extra})
        await send({"type": "http.response.body", "body": b"x" * 20})


@pytest.fixture
def instance() -> Iterator[Instance]:
    with open_instance() as opened:
        yield opened


@pytest.fixture
def peer() -> Iterator[tuple[Peer, str]]:
    app = Peer()
    with LoopbackServer(app) as server:
        app.elsewhere = server.url.replace("127.0.0.1", "localhost")
        yield app, server.url
        app.hold.set()


@pytest.fixture
def outbound(instance: Instance) -> Iterator[Outbound]:
    made = Outbound(instance.records, "127.0.0.1, localhost")
    yield made
    made.close()


def create(instance: Instance, table: str, **values: str) -> str:
    with instance.records.write(SYSTEM) as transaction:
        return transaction.apply(insert(table, values)).sys_id


def connect(instance: Instance, url: str, credential: str = "", **values: str) -> None:
    alias = create(instance, "sys_alias", name="Peer", id="x_test.peer")
    fields = {"connection_alias": alias, "connection_url": url, "credential": credential}
    create(instance, "http_connection", name="peer-1", **fields, **values)


def send(outbound: Outbound, url: str = "/a", **options: Any) -> HttpReply:
    transport = outbound.transport(outbound.connection("x_test.peer"), CallSource("t", "r"))
    request = HttpRequest(method=options.pop("method", "GET"), url=url, key="k/1", **options)
    return outbound.run(transport.send(request))


def logged(instance: Instance) -> list[dict[str, str]]:
    with instance.records.read(SYSTEM) as transaction:
        return [dict(row.values) for row in transaction.find("sys_outbound_http_log", "")]


@pytest.mark.parametrize(
    ("table", "values", "header"),
    [
        (
            "basic_auth_credentials",
            {"user_name": "bot", "password": SECRET},
            ("authorization", "Basic Ym90OnMzY3JldC1wYXNz"),
        ),
        ("api_key_credentials", {"api_key": SECRET}, ("x-api-key", SECRET)),
        ("api_key_credentials", {"api_key": SECRET, "user_name": "X-Tok"}, ("x-tok", SECRET)),
        (
            "api_key_credentials",
            {"api_key": SECRET, "type": "bearer"},
            ("authorization", f"Bearer {SECRET}"),
        ),
    ],
)
def test_credentials_reach_their_origin_only(
    instance: Instance,
    outbound: Outbound,
    peer: tuple[Peer, str],
    table: str,
    values: dict[str, str],
    header: tuple[str, str],
) -> None:
    app, url = peer
    connect(instance, f"{url}/base", create(instance, table, name="c", **values))
    assert send(outbound, "/a?q=hidden").status == 200
    send(outbound, f"{app.elsewhere}/foreign")
    send(outbound, f"{url}/moved")
    paths = [path for path, _ in app.calls]
    assert paths == ["/base/a", "/foreign", "/moved", "/here"]
    given = [headers.get(header[0]) for _, headers in app.calls]
    assert given == [header[1], None, header[1], None]
    rows = logged(instance)
    assert SECRET not in str(rows)
    assert "hidden" not in str(rows)
    assert {(row["call_key"], row["source_record"], row["outcome"]) for row in rows} == {
        ("k/1", "r", "answered")
    }


def test_a_webhook_shows_its_origin_only(
    instance: Instance, outbound: Outbound, peer: tuple[Peer, str]
) -> None:
    app, url = peer
    secret = f"{url}/services/{SECRET}"
    credential = create(instance, "api_key_credentials", name="c", type="webhook", api_key=secret)
    connect(instance, url, credential)
    assert send(outbound, "", method="POST").status == 200
    assert app.calls[0][0] == f"/services/{SECRET}"
    connection = outbound.connection("x_test.peer")
    assert connection.info.base_url == connection.origin
    assert SECRET not in repr(connection)
    with pytest.raises(OutcomeUnknown) as caught:
        send(outbound, f"{url}/drop", method="POST")
    assert SECRET not in str(caught.value.explain())
    assert SECRET not in str(logged(instance))


def test_what_surely_was_not_sent_may_be_repeated(instance: Instance, outbound: Outbound) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        connect(instance, f"http://127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(RetryLater):
            send(outbound)
    with pytest.raises(RetryLater):
        send(outbound, "http://no-such-name.invalid/")
    assert [row["outcome"] for row in logged(instance)] == ["retry_later", "retry_later"]


def test_what_may_have_arrived_is_unknown(
    instance: Instance, outbound: Outbound, peer: tuple[Peer, str]
) -> None:
    connect(instance, peer[1])
    with pytest.raises(OutcomeUnknown):
        send(outbound, "/drop", method="POST")
    with pytest.raises(OutcomeUnknown):
        send(outbound, "/slow", timeout=timedelta(milliseconds=200))


def test_private_addresses_need_a_rule(instance: Instance, peer: tuple[Peer, str]) -> None:
    connect(instance, peer[1])
    strict = Outbound(instance.records)
    try:
        with pytest.raises(ActionError) as caught:
            send(strict)
        assert caught.value.code == "outbound.not_allowed"
        assert peer[0].calls == []
        create(instance, "sys_properties", name=ALLOW, value="127.0.0.1")
        assert send(strict).status == 200
    finally:
        strict.close()


def test_unknown_and_ambiguous_connections(instance: Instance, outbound: Outbound) -> None:
    connect(instance, "https://a.example")
    with pytest.raises(NotFound, match="x_test") as caught:
        outbound.connection("x_test.per")
    assert caught.value.hint == "Did you mean 'x_test.peer'?"
    with instance.records.read(SYSTEM) as transaction:
        alias = transaction.find("sys_alias", "id=x_test.peer")[0].sys_id
    create(instance, "http_connection", name="peer-2", connection_alias=alias)
    with pytest.raises(Conflict, match="several"):
        outbound.connection("x_test.peer")
    assert outbound.connection("peer-1").url == "https://a.example"


@pytest.mark.parametrize(
    ("fields", "credential", "text"),
    [
        ({"connection_url": ""}, {}, "no http or https URL"),
        ({"connection_url": "https://a.example"}, {"type": "basik"}, "has the type 'basik'"),
        ({"connection_url": "https://a.example"}, {"active": "false"}, "missing or inactive"),
        (
            {"connection_url": "https://a.example"},
            {"type": "webhook", "api_key": "https://b.example/x"},
            "another host",
        ),
        ({"connection_url": "https://a.example"}, {"type": "bearer"}, "cannot be used"),
    ],
)
def test_what_is_wrong_with_a_connection_is_said(
    instance: Instance,
    outbound: Outbound,
    fields: dict[str, str],
    credential: dict[str, str],
    text: str,
) -> None:
    if credential:
        values = {"name": "c", **credential}
        fields = {**fields, "credential": create(instance, "api_key_credentials", **values)}
    create(instance, "http_connection", name="c1", **fields)
    with pytest.raises(InvalidDefinition, match=text):
        outbound.connection("c1")


def test_an_agent_is_asked_for_where_the_connection_says_so(
    instance: Instance, outbound: Outbound
) -> None:
    connect(instance, "http://10.0.0.1", use_mid="true")
    connection = outbound.connection("x_test.peer")
    assert connection.mid_server == "any"
    with pytest.raises(Unavailable, match="MID server"):
        outbound.transport(connection)
