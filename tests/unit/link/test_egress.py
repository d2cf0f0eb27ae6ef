"""The egress guard: what is refused by default, what a rule opens, what a redirect loses."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midspan_link.authentication import authenticate, basic, bearer
from midspan_link.egress import EgressRules, checked_addresses
from midspan_link.errors import (
    EgressRefused,
    InvalidMessage,
    InvalidRule,
    LinkError,
    PeerUnavailable,
    RedirectRefused,
    ResponseTooLarge,
)
from midspan_link.http import HttpCall, HttpClient, HttpLimits, HttpReply
from midspan_link.protocol import Secret

Answer = Callable[[str, dict[str, str], bytes], str | bytes]


def _allows(rules: list[str], host: str, port: int, address: str, default: Any = "public") -> bool:
    parsed = EgressRules.parse(rules, default=default)
    return parsed.allows(host, port, ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "0.0.0.0",  # noqa: S104 - refused, not bound
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
    ],
)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    assert not _allows([], "name.example", 443, address)
    assert _allows([f"[{address}]" if ":" in address else address], "name.example", 443, address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_allowed_unless_the_default_is_none(address: str) -> None:
    assert _allows([], "name.example", 443, address)
    assert not _allows([], "name.example", 443, address, "none")
    assert _allows(["*.example:443"], "name.example", 443, address, "none")


def test_a_name_opens_private_addresses_and_never_the_metadata_service() -> None:
    rules = ["name.example:443"]
    assert _allows(rules, "Name.Example.", 443, "10.0.0.1")
    assert _allows(rules, "name.example", 443, "127.0.0.1")
    assert not _allows(rules, "name.example", 80, "10.0.0.1")
    assert not _allows(rules, "other.example", 443, "10.0.0.1")
    assert not _allows(rules, "name.example", 443, "169.254.169.254")


@given(st.ip_addresses())
def test_a_network_rule_holds_exactly_its_network(address: Any) -> None:
    inside = address in ipaddress.ip_network("10.0.0.0/8")
    plain = EgressRules.parse(["10.0.0.0/8"], default="none")
    assert plain.allows("x", 1, address) == inside or address.version == 6


@pytest.mark.parametrize(
    "line", ["", "a b", "http://x", "x:0", "x:1-", "x:9-1", "-x", "x:70000", "*"]
)
def test_rules_that_cannot_be_read_are_quoted(line: str) -> None:
    with pytest.raises(InvalidRule) as caught:
        EgressRules.parse([line])
    assert repr(line) in caught.value.message


def test_one_private_address_among_public_ones_refuses_the_name() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["8.8.8.8", "10.0.0.1"]

    with pytest.raises(EgressRefused, match=r"mixed\.example port 443 \(10\.0\.0\.1\)"):
        asyncio.run(checked_addresses(EgressRules(), "mixed.example", 443, resolve))


class Site:
    """A small HTTP server on 127.0.0.1 that notes what it got."""

    def __init__(self, answer: Answer) -> None:
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self.port = 0
        self._answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        method, path, _ = head[0].split(" ")
        self.seen.append((f"{method} {path}", headers, body))
        answer = self._answer(path, headers, body)
        writer.write(answer.encode() if isinstance(answer, str) else answer)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def _sites(*answers: Answer) -> Any:
    sites = [Site(answer) for answer in answers]
    servers = [await asyncio.start_server(site.serve, "127.0.0.1", 0) for site in sites]
    for site, server in zip(sites, servers, strict=True):
        site.port = server.sockets[0].getsockname()[1]
    try:
        yield sites
    finally:
        for server in servers:
            server.close()
            await server.wait_closed()


def _ok(path: str, headers: dict[str, str], body: bytes) -> str:
    return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def _moved(status: int, location: str) -> str:
    head = f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\n"
    return head + "Content-Length: 0\r\nConnection: close\r\n\r\n"


async def _local(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


def _run(work: Callable[[HttpClient], Awaitable[Any]], *rules: str, resolver: Any = _local) -> Any:
    async def scenario() -> Any:
        client = HttpClient(EgressRules.parse(rules), resolver=resolver)
        try:
            return await work(client)
        finally:
            await client.aclose()

    return asyncio.run(scenario())


def test_loopback_is_refused_by_default_and_opened_by_a_rule() -> None:
    async def work(client: HttpClient) -> HttpReply:
        async with _sites(_ok) as (site,):
            call = HttpCall("GET", f"http://intranet.example:{site.port}/x?y=1")
            reply = await client.send(call)
            assert site.seen[0][0] == "GET /x?y=1"
            assert site.seen[0][1]["host"] == f"intranet.example:{site.port}"
            return reply

    with pytest.raises(EgressRefused, match=r"intranet\.example"):
        _run(work)
    with pytest.raises(EgressRefused):
        _run(work, "10.0.0.0/8")
    assert _run(work, "127.0.0.0/8").body == b"ok"
    assert _run(work, "intranet.example").status == 200


def test_an_answer_that_changes_after_the_check_has_no_effect() -> None:
    """DNS rebinding: the second answer is private; the name is asked once per connection."""
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    async def work(client: HttpClient) -> None:
        async with _sites(_ok) as (site,):
            call = HttpCall("GET", f"http://rebind.example:{site.port}/")
            assert (await client.send(call)).status == 200
            assert asked == ["rebind.example"]
            with pytest.raises(EgressRefused, match=r"169\.254\.169\.254"):
                await client.send(call)

    _run(work, "rebind.example", resolver=rebinding)


@pytest.mark.parametrize("scheme", ["basic", "bearer", "api_key"])
def test_credentials_do_not_follow_to_another_host(scheme: str) -> None:
    async def work(client: HttpClient) -> None:
        async with _sites(_ok, _ok) as (first, second):
            there = f"http://two.example:{second.port}/there"
            first._answer = lambda path, headers, body: (
                _moved(302, "/again") if path == "/" else _moved(302, there)
            )
            secret = Secret(user="u", password="p", token="t0ken")
            call = HttpCall(
                "GET",
                f"http://one.example:{first.port}/",
                headers={"Cookie": "c=1", "X-Trace": "kept"},
                authentication=authenticate(scheme, secret),
            )
            assert (await client.send(call)).url == there
            name = "x-api-key" if scheme == "api_key" else "authorization"
            assert [name in headers for _, headers, _ in first.seen] == [True, True]
            (_, headers, _) = second.seen[0]
            assert name not in headers
            assert "cookie" not in headers
            assert headers["x-trace"] == "kept"
            assert headers["host"] == f"two.example:{second.port}"

    _run(work, "*.example")


def test_a_redirect_is_checked_like_a_first_request() -> None:
    async def work(client: HttpClient) -> None:
        async with _sites(lambda *_: _moved(302, "http://169.254.169.254/latest")) as (site,):
            await client.send(HttpCall("GET", f"http://one.example:{site.port}/"))

    with pytest.raises(EgressRefused, match=r"169\.254\.169\.254"):
        _run(work, "one.example")


@pytest.mark.parametrize(("status", "method"), [(301, "GET"), (303, "GET"), (307, "POST")])
def test_what_happens_to_a_body(status: int, method: str) -> None:
    async def work(client: HttpClient) -> None:
        def answer(path: str, headers: dict[str, str], body: bytes) -> str:
            return _moved(status, "/next") if path == "/" else _ok(path, headers, body)

        async with _sites(answer) as (site,):
            call = HttpCall("POST", f"http://one.example:{site.port}/", content=b"secret")
            await client.send(call)
            assert site.seen[1][0] == f"{method} /next"
            assert site.seen[1][2] == (b"secret" if method == "POST" else b"")

    _run(work, "one.example")


@pytest.mark.parametrize(
    ("location", "text"),
    [
        ("http://two.example:1/", "send the body to two.example"),
        ("/", "more than 5 times"),
    ],
)
def test_redirects_that_are_not_followed(location: str, text: str) -> None:
    async def work(client: HttpClient) -> None:
        async with _sites(lambda *_: _moved(307, location)) as (site,):
            call = HttpCall("POST", f"http://one.example:{site.port}/", content=b"secret")
            await client.send(call)

    with pytest.raises(RedirectRefused, match=text):
        _run(work, "*.example")


def test_a_large_answer_is_cut_off() -> None:
    def answer(path: str, headers: dict[str, str], body: bytes) -> str:
        return "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + "x" * 5000

    async def work(client: HttpClient) -> None:
        async with _sites(answer) as (site,):
            url = f"http://one.example:{site.port}/big?token=hidden"
            limits = HttpLimits(response_bytes=1000)
            with pytest.raises(ResponseTooLarge, match="more than 1000") as caught:
                await client.send(HttpCall("GET", url, limits=limits))
            assert "hidden" not in caught.value.message

    _run(work, "one.example")


def test_a_silent_peer_and_a_closed_port_are_unavailable() -> None:
    async def work(client: HttpClient) -> None:
        done = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await done.wait()
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        limits = HttpLimits(total=timedelta(milliseconds=50))
        with pytest.raises(PeerUnavailable, match=r"longer than 0\.05 s"):
            await client.send(HttpCall("GET", f"http://one.example:{port}/", limits=limits))
        done.set()
        server.close()
        await server.wait_closed()
        with pytest.raises(PeerUnavailable, match="ConnectError"):
            await client.send(HttpCall("GET", f"http://one.example:{port}/"))

    _run(work, "one.example")


@pytest.mark.parametrize(
    "url", ["ftp://x/", "http://", "http://u:p@x/", "/relative", "http://[::1"]
)
def test_addresses_that_are_no_web_address_are_refused(url: str) -> None:
    async def work(client: HttpClient) -> None:
        await client.send(HttpCall("GET", url))

    with pytest.raises(LinkError):
        _run(work)


def test_schemes_hide_their_secrets_and_refuse_misfits() -> None:
    shown = repr(basic(Secret(user="u", password="hunter2")))
    assert shown == "Authentication('basic', ['authorization'])"
    for scheme, secret, text in [
        ("basic", Secret(user="a:b"), "without a colon"),
        ("bearer", Secret(token="a\r\nX: y"), "no header can carry"),
        ("barer", Secret(), "Unknown authentication scheme"),
    ]:
        with pytest.raises(InvalidMessage, match=text):
            authenticate(scheme, secret)
    assert bearer(Secret(token="t")).headers == {"authorization": "Bearer t"}
