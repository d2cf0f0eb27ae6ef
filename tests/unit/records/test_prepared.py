"""What a snapshot remembers: bounded, its own, and nothing that changes by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from midspan.instance import Instance
from midspan.kernel.errors import DuplicateKey
from midspan.query import Operator, ReadPlan, Test
from midspan.records import Change, Snapshot, delete, insert, update
from midspan.records.snapshot import MOST_DERIVED
from midspan.security import SYSTEM, Actor, SessionValues
from midspan.security.dynamic import asks_the_time

ANN = Actor(sys_id="a" * 32, user_name="ann", roles=frozenset({"itil"}))
EXPRESSIONS = (
    *("gs.getUserID()", "gs.getUserName()", "gs.getUser().getMyGroups()", "getMyGroups()"),
    *("gs.now()", "gs.nowDateTime()", "gs.daysAgo(3)", "gs.minutesAgoStart(-1)"),
    *("gs.beginningOfToday()", "gs.endOfLast7Days()", "gs.endOfNextQuarter()"),
    *("gs.yesterday()", "gs.lastWeek()", "gs.daysAgoLocal(1)"),
)
LAST_HOUR = "sys_created_onRELATIVEGE@hour@ago@1"
MOMENT, SECOND = timedelta(microseconds=999), timedelta(seconds=1)
EARLY, LATE = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 2, 3, 4, 5, 6, tzinfo=UTC)


def _listed(snapshot: Snapshot, number: int) -> list[int]:
    return [number]


def test_answers_are_remembered_up_to_a_bound() -> None:
    snapshot = Snapshot({}, {})
    first = snapshot.derive(_listed, 0)
    assert snapshot.derive(_listed, 0) is first
    assert Snapshot({}, {}).derive(_listed, 0) is not first
    for number in range(1, MOST_DERIVED + 1):
        snapshot.derive(_listed, number)
    again = snapshot.derive(_listed, 0)
    assert again == first
    assert again is not first


def test_access_is_shared_until_the_configuration_moves(instance: Instance) -> None:
    records, holder = instance.records, instance.holder
    now = instance.clock.now()
    before = records.access(ANN, holder.current(), now)
    assert records.access(ANN, holder.current(), now) is before
    with records.write(SYSTEM, enforce=False) as transaction:
        transaction.apply(insert("sys_properties", {"name": "test.moved", "value": "1"}))
    assert records.access(ANN, holder.current(), now) is not before


def test_a_transaction_that_changes_rules_sees_them(instance: Instance) -> None:
    with instance.records.write(ANN, enforce=False) as transaction:
        before = transaction.access
        transaction.apply(
            insert("sys_security_acl", {"name": "incident.number", "operation": "read"})
        )
        transaction.settle()
        assert transaction.access is not before
        assert not transaction.access.field("incident", "number", "read")
    assert before.field("incident", "number", "read")


def test_every_expression_that_moves_by_itself_is_listed() -> None:
    early, late = SessionValues(ANN, EARLY), SessionValues(ANN, LATE)
    for call in EXPRESSIONS:
        assert early(call) is not None, call
        assert asks_the_time(f"a=1^x=javascript:{call}") is (early(call) != late(call)), call
    assert asks_the_time("x=javascript: something(else)")
    part = "opened_atDATEPARTMonday@javascript:gs.datePart('dayofweek','monday','EE')"
    assert not asks_the_time(part)
    assert asks_the_time(f"{part}^opened_at<javascript:gs.now()")
    assert asks_the_time("opened_atRELATIVEGT@hour@ago@1")


def test_a_rule_that_asks_the_time_is_asked_anew_each_second(instance: Instance) -> None:
    records, holder = instance.records, instance.holder
    values = {"name": "incident", "operation": "read", "condition": LAST_HOUR}
    with records.write(SYSTEM, enforce=False) as transaction:
        for rule in transaction.find("sys_security_acl", "name=incident^operation=read"):
            transaction.apply(delete("sys_security_acl", rule.sys_id))
        transaction.apply(insert("sys_security_acl", values))
    start = instance.clock.now().replace(microsecond=0)
    snapshot = holder.current()
    first = records.access(ANN, snapshot, start).rows("incident", "read")
    assert records.access(ANN, snapshot, start + MOMENT).rows("incident", "read") == first
    assert records.access(ANN, snapshot, start + SECOND).rows("incident", "read") != first


def test_a_rule_may_name_a_dynamic_option(instance: Instance) -> None:
    """It is asked anew each second only if the option is, and follows the option's changes."""
    records, holder = instance.records, instance.holder
    table, option = "change_request", "e" * 31 + "1"
    values = {"label": "x", "script": "gs.getUserID()", "active": "true"}
    values |= {"available_for_filter": "true"}
    condition = f"opened_byDYNAMIC{option}^ORsys_created_on<javascript:gs.getUserName()"
    acl = {"name": "change_request", "operation": "read", "condition": f"opened_byDYNAMIC{option}"}
    assert not asks_the_time(condition, {option: "gs.getUser().getMyGroups()"})
    assert asks_the_time(condition, {option: "gs.daysAgo(1)"})
    with records.write(SYSTEM, enforce=False) as transaction:
        for rule in transaction.find("sys_security_acl", "name=change_request^operation=read"):
            transaction.apply(delete("sys_security_acl", rule.sys_id))
        transaction.apply(insert("sys_security_acl", acl))
    start = instance.clock.now().replace(microsecond=0)

    def rows(later: timedelta = MOMENT) -> str:
        return str(records.access(ANN, holder.current(), start + later).rows(table, "read"))

    def write(change: Change) -> None:
        with records.write(SYSTEM, enforce=False) as transaction:
            transaction.apply(change)

    assert rows() == "()", "an option that does not exist grants nothing"
    write(insert("sys_filter_option_dynamic", values, sys_id=option))
    assert ANN.sys_id in rows()
    assert rows(SECOND) == rows()
    change = {"script": "gs.nowDateTime()", "label": "now"}
    write(update("sys_filter_option_dynamic", option, change))
    assert rows(SECOND) != rows()
    write(update("sys_filter_option_dynamic", option, {"active": "false"}))
    assert rows() == "()"


