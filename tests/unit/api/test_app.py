"""Admission, limits, sessions and defects, through the whole application."""

from __future__ import annotations

import asyncio
import base64
import logging
import threading
from datetime import timedelta
from typing import Any

import httpx
import pytest
from tests.guard import GUARD
from tests.unit.site import PASSWORD

from midspan.api import Request, Response, Route, SignedIn
from midspan.api.request import KnownHeaders
from midspan.records import update
from midspan.security import SYSTEM

USER = "a" * 32
INCIDENT = f"/api/now/table/incident/{USER}"


def cookie_of(response: httpx.Response) -> str:
    return response.headers["set-cookie"].partition(";")[0]


def test_a_defect_shows_its_id_and_nothing_else(site: Any, caplog: Any) -> None:
    with caplog.at_level(logging.ERROR):
        answer = site.send("GET", "/api/t/boom", user="admin")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert answer.headers["x-transaction-id"] in answer.json()["error"]["detail"]
    assert "the secret of the server room" in caplog.text


def test_a_role_is_asked_for(site: Any) -> None:
    assert site.send("GET", "/api/t/admin", user="admin").text == "admin"
    refused = site.send("GET", "/api/t/admin", user="ann")
    assert refused.status_code == 403
    assert refused.json()["error"]["message"] == "User Not Authorized"
    assert site.send("GET", "/api/t/admin").status_code == 401


def test_where_the_handler_decides_wrong_credentials_are_still_wrong(site: Any) -> None:
    assert site.send("GET", "/api/t/open").text == "guest"
    assert site.send("GET", "/api/t/open", user="ann").text == "ann"
    wrong = site.send("GET", "/api/t/open", headers={"Authorization": "Basic YTpi"})
    assert wrong.status_code == 401


def test_long_bodies_pass_in_pieces_both_ways(site: Any) -> None:
    answer = site.send("POST", "/api/t/sizes", user="admin", content=b"x" * 12_000_000)
    assert answer.text == "12000000 bytes"
    assert site.send("POST", "/api/t/sizes", content=b"x").status_code == 401


def test_a_body_over_the_limit_is_refused(site: Any) -> None:
    answer = site.send(
        "POST", "/api/now/table/incident", user="admin", content=b" " * (10_485_760 + 1)
    )
    assert answer.status_code == 400
    assert answer.json()["error"] == {
        "message": "Exception while reading request",
        "detail": "Rejected large REST payload with content-length = 10485761 bytes."
        " Max allowed: 10485760 bytes.",
    }


def test_a_body_without_announced_length_is_cut_off_at_the_limit(site: Any) -> None:
    async def endless() -> Any:
        for _ in range(200):
            yield b" " * 100_000

    answer = site.send("POST", "/api/now/table/incident", user="admin", content=endless())
    assert answer.status_code == 400
    assert "Max allowed" in answer.json()["error"]["detail"]


def test_the_body_of_a_stranger_is_not_read(site: Any) -> None:
    read: list[int] = []

    async def counted() -> Any:
        for place in range(50):
            read.append(place)
            yield b"x" * 10_000

    assert site.send("POST", "/api/now/table/incident", content=counted()).status_code == 401
    assert not read


def test_too_many_parameters_are_refused(site: Any) -> None:
    query = "&".join(f"a{place}=1" for place in range(1_001))
    answer = site.send("GET", f"/api/now/table/incident?{query}", user="admin")
    assert answer.status_code == 400


def test_a_cookie_alone_reads_but_writes_only_with_its_token(site: Any) -> None:
    cookie = cookie_of(site.send("GET", INCIDENT, user="admin"))
    headers = {"Cookie": cookie}
    assert site.send("GET", INCIDENT, headers=headers).status_code == 200
    refused = site.send("PATCH", INCIDENT, headers=headers, json={"description": "x"})
    assert refused.status_code == 401
    assert refused.headers["x-is-logged-in"] == "true"
    headers["X-UserToken"] = refused.headers["x-usertoken-response"]
    assert len(headers["X-UserToken"]) == 72
    written = site.send("PATCH", INCIDENT, headers=headers, json={"description": "x"})
    assert written.status_code == 200


def test_an_overridden_get_by_cookie_needs_the_token_too(site: Any) -> None:
    cookie = cookie_of(site.send("GET", INCIDENT, user="admin"))
    headers = {"Cookie": cookie, "X-HTTP-Method-Override": "GET"}
    assert site.send("POST", INCIDENT, headers=headers).status_code == 401


