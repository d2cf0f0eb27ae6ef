"""Whose rights count: identification needs to see everything, and writes are the caller's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.unit.cmdb.lab import Lab, server

from midspan.kernel.errors import InvalidRequest, NotAuthorized, RecordNotFound
from midspan.records import Change, Operation, delete
from midspan.security import SYSTEM, Actor

STAFF = Actor(sys_id="s" * 32, user_name="bo", name="Bo", roles=frozenset({"itil"}))
STRANGER = Actor(sys_id="t" * 32, user_name="al", name="Al", roles=frozenset())


@contextmanager
def stored(lab: Lab, table: str, **values: str) -> Iterator[str]:
    """Have a record for the time of the block."""
    sys_id = lab.add(table, **values)
    try:
        yield sys_id
    finally:
        with lab.instance.records.write(SYSTEM, enforce=False) as records:
            records.apply(delete(table, sys_id))


def test_staff_may_report_items(lab: Lab) -> None:
    made = lab.send(server("of-staff"), actor=STAFF)
    assert made["items"][0]["operation"] == "INSERT"
    (found,) = lab.stored("cmdb_ci", "name=of-staff")
    assert found.get("sys_created_by") == "bo"


def test_whoever_does_not_see_all_items_is_refused_before_any_is_looked_up(lab: Lab) -> None:
    for name in ("hidden-from-al", "there-is-none"):
        with pytest.raises(NotAuthorized) as refused:
            lab.send(server(name), actor=STRANGER, dry=True)
        assert refused.value.detail == (
            "Identification needs to read all records of cmdb_ci_hardware and the fields "
            "name, serial_number"
        )
        lab.send(server("hidden-from-al"))


def test_a_property_lets_him_identify_but_not_write(lab: Lab) -> None:
    lab.send(server("seen-by-al"))
    name = "midspan.cmdb.identify_ignores_acl"
    with stored(lab, "sys_properties", name=name, value="true"):
        told = lab.send(server("seen-by-al", ram="1"), actor=STRANGER)
    assert told["items"][0]["identificationAttempts"][-1]["attemptResult"] == "MATCHED"
    assert lab.stored("cmdb_ci_linux_server", "name=seen-by-al")[0].get("ram") == ""


def test_a_record_moves_only_within_its_hierarchy(lab: Lab) -> None:
    sys_id = lab.add("cmdb_ci_computer", name="settled")
    for wanted in ("incident", "sys_user"):
        with lab.instance.records.write(SYSTEM) as records, pytest.raises(InvalidRequest) as told:
            records.apply(
                Change(
                    table="cmdb_ci_computer",
                    operation=Operation.UPDATE,
                    sys_id=sys_id,
                    to_class=wanted,
                )
            )
        assert told.value.detail == f"A record of cmdb_ci_computer cannot become one of {wanted}"


def test_a_move_needs_the_rights_on_both_classes(lab: Lab) -> None:
    sys_id = lab.add("cmdb_ci_computer", name="kept")
    with lab.instance.records.write(STRANGER) as records, pytest.raises(RecordNotFound):
        records.apply(
            Change(
                table="cmdb_ci_computer",
                operation=Operation.UPDATE,
                sys_id=sys_id,
                to_class="cmdb_ci_server",
            )
        )
    assert lab.stored("cmdb_ci_server", "name=kept") == []
