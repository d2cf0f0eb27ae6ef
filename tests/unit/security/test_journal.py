"""Whoever may not read a record, or a field of it, finds no trace of it in the journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.kernel.ids import derived_id
from midspan.query import ReadOptions, parse, plan_read
from midspan.records import RIGHTS, RecordTransaction, delete, insert, update
from midspan.security import SYSTEM, Actor
from midspan.testing import open_instance

ITIL = frozenset({"itil"})
OPEN, CLOSED, CHANGE = "1" * 32, "2" * 32, "3" * 32


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def instance(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> Iterator[Instance]:
    """Return an instance whose incidents are for their assignee; nobody reads the work notes."""
    url = new_database() if request.param == "postgresql" else ""
    with open_instance(url, clock=ManualClock()) as opened:
        with opened.records.write(SYSTEM, enforce=False) as records:
            ann = records.apply(insert("sys_user", {"user_name": "ann"})).sys_id
            for sys_id, assigned in ((OPEN, ann), (CLOSED, "")):
                values = {"short_description": sys_id[:3], "assigned_to": assigned}
                records.apply(insert("incident", values, sys_id=sys_id))
                notes = {"comments": f"said {sys_id[:3]}", "work_notes": f"thought {sys_id[:3]}"}
                records.apply(update("incident", sys_id, notes))
            records.apply(insert("change_request", {"comments": "said 333"}, sys_id=CHANGE))
        yield opened


def user(instance: Instance, name: str, roles: frozenset[str]) -> Actor:
    with instance.records.read(SYSTEM, enforce=False) as records:
        found = records.first("sys_user", f"user_name={name}")
    assert found is not None
    actor = instance.identities.actor(found.sys_id, instance.holder.current().part(RIGHTS))
    return Actor(sys_id=actor.sys_id, user_name=actor.user_name, roles=roles)


def said(instance: Instance, actor: Actor, query: str = "") -> list[str]:
    with instance.records.read(actor) as records:
        found = [row.get("value") for row in records.find("sys_journal_field", query)]
        assert counted(records, query) == len(found)
    return sorted(found)


def counted(records: RecordTransaction, query: str) -> int:
    options = ReadOptions(columns=["sys_id"])
    plan = plan_read(records.dictionary, "sys_journal_field", parse(query), options)
    return records.count(records.restrict(plan))


@pytest.fixture
def restricted(instance: Instance) -> Iterator[None]:
    """Let an incident be its assignee's, and its work notes nobody's, for one test."""
    rules = {
        "incident": {"condition": "assigned_to=javascript:gs.getUserID()"},
        "incident.work_notes": {"condition": "sys_id=nobody"},
    }
    query = "nameINincident,incident.work_notes^operation=read^active=true"
    with instance.records.write(SYSTEM, enforce=False) as records:
        usual = [row.sys_id for row in records.find("sys_security_acl", query)]
        for sys_id in usual:
            records.apply(update("sys_security_acl", sys_id, {"active": "false"}))
        for name, values in rules.items():
            row = {"name": name, "operation": "read", "type": "record", "active": "true", **values}
            records.apply(insert("sys_security_acl", row, sys_id=derived_id("test", name)))
    yield
    with instance.records.write(SYSTEM, enforce=False) as records:
        for sys_id in usual:
            records.apply(update("sys_security_acl", sys_id, {"active": "true"}))
        for name in rules:
            records.apply(delete("sys_security_acl", derived_id("test", name)))


def test_with_all_rights_nothing_is_missing(instance: Instance) -> None:
    everything = ["said 111", "said 222", "said 333", "thought 111", "thought 222"]
    assert said(instance, user(instance, "ann", ITIL)) == everything
    assert said(instance, SYSTEM) == everything


def test_without_any_right_there_is_nothing(instance: Instance) -> None:
    assert said(instance, user(instance, "ann", frozenset())) == []


def test_the_record_decides(instance: Instance, restricted: None) -> None:
    ann = user(instance, "ann", ITIL)
    assert said(instance, ann) == ["said 111", "said 333"]
    assert said(instance, ann, f"element_id={CLOSED}") == []
    assert said(instance, ann, "valueLIKEthought") == []
    assert said(instance, ann, f"element_id={OPEN}^ORDERBYDESCvalue") == ["said 111"]


def test_a_function_decides_by_the_record_behind_the_entry(
    instance: Instance, restricted: None
) -> None:
    """That a rule asks a function of fields: it is one of the record's fields there, too."""
    asked = {"condition": "glidefunction:concat(length(short_description),short_description)=3111"}
    with instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(update("sys_security_acl", derived_id("test", "incident"), asked))
    ann = user(instance, "ann", ITIL)
    assert said(instance, ann, "name=incident") == ["said 111"]
    with instance.records.read(ann) as records:
        files = plan_read(records.dictionary, "sys_attachment", parse(""), ReadOptions())
        assert records.run(records.restrict(files)) == []


def test_a_single_entry_is_no_way_around(instance: Instance, restricted: None) -> None:
    with instance.records.read(SYSTEM, enforce=False) as records:
        entries = {row.get("value"): row.sys_id for row in records.find("sys_journal_field", "")}
    with instance.records.read(user(instance, "ann", ITIL)) as records:
        readable = {
            value
            for value, sys_id in entries.items()
            if records.get("sys_journal_field", sys_id) is not None
        }
    assert readable == {"said 111", "said 333"}


def test_an_entry_whose_record_is_gone_shows_nothing(instance: Instance, restricted: None) -> None:
    """The condition holds for an empty field, and everything behind a missing record is empty."""
    with instance.records.write(SYSTEM, enforce=False) as records:
        rule = derived_id("test", "incident")
        records.apply(update("sys_security_acl", rule, {"condition": "assigned_toISEMPTY"}))
        row = {"name": "incident", "element_id": "9" * 32, "element": "comments", "value": "ghost"}
        records.engine_insert("sys_journal_field", [row])
    try:
        assert "ghost" not in said(instance, user(instance, "ann", ITIL))
    finally:
        with instance.records.write(SYSTEM, enforce=False) as records:
            ghost = records.first("sys_journal_field", "value=ghost")
            assert ghost is not None
            records.engine_delete("sys_journal_field", ghost.sys_id)


def test_the_administrator_is_bound_by_rules_that_bind_him(
    instance: Instance, restricted: None
) -> None:
    admin = user(instance, "ann", frozenset({"admin"}))
    assert len(said(instance, admin)) == 5
    with instance.records.write(SYSTEM, enforce=False) as records:
        rule = derived_id("test", "incident.work_notes")
        records.apply(update("sys_security_acl", rule, {"admin_overrides": "false"}))
    assert said(instance, admin) == ["said 111", "said 222", "said 333"]