def test_a_client_that_brings_a_cookie_gets_no_other(site: Any) -> None:
    headers = {"Cookie": "JSESSIONID=whatever"}
    answer = site.send("GET", INCIDENT, user="admin", headers=headers)
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("cookie", ["x", "v1:a:b", "", "v1:" + "0" * 32 + ":AAAA"])
def test_an_invented_cookie_is_nobody(site: Any, cookie: str) -> None:
    answer = site.send("GET", INCIDENT, headers={"Cookie": f"JSESSIONID={cookie}"})
    assert answer.status_code == 401


def test_each_answer_has_a_cookie_of_its_own_and_none_can_be_made_of_another(site: Any) -> None:
    """What is sealed is sealed once a second; only what was handed out opens it."""
    first, second = (cookie_of(site.send("GET", INCIDENT, user="admin")) for _ in range(2))
    sealed, number, proof = first.split(".")
    assert second.split(".")[0] == sealed
    assert second != first
    for cookie in (
        f"{sealed}.{number}x.{proof}",
        f"{sealed}.{second.split('.')[1]}.{proof}",
        sealed,
    ):
        assert site.send("GET", INCIDENT, headers={"Cookie": cookie}).status_code == 401
    assert site.send("GET", INCIDENT, headers={"Cookie": first}).status_code == 200


def test_sessions_end_after_half_an_hour_without_use(make_app: Any, site: Any) -> None:
    fresh = cookie_of(site.send("GET", INCIDENT, user="admin"))
    used = {"Cookie": cookie_of(site.send("GET", INCIDENT, user="admin"))}
    for _ in range(4):
        assert site.send("GET", INCIDENT, headers=used).status_code == 200
        site.instance.clock.advance(timedelta(minutes=10))
    assert site.send("GET", INCIDENT, headers=used).status_code == 200
    assert site.send("GET", INCIDENT, headers={"Cookie": fresh}).status_code == 401
    site.instance.clock.advance(timedelta(minutes=31))
    assert site.send("GET", INCIDENT, headers=used).status_code == 401


def test_the_session_of_a_locked_user_is_dead(site: Any) -> None:
    headers = {"Cookie": cookie_of(site.send("GET", "/api/t/open", user="ann"))}
    assert site.send("GET", "/api/t/open", headers=headers).text == "ann"
    lock(site, "true")
    try:
        assert site.send("GET", "/api/t/open", headers=headers).status_code == 401
        assert site.send("GET", "/api/t/open", user="ann").status_code == 401
    finally:
        lock(site, "false")


def lock(site: Any, value: str) -> None:
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(update("sys_user", USER, {"locked_out": value}))


def test_requests_beyond_the_waiting_room_are_turned_away(make_app: Any) -> None:
    entered, leave = threading.Event(), threading.Event()

    def wait(request: Request) -> Response:
        entered.set()
        assert leave.wait(GUARD)
        return Response(200)

    route = Route(
        name="wait", methods=("GET",), path="/api/t/wait", handler=wait, access=SignedIn()
    )
    site = make_app(extra_routes=(route,), threads=1, waiting=0)

    async def both() -> tuple[int, int]:
        first = asyncio.create_task(
            site._send("GET", "/api/t/wait", auth=("admin", "correct horse"))
        )
        await asyncio.to_thread(entered.wait, 10)
        second = await site._send("GET", "/api/t/wait", auth=("admin", "correct horse"))
        leave.set()
        return (await first).status_code, second.status_code

    assert site._runner.run(both()) == (200, 503)


@pytest.mark.parametrize(
    ("changes", "headers", "base"),
    [
        ({}, {"Host": "a.example:81"}, "http://a.example:81"),
        ({}, {"X-Forwarded-Host": "b.example"}, "http://inst.example.com"),
        ({"behind_proxy": True}, {"X-Forwarded-Host": "b.example"}, "http://b.example"),
        (
            {"behind_proxy": True},
            {
                "X-Forwarded-Host": "b.example, c.example",
                "X-Forwarded-Proto": "https",
                "X-Forwarded-Port": "8443",
            },
            "https://b.example:8443",
        ),
        ({"behind_proxy": True}, {"X-Forwarded-Proto": "ftp"}, "http://inst.example.com"),
        ({"public_url": "https://p.example/"}, {"Host": "x"}, "https://p.example"),
        ({"secure": True}, {}, "https://inst.example.com"),
    ],
)
def test_links_start_with_what_the_client_used(
    make_app: Any, changes: dict[str, Any], headers: dict[str, str], base: str
) -> None:
    path = f"{INCIDENT}?sysparm_fields=caller_id"
    answer = make_app(**changes).send("GET", path, user="admin", headers=headers)
    assert answer.json()["result"]["caller_id"]["link"] == f"{base}/api/now/table/sys_user/{USER}"
    assert ("Secure" in answer.headers["set-cookie"]) is base.startswith("https")
    assert ("strict-transport-security" in answer.headers) is base.startswith("https")


