"""Built-in behaviour of tasks and users: rule files and computed fields."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.kernel.errors import OperationAborted
from midspan.records import Applied, Change, delete, insert, update
from midspan.rules import REQUIRE_CLOSE_CODE
from midspan.security import SYSTEM, Actor

ANN = Actor(sys_id="a1" * 16, user_name="ann", roles=frozenset({"itil"}))


def write(instance: Instance, change: Change, actor: Actor = ANN) -> dict[str, str]:
    with instance.records.write(actor, enforce=False) as transaction:
        made: Applied = transaction.apply(change)
        return dict(made.values)


def later(instance: Instance) -> None:
    assert isinstance(instance.clock, ManualClock)
    instance.clock.advance(timedelta(minutes=5))


@pytest.mark.parametrize("table", ["incident", "problem"])
@pytest.mark.parametrize(
    ("given", "priority"),
    [
        ({"impact": "1", "urgency": "1"}, "1"),
        ({"impact": "2", "urgency": "3"}, "4"),
        ({"urgency": "1"}, "3"),
        ({}, "5"),
        ({"priority": "1"}, "5"),
        ({"impact": "", "priority": "2"}, "2"),
    ],
)
def test_priority_follows_from_impact_and_urgency(
    instance: Instance, table: str, given: dict[str, str], priority: str
) -> None:
    assert write(instance, insert(table, given))["priority"] == priority


def test_priority_follows_when_one_of_the_three_changes(instance: Instance) -> None:
    made = write(instance, insert("incident", {}))["sys_id"]
    assert write(instance, update("incident", made, {"impact": "1"}))["priority"] == "3"
    assert write(instance, update("incident", made, {"priority": "1"}))["priority"] == "3"
    assert write(instance, insert("change_request", {"priority": "1"}))["priority"] == "1"


def test_priority_follows_the_rows_of_its_table(instance: Instance) -> None:
    with instance.records.read(SYSTEM) as transaction:
        row = transaction.first("dl_u_priority", "impact=2^urgency=2")
    assert row is not None
    write(instance, update("dl_u_priority", row.sys_id, {"priority": "1"}))
    try:
        made = write(instance, insert("incident", {"impact": "2", "urgency": "2"}))
        assert made["priority"] == "1"
    finally:
        write(instance, update("dl_u_priority", row.sys_id, {"priority": "3"}))


@pytest.mark.parametrize(
    ("table", "old", "values"),
    [
        ("incident", "incident_state", ("1", "2", "3")),
        ("problem", "problem_state", ("101", "102", "103")),
    ],
)
def test_both_states_are_equal_whichever_was_written(
    instance: Instance, table: str, old: str, values: tuple[str, str, str]
) -> None:
    first, second, third = values
    for given in ({}, {"state": second}, {old: second}, {"state": second, old: third}):
        made = write(instance, insert(table, given))
        assert made["state"] == made[old] == (second if given else first)
    made = write(instance, update(table, made["sys_id"], {old: third}))
    assert made["state"] == made[old] == third
    made = write(instance, update(table, made["sys_id"], {"state": first}))
    assert made["state"] == made[old] == first
    made = write(instance, update(table, made["sys_id"], {"state": second, old: third}))
    assert made["state"] == made[old] == second


def test_an_incident_is_resolved_closed_and_opened_again(instance: Instance) -> None:
    sys_id = write(instance, insert("incident", {}))["sys_id"]
    resolved = write(instance, update("incident", sys_id, {"state": "6"}))
    assert resolved["resolved_by"] == ANN.sys_id
    assert resolved["resolved_at"] == resolved["sys_updated_on"]
    assert resolved["active"] == "true"
    later(instance)
    closed = write(instance, update("incident", sys_id, {"incident_state": "7"}))
    assert closed["active"] == "false"
    assert closed["closed_by"] == ANN.sys_id
    assert closed["closed_at"] == closed["sys_updated_on"] > closed["resolved_at"] > ""
    later(instance)
    again = write(instance, update("incident", sys_id, {"incident_state": "2"}))
    assert again["active"] == "true"
    assert again["reopen_count"] == "1"
    assert again["reopened_by"] == ANN.sys_id
    assert again["reopened_time"] == again["sys_updated_on"]
    emptied = ("closed_at", "closed_by", "resolved_at", "resolved_by")
    assert [again[name] for name in emptied] == ["", "", "", ""]
    cancelled = write(instance, update("incident", sys_id, {"state": "8"}))
    assert cancelled["active"] == "false"
    assert cancelled["closed_at"] == ""


def test_given_times_are_kept(instance: Instance) -> None:
    given = {"state": "6", "resolved_at": "2020-01-01 00:00:00", "resolved_by": "b" * 32}
    made = write(instance, insert("incident", given))
    assert {name: made[name] for name in given} == given


@pytest.mark.parametrize(
    ("table", "closed", "opened"),
    [
        ("change_request", "3", "-1"),
        ("change_request", "4", "-5"),
        ("change_task", "3", "1"),
        ("problem", "107", "101"),
    ],
)
def test_other_tasks_close_and_open(
    instance: Instance, table: str, closed: str, opened: str
) -> None:
    made = write(instance, insert(table, {}))
    assert made["active"] == "true"
    done = write(instance, update(table, made["sys_id"], {"state": closed}))
    assert done["active"] == "false"
    assert done["closed_at"] == done["sys_updated_on"]
    assert done["closed_by"] == ANN.sys_id
    again = write(instance, update(table, made["sys_id"], {"state": opened}))
    assert again["active"] == "true"
    assert again["closed_at"] == again["closed_by"] == ""


def test_a_problem_counts_how_often_it_was_opened_again(instance: Instance) -> None:
    made = write(instance, insert("problem", {"state": "106"}))
    assert made["resolved_at"] == made["sys_created_on"]
    write(instance, update("problem", made["sys_id"], {"state": "103"}))
    write(instance, update("problem", made["sys_id"], {"state": "107"}))
    again = write(instance, update("problem", made["sys_id"], {"state": "103"}))
    assert again["reopen_count"] == "2"
    assert again["resolved_at"] == ""
    assert again["reopened_at"] == again["sys_updated_on"]


def test_the_effective_number_is_the_number(instance: Instance) -> None:
    made = write(instance, insert("change_task", {}))
    assert made["task_effective_number"] == made["number"] > ""
    made = write(instance, update("change_task", made["sys_id"], {"number": "X1"}))
    assert made["task_effective_number"] == "X1"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"first_name": "Abel", "last_name": "Tuter"}, "Abel Tuter"),
        ({"last_name": "Tuter"}, "Tuter"),
        ({"first_name": "Abel", "name": "Mr Tuter"}, "Mr Tuter"),
        ({"first_name": "Abel", "name": ""}, "Abel"),
        ({}, ""),
    ],
)
def test_a_user_is_called_by_both_names(
    instance: Instance, given: dict[str, str], name: str
) -> None:
    made = write(instance, insert("sys_user", {"user_name": instance.ids.sys_id(), **given}))
    assert made["name"] == name
    made = write(instance, update("sys_user", made["sys_id"], {"title": "Dr"}))
    assert made["name"] == name
    made = write(instance, update("sys_user", made["sys_id"], {"first_name": "Bo"}))
    assert made["name"] == f"Bo {given.get('last_name', '')}".strip()


@contextmanager
def close_code_required(instance: Instance) -> Iterator[None]:
    values = {"name": REQUIRE_CLOSE_CODE, "value": "true"}
    made = write(instance, insert("sys_properties", values), SYSTEM)["sys_id"]
    try:
        yield
    finally:
        write(instance, delete("sys_properties", made), SYSTEM)


def test_close_code_and_notes_are_asked_for_only_behind_the_property(instance: Instance) -> None:
    sys_id = write(instance, insert("incident", {}))["sys_id"]
    with close_code_required(instance):
        with pytest.raises(OperationAborted) as caught:
            write(instance, update("incident", sys_id, {"incident_state": "6"}))
        assert caught.value.detail == (
            "Data Policy Exception: \n\tThe following fields are mandatory: Close code, Close notes"
        )
        given = {"state": "6", "close_code": "Duplicate", "close_notes": "See the other"}
        assert write(instance, update("incident", sys_id, given))["state"] == "6"
        assert write(instance, update("incident", sys_id, {"close_notes": ""}))["state"] == "6"
    assert write(instance, insert("incident", {"state": "7"}))["state"] == "7"