@pytest.mark.parametrize("sys_id", ["", "0" * 32, "'; --", "é" * 40])
def test_a_prepared_read_reads_what_the_plan_reads(instance: Instance, sys_id: str) -> None:
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        made = transaction.apply(insert("incident", {"short_description": "one"})).sys_id
    for wanted in (made, sys_id):
        with instance.records.read(ANN) as transaction:
            prepared = transaction.prepare("incident", ("number", "short_description"))
            path = transaction.dictionary.path("incident", "sys_id")
            columns = tuple(
                transaction.dictionary.path("incident", name)
                for name in ("number", "short_description")
            )
            plan = ReadPlan(
                table="incident",
                columns=columns,
                condition=Test(path, Operator.EQUALS, (wanted,)),
                limit=1,
            )
            planned = transaction.run(transaction.restrict(plan))
            assert transaction.run_prepared(prepared, wanted) == planned
            assert bool(planned) is (wanted == made)


def test_a_change_that_ends_its_transaction_leaves_nothing(instance: Instance) -> None:
    taken = "e" * 32
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        transaction.apply(insert("incident", {"short_description": "first"}, sys_id=taken))
    before = insert("problem", {"short_description": "before"}, sys_id="f" * 32)
    again = insert("incident", {"short_description": "second"}, sys_id=taken)

    def both() -> None:
        with instance.records.write(SYSTEM, enforce=False) as transaction:
            transaction.apply(before)
            transaction.apply(again, alone=True)

    with pytest.raises(DuplicateKey):
        both()
    with instance.records.read(SYSTEM, enforce=False) as transaction:
        assert transaction.require("incident", taken).get("short_description") == "first"
        assert transaction.get("problem", "f" * 32) is None
