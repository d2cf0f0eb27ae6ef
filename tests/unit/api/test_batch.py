"""The Batch API beyond its wire cases: whose requests parts are, and where a batch ends."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import orjson
import pytest
from tests.unit.api.conftest import EXTRA, USER, Site

from midspan.api import Request, Response, Route, SignedIn, batch
from midspan.kernel.clock import ManualClock

PATH = "/api/now/v1/batch"


def part(url: str, method: str = "GET", **more: Any) -> dict[str, Any]:
    return {"id": more.pop("id", "a"), "method": method, "url": url, **more}


def encoded(body: bytes) -> str:
    return base64.b64encode(body).decode()


def decoded(entry: dict[str, Any]) -> Any:
    return orjson.loads(base64.b64decode(entry["body"]))


def send(site: Site, *parts: dict[str, Any], user: str = "ann", **more: Any) -> dict[str, Any]:
    answer = site.send("POST", PATH, user=user, json={"rest_requests": parts}, **more)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def waiting(request: Request) -> Response:
    clock = request.parts.clock
    assert isinstance(clock, ManualClock)
    clock.advance(timedelta(seconds=20))
    return Response(200, b"late", "text/plain")


LATE = Route(
    name="t.late", methods=("GET",), path="/api/t/late", handler=waiting, access=SignedIn()
)


def from_where(request: Request) -> Response:
    return Response(200, request.address.encode(), "text/plain")


WHERE = Route(
    name="t.where", methods=("GET",), path="/api/t/where", handler=from_where, access=SignedIn()
)


@pytest.fixture
def extended(make_app: Callable[..., Site]) -> Site:
    return make_app(extra_routes=(*EXTRA, LATE, WHERE))


def test_parts_read_and_write_one_after_the_other(site: Site) -> None:
    created = part(
        "/api/now/table/incident?sysparm_fields=short_description",
        "POST",
        body=encoded(b"{'short_description':'of a batch'}"),
    )
    query = "/api/now/table/incident?sysparm_query=short_description=of a batch"
    listed = part(f"{query}&sysparm_fields=short_description", id="b")
    first, second = send(site, created, listed, user="admin")["serviced_requests"]
    assert first["status_code"] == 201
    location = {header["name"]: header["value"] for header in first["headers"]}["Location"]
    assert location.startswith("http://inst.example.com/api/now/table/incident/")
    assert decoded(second)["result"] == [{"short_description": "of a batch"}]
    (gone,) = send(site, part(location, "DELETE"), user="admin")["serviced_requests"]
    assert (gone["status_code"], gone["status_text"], gone["body"]) == (204, "No Content", "")


def test_parts_are_requests_of_the_caller_whatever_they_carry(extended: Site) -> None:
    admin = encoded(b"admin:correct horse")
    whoami = part(
        "/api/t/open?access_token=x",
        headers=[
            {"name": "Authorization", "value": f"Basic {admin}"},
            {"name": "Cookie", "value": "JSESSIONID=x"},
            {"name": "X-Forwarded-Host", "value": "elsewhere"},
            {"name": "Host", "value": "elsewhere"},
        ],
    )
    entries = send(extended, whoami, part("/api/t/admin"))["serviced_requests"]
    assert base64.b64decode(entries[0]["body"]) == b"ann"
    assert entries[1]["status_code"] == 403
    names = {header["name"] for header in entries[0]["headers"]}
    assert "Set-Cookie" not in names
    assert "X-Transaction-Id" in names


def test_parts_come_from_where_the_batch_came_from(extended: Site) -> None:
    direct = extended.send("GET", "/api/t/where", user="ann").content
    (entry,) = send(extended, part("/api/t/where"))["serviced_requests"]
    assert base64.b64decode(entry["body"]) == direct
    assert direct == b"127.0.0.1"


def test_identity_does_not_outlive_the_batch(extended: Site) -> None:
    send(extended, part("/api/t/open"), user="admin")
    assert extended.send("GET", "/api/t/open").content == b"guest"


def test_a_session_needs_its_token_once(extended: Site) -> None:
    first = extended.send("GET", "/api/now/table/incident", user="ann")
    cookies = {"Cookie": first.headers["set-cookie"].partition(";")[0]}
    wish = {"rest_requests": [part("/api/t/sizes", "POST", body=encoded(b"12345"))]}
    refused = extended.send("POST", PATH, json=wish, headers=cookies)
    assert refused.status_code == 401
    token = refused.headers["x-usertoken-response"]
    answer = extended.send("POST", PATH, json=wish, headers={**cookies, "X-UserToken": token})
    (entry,) = answer.json()["serviced_requests"]
    assert base64.b64decode(entry["body"]) == b"5 bytes"


def test_a_defect_in_a_part_stays_in_it(extended: Site) -> None:
    entries = send(extended, part("/api/t/boom"), part("/api/t/open"))["serviced_requests"]
    assert [entry["status_code"] for entry in entries] == [500, 200]
    assert b"secret" not in base64.b64decode(entries[0]["body"])


def test_no_part_begins_after_the_time_limit(extended: Site) -> None:
    parts = [part("/api/t/late", id=str(number)) for number in range(4)]
    answer = send(extended, *parts)
    assert [entry["id"] for entry in answer["serviced_requests"]] == ["0", "1"]
    assert [entry["execution_time"] for entry in answer["serviced_requests"]] == [20_000, 20_000]
    assert answer["unserviced_requests"] == ["2", "3"]


def test_parts_beyond_number_and_size_are_not_begun(
    extended: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [part("/api/t/open", id=str(number)) for number in range(5)]
    monkeypatch.setattr(batch, "MOST_PARTS", 3)
    assert send(extended, *parts)["unserviced_requests"] == ["3", "4"]
    monkeypatch.setattr(batch, "LARGEST_ANSWER", 6)
    answer = send(extended, *parts)
    assert len(answer["serviced_requests"]) == 2
    assert answer["unserviced_requests"] == ["2", "3", "4"]


def test_a_write_with_too_long_an_answer_keeps_its_status(site: Site) -> None:
    path = f"/api/now/table/incident/{USER}?sysparm_fields=sys_id"
    change = part(path, "PATCH", body=encoded(b'{"short_description":"done"}'))
    more = {"headers": {"X-BATCHREQUEST-MAX-OUTPUT-SIZE": "10"}}
    (entry,) = send(site, change, user="admin", **more)["serviced_requests"]
    assert (entry["status_code"], entry["body"]) == (200, "")
    assert "Max allowed: 10 bytes" in entry["error_message"]
    shown = site.send("GET", f"/api/now/table/incident/{USER}", user="admin")
    assert shown.json()["result"]["short_description"] == "done"


@pytest.mark.parametrize(
    "wrong",
    [
        7,
        {},
        {"id": {"x": 1}, "method": "GET", "url": 5},
        {"id": "a", "method": "G T", "url": "/api/now/table/incident"},
        {"id": "a", "method": "GET", "url": "http://elsewhere/api/now/table/incident"},
        {"id": "a", "method": "GET", "url": "/api/now/../now/batch"},
        {"id": "a", "method": "GET", "url": "/api/now%2fbatch"},
        {"id": "a", "method": "POST", "url": "/api/now/v2/batch/", "body": "e30="},
        {"id": "a", "method": "GET", "url": "/api/now/table/incident?a=%00", "headers": [7]},
        {"id": "a", "method": "FOO", "url": "/api/now/table/incident", "headers": "x"},
    ],
)
def test_a_wrong_part_is_refused_in_its_place(site: Site, wrong: Any) -> None:
    entries = send(site, wrong, part("/api/now/table/incident"))["serviced_requests"]
    assert entries[0]["status_code"] in (400, 405)
    assert decoded(entries[0])["status"] == "failure"
    assert entries[1]["status_code"] == 200
