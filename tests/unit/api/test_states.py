"""Reset and snapshots over HTTP: who may, and what becomes of requests that are under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from midspan.api.door import Door
from midspan.instance import Instance
from midspan.kernel.settings import Settings
from midspan.records import insert, update
from midspan.security import SYSTEM
from midspan.testing import open_instance

ADMIN = "6816f79cc0a8016401c5a33be04be441"
PASSWORD = "correct horse"
ANN = "a" * 32
RESET = "/api/midspan/v1/reset"
SNAPSHOTS = "/api/midspan/v1/snapshots"
INCIDENTS = "/api/now/table/incident"
Sending = Callable[..., httpx.Response]


def prepare(instance: Instance) -> None:
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        transaction.apply(update("sys_user", ADMIN, {"user_password": PASSWORD}))
        ann = {"sys_id": ANN, "user_name": "ann", "user_password": PASSWORD}
        transaction.apply(insert("sys_user", ann))
    instance.keep_start()


class Site:
    """An application whose requests run on one event loop, several at a time if wanted."""

    def __init__(self, instance: Instance, runner: asyncio.Runner) -> None:
        self.instance = instance
        self.app = instance.application()
        self.runner = runner

    def send(self, method: str, path: str, user: str = "admin", **more: Any) -> httpx.Response:
        return self.runner.run(self.sent(method, path, user, **more))

    async def sent(
        self, method: str, path: str, user: str = "admin", **more: Any
    ) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://inst") as client:
            auth = (user, PASSWORD) if user else None
            return await client.request(method, path, auth=auth, **more)

    def incidents(self) -> int:
        answer = self.send("GET", f"{INCIDENTS}?sysparm_fields=number")
        assert answer.status_code == 200
        return len(answer.json()["result"])


@pytest.fixture
def site() -> Iterator[Site]:
    with open_instance() as instance, asyncio.Runner() as runner:
        prepare(instance)
        made = Site(instance, runner)
        yield made
        made.app.close()


def test_back_to_the_start_and_to_snapshots(site: Site) -> None:
    assert site.send("POST", INCIDENTS, json={}).json()["result"]["number"] == "INC0010001"
    assert site.send("POST", SNAPSHOTS, json={"name": "one"}).status_code == 201
    site.send("POST", INCIDENTS, json={})
    answer = site.send("POST", RESET)
    assert answer.status_code == 200
    assert answer.json()["result"]["name"] == "start"
    assert site.incidents() == 0
    assert site.send("POST", f"{SNAPSHOTS}/one/restore").status_code == 200
    assert site.incidents() == 1
    shown = site.send("GET", SNAPSHOTS).json()["result"]
    assert [each["name"] for each in shown] == ["start", "one"]
    assert site.send("DELETE", f"{SNAPSHOTS}/one").json() == {"result": {"name": "one"}}
    gone = site.send("POST", f"{SNAPSHOTS}/one/restore")
    assert gone.status_code == 400
    assert gone.json()["error"]["message"] == "There is no snapshot one"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"nmae": "a"}', b'{"name": "../a"}', b'{"name": "start"}']
)
def test_a_snapshot_needs_a_name(site: Site, body: bytes) -> None:
    assert site.send("POST", SNAPSHOTS, content=body).status_code == 400
    assert len(site.send("GET", SNAPSHOTS).json()["result"]) == 1


def test_only_administrators(site: Site) -> None:
    site.send("POST", INCIDENTS, json={"short_description": "x"})
    for method, path in (
        ("POST", RESET),
        ("GET", SNAPSHOTS),
        ("POST", SNAPSHOTS),
        ("POST", f"{SNAPSHOTS}/start/restore"),
        ("DELETE", f"{SNAPSHOTS}/start"),
    ):
        assert site.send(method, path, user="ann").status_code == 403
        assert site.send(method, path, user="").status_code == 401
    assert site.incidents() == 1


def test_an_instance_that_was_not_started_for_it(tmp_path: Path) -> None:
    instance = Instance(Settings(data=tmp_path))
    prepare(instance)
    with asyncio.Runner() as runner:
        site = Site(instance, runner)
        refused = site.send("POST", RESET)
        assert refused.status_code == 409
        assert "--allow-reset" in refused.json()["error"]["detail"]
        assert site.send("GET", SNAPSHOTS).status_code == 409
        site.app.close()
    instance.close()


def test_sessions_of_before_are_dead(site: Site) -> None:
    answer = site.send("GET", INCIDENTS)
    cookie = {"Cookie": answer.headers["set-cookie"].partition(";")[0]}
    used = site.send("GET", INCIDENTS)
    row = {"Cookie": used.headers["set-cookie"].partition(";")[0]}
    assert site.send("GET", INCIDENTS, user="", headers=row).status_code == 200
    last = site.send("POST", RESET)
    for dead in (cookie, row, {"Cookie": last.headers["set-cookie"].partition(";")[0]}):
        assert site.send("GET", INCIDENTS, user="", headers=dead).status_code == 401
    fresh = site.send("GET", INCIDENTS)
    alive = {"Cookie": fresh.headers["set-cookie"].partition(";")[0]}
    assert site.send("GET", INCIDENTS, user="", headers=alive).status_code == 200


def test_pages_are_those_of_the_new_state(site: Site) -> None:
    """What is remembered of a reading is where its page ended, which a reset makes wrong."""
    for text in ("a", "b", "c"):
        site.send("POST", INCIDENTS, json={"short_description": text})
    site.send("POST", SNAPSHOTS, json={"name": "three"})
    site.send("POST", INCIDENTS, json={"short_description": "0"})
    query = "sysparm_query=ORDERBYshort_description&sysparm_fields=short_description"

    def page(offset: int) -> list[str]:
        path = f"{INCIDENTS}?{query}&sysparm_limit=2&sysparm_offset={offset}"
        return [each["short_description"] for each in site.send("GET", path).json()["result"]]

    assert page(0) == ["0", "a"]
    assert site.send("POST", f"{SNAPSHOTS}/three/restore").status_code == 200
    assert page(2) == ["c"], "not what lies behind the page of before"


def test_what_was_read_before_cannot_be_written_after(site: Site) -> None:
    """The body of the file arrives on both sides of the reset."""
    number = site.send("POST", INCIDENTS, json={"short_description": "x"}).json()["result"]
    site.send("POST", SNAPSHOTS, json={"name": "with"})
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def pieces() -> Any:
        yield b"before"
        begun.set()
        await go_on.wait()
        yield b"after"

    async def both() -> tuple[httpx.Response, httpx.Response]:
        path = (
            "/api/now/attachment/file?table_name=incident"
            f"&table_sys_id={number['sys_id']}&file_name=a.txt"
        )
        headers = {"Content-Type": "text/plain"}
        upload = asyncio.ensure_future(site.sent("POST", path, content=pieces(), headers=headers))
        await begun.wait()
        back = await site.sent("POST", f"{SNAPSHOTS}/with/restore")
        go_on.set()
        return back, await upload

    back, upload = site.runner.run(both())
    assert back.status_code == 200, "it did not wait for somebody who sends slowly"
    assert upload.status_code == 503
    assert upload.headers["retry-after"] == "1"
    assert "reset" in upload.text
    assert site.send("GET", "/api/now/attachment").json() == {"result": []}


def test_requests_under_way_end_before_and_others_begin_after(site: Site) -> None:
    """Many at once, with resets among them: nobody is refused, nobody sees a mixture.

    Each request of a batch adds one; a list that began before a reset has all of before, one that
    began after it has what was added since.
    """
    one = {"method": "POST", "url": INCIDENTS, "body": "e30=", "headers": []}
    parts = [{"id": str(number), **one} for number in range(3)]

    async def storm() -> tuple[list[httpx.Response], list[httpx.Response]]:
        sending: list[asyncio.Future[httpx.Response]] = []
        reading: list[asyncio.Future[httpx.Response]] = []
        for turn in range(40):
            body = {"batch_request_id": "1", "rest_requests": parts}
            sending.append(asyncio.ensure_future(site.sent("POST", "/api/now/batch", json=body)))
            path = f"{INCIDENTS}?sysparm_fields=number"
            reading.append(asyncio.ensure_future(site.sent("GET", path)))
            if turn % 8 == 7:
                sending.append(asyncio.ensure_future(site.sent("POST", RESET)))
            await asyncio.sleep(0)
        return await asyncio.gather(*sending), await asyncio.gather(*reading)

    written, read = site.runner.run(storm())
    assert {answer.status_code for answer in (*written, *read)} == {200}
    batches = [answer.json() for answer in written if "serviced_requests" in answer.text]
    codes = {part["status_code"] for batch in batches for part in batch["serviced_requests"]}
    assert codes == {201}
    numbers = [[each["number"] for each in answer.json()["result"]] for answer in read]
    for found in numbers:
        expected = [f"INC{10_001 + place:07d}" for place in range(len(found))]
        assert sorted(found) == expected, "from the first on, without a gap"
    assert site.send("POST", RESET).status_code == 200
    assert site.incidents() == 0


def test_the_door_waits_for_those_inside_and_keeps_others_out() -> None:
    events: list[str] = []

    async def visit(door: Door, name: str, go: asyncio.Event) -> None:
        await door.enter()
        events.append(f"{name} in")
        await go.wait()
        events.append(f"{name} out")
        door.leave()

    async def close(door: Door, limit: float) -> None:
        async with door.closed(limit):
            events.append("alone")

    async def scene(*, patient: bool) -> list[str]:
        events.clear()
        door, go = Door(), asyncio.Event()
        first = asyncio.ensure_future(visit(door, "first", go))
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(close(door, 60.0 if patient else 0.0))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(visit(door, "second", go))
        await asyncio.sleep(0)
        if not patient:
            await closing
        go.set()
        await asyncio.gather(first, closing, second)
        return events.copy()

    async def both() -> None:
        waited = await scene(patient=True)
        assert waited == ["first in", "first out", "alone", "second in", "second out"]
        cut_off = await scene(patient=False)
        assert cut_off[:2] == ["first in", "alone"], "it does not wait for ever"

    asyncio.run(both())
