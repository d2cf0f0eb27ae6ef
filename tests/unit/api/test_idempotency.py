"""``Idempotency-Key``: one effect for each key, whoever asks again, when, and on which node."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.api.conftest import ADMIN, PASSWORD, Site, parts_of

from midspan.api import create_app
from midspan.api.keptanswers import KEPT, TABLE, sweep
from midspan.dictionary import Table
from midspan.instance import KEY_FILE, Instance
from midspan.kernel.clock import ManualClock
from midspan.kernel.settings import Settings
from midspan.query import Query
from midspan.records import Draft, Operation, RecordTransaction, insert, update
from midspan.security import SYSTEM
from midspan.testing import open_instance

INCIDENTS = "/api/now/table/incident"
FILES = "/api/now/attachment"
TARGET = "e" * 32
OURS = frozenset({"x-transaction-id", "set-cookie", "idempotent-replayed"})
"""Headers that belong to one sending of a request, not to its answer."""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def any_site(request: pytest.FixtureRequest) -> Iterator[Site]:
    database = request.getfixturevalue("new_database")() if request.param != "sqlite" else ""
    with (
        open_instance(database, clock=ManualClock()) as instance,
        site_of(instance) as site,
    ):
        with instance.records.write(SYSTEM, enforce=False) as records:
            records.apply(insert("incident", {"short_description": "Old"}, sys_id=TARGET))
            cy = insert("sys_user", {"user_name": "cy", "user_password": PASSWORD})
            made = records.apply(cy)
            role = records.first("sys_user_role", "name=itil")
            assert role is not None
            given = {"user": made.sys_id, "role": role.sys_id}
            records.apply(insert("sys_user_has_role", given))
        yield site


def send(site: Site, method: str, path: str, key: str, **more: Any) -> httpx.Response:
    headers = {"Idempotency-Key": key, **more.pop("headers", {})}
    return site.send(method, path, user=more.pop("user", "admin"), headers=headers, **more)


def same(one: httpx.Response, other: httpx.Response) -> bool:
    def kept(response: httpx.Response) -> object:
        headers = {n: v for n, v in response.headers.items() if n not in OURS}
        return response.status_code, headers, response.content

    return kept(one) == kept(other)


def count(instance: Instance, table: str, query: str) -> int:
    with instance.records.read(SYSTEM, enforce=False) as records:
        return len(records.find(table, query))


def test_a_creation_that_comes_again_happens_once(any_site: Site) -> None:
    body = {"short_description": "Once", "correlation_id": "create"}
    first = send(any_site, "POST", INCIDENTS, "create", json=body)
    again = send(any_site, "POST", INCIDENTS, "create", json=body)
    assert first.status_code == 201
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert first.headers["location"].endswith(first.json()["result"]["sys_id"])
    assert same(first, again)
    assert count(any_site.instance, "incident", "correlation_id=create") == 1


def test_changes_and_deletions_come_once_too(any_site: Site) -> None:
    record = any_site.send("POST", INCIDENTS, user="admin", json={}).json()["result"]["sys_id"]
    path = f"{INCIDENTS}/{record}"
    note = {"work_notes": "Only one of these"}
    first = send(any_site, "PATCH", path, "note", json=note)
    assert first.status_code == 200
    assert same(first, send(any_site, "PATCH", path, "note", json=note))
    assert count(any_site.instance, "sys_journal_field", f"element_id={record}") == 1
    put = send(any_site, "PUT", path, "note", json={"state": "2"})
    assert put.status_code == 200, "another method is another route"
    gone = send(any_site, "DELETE", path, "end")
    assert gone.status_code == 204
    assert same(gone, send(any_site, "DELETE", path, "end"))
    assert any_site.send("DELETE", path, user="admin").status_code == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [(INCIDENTS, {"state": "2"}), (f"{INCIDENTS}?sysparm_fields=number", {"state": "1"})],
    ids=["body", "query"],
)
def test_another_request_with_the_key_is_refused(
    any_site: Site, path: str, body: dict[str, str]
) -> None:
    key = f"other-{path}-{body['state']}"
    assert send(any_site, "POST", INCIDENTS, key, json={"state": "1"}).status_code == 201
    other = send(any_site, "POST", path, key, json=body)
    assert other.status_code == 422
    assert other.json()["error"]["message"] == "Idempotency-Key was used before"


def test_keys_belong_to_a_user_and_a_route(any_site: Site) -> None:
    answers = [
        send(any_site, "POST", INCIDENTS, "shared", json={"impact": "1"}),
        send(any_site, "POST", INCIDENTS, "shared", json={"impact": "2"}, user="cy"),
        send(any_site, "POST", "/api/now/table/problem", "shared", json={"impact": "3"}),
    ]
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    assert len({answer.json()["result"]["sys_id"] for answer in answers}) == 3


def test_what_was_refused_is_tried_again(any_site: Site) -> None:
    path = f"{INCIDENTS}/{'d' * 31}9"
    assert send(any_site, "PATCH", path, "early", json={"impact": "1"}).status_code == 404
    with any_site.instance.records.write(SYSTEM, enforce=False) as records:
        if records.get("incident", "d" * 31 + "9") is None:
            records.apply(insert("incident", {}, sys_id="d" * 31 + "9"))
    assert send(any_site, "PATCH", path, "early", json={"impact": "1"}).status_code == 200


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "tab\there"])
def test_a_key_that_is_none_is_refused(site: Site, key: str) -> None:
    answer = send(site, "POST", INCIDENTS, key, json={})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "Idempotency-Key cannot be used"


def test_two_keys_are_none(site: Site) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    answer = site.send("POST", INCIDENTS, user="admin", json={}, headers=headers)
    assert answer.status_code == 400


def test_after_a_day_a_key_is_new_and_its_answer_is_taken_away(any_site: Site) -> None:
    instance, clock = any_site.instance, any_site.instance.clock
    assert isinstance(clock, ManualClock)
    first = send(any_site, "POST", INCIDENTS, "day", json={})
    clock.advance(KEPT - timedelta(seconds=1))
    assert same(first, send(any_site, "POST", INCIDENTS, "day", json={}))
    clock.advance(timedelta(seconds=1))
    later = send(any_site, "POST", INCIDENTS, "day", json={})
    assert later.status_code == 201
    assert later.json()["result"]["sys_id"] != first.json()["result"]["sys_id"]
    clock.advance(KEPT)
    send(any_site, "POST", INCIDENTS, "next day", json={})
    assert sweep(instance.records) > 0
    assert count(instance, TABLE, "") == 1
    assert sweep(instance.records) == 0


def test_the_sweeper_takes_old_answers_away() -> None:
    with open_instance(clock=ManualClock()) as instance:
        clock = instance.clock
        assert isinstance(clock, ManualClock)
        with site_of(instance) as site:
            send(site, "POST", INCIDENTS, "old", json={})
        clock.advance(KEPT)
        swept = threading.Event()
        instance.uploads._further = (*instance.uploads._further, swept.set)
        instance.start_work()
        assert swept.wait(60)
        assert count(instance, TABLE, "") == 0


def test_an_answer_is_kept_sealed_and_out_of_reach(any_site: Site) -> None:
    body = {"short_description": "For few eyes"}
    assert send(any_site, "POST", INCIDENTS, "sealed", json=body).status_code == 201
    with any_site.instance.records.read(SYSTEM, enforce=False) as records:
        stored = [row.get("answer") for row in records.find(TABLE, "")]
    assert stored
    assert not any("few eyes" in text for text in stored)
    assert any_site.send("GET", f"/api/now/table/{TABLE}", user="admin").status_code == 403


# Files


def attach(site: Site, key: str, content: bytes, name: str = "a.txt") -> httpx.Response:
    place = {"table_name": "incident", "table_sys_id": TARGET, "file_name": name}
    kind = {"Content-Type": "text/plain"}
    return send(site, "POST", f"{FILES}/file", key, params=place, content=content, headers=kind)


@pytest.mark.parametrize("size", [10, 2_000_000], ids=["short", "long"])
def test_a_file_is_attached_once(any_site: Site, size: int) -> None:
    name = f"{size}.txt"
    first = attach(any_site, name, b"x" * size, name)
    assert first.status_code == 201
    assert same(first, attach(any_site, name, b"x" * size, name))
    assert attach(any_site, name, b"y" * size, name).status_code == 422
    assert count(any_site.instance, "sys_attachment", f"file_name={name}") == 1
    assert count(any_site.instance, "sys_attachment_upload", "") == 0
    sys_id = first.json()["result"]["sys_id"]
    renamed = send(any_site, "PATCH", f"{FILES}/{sys_id}", "name", json={"file_name": "b.txt"})
    assert renamed.status_code == 204
    for _ in range(2):
        assert send(any_site, "DELETE", f"{FILES}/{sys_id}", "drop").status_code == 204


def test_a_form_is_taken_once_whatever_its_boundary(any_site: Site) -> None:
    def upload(content: bytes) -> httpx.Response:
        data = {"table_name": "incident", "table_sys_id": TARGET}
        files = {"uploadFile": ("form.txt", content, "text/plain")}
        return send(any_site, "POST", f"{FILES}/upload", "form", data=data, files=files)

    first = upload(b"one")
    assert first.status_code == 201
    assert same(first, upload(b"one"))
    assert upload(b"two").status_code == 422
    assert count(any_site.instance, "sys_attachment", "file_name=form.txt") == 1


def test_parts_of_a_batch_have_keys_of_their_own(any_site: Site) -> None:
    body = base64.b64encode(b'{"correlation_id":"part"}').decode()
    part = {
        "id": "a",
        "method": "POST",
        "url": INCIDENTS,
        "headers": [{"name": "Idempotency-Key", "value": "part"}],
        "body": body,
    }
    batch = {"rest_requests": [part, part]}
    answer = send(any_site, "POST", "/api/now/v1/batch", "whole", json=batch)
    served = answer.json()["serviced_requests"]
    assert [one["status_code"] for one in served] == [201, 201]
    assert served[0]["body"] == served[1]["body"]
    assert count(any_site.instance, "incident", "correlation_id=part") == 1
    assert answer.headers["x-midspan-warning"] == (
        "Idempotency-Key of a batch left out: give one to each part"
    )


# At the same time


class Held:
    """A hook that holds the incident it waits for, until it is let go."""

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self.entered = threading.Event()
        self.leave = threading.Event()

    def wants(self, table: Table, operation: Operation, transaction: RecordTransaction) -> bool:
        return table.name == "incident" and operation is Operation.INSERT

    def before(self, draft: Draft, transaction: RecordTransaction, *, late: bool) -> None:
        if late and draft.get("correlation_id") == self.mark:
            self.entered.set()
            assert self.leave.wait(60)

    def after(self, draft: Draft, transaction: RecordTransaction) -> None:
        """Do nothing."""

    def before_query(self, table: Table, query: Query, transaction: RecordTransaction) -> Query:
        return query


@contextmanager
def site_of(instance: Instance) -> Iterator[Site]:
    with instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(update("sys_user", ADMIN, {"user_password": PASSWORD}))
    with asyncio.Runner() as runner:
        app = create_app(parts_of(instance))
        yield Site(instance, app, runner)
        app.close()


def check_two_at_once(one: Site, other: Site) -> None:
    held = Held("twins")
    one.instance.records.hooks.append(held)
    body = {"correlation_id": "twins"}
    answers: list[httpx.Response] = []
    thread = threading.Thread(
        target=lambda: answers.append(send(one, "POST", INCIDENTS, "twins", json=body))
    )
    thread.start()
    try:
        assert held.entered.wait(60)
        meanwhile = send(other, "POST", INCIDENTS, "twins", json=body)
        assert meanwhile.status_code == 409
        assert meanwhile.headers["retry-after"] == "1"
        assert meanwhile.json()["error"]["message"] == "Idempotency-Key is in use"
    finally:
        held.leave.set()
        thread.join()
        one.instance.records.hooks.remove(held)
    assert answers[0].status_code == 201
    assert same(answers[0], send(other, "POST", INCIDENTS, "twins", json=body))
    assert count(one.instance, "incident", "correlation_id=twins") == 1


def check_second_waits(one: Site, other: Site) -> None:
    """Writes to SQLite queue: the second one finds the answer of the first."""
    held = Held("twins")
    one.instance.records.hooks.append(held)
    body = {"correlation_id": "twins"}
    with ThreadPoolExecutor(2) as pool:
        try:
            first = pool.submit(send, one, "POST", INCIDENTS, "twins", json=body)
            assert held.entered.wait(60)
            second = pool.submit(send, other, "POST", INCIDENTS, "twins", json=body)
        finally:
            held.leave.set()
        answers = first.result(), second.result()
    one.instance.records.hooks.remove(held)
    assert answers[0].status_code == 201
    assert same(*answers)
    assert count(one.instance, "incident", "correlation_id=twins") == 1


def test_two_at_once_have_one_effect(any_site: Site) -> None:
    check = check_two_at_once
    if any_site.instance.database.single_writer:
        check = check_second_waits
    with asyncio.Runner() as runner:
        check(any_site, Site(any_site.instance, any_site.app, runner))


def test_of_two_at_once_on_two_nodes_one_waits(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    homes, database = [tmp_path / "one", tmp_path / "two"], new_database()
    with ExitStack() as stack:
        nodes = []
        for home in homes:
            home.mkdir()
            if (homes[0] / KEY_FILE).exists():
                shutil.copy(homes[0] / KEY_FILE, home / KEY_FILE)
            settings = Settings(data=home, database=database, ephemeral=True)
            instance = Instance(settings, clock=ManualClock())
            stack.callback(instance.close)
            nodes.append(stack.enter_context(site_of(instance)))
        check_two_at_once(*nodes)


# After a crash

CRASH = """
import asyncio, json, os, sys
from pathlib import Path
import httpx
from midspan.api import ApiParts, create_app
from midspan.instance import KEY_FILE, Instance
from midspan.kernel.settings import Settings

