"""Slots on the clock of a test: missed ones, two nodes, and daily wall times."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta

import pytest
from tests.guard import GUARD

from midspan.instance import Instance
from midspan.jobs import (
    Daily,
    Done,
    Every,
    Job,
    JobTable,
    ManualJobs,
    Monthly,
    NodeJobs,
    Schedule,
    Weekly,
)
from midspan.kernel.clock import ManualClock
from midspan.testing import open_instance

START = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)


@pytest.fixture
def instance() -> Iterator[Instance]:
    with open_instance() as opened:
        yield opened


def node(instance: Instance, clock: ManualClock, slots: list[str], name: str = "n1") -> ManualJobs:
    jobs = ManualJobs(JobTable(instance.database, clock, instance.ids, name))
    jobs.register("tick", lambda context: slots.append(context.job.payload["slot"]) or Done())
    jobs.schedule(Schedule(id="s", kind="tick", rule=Every(START, timedelta(hours=1))))
    return jobs


def test_missed_slots_are_made_up_for_once(instance: Instance) -> None:
    clock = ManualClock(START)
    slots: list[str] = []
    node(instance, clock, slots).run_due()
    clock.advance(timedelta(hours=5, minutes=30))
    after_the_break = node(instance, clock, slots)
    after_the_break.run_due()
    assert slots == ["2026-01-31 09:00:00"]
    after_the_break.advance(timedelta(hours=1))
    assert slots == ["2026-01-31 09:00:00", "2026-01-31 14:00:00"]


def test_two_nodes_share_the_slots(instance: Instance) -> None:
    clock = ManualClock(START)
    slots: list[str] = []
    nodes = [node(instance, clock, slots, name) for name in ("n1", "n2")]
    for _ in range(4):
        for each in nodes:
            each.run_due()
        clock.advance(timedelta(hours=1))
    assert slots == [f"2026-01-31 {hour:02}:00:00" for hour in (9, 10, 11)]


def test_a_rule_without_a_next_slot_keeps_no_other_from_firing(instance: Instance) -> None:
    slots: list[str] = []
    clock = ManualClock(START)
    jobs = node(instance, clock, slots)
    jobs.schedule(Schedule(id="wrong", kind="tick", rule=Daily(time(2), "Mars/Base")))
    jobs.advance(timedelta(hours=1))
    assert slots == ["2026-01-31 09:00:00"]


def test_wall_times(instance: Instance) -> None:
    rules: list[Daily | Weekly | Monthly] = [
        Daily(time(2), "Europe/Berlin"),
        Weekly(1, time(6)),
        Monthly(31, time(6)),
    ]
    assert [rule.next_slot(START).isoformat() for rule in rules] == [
        "2026-02-01T01:00:00+00:00",
        "2026-02-02T06:00:00+00:00",
        "2026-02-28T06:00:00+00:00",
    ]


def test_threads_stand_in_for_a_carrier_that_cannot_start(instance: Instance) -> None:
    class Broken:
        def start(self, run: object) -> None:
            raise RuntimeError("no")

        def submit(self, sys_id: str, fence: int) -> None:
            raise AssertionError

        def stop(self, timeout: timedelta) -> None:
            raise AssertionError

    ran = threading.Event()
    jobs = NodeJobs(JobTable(instance.database, instance.clock, instance.ids, "n1"), Broken())
    jobs.register("x", lambda _: ran.set() or Done())
    jobs.start()
    with instance.database.write() as transaction:
        jobs.enqueue(transaction, Job(kind="x"))
    assert ran.wait(GUARD)
    assert jobs.stop(timedelta(seconds=10))
