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
from midspan.records import delete, insert, update
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
