"""The wire: signatures, replay, generations and the words of administrators."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from midspan.api import create_app
from midspan.api.mid import MidParts, MidSigned, mid_routes
from midspan.ecc import EccQueue, Enrolments
from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.records import insert
from midspan.security import SYSTEM
from midspan_link import protocol, signing
from midspan_mid.identity import Identity

from .conftest import NUMBERS, introduction

PASSWORD = "correct horse"


class Wire:
    """The application, an identity, and requests signed as a test wants them."""

    def __init__(self, instance: Instance, runner: asyncio.Runner) -> None:
        self.clock = instance.clock
        self.enrolments = Enrolments(instance.records)
        self.queue = EccQueue(instance.records)
        self.routes = mid_routes(MidParts(self.enrolments, self.queue, instance.clock))
        self.app = create_app(replace(instance.api_parts(), extra_routes=self.routes))
        self.identity = Identity.generate()
        self.name = f"wire{next(NUMBERS)}"
        self.mid = ""
        self._runner = runner

    def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self._runner.run(self._send(method, path, **more))

    async def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://i.test") as client:
            return await client.request(method, path, **more)

    def enrol(self) -> None:
        code = self.enrolments.issue_code(self.name, SYSTEM).code
        body = protocol.encode(introduction(code, self.identity))
        answer = self.send("POST", f"{protocol.BASE}/enrol", content=body)
        self.mid = answer.json()["mid_sys_id"]

    def signed(self, body: bytes, *, nonce: str, generation: int = 1, late: int = 0) -> Any:
        path = f"{protocol.BASE}/poll"
        now = int(self.clock.now().timestamp()) - late
        envelope = signing.Envelope(self.mid, generation, now, nonce)
        content = signing.SignedContent("POST", path, body)
        return {
            "content": body,
            "headers": signing.sign(self.identity.signing_key, content, envelope),
        }

    def poll(self, **more: Any) -> httpx.Response:
        return self.send("POST", f"{protocol.BASE}/poll", **more)


@pytest.fixture
def wire(instance: Instance) -> Iterator[Wire]:
    with asyncio.Runner() as runner:
        made = Wire(instance, runner)
        made.enrol()
        yield made
        made.app.close()


def code_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


BODY = protocol.encode(protocol.PollRequest(1, ["T"], [], 0))


def test_each_request_counts_once(wire: Wire) -> None:
    request = wire.signed(BODY, nonce="a")
    first = wire.poll(**request)
    assert (first.status_code, first.json()["validated"]) == (200, False)
    assert code_of(wire.poll(**request)) == (401, protocol.CODE_REPLAY)
    assert wire.poll(**wire.signed(BODY, nonce="b")).status_code == 200


def test_no_other_node_and_no_later_start_accepts_a_request_again(
    wire: Wire, instance: Instance
) -> None:
    request = wire.signed(BODY, nonce="once")
    assert wire.poll(**request).status_code == 200
    with asyncio.Runner() as runner:
        other = Wire(instance, runner)
        assert code_of(other.poll(**request)) == (401, protocol.CODE_REPLAY)
        other.enrol()
        assert other.poll(**other.signed(BODY, nonce="once")).status_code == 200
        other.app.close()


def test_a_request_is_known_for_longer_than_it_would_be_accepted(
    wire: Wire, clock: ManualClock
) -> None:
    early = wire.signed(BODY, nonce="early", late=-119)
    assert wire.poll(**early).status_code == 200
    clock.advance(timedelta(seconds=238))
    wire.enrolments.forget_nonces()
    assert code_of(wire.poll(**early)) == (401, protocol.CODE_REPLAY)
    clock.advance(timedelta(seconds=130))
    assert wire.enrolments.forget_nonces() >= 1
    assert code_of(wire.poll(**early)) == (401, protocol.CODE_CLOCK)
    assert wire.enrolments.forget_nonces() == 0


def test_what_was_signed_is_what_counts(wire: Wire) -> None:
    request = wire.signed(BODY, nonce="c")
    other = {**request, "content": BODY + b" "}
    assert code_of(wire.poll(**other)) == (401, protocol.CODE_SIGNATURE)
    assert code_of(wire.poll(**wire.signed(BODY, nonce="d", late=121))) == (
        401,
        protocol.CODE_CLOCK,
    )
    assert code_of(wire.poll(**wire.signed(BODY, nonce="e", late=-121))) == (
        401,
        protocol.CODE_CLOCK,
    )
    assert wire.poll(**request).status_code == 200


def test_an_older_start_is_told_to_stop(wire: Wire) -> None:
    assert wire.poll(**wire.signed(BODY, nonce="f", generation=5)).status_code == 200
    refused = wire.poll(**wire.signed(BODY, nonce="g", generation=4))
    assert code_of(refused) == (403, protocol.CODE_GENERATION)
    wire.enrolments.withdraw(wire.name, SYSTEM)
    gone = wire.poll(**wire.signed(BODY, nonce="h", generation=5))
    assert code_of(gone) == (401, protocol.CODE_UNKNOWN_MID)


def test_malformed_and_foreign_messages_are_refused(wire: Wire) -> None:
    assert code_of(wire.poll(**wire.signed(b"{}", nonce="i")))[0] == 400
    foreign = protocol.encode(protocol.PollRequest(1, [], [], 0, protocol=2))
    assert code_of(wire.poll(**wire.signed(foreign, nonce="j"))) == (400, protocol.CODE_PROTOCOL)
    large = wire.poll(**wire.signed(b"x" * (1024 * 1024 + 1), nonce="k"))
    assert code_of(large) == (413, "too_large")


def test_every_route_of_agents_but_enrolment_wants_a_signature(wire: Wire) -> None:
    for route in wire.routes:
        if route.path.startswith(protocol.BASE) and route.name != "mid.enrol":
            assert isinstance(route.access, MidSigned)
            path = route.path.replace("{id}", "0" * 32).replace("{number}", "0")
            answer = wire.send(route.methods[0], path)
            assert code_of(answer) == (401, "malformed"), route.name


def test_administrators_issue_codes_list_and_validate(wire: Wire, instance: Instance) -> None:
    user = {"user_name": f"adm{next(NUMBERS)}", "user_password": PASSWORD, "active": "true"}
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        made = transaction.apply(insert("sys_user", user))
        (role,) = transaction.find("sys_user_role", "name=admin")
        transaction.apply(insert("sys_user_has_role", {"user": made.sys_id, "role": role.sys_id}))
    auth = (user["user_name"], PASSWORD)
    base = "/api/midspan/v1/mid"
    assert wire.send("GET", f"{base}/list").status_code == 401
    issued = wire.send("POST", f"{base}/code", json={"name": "by http"}, auth=auth)
    assert issued.status_code == 201
    code = issued.json()["result"]["code"]
    assert wire.enrolments.enrol(introduction(code)).name == "by http"
    said = wire.send("POST", f"{base}/validate", json={"name": "by http"}, auth=auth)
    assert said.json()["result"]["validated"] == "validated"
    listed = wire.send("GET", f"{base}/list", auth=auth).json()["result"]
    assert {row["name"]: row["validated"] for row in listed}["by http"] == "validated"
    wrong = wire.send("POST", f"{base}/validate", json={"name": "by htp"}, auth=auth)
    assert "by http" in wrong.text
    assert wire.send("POST", f"{base}/code", json={}, auth=auth).status_code == 400