def test_a_host_that_is_no_host_is_not_repeated(site: Any) -> None:
    answer = site.send(
        "GET", f"{INCIDENT}?sysparm_fields=caller_id", user="admin", headers={"Host": "a<b>"}
    )
    assert "<b>" not in answer.text


def test_lifespan_runs_the_callbacks(make_app: Any) -> None:
    seen: list[str] = []
    site = make_app(
        on_startup=(lambda: seen.append("up"),), on_shutdown=(lambda: seen.append("down"),)
    )
    events = iter(["lifespan.startup", "lifespan.shutdown"])
    sent: list[str] = []

    async def receive() -> dict[str, Any]:
        return {"type": next(events)}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    site._runner.run(site.app({"type": "lifespan"}, receive, send))
    assert seen == ["up", "down"]
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_more_walks_than_a_database_joins_are_refused(site: Any) -> None:
    dictionary = site.instance.holder.current().dictionary
    names = [
        f"{one.name}.{two.name}.sys_id"
        for one in dictionary.table("incident").fields.values()
        if one.kind.reference and one.reference in dictionary
        for two in dictionary.table(one.reference).fields.values()
        if two.kind.reference and two.reference in dictionary
    ]
    path = f"/api/now/table/incident?sysparm_fields={','.join(names)}"
    answer = site.send("GET", path, user="admin")
    assert answer.status_code == 400
    assert "walks" in answer.json()["error"]["message"]


def test_every_table_reads_in_every_form(site: Any) -> None:
    tables = [table for table in site.instance.holder.current().dictionary if table.ws_access]
    assert len(tables) > 100
    for table in tables[::5]:
        for display in ("false", "true", "all"):
            path = f"/api/now/table/{table.name}?sysparm_limit=2&sysparm_display_value={display}"
            answer = site.send("GET", path, user="admin")
            assert answer.status_code == 200, f"{path} {answer.text}"


def test_of_headers_with_one_name_the_first_counts_in_any_case() -> None:
    pairs = [(b"x-one", b"a"), (b"x-two", b"\xe9"), (b"x-one", b"b")]
    headers = KnownHeaders({"type": "http", "headers": pairs})
    assert (headers["X-One"], headers.get("x-TWO"), headers.get("x-three", "")) == ("a", "é", "")
    assert "X-Two" in headers
    assert "x-three" not in headers
    assert headers.getlist("x-one") == ["a", "b"]
    assert [text for _, text in headers.items()] == ["a", "é", "b"]
    with pytest.raises(KeyError):
        headers["x-three"]


@pytest.mark.parametrize(
    ("length", "messages"),
    [
        (None, [(b"", True), (b"", True), (b"{}", False)]),  # chunked, and nothing to begin with
        (None, [(b"{", True), (b"", True), (b"}", True), (b"", False)]),
        (2, [(b"{}", True)]),  # word of the end may never come: the length is known
        (2, [(b"{", True), (b"}", True)]),
        (2, [(b"{}", False)]),
    ],
)
def test_a_body_is_read_however_it_comes(
    site: Any, length: int | None, messages: list[tuple[bytes, bool]]
) -> None:
    credentials = base64.b64encode(f"admin:{PASSWORD}".encode())
    headers = [(b"authorization", b"Basic " + credentials), (b"content-type", b"application/json")]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    left, sent = iter(messages), []

    async def receive() -> dict[str, Any]:
        body, more = next(left)
        return {"type": "http.request", "body": body, "more_body": more}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/now/table/incident",
        "raw_path": b"/api/now/table/incident",
        "query_string": b"sysparm_fields=sys_id",
        "headers": headers,
        "client": ("203.0.113.9", 4711),
        "server": ("inst.example.com", 80),
        "scheme": "http",
        "http_version": "1.1",
    }
    site._runner.run(site.app(scope, receive, send))
    assert sent[0]["status"] == 201
    assert next(left, None) is None
