"""``javascript:gs.getProperty``: who may not read a property learns nothing by comparing."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
import pytest

from midspan.records import insert, update
from midspan.security import SYSTEM

from .conftest import PASSWORD, Site

ITIL = "282bf1fac6112285017366cb5f867469"
READER = "c" * 32
PROPERTIES: tuple[Mapping[str, str], ...] = (
    {"name": "x.plain", "type": "string"},
    {"name": "x.readers", "type": "string", "read_roles": "catalog_admin,itil"},
    {"name": "x.others", "type": "string", "read_roles": "catalog_admin"},
    {"name": "x.private", "type": "string", "read_roles": "itil", "is_private": "true"},
    {"name": "x.password", "type": "password", "read_roles": "itil"},
    {"name": "x.password2", "type": "password2", "read_roles": "itil"},
)
UNREADABLE = ("x.plain", "x.others", "x.private", "x.password", "x.password2")


@pytest.fixture(scope="module")
def filled(site: Site) -> Site:
    with site.instance.records.write(SYSTEM, enforce=False) as transaction:
        values = {"user_name": "compares", "user_password": PASSWORD}
        transaction.apply(insert("sys_user", values, sys_id=READER))
        transaction.apply(insert("sys_user_has_role", {"user": READER, "role": ITIL}))
        for text in ("guess", "other"):
            case = {"category": "compared", "short_description": text}
            transaction.apply(insert("incident", case))
        for given in PROPERTIES:
            transaction.apply(insert("sys_properties", {**given, "value": "guess"}))
    return site


def asked(site: Site, user: str, call: str) -> httpx.Response:
    query = f"category=compared^short_description=javascript:{call}"
    fields = {"sysparm_query": query, "sysparm_fields": "short_description"}
    return site.send("GET", "/api/now/table/incident", user=user, params=fields)


def found(answer: httpx.Response) -> list[str]:
    return sorted(row["short_description"] for row in answer.json()["result"])


def test_a_property_counts_for_those_who_may_read_it(filled: Site) -> None:
    assert found(asked(filled, "admin", "gs.getProperty('x.plain')")) == ["guess"]
    assert found(asked(filled, "compares", "gs.getProperty('x.readers')")) == ["guess"]
    assert found(asked(filled, "compares", "gs.getProperty('x.plain','other')")) == ["other"]


@pytest.mark.parametrize("name", UNREADABLE)
def test_one_that_may_not_be_read_is_as_one_that_does_not_exist(filled: Site, name: str) -> None:
    for call, shown in (
        (f"gs.getProperty('{name}')", ["guess", "other"]),
        (f"gs.getProperty('{name}','other')", ["other"]),
    ):
        answer = asked(filled, "compares", call)
        absent = asked(filled, "compares", call.replace(name, "x.absent"))
        assert (answer.status_code, answer.content) == (absent.status_code, absent.content)
        assert found(answer) == shown
        said, nothing = (each.headers.get("X-Midspan-Warning") for each in (answer, absent))
        assert (said or "").replace(name, "x.absent") == (nothing or "")


@pytest.mark.parametrize("name", ["x.private", "x.password", "x.password2"])
def test_nobody_compares_with_a_secret(filled: Site, name: str) -> None:
    assert found(asked(filled, "admin", f"gs.getProperty('{name}','other')")) == ["other"]


def test_what_becomes_private_is_closed_at_once(filled: Site) -> None:
    call = "gs.getProperty('x.readers','other')"
    assert found(asked(filled, "compares", call)) == ["guess"]
    for flag, shown in (("true", ["other"]), ("false", ["guess"])):
        with filled.instance.records.write(SYSTEM, enforce=False) as transaction:
            record = transaction.first("sys_properties", "name=x.readers")
            assert record is not None
            transaction.apply(update("sys_properties", record.sys_id, {"is_private": flag}))
        assert found(asked(filled, "compares", call)) == shown


def test_conditions_of_rules_know_no_property(
    filled: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """They are the instance's own, and would mean something else for each user."""
    query = "short_description=javascript:gs.getProperty('x.readers')"
    rule = {
        "name": "By property", "collection": "incident", "when": "before", "active": "true",
        "action_insert": "true", "filter_condition": query, "template": "category=ruled^EQ",
    }  # fmt: skip
    made = filled.send("POST", "/api/now/table/sys_script", user="admin", json=rule)
    assert made.status_code == 201
    assert "business rule 'By property' of incident does not run" in caplog.text
    case = {"short_description": "guess", "category": "left"}
    stored = filled.send("POST", "/api/now/table/incident", user="admin", json=case).json()
    assert stored["result"]["category"] == "left"
