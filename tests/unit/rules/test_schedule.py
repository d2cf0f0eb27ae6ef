"""Scheduled scripts: when they run, as whom, and what of them is left, on both databases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

import pytest

from midspan.instance import Instance
from midspan.jobs.manual import ManualJobs
from midspan.kernel.clock import ManualClock
from midspan.kernel.errors import OperationAborted
from midspan.records import Record, delete, insert, update
from midspan.sandbox import Script
from midspan.scripting import PerWrite
from midspan.security import SYSTEM

from .test_later import jobs, run
from .worlds import find, logged, write

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def quiet(instance: Instance) -> None:
    jobs(instance).run_due()
    logged(instance)


@contextmanager
def item(instance: Instance, values: Mapping[str, str]) -> Iterator[str]:
    given = {"name": "Item", "script": "gs.info('ran ' + gs.getUserName())", **values}
    sys_id = write(instance, insert("sysauto_script", given)).sys_id
    try:
        yield sys_id
    finally:
        write(instance, delete("sysauto_script", sys_id))


def skip(instance: Instance, by: timedelta) -> None:
    """Let time go by in which no node was at work, and do what was missed."""
    assert isinstance(instance.clock, ManualClock)
    instance.clock.set(instance.clock.now() + by)
    jobs(instance).run_due()


def ran(instance: Instance, by: timedelta) -> list[str]:
    """Move the clock on and return what scripts said."""
    jobs(instance).advance(by)
    return [text for _, text in logged(instance)]


def test_a_repeated_script_runs_once_a_slot_as_its_user(instance: Instance) -> None:
    user = write(instance, insert("sys_user", {"user_name": "nightly"})).sys_id
    often = {"run_type": "periodically", "run_period": "01:00:00", "run_as": user}
    with item(instance, often) as sys_id:
        assert ran(instance, 3 * HOUR) == ["ran nightly"] * 3
        write(instance, update("sysauto_script", sys_id, {"active": "false"}))
        assert ran(instance, 3 * HOUR) == []
        write(instance, update("sysauto_script", sys_id, {"active": "true"}))
        write(instance, update("sys_user", user, {"locked_out": "true"}))
        assert ran(instance, HOUR) == [
            "Scheduled script 'Item': the user it runs as is gone, inactive or locked out"
        ]
    assert ran(instance, 3 * HOUR) == []


def test_a_daily_script_follows_the_clocks_of_its_zone(instance: Instance) -> None:
    clock = instance.clock
    assert isinstance(clock, ManualClock)
    daily = {"run_type": "daily", "run_time": "1970-01-01 02:30:00", "time_zone": "Europe/Berlin"}
    said = "gs.info(gs.nowNoTZ().slice(11, 16))"
    with item(instance, {**daily, "script": said}):
        assert set(ran(instance, timedelta(days=3))) <= {"01:30", "00:30"}
        clock.set(clock.now().replace(month=7, day=10, hour=0, minute=0))
        assert ran(instance, timedelta(0)) == ["00:00"], "a missed slot is made up for once"
        assert set(ran(instance, timedelta(days=2))) == {"00:30"}


def test_a_script_may_run_once_and_on_demand(instance: Instance) -> None:
    soon = (instance.clock.now() + HOUR).strftime("%Y-%m-%d %H:%M:%S")
    with item(instance, {"run_type": "once", "run_start": soon}):
        assert ran(instance, 3 * HOUR) == ["ran system"]
    with item(instance, {"run_type": "on_demand", "active": "false"}) as sys_id:
        assert ran(instance, 3 * HOUR) == []
        text = f"var gr = new GlideRecord('sysauto_script'); gr.get('{sys_id}'); gs.executeNow(gr)"
        run(instance, text)
        assert ran(instance, timedelta(0)) == ["ran system"]
    wrong = "var gr = new GlideRecord('sys_user'); gr.initialize(); try { gs.executeNow(gr) } "
    assert "cannot be run now" in str(run(instance, wrong + "catch (e) { e.message }"))


def test_a_condition_decides_and_current_is_the_item(instance: Instance) -> None:
    often = {"run_type": "periodically", "run_period": "01:00:00", "conditional": "true"}
    with item(instance, {**often, "condition": "current.name == 'Other'"}):
        assert ran(instance, 2 * HOUR) == []
    several = "// the name\nvar wanted = '{}'; // of it\ncheck();\nfunction check() "
    several += "{{ return current.name == wanted; }}"
    for name, runs in (("Other", 0), ("Item", 2)):
        with item(instance, {**often, "condition": several.format(name)}):
            assert ran(instance, 2 * HOUR) == ["ran system"] * runs
    with item(instance, {**often, "condition": "answer = current.name == 'Item';"}):
        assert ran(instance, 2 * HOUR) == ["ran system"] * 2


def test_each_write_stays_and_a_failure_is_in_the_log(instance: Instance) -> None:
    script = "var gr = new GlideRecord('cmn_location'); gr.name = 'Kept'; gr.insert();\nbroken();"
    with item(instance, {"run_type": "on_demand", "script": script}) as sys_id:
        unit = PerWrite(instance.records, SYSTEM)
        text = f"var gr = new GlideRecord('sysauto_script'); gr.get('{sys_id}'); gs.executeNow(gr)"
        instance.scripts.run(Script("test", text), unit=unit)
        said = ran(instance, timedelta(0))
    assert said == ["Scheduled script 'Item': ReferenceError: broken is not defined"]
    assert len(find(instance, "cmn_location", "name=Kept")) == 1


def test_a_schedule_that_cannot_fire_and_a_script_with_a_typo_are_refused(
    instance: Instance,
) -> None:
    for values in ({"run_type": "periodically"}, {"script": "if (a {"}, {"run_type": "dayly"}):
        with pytest.raises(OperationAborted):
            write(instance, insert("sysauto_script", {"name": "Bad", **values}))


def test_old_events_and_lines_are_forgotten(instance: Instance) -> None:
    run(instance, "gs.eventQueue('x.old', null); gs.info('old');")
    jobs(instance).run_due()
    instance.records.logbook.flush()
    instance.script_traces.load()
    queue = jobs(instance)
    assert isinstance(queue, ManualJobs)
    skip(instance, timedelta(days=6))
    assert find(instance, "sysevent", "name=x.old")
    skip(instance, timedelta(days=2))
    assert not find(instance, "sysevent", "name=x.old")
    assert find(instance, "syslog", "message=old")
    skip(instance, timedelta(days=24))
    assert not find(instance, "syslog", "message=old")
    queue.scheduler.clear()


def triggers(instance: Instance, **values: str) -> list[Record]:
    query = "^".join(f"{name}={text}" for name, text in values.items())
    return find(instance, "sys_trigger", query)


def moment(instance: Instance, by: timedelta) -> str:
    return (instance.clock.now() + by).strftime("%Y-%m-%d %H:%M:%S")


def test_an_item_has_a_row_that_says_when_it_fires_next(instance: Instance) -> None:
    often = {"run_type": "periodically", "run_period": "01:00:00"}
    with item(instance, {**often, "run_start": moment(instance, HOUR)}) as sys_id:
        (row,) = triggers(instance, document_key=sys_id)
        assert row.get("next_action") == moment(instance, HOUR)
        assert (row.get("name"), row.get("document")) == ("Item", "sysauto_script")
        assert row.get("trigger_type") == "1"
        ran(instance, 2 * HOUR)
        (row,) = triggers(instance, document_key=sys_id)
        assert row.get("next_action") == moment(instance, HOUR)
        with instance.database.write() as transaction:
            transaction.execute("UPDATE sys_trigger SET next_action = NULL")
        instance.script_items.catch_up()
        (row,) = triggers(instance, document_key=sys_id)
        assert row.get("next_action") == moment(instance, HOUR)
        write(instance, update("sysauto_script", sys_id, {"active": "false"}))
        assert triggers(instance, document_key=sys_id) == []
        once = {"active": "true", "run_type": "once", "run_start": moment(instance, HOUR)}
        write(instance, update("sysauto_script", sys_id, once))
        assert len(triggers(instance, document_key=sys_id)) == 1
        ran(instance, 2 * HOUR)
    assert triggers(instance, document_key=sys_id) == []


def test_a_script_put_into_the_triggers_runs_at_its_time(instance: Instance) -> None:
    text = (
        "var t = new GlideRecord('sys_trigger'); t.initialize(); t.name = 'Soon';"
        "var at = new GlideDateTime(); at.addSeconds(1800); t.next_action = at; t.trigger_type = 0;"
        't.script = "gs.info(gs.getUserName() + current.name)"; t.insert()'
    )
    run(instance, text)
    assert len(triggers(instance, name="Soon")) == 1
    assert ran(instance, HOUR) == ["systemSoon"]
    assert triggers(instance, name="Soon") == []
    at_once = {"name": "Now", "script": "gs.info('now')"}
    write(instance, insert("sys_trigger", at_once))
    assert ran(instance, timedelta(0)) == ["now"]
    run(instance, text)
    write(instance, delete("sys_trigger", triggers(instance, name="Soon")[0].sys_id))
    assert ran(instance, HOUR) == []


def test_a_repeated_trigger_goes_on_and_a_failed_one_says_why(instance: Instance) -> None:
    values = {"name": "Again", "trigger_type": "1", "repeat": "1970-01-01 00:30:00"}
    script = "if (current.error_count > 0) gs.info('again'); else lost();"
    made = write(instance, insert("sys_trigger", {**values, "script": script})).sys_id
    lost = "Trigger 'Again': ReferenceError: lost is not defined"
    assert ran(instance, HOUR) == [lost, "again", lost]
    (row,) = triggers(instance, name="Again")
    assert row.get("next_action") == moment(instance, HOUR / 2)
    assert "lost is not defined" in row.get("last_error")
    write(instance, delete("sys_trigger", made))
    made = write(instance, insert("sys_trigger", {"name": "Bad", "script": "lost()"})).sys_id
    assert len(ran(instance, HOUR)) == 1
    (row,) = triggers(instance, name="Bad")
    assert (row.get("state"), row.get("error_count")) == ("-1", "1")
    again = {"state": "0", "next_action": moment(instance, HOUR / 2), "script": "gs.info('well')"}
    write(instance, update("sys_trigger", made, again))
    assert ran(instance, HOUR) == ["well"]
    for wrong in ({"trigger_type": "9"}, {"trigger_type": "1"}):
        with pytest.raises(OperationAborted):
            write(instance, insert("sys_trigger", {"name": "No", "script": "1", **wrong}))
