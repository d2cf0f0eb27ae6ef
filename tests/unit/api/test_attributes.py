"""Attributes of attachments: from the first to the last, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.unit.api.conftest import Site
from tests.unit.api.test_idempotency import site_of

from midspan.attachments import NewFile
from midspan.kernel.clock import ManualClock
from midspan.records import insert
from midspan.security import SYSTEM
from midspan.testing import open_instance

RECORD = "e" * 32


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def any_site(request: pytest.FixtureRequest) -> Iterator[Site]:
    database = request.getfixturevalue("new_database")() if request.param != "sqlite" else ""
    with (
        open_instance(database, clock=ManualClock()) as instance,
        site_of(instance) as site,
    ):
        with instance.records.write(SYSTEM, enforce=False) as records:
            records.apply(insert("incident", {}, sys_id=RECORD))
        yield site


@pytest.fixture
def path(any_site: Site) -> str:
    new = NewFile(table="incident", record=RECORD, name="a.png")
    sys_id = any_site.instance.attachments.write(SYSTEM, new, [b"x"])
    return f"/api/now/attachment/{sys_id}/attributes"


def send(site: Site, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
    return site.send(method, path, user="admin", json=body, headers=headers)


def pairs(site: Site, path: str) -> dict[str, str]:
    answer = send(site, "GET", path)
    assert answer.status_code == 200
    return {one["key"]: one["value"] for one in answer.json()["result"]}


def test_an_attribute_is_added_read_changed_and_deleted(any_site: Site, path: str) -> None:
    for key in ("b", "a", "ü x"):
        made = send(any_site, "POST", path, {"key": key, "value": f"first {key}"})
        assert made.status_code == 201
    assert list(pairs(any_site, path)) == ["a", "b", "ü x"]
    assert send(any_site, "GET", f"{path}/ü x").json() == {
        "result": {"key": "ü x", "value": "first ü x"}
    }
    changed = send(any_site, "PUT", f"{path}/a", {"value": "second"})
    assert changed.json() == {"result": {"key": "a", "value": "second"}}
    assert send(any_site, "DELETE", f"{path}/b").status_code == 204
    assert pairs(any_site, path) == {"a": "second", "ü x": "first ü x"}
    assert send(any_site, "DELETE", path).status_code == 204
    assert pairs(any_site, path) == {}


def test_a_key_is_there_once(any_site: Site, path: str) -> None:
    assert send(any_site, "POST", path, {"key": "k", "value": "1"}).status_code == 201
    again = send(any_site, "POST", path, {"key": "k", "value": "2"})
    assert again.status_code == 400
    assert again.json()["error"]["detail"] == "PUT changes its value."
    assert pairs(any_site, path) == {"k": "1"}


def test_a_write_that_comes_again_happens_once(any_site: Site, path: str) -> None:
    key = {"Idempotency-Key": path}
    for _ in range(2):
        answer = send(any_site, "POST", path, {"key": "k", "value": "1"}, **key)
        assert answer.status_code == 201


def test_attributes_go_with_their_attachment(any_site: Site, path: str) -> None:
    send(any_site, "POST", path, {"key": "k", "value": "1"})
    attachment = path.removesuffix("/attributes")
    assert send(any_site, "DELETE", attachment).status_code == 204
    sys_id = attachment.rpartition("/")[2]
    with any_site.instance.records.read(SYSTEM, enforce=False) as records:
        assert records.find("sys_attachment_attribute", f"sys_attachment={sys_id}") == []


@pytest.mark.parametrize(
    ("key", "value"),
    [("", "x"), ("x" * 256, "x"), ("..", "x"), ("a;b", "x"), ("a\nb", "x"), ("k", "x" * 4001)],
)
def test_what_no_attribute_can_be_is_refused(
    any_site: Site, path: str, key: str, value: str
) -> None:
    assert send(any_site, "POST", path, {"key": key, "value": value}).status_code == 400
    assert pairs(any_site, path) == {}


def test_there_are_not_more_than_a_hundred(any_site: Site, path: str) -> None:
    answers = [
        send(any_site, "POST", path, {"key": f"k{number}", "value": ""}).status_code
        for number in range(101)
    ]
    assert answers == [201] * 100 + [400]
