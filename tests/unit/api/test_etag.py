"""ETags: what they depend on, what they do not, and writers who read the same record."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.unit.api.conftest import ADMIN, PASSWORD, Site
from tests.unit.api.test_idempotency import site_of

from midspan.kernel.clock import ManualClock
from midspan.records import insert, update
from midspan.security import SYSTEM
from midspan.testing import open_instance

RECORD = "e" * 32
PATH = f"/api/now/table/incident/{RECORD}"
CY = "c" * 32


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def any_site(request: pytest.FixtureRequest) -> Iterator[Site]:
    database = request.getfixturevalue("new_database")() if request.param != "sqlite" else ""
    with (
        open_instance(database, clock=ManualClock()) as instance,
        site_of(instance) as site,
    ):
        with instance.records.write(SYSTEM, enforce=False) as records:
            cy = {"user_name": "cy", "user_password": PASSWORD}
            records.apply(insert("sys_user", cy, sys_id=CY))
            values = {"short_description": "Old", "opened_by": CY}
            records.apply(insert("incident", values, sys_id=RECORD))
        yield site


def tag(site: Site, path: str = PATH, user: str = "admin") -> str:
    answer = site.send("GET", path, user=user)
    assert answer.status_code == 200
    return str(answer.headers["etag"])


def patch(site: Site, body: Any, match: str, path: str = PATH) -> httpx.Response:
    return site.send("PATCH", path, user="admin", json=body, headers={"If-Match": match})


def test_of_two_who_read_the_same_one_writes(any_site: Site) -> None:
    read = tag(any_site)
    first = patch(any_site, {"short_description": "First"}, read)
    assert first.status_code == 200
    assert first.headers["etag"] == tag(any_site)
    assert patch(any_site, {"short_description": "Second"}, read).status_code == 412
    again = patch(any_site, {"short_description": "Second"}, first.headers["etag"])
    assert again.status_code == 200
    assert again.json()["result"]["short_description"] == "Second"


def test_a_condition_is_about_the_fields_that_were_asked_for(any_site: Site) -> None:
    state = f"{PATH}?sysparm_fields=state"
    read = tag(any_site, state)
    any_site.send("PATCH", PATH, user="admin", json={"short_description": "Else"})
    assert patch(any_site, {"impact": "1"}, read, state).status_code == 200
    any_site.send("PATCH", PATH, user="admin", json={"state": "2"})
    assert patch(any_site, {"impact": "2"}, read, state).status_code == 412
    any_site.send("PATCH", PATH, user="admin", json={"state": "1"})


def test_what_one_may_not_read_changes_no_etag(any_site: Site) -> None:
    """Work notes are hidden from cy, who opened the incident; so are the user's roles to him."""
    fields = f"{PATH}?sysparm_fields=number,work_notes,work_notes_list,short_description"
    before, whole = tag(any_site, fields, "cy"), tag(any_site, fields)
    changed = {"work_notes_list": ADMIN}
    assert any_site.send("PATCH", PATH, user="admin", json=changed).status_code == 200
    assert tag(any_site, fields, "cy") == before
    assert tag(any_site, fields) != whole
    known = {"If-None-Match": before}
    assert any_site.send("GET", fields, user="cy", headers=known).status_code == 304


def test_what_is_shown_of_another_record_changes_the_etag(any_site: Site) -> None:
    shown = f"{PATH}?sysparm_fields=opened_by&sysparm_display_value=true"
    before = tag(any_site, shown)
    with any_site.instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(update("sys_user", CY, {"last_name": "New"}))
    assert tag(any_site, shown) != before


def test_of_many_at_once_one_writes(any_site: Site) -> None:
    """All have read the record; the lock lets them compare one after the other."""
    read = tag(any_site)
    answers: list[int] = []
    gate = threading.Barrier(4)

    def write(number: int) -> None:
        with asyncio.Runner() as runner:
            own = Site(any_site.instance, any_site.app, runner)
            gate.wait(60)
            answers.append(patch(own, {"short_description": f"W{number}"}, read).status_code)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 412, 412, 412]
