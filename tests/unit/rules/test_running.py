"""Rules at work: what they see, set and refuse, in which order, on both databases."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from midspan.instance import Instance
from midspan.kernel.errors import OperationAborted
from midspan.records import Applied, Change, Refused, delete, insert, update
from midspan.rules import MESSAGES, BusinessRules
from midspan.security import SYSTEM, Actor

ANN = Actor(sys_id="a1" * 16, user_name="ann", roles=frozenset({"itil"}))
FLAGS = {"action_insert": "true", "action_update": "true", "active": "true"}


def write(instance: Instance, change: Change, actor: Actor = SYSTEM) -> Applied:
    with instance.records.write(actor, enforce=False) as transaction:
        return transaction.apply(change)


@contextmanager
def rules(instance: Instance, *rows: Mapping[str, str]) -> Iterator[list[str]]:
    """Add rules for incidents for the time of a test; yield their ids."""
    made: list[str] = []
    for row in rows:
        values = {"collection": "incident", **FLAGS, **row}
        values.setdefault("name", f"rule {len(made)}")
        made.append(write(instance, insert("sys_script", values)).sys_id)
    try:
        yield made
    finally:
        for sys_id in made:
            write(instance, delete("sys_script", sys_id))


def hook(instance: Instance) -> BusinessRules:
    (found,) = [each for each in instance.records.hooks if isinstance(each, BusinessRules)]
    return found


def test_a_rule_refuses_in_the_words_of_the_vendor(instance: Instance) -> None:
    rule = {
        "name": "No emergencies",
        "filter_condition": "short_descriptionLIKEemergency^EQ",
        "abort_action": "true",
        "add_message": "true",
        "message": "Call us instead",
    }
    with rules(instance, rule) as (sys_id,):
        with instance.records.write(SYSTEM, enforce=False) as transaction:
            with pytest.raises(OperationAborted) as caught:
                transaction.apply(insert("incident", {"short_description": "An EMERGENCY"}))
            assert transaction.locals[MESSAGES] == ["Call us instead"]
            made = transaction.apply(insert("incident", {"short_description": "A trifle"}))
        assert caught.value.message == "Operation Failed"
        assert caught.value.detail == (
            "Operation against file 'incident' was aborted by Business Rule "
            f"'No emergencies^{sys_id}'. Business Rule Stack:No emergencies"
        )
        with pytest.raises(OperationAborted):
            write(instance, update("incident", made.sys_id, {"short_description": "emergency"}))
    again = update("incident", made.sys_id, {"short_description": "emergency"})
    assert write(instance, again).written


def test_rules_of_a_parent_run_in_one_order_with_those_of_the_child(instance: Instance) -> None:
    with rules(
        instance,
        {"order": "300", "template": "description=javascript:current.close_notes"},
        {"order": "200", "template": "close_notesSAMEASshort_description", "collection": "task"},
        {"order": "100", "template": "short_description=a^^b"},
    ):
        made = write(instance, insert("incident", {}))
    assert made.values["description"] == "a^b"


def test_late_rules_see_what_early_ones_left(instance: Instance) -> None:
    with rules(
        instance,
        {"order": "1000", "filter_condition": "priority=1", "template": "description=critical"},
        {"order": "10", "template": "impact=1^urgency=1"},
    ):
        made = write(instance, insert("incident", {}))
    assert made.values["priority"] == "1"
    assert made.values["description"] == "critical"


def test_changes_are_told_from_values(instance: Instance) -> None:
    with rules(
        instance,
        {
            "filter_condition": "stateCHANGESFROM1^stateCHANGESTO2^assigned_toVALCHANGES",
            "template": "close_notes=taken",
        },
    ):
        made = write(instance, insert("incident", {"state": "2", "assigned_to": "b" * 32}))
        assert made.values["close_notes"] == ""
        made = write(instance, insert("incident", {}))
        alone = write(instance, update("incident", made.sys_id, {"state": "2"}))
        assert alone.values["close_notes"] == ""
        write(instance, update("incident", made.sys_id, {"state": "1"}))
        both = {"state": "2", "assigned_to": "b" * 32}
        assert write(instance, update("incident", made.sys_id, both)).values["close_notes"]


def test_values_of_the_session_belong_to_who_writes(instance: Instance) -> None:
    with rules(
        instance,
        {
            "filter_condition": "caller_id=javascript:gs.getUserID()",
            "template": "assigned_to=javascript:gs.getUserID()"
            "^work_start=javascript:gs.nowDateTime()",
        },
    ):
        own = write(instance, insert("incident", {"caller_id": ANN.sys_id}), ANN)
        other = write(instance, insert("incident", {"caller_id": "b" * 32}), ANN)
    assert own.values["assigned_to"] == ANN.sys_id
    assert own.values["work_start"] == own.values["sys_created_on"]
    assert other.values["assigned_to"] == ""


def test_a_walk_starts_at_the_value_that_is_being_written(instance: Instance) -> None:
    place = write(instance, insert("cmn_location", {"name": "Attic"})).sys_id
    important = {"user_name": f"vip-{place}", "vip": "true", "location": place}
    vip = write(instance, insert("sys_user", important)).sys_id
    plain = write(instance, insert("sys_user", {"user_name": f"plain-{place}"})).sys_id
    with rules(
        instance,
        {
            "filter_condition": "caller_id.vip=true",
            "template": "impact=1^location=javascript:current.caller_id.location",
        },
        {"filter_condition": "caller_id.vipVALCHANGES", "template": "close_notes=differs"},
    ):
        made = write(instance, insert("incident", {"caller_id": plain}))
        assert made.values["impact"] == "3"
        made = write(instance, update("incident", made.sys_id, {"caller_id": vip}))
        assert made.values["impact"] == "1"
        assert made.values["location"] == place
        assert made.values["close_notes"] == "differs"
        assert write(instance, insert("incident", {})).values["impact"] == "3"


def test_a_reference_may_be_set_by_what_people_see(
    instance: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    group = write(instance, insert("sys_user_group", {"name": "Night shift"})).sys_id
    with rules(
        instance,
        {"template": "assignment_group=Night shift^business_service=No such service"},
    ):
        made = write(instance, insert("incident", {}))
    assert made.values["assignment_group"] == group
    assert made.values["business_service"] == ""
    assert "No such service" in caplog.text


def test_roles_decide_whom_a_rule_concerns(instance: Instance) -> None:
    rule = {"role_conditions": "catalog_admin,itil", "template": "close_notes=checked"}
    with rules(instance, rule):
        assert write(instance, insert("incident", {}), ANN).values["close_notes"] == "checked"
        guest = Actor(sys_id="", user_name="x", roles=frozenset({"approver"}))
        assert write(instance, insert("incident", {}), guest).values["close_notes"] == ""


def test_deletes_are_refused_before_and_after(instance: Instance) -> None:
    made = write(instance, insert("incident", {"category": "network"})).sys_id
    for when in ("before", "after"):
        rule = {
            "when": when,
            "action_delete": "true",
            "abort_action": "true",
            "template": "close_notes=never set",
            "filter_condition": "category=network^close_notesISEMPTY",
            "action_update": "false",
            "action_insert": "false",
        }
        with rules(instance, rule):
            with instance.records.write(SYSTEM, enforce=False) as transaction:
                (refused,) = transaction.apply_all([delete("incident", made)], collect=True)
            assert isinstance(refused, Refused)
        with instance.records.read(SYSTEM) as transaction:
            assert transaction.get("incident", made) is not None
    assert write(instance, delete("incident", made)).written


def test_an_after_rule_writes_once_more_and_ends(instance: Instance) -> None:
    with rules(
        instance,
        {"when": "after", "template": "description=javascript:current.number^work_notes=Seen"},
    ):
        made = write(instance, insert("incident", {"short_description": "x"}))
    assert made.values["description"] == made.values["number"]
    with instance.records.read(SYSTEM) as transaction:
        stored = transaction.require("incident", made.sys_id)
        notes = transaction.find("sys_journal_field", f"element_id={made.sys_id}")
    assert stored.get("description") == stored.get("number")
    assert stored.get("sys_mod_count") == "1"
    assert [note.get("value") for note in notes] == ["Seen"]


def test_a_copy_that_does_not_fit_leaves_the_field(
    instance: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    with rules(instance, {"template": "order=javascript:current.short_description"}):
        made = write(instance, insert("incident", {"short_description": "ten", "order": "3"}))
    assert made.values["order"] == "3"
    assert "left order as it is" in caplog.text


def test_a_bad_rule_harms_nobody_and_is_reported_once(
    instance: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with rules(
        instance,
        {"name": "Typo", "filter_condition": "prioritty=1", "abort_action": "true"},
    ):
        assert write(instance, insert("incident", {"priority": "1"})).written
        write(instance, insert("sys_script", {"name": "Idle", "collection": "problem"}))
        found = {problem.name: problem.message for problem in hook(instance).problems()}
        assert "Did you mean 'priority'?" in found["Typo"]
        assert caplog.text.count("rule 'Typo' of incident does not run") == 1
    assert hook(instance).problems() == ()


def test_rules_are_skipped_when_the_writer_asks_for_it(instance: Instance) -> None:
    with rules(instance, {"abort_action": "true"}):
        quiet = insert("incident", {"state": "6"})
        change = Change(
            table=quiet.table,
            operation=quiet.operation,
            values=quiet.values,
            options=type(quiet.options)(rules=False),
        )
        made = write(instance, change)
    assert made.values["incident_state"] == "1"


def test_a_condition_may_ask_for_related_rows(instance: Instance) -> None:
    """They are counted whoever writes, also when the write touches many rows."""
    rule = {
        "filter_condition": "RLQUERYincident.parent_incident,>=1^active=true^ENDRLQUERY^EQ",
        "template": "close_notes=has open children",
        "action_insert": "false",
    }
    with rules(instance, rule):
        parent = write(instance, insert("incident", {"short_description": "parent"})).sys_id
        alone = write(instance, insert("incident", {"short_description": "alone"})).sys_id
        child = {"short_description": "child", "parent_incident": parent}
        made = write(instance, insert("incident", child)).sys_id
        with instance.records.write(ANN, enforce=False) as transaction:
            transaction.apply_all(
                [update("incident", one, {"description": "seen"}) for one in (parent, alone, made)]
            )
            found = transaction.load("incident", (parent, alone, made))
    notes = [found[one].values.get("close_notes", "") for one in (parent, alone, made)]
    assert notes == ["has open children", "", ""]
