"""Guessing is slowed down the same way for every name, on every node, and locks nobody out."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from midspan.api import create_app
from midspan.kernel.errors import NotAuthenticated
from midspan.records import RIGHTS
from midspan.security import Identities, Passwords, SignInDelayed
from midspan.security.throttle import ADDRESS, NAME, PAIR

from .conftest import PASSWORD, WHO, Site

STRANGER, OWNER = ("198.51.100.7", 1), ("203.0.113.20", 1)


@pytest.fixture(autouse=True)
def later(site: Site, ann: str) -> Iterator[None]:
    """Each test begins long after the one before."""
    site.clock.advance(timedelta(days=40))
    yield
    site.clock.advance(timedelta(days=40))


def basic(site: Site, name: str, password: str, client: Any = STRANGER) -> httpx.Response:
    pair = base64.b64encode(f"{name}:{password}".encode()).decode()
    return site.send("GET", WHO, headers={"Authorization": f"Basic {pair}"}, client=client)


def guess(site: Site, name: str, times: int, client: Any = STRANGER) -> list[int]:
    return [basic(site, name, f"guess {n}", client).status_code for n in range(times)]


@pytest.mark.parametrize("name", ["ann", "nobody.here"])
def test_after_ten_failures_one_a_minute_whether_the_name_exists_or_not(
    site: Site, name: str
) -> None:
    assert guess(site, name, PAIR.burst + 2) == [401] * PAIR.burst + [429] * 2
    told = basic(site, name.upper(), "guess")
    assert told.status_code == 429, "another spelling is the same name"
    assert told.headers["retry-after"] == "60"
    assert told.json()["error"] == {
        "message": "Too many failed sign-ins", "detail": "Try again in 60 seconds"
    }  # fmt: skip
    site.clock.advance(timedelta(seconds=59))
    assert basic(site, name, "guess").headers["retry-after"] == "1"
    site.clock.advance(timedelta(seconds=1))
    assert guess(site, name, 2) == [401, 429]


def test_even_the_right_password_waits_and_then_is_forgiven(site: Site) -> None:
    guess(site, "ann", PAIR.burst)
    assert basic(site, "ann", PASSWORD).status_code == 429
    site.clock.advance(timedelta(seconds=PAIR.pause))
    assert basic(site, "ann", PASSWORD).status_code == 200
    assert guess(site, "ann", PAIR.burst) == [401] * PAIR.burst


def test_a_stranger_keeps_nobody_out(site: Site) -> None:
    assert guess(site, "ann", PAIR.burst + 1)[-1] == 429
    assert basic(site, "ann", PASSWORD, OWNER).status_code == 200


def test_strangers_at_many_addresses_do_not_keep_the_owner_out(site: Site) -> None:
    assert basic(site, "ann", PASSWORD, OWNER).status_code == 200
    throttle = site.instance.identities.throttle
    for n in range(NAME.burst):
        throttle.failed("ann", f"192.0.2.{n}")
    site.instance.identities.forget()
    with pytest.raises(SignInDelayed):
        throttle.check("ann", "192.0.2.250")
    assert basic(site, "ann", PASSWORD, OWNER).status_code == 200


def test_one_address_does_not_try_many_names(site: Site) -> None:
    throttle = site.instance.identities.throttle
    for n in range(ADDRESS.burst):
        throttle.failed(f"name{n}", STRANGER[0])
    answer = basic(site, "ann", PASSWORD)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, str(ADDRESS.pause))


def test_neighbours_in_one_network_of_ipv6_are_one(site: Site) -> None:
    for n in range(PAIR.burst):
        assert guess(site, "ann", 1, (f"2001:db8:1:2::{n}", 1)) == [401]
    assert guess(site, "ann", 1, ("2001:db8:1:2:ffff::1", 1)) == [429]
    assert guess(site, "ann", 1, ("2001:db8:1:3::1", 1)) == [401]


def test_every_node_counts_the_same(site: Site) -> None:
    database, clock = site.instance.database, site.clock
    nodes = [Identities(database, clock, Passwords()) for _ in range(2)]
    rights = site.instance.holder.current().part(RIGHTS)
    for n in range(PAIR.burst):
        with pytest.raises(NotAuthenticated):
            nodes[n % 2].sign_in("ann", f"guess {n}", rights, address="x")
    for node in nodes:
        with pytest.raises(SignInDelayed):
            node.sign_in("ann", PASSWORD, rights, address="x")


def test_form_and_token_endpoint_count_too(site: Site) -> None:
    form = {"user_name": "ann", "user_password": "wrong"}
    for _ in range(PAIR.burst):
        assert site.send("POST", "/login", data=form).status_code == 401
    shown = site.send("POST", "/login", data={**form, "user_password": PASSWORD})
    assert (shown.status_code, shown.headers["retry-after"]) == (429, "60")
    assert "Try again in 60 seconds" in shown.text
    assert "set-cookie" not in shown.headers
    asked = site.token(grant_type="password", username="ann", password=PASSWORD)
    assert (asked.status_code, asked.headers["retry-after"]) == (429, "60")
    assert set(asked.json()) == {"error", "error_description"}


def test_secrets_of_clients_are_not_guessed_either(site: Site) -> None:
    for _ in range(PAIR.burst):
        wrong = site.token(grant_type="client_credentials", client_secret="wrong")
        assert wrong.status_code == 401
    assert site.token(grant_type="password", username="ann", password=PASSWORD).status_code == 429
    other = {"client_id": "other", "client_secret": "another secret"}
    given = {"grant_type": "password", "username": "ann", "password": PASSWORD}
    assert site.token(**given, **other).status_code == 200
    site.clock.advance(timedelta(seconds=PAIR.pause))
    assert site.token(**given).status_code == 200


def test_wrong_passwords_do_not_count_against_the_client(site: Site) -> None:
    for n in range(PAIR.burst):
        site.token(grant_type="password", username=f"u{n}", password="wrong")
    assert site.token(grant_type="password", username="ann", password=PASSWORD).status_code == 200


def test_behind_a_proxy_its_word_counts_and_elsewhere_nobodys(site: Site) -> None:
    for n in range(PAIR.burst):
        headers = {"X-Forwarded-For": f"192.0.2.{n}"}
        site.send("GET", WHO, auth=("ann", f"guess {n}"), headers=headers, client=STRANGER)
    assert guess(site, "ann", 1) == [429], "whoever invents addresses gains nothing"
    from dataclasses import replace  # noqa: PLC0415

    app = create_app(replace(site.instance.api_parts(), behind_proxy=True))
    proxied = Site(site.instance, app, site._runner)
    for forwarded, status in (("198.51.100.7", 429), ("198.51.100.7, 192.0.2.99", 401)):
        headers = {"X-Forwarded-For": forwarded}
        answer = proxied.send("GET", WHO, auth=("ann", "guess"), headers=headers, client=OWNER)
        assert answer.status_code == status
    app.close()


def test_an_unknown_name_costs_the_same_work(site: Site) -> None:
    """One hash each, of the same cost: time does not tell which names exist."""

    class Counting(Passwords):
        seen: list[str | None]

        def verify(self, stored: str | None, password: str) -> bool:
            self.seen.append(stored)
            return super().verify(stored, password)

    passwords = Counting()
    rights = site.instance.holder.current().part(RIGHTS)
    identities = Identities(site.instance.database, site.clock, passwords)
    site.change("sys_user", site.add("sys_user", user_name="shut", user_password=PASSWORD), locked_out="true")  # fmt: skip  # noqa: E501
    for name in ("ann", "nobody.here", "shut"):
        passwords.seen = []
        with pytest.raises(NotAuthenticated):
            identities.sign_in(name, "wrong", rights, address="work")
        assert len(passwords.seen) == 1
    stored = site.rows("sys_user", "user_name=ann")[0].get("user_password")
    from midspan.security.passwords import _UNKNOWN_USER  # noqa: PLC0415

    assert stored.split("$")[1:4] == _UNKNOWN_USER.split("$")[1:4], "the same parameters"
    site.remove("sys_user", site.rows("sys_user", "user_name=shut")[0].sys_id)


def test_what_is_paid_off_is_forgotten(site: Site) -> None:
    guess(site, "ann", 3)
    assert site.rows("sys_sign_in_failure")
    site.clock.advance(timedelta(days=31))
    guess(site, "other.name", 1)
    assert len(site.rows("sys_sign_in_failure")) == 3


def test_a_password_that_must_be_changed_opens_nothing(site: Site, ann: str) -> None:
    site.change("sys_user", ann, password_needs_reset="true")
    assert basic(site, "ann", PASSWORD).status_code == 401
    assert site.token(grant_type="password", username="ann", password=PASSWORD).status_code == 401
    site.change("sys_user", ann, password_needs_reset="false")
    assert basic(site, "ann", PASSWORD).status_code == 200


@pytest.mark.parametrize("password", ["short", "password123", "ADMINISTRATOR", "zzzzzzzzzz"])
def test_a_password_that_is_tried_first_is_refused(site: Site, ann: str, password: str) -> None:
    answer = site.send(
        "PATCH", f"/api/now/table/sys_user/{ann}", user="admin", json={"user_password": password}
    )
    assert answer.status_code == 400
    assert password not in answer.text
    assert basic(site, "ann", PASSWORD).status_code == 200
