"""Prepared reads: what is remembered of a request never outlives what it was made from.

The clock stands still unless a test moves it, so nothing here comes from something that grew old.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from msgspec import Struct

from midspan.api import ApiParts, Application, Request, Response, Route, SignedIn, create_app
from midspan.api.request import SHORT
from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.records import delete, insert, update
from midspan.security import SYSTEM
from midspan.testing import open_instance

USER, RECORD, PASSWORD = "b" * 32, "c" * 32, "correct horse"
PATH = f"/api/now/table/incident/{RECORD}"
FIELDS = {"sysparm_fields": "number,short_description,u_shelf"}


class Desk(Struct):
    """An instance with its surface and a user of role itil who asks."""

    instance: Instance
    clock: ManualClock
    runner: asyncio.Runner
    app: Application

    def get(self, path: str = PATH, **more: Any) -> httpx.Response:
        return self.runner.run(self.ask(path, **more))

    async def ask(self, path: str = PATH, **more: Any) -> httpx.Response:
        more.setdefault("auth", ("bo", PASSWORD))
        more.setdefault("params", FIELDS)
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://desk") as client:
            return await client.get(path, **more)

    def write(self, table: str, values: dict[str, str]) -> Callable[[], None]:
        """Insert a record; return what deletes it again."""
        with self.instance.records.write(SYSTEM, enforce=False) as records:
            made = records.apply(insert(table, values)).sys_id
        return lambda: self.apply(delete(table, made))

    def apply(self, change: Any) -> None:
        with self.instance.records.write(SYSTEM, enforce=False) as records:
            records.apply(change)

    def role(self, name: str) -> str:
        with self.instance.records.read(SYSTEM, enforce=False) as records:
            found = records.first("sys_user_role", f"name={name}")
        assert found is not None
        return found.sys_id


def parts_of(instance: Instance, **more: Any) -> ApiParts:
    return ApiParts(
        records=instance.records,
        identities=instance.identities,
        clock=instance.clock,
        ids=instance.ids,
        **more,
    )


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def desk(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> Iterator[Desk]:
    url = new_database() if request.param == "postgresql" else ""
    clock = ManualClock()
    with open_instance(url, clock=clock) as instance, asyncio.Runner() as runner:
        app = create_app(parts_of(instance))
        made = Desk(instance, clock, runner, app)
        made.apply(insert("sys_user", {"user_name": "bo", "user_password": PASSWORD}, sys_id=USER))
        made.write("sys_user_has_role", {"user": USER, "role": made.role("itil")})
        made.apply(insert("incident", {"short_description": "The shelf fell"}, sys_id=RECORD))
        yield made
        app.close()


def test_a_changed_record_is_read_anew(desk: Desk) -> None:
    assert desk.get().json()["result"]["short_description"] == "The shelf fell"
    desk.apply(update("incident", RECORD, {"short_description": "It stands again"}))
    assert desk.get().json()["result"]["short_description"] == "It stands again"


def test_a_new_rule_hides_a_field_at_once(desk: Desk) -> None:
    assert "short_description" in desk.get().json()["result"]
    rule = {"name": "incident.short_description", "operation": "read", "type": "record"}
    undo = desk.write("sys_security_acl", {**rule, "active": "true", "condition": "active=maybe"})
    assert list(desk.get().json()["result"]) == ["number"]
    undo()
    assert "short_description" in desk.get().json()["result"]


def test_a_role_counts_as_long_as_it_is_held(desk: Desk) -> None:
    desk.apply(insert("sys_user", {"user_name": "cy", "user_password": PASSWORD}))
    assert desk.get(auth=("cy", PASSWORD)).status_code == 404
    with desk.instance.records.read(SYSTEM, enforce=False) as records:
        user = records.first("sys_user", "user_name=cy")
    assert user is not None
    undo = desk.write("sys_user_has_role", {"user": user.sys_id, "role": desk.role("itil")})
    assert desk.get(auth=("cy", PASSWORD)).status_code == 200
    undo()
    assert desk.get(auth=("cy", PASSWORD)).status_code == 404


def test_a_new_field_is_shown_at_once(desk: Desk) -> None:
    before = desk.get()
    assert "u_shelf" not in before.json()["result"]
    assert "u_shelf" in before.headers["x-midspan-warning"]
    desk.write(
        "sys_dictionary",
        {"name": "incident", "element": "u_shelf", "internal_type": "string"},
    )
    after = desk.get()
    assert after.json()["result"]["u_shelf"] == ""
    assert "x-midspan-warning" not in after.headers


def test_a_property_counts_at_once(desk: Desk) -> None:
    unknown = {"sysparm_feilds": "number"}
    assert desk.get(params=unknown).status_code == 200
    undo = desk.write("sys_properties", {"name": "midspan.rest.strict", "value": "true"})
    assert desk.get(params=unknown).status_code == 400
    undo()
    assert desk.get(params=unknown).status_code == 200


def test_a_rule_that_asks_the_time_is_asked_again(desk: Desk) -> None:
    later = "2026-01-31 09:00:00"
    assert desk.clock.now().isoformat() < "2026-01-31T09"
    desk.apply(update("incident", RECORD, {"opened_at": later}))
    rule = {"name": "incident", "operation": "read", "type": "record", "active": "true"}
    with desk.instance.records.read(SYSTEM, enforce=False) as records:
        usual = records.find("sys_security_acl", "name=incident^operation=read^active=true")
    for one in usual:
        desk.apply(update("sys_security_acl", one.sys_id, {"active": "false"}))
    undo = desk.write(
        "sys_security_acl", {**rule, "condition": "opened_at<=javascript:gs.nowDateTime()"}
    )
    assert desk.get().status_code == 404
    desk.clock.advance(timedelta(hours=1))
    assert desk.get().status_code == 200
    undo()
    for one in usual:
        desk.apply(update("sys_security_acl", one.sys_id, {"active": "true"}))


@pytest.mark.parametrize("more", [{}, {"sysparm_exclude_reference_link": "true"}])
def test_event_loop_and_thread_answer_alike(desk: Desk, more: dict[str, str]) -> None:
    """A session is looked up, which only a thread may do; a verified password is remembered."""
    desk.get()
    prompt = desk.get(params=more)
    cookie = {"Cookie": f"JSESSIONID={prompt.cookies['JSESSIONID']}"}
    threaded = desk.get(params=more, auth=None, headers=cookie)
    assert prompt.status_code == threaded.status_code == 200
    assert prompt.content == threaded.content


def test_what_is_remembered_of_a_request_is_its_own(desk: Desk) -> None:
    """Form, fields and warnings of one request say nothing about the next; nor does its length."""
    few, as_xml = {"sysparm_fields": "number"}, {"Accept": "application/xml"}
    long = {**few, "sysparm_feilds": "x" * SHORT}
    for _ in range(2):
        assert desk.get(headers=as_xml).content.startswith(b"<?xml")
        assert list(desk.get(params=few).json()["result"]) == ["number"]
        assert "sysparm_feilds" in desk.get(params=long).headers["x-midspan-warning"]
        assert desk.get(params=long, headers={"X-Midspan-Strict": "true"}).status_code == 400
        assert desk.get(headers={"Accept": "image/png"}).status_code == 406


def test_who_is_not_remembered_is_checked(desk: Desk) -> None:
    desk.get()
    assert desk.get(auth=("bo", "wrong horse")).status_code == 401
    assert desk.get(f"/api/now/table/incident/{'d' * 32}").status_code == 404
    assert desk.get(auth=None).status_code == 401


def test_a_short_read_needs_no_thread(desk: Desk) -> None:
    """On SQLite; on PostgreSQL the only thread is busy and nobody may wait, hence 503."""
    release, entered = threading.Event(), threading.Event()

    def hold(request: Request) -> Response:
        entered.set()
        release.wait(60)
        return Response(204)

    path = "/api/t/hold"
    route = Route(name="t.hold", methods=("GET",), path=path, handler=hold, access=SignedIn())
    app = create_app(parts_of(desk.instance, threads=1, waiting=0, extra_routes=(route,)))
    busy = Desk(desk.instance, desk.clock, desk.runner, app)

    async def both() -> tuple[int, int]:
        holding = asyncio.ensure_future(busy.ask(path))
        await asyncio.to_thread(entered.wait, 60)
        answered = await busy.ask()
        release.set()
        return answered.status_code, (await holding).status_code

    busy.get()
    prompt = desk.instance.database.single_writer
    assert desk.runner.run(both()) == (200 if prompt else 503, 204)
    app.close()
