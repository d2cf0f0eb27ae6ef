"""API keys: made once, stored hashed, good for what their user may do."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from midspan.kernel.telemetry import JsonFormatter

from .conftest import ADMINISTRATORS, WHO, Site

MAKE = "/api/midspan/v1/api-keys"
CHOSEN = "a key of twenty-four characters"


@pytest.fixture
def key(site: Site, ann: str) -> Iterator[dict[str, Any]]:
    body = {"user": "ann", "name": "Key of Ann"}
    answer = site.send("POST", MAKE, user="admin", json=body)
    assert answer.status_code == 201, answer.text
    made = answer.json()["result"]
    yield made
    if site.rows("api_key", f"sys_id={made['sys_id']}"):
        site.remove("api_key", made["sys_id"])


def status(site: Site, key: str, path: str = WHO, **headers: str) -> int:
    return site.send("GET", path, headers={"x-sn-apikey": key, **headers}).status_code


def test_a_key_acts_as_its_user(site: Site, key: dict[str, Any], ann: str) -> None:
    answer = site.send("GET", WHO, headers={"X-SN-APIKEY": key["key"]})
    assert answer.json() == {"result": [{"user_name": "ann"}]}
    assert "set-cookie" not in answer.headers, "a session would outlive the key"
    assert status(site, key["key"], ADMINISTRATORS) == 403
    written = site.send(
        "POST",
        "/api/now/table/sys_user_preference",
        headers={"x-sn-apikey": key["key"]},
        json={"name": "x", "user": ann},
    )
    assert written.status_code == 201, "no CSRF token is asked for"
    site.remove("sys_user_preference", written.json()["result"]["sys_id"])


@pytest.mark.parametrize("wrong", ["", "x", "é", "y" * 5000])
def test_another_key_is_refused(site: Site, key: dict[str, Any], wrong: str) -> None:
    answer = site.send("GET", WHO, headers={"x-sn-apikey": wrong.encode()})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'BASIC realm="Service-now"'
    both = site.send("GET", WHO, user="ann", headers={"x-sn-apikey": wrong.encode()})
    assert both.status_code == 401, "a wrong key is not made good by other credentials"


def test_a_key_ends(site: Site, key: dict[str, Any], ann: str) -> None:
    row, token = key["sys_id"], key["key"]
    site.change("api_key", row, active="false")
    assert status(site, token) == 401
    site.change("api_key", row, active="true")
    assert status(site, token) == 200
    soon = site.clock.now() + timedelta(minutes=1)
    site.change("api_key", row, expires=f"{soon:%Y-%m-%d %H:%M:%S}")
    assert status(site, token) == 200
    site.clock.advance(timedelta(minutes=1))
    assert status(site, token) == 401
    site.change("api_key", row, expires="")
    site.change("sys_user", ann, locked_out="true")
    assert status(site, token) == 401
    site.change("sys_user", ann, locked_out="false", user_password="another horse")
    assert status(site, token) == 200, "a key has nothing to do with the password"
    site.remove("api_key", row)
    assert status(site, token) == 401


def test_a_key_may_be_chosen_through_the_table_api(site: Site, ann: str) -> None:
    path, values = "/api/now/table/api_key", {"name": "Mine", "user": ann, "token": CHOSEN}
    made = site.send("POST", path, user="admin", json=values)
    assert made.status_code == 201
    assert CHOSEN not in made.text
    row = made.json()["result"]["sys_id"]
    assert status(site, CHOSEN) == 200
    other = "another key of more than 24"
    changed = site.send("PATCH", f"{path}/{row}", user="admin", json={"token": other})
    assert changed.status_code == 200
    assert (status(site, CHOSEN), status(site, other)) == (401, 200)
    assert site.send("PATCH", f"{path}/{row}", user="admin", json={"name": "Ours"}).is_success
    assert status(site, other) == 200
    short = site.send("POST", path, user="admin", json={**values, "token": "short"})
    assert short.status_code == 400
    twice = site.send("POST", path, user="admin", json={**values, "token": other})
    assert twice.status_code == 403
    site.remove("api_key", row)


def test_the_database_and_the_log_hold_no_key(site: Site, key: dict[str, Any], caplog: Any) -> None:
    with caplog.at_level(logging.DEBUG, logger="midspan"):
        assert status(site, key["key"]) == 200
        assert status(site, key["key"] + "x") == 401
    lines = "".join(JsonFormatter().format(record) for record in caplog.records)
    rows = site.rows("api_key") + site.rows("sys_audit")
    everything = repr([row.values for row in rows])
    assert key["sys_id"] in everything
    assert key["key"] not in everything + lines


def test_only_administrators_see_and_make_keys(site: Site, key: dict[str, Any]) -> None:
    body = {"user": "ann", "name": "Mine"}
    assert site.send("POST", MAKE, user="ann", json=body).status_code == 403
    assert site.send("POST", MAKE, json=body).status_code == 401
    seen = site.send("GET", "/api/now/table/api_key", user="ann")
    assert key["sys_id"] not in seen.text
    made = site.send("POST", "/api/now/table/api_key", user="ann", json={**body, "token": CHOSEN})
    assert made.status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"user": "ann"},
        {"user": "nobody.here", "name": "x"},
        {"user": "ann^ORuser_name=admin", "name": "x"},
        {"user": "", "name": "x"},
        {"user": "a\0nn", "name": "x"},
        {"user": "ann", "name": "x", "expires": "soon"},
        {"user": "ann", "name": "x", "token": CHOSEN},
        [],
    ],
)
def test_a_key_needs_a_user_and_a_name(site: Site, ann: str, body: Any) -> None:
    assert site.send("POST", MAKE, user="admin", json=body).status_code == 400