folder, database, moment = sys.argv[1:]
instance = Instance(Settings(data=Path(folder), database=database))


class Fatal:
    def wants(self, table, operation, transaction):
        return table.name == "incident"

    def before(self, draft, transaction, *, late):
        pass

    def after(self, draft, transaction):
        if moment == "stored":
            os._exit(9)
        transaction.after_commit(lambda: os._exit(9))

    def before_query(self, table, query, transaction):
        return query


instance.records.hooks.append(Fatal())
parts = ApiParts(
    records=instance.records, identities=instance.identities, clock=instance.clock, ids=instance.ids
)


async def send():
    transport = httpx.ASGITransport(create_app(parts))
    async with httpx.AsyncClient(transport=transport, base_url="http://inst.example.com") as client:
        await client.post(
            "/api/now/table/incident", json={"correlation_id": "crash"},
            headers={"Idempotency-Key": "crash"}, auth=("admin", "correct horse"),
        )

asyncio.run(send())
"""


@pytest.mark.parametrize("moment", ["stored", "committed"])
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_after_a_crash_there_is_one_effect(
    kind: str, moment: str, tmp_path: Path, new_database: Callable[[], str]
) -> None:
    database = new_database() if kind == "postgresql" else ""
    settings = Settings(data=tmp_path / "data", database=database)

    def opened(stack: ExitStack) -> Site:
        instance = Instance(settings)
        stack.callback(instance.close)
        return stack.enter_context(site_of(instance))

    with ExitStack() as stack:
        opened(stack)
    died = subprocess.run(
        [sys.executable, "-c", CRASH, str(settings.data), database, moment],
        env=os.environ,
        timeout=120,
        check=False,
    )
    assert died.returncode == 9
    with ExitStack() as stack:
        site = opened(stack)
        before = count(site.instance, "incident", "correlation_id=crash")
        assert before == (1 if moment == "committed" else 0)
        answer = send(site, "POST", INCIDENTS, "crash", json={"correlation_id": "crash"})
        assert answer.status_code == 201
        assert ("idempotent-replayed" in answer.headers) is (moment == "committed")
        assert count(site.instance, "incident", "correlation_id=crash") == 1
        found = json.loads(answer.content)["result"]["correlation_id"]
        assert found == "crash"


def test_a_reset_drops_what_is_kept() -> None:
    with open_instance() as instance:
        with instance.records.write(SYSTEM, enforce=False) as records:
            records.apply(update("sys_user", ADMIN, {"user_password": PASSWORD}))
        instance.keep_start()
        with site_of(instance) as site:
            first = send(site, "POST", INCIDENTS, "reset", json={})
            instance.reset()
            again = send(site, "POST", INCIDENTS, "reset", json={})
            assert again.status_code == 201
            assert "idempotent-replayed" not in again.headers
            assert first.json()["result"]["sys_id"] != again.json()["result"]["sys_id"]
