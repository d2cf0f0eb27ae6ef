"""When scheduled imports fire: once a slot, across changes of the clocks and missed slots."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from midspan.ecc import EccQueue
from midspan.importsets import ImportRunner
from midspan.importsets.relay import RelayImports
from midspan.importsets.schedule import ScheduledImports, next_fire
from midspan.instance import Instance
from midspan.jobs import JobTable, ManualJobs
from midspan.kernel.clock import ManualClock
from midspan.kernel.errors import OperationAborted
from midspan.records import Record, insert, update
from midspan.security import SYSTEM
from midspan.testing import open_instance

TWO = "1970-01-01 02:00:00"


def item(**values: str) -> Record:
    return Record("scheduled_import_set", {"sys_id": "1" * 32, "active": "true", **values})


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("2026-03-28T00:30:00+00:00", "2026-03-28T01:00:00+00:00"),
        ("2026-03-28T01:00:00+00:00", "2026-03-29T01:00:00+00:00"),  # 02:00 does not exist: 03:00
        ("2026-03-29T01:00:00+00:00", "2026-03-30T00:00:00+00:00"),
        ("2026-10-24T00:00:00+00:00", "2026-10-25T00:00:00+00:00"),  # the first of two
        ("2026-10-25T00:00:00+00:00", "2026-10-26T01:00:00+00:00"),
    ],
)
def test_two_in_the_morning_comes_once_a_day_whatever_the_clocks_do(
    after: str, expected: str
) -> None:
    daily = item(run_type="daily", run_time=TWO, run_as_tz="Europe/Berlin")
    fired = next_fire(daily, datetime.fromisoformat(after))
    assert fired is not None
    assert fired.isoformat() == expected


def test_other_ways_to_fire() -> None:
    now = datetime(2026, 1, 31, 8, tzinfo=UTC)
    often = item(
        run_type="periodically", run_start="2026-01-31 00:00:00", run_period="1970-01-01 00:45:00"
    )
    assert next_fire(often, now) == datetime(2026, 1, 31, 8, 15, tzinfo=UTC)
    once = item(run_type="once", run_start="2026-02-01 00:00:00")
    assert next_fire(once, now) == datetime(2026, 2, 1, tzinfo=UTC)
    assert next_fire(once, datetime(2026, 2, 1, tzinfo=UTC)) is None
    weekly = item(run_type="weekly", run_dayofweek="1", run_time=TWO)
    assert next_fire(weekly, now) == datetime(2026, 2, 2, 2, tzinfo=UTC)
    monthly = item(run_type="monthly", run_dayofmonth="31", run_time=TWO)
    assert next_fire(monthly, now) == datetime(2026, 2, 28, 2, tzinfo=UTC)
    assert next_fire(item(run_type="on_demand"), now) is None
    assert next_fire(item(run_type="daily", active="false"), now) is None


class Night:
    """An instance whose clock and jobs a test moves by hand."""

    def __init__(self, instance: Instance, agent: bool = True) -> None:
        self.records = instance.records
        self.clock = instance.clock
        assert isinstance(instance.jobs, ManualJobs)
        self.jobs = instance.jobs
        self.scheduled = instance.schedules
        mid = self.add("ecc_agent", {"name": "night", "validated": "validated"}) if agent else ""
        self.source = self.add(
            "sys_data_source",
            {
                "name": "servers",
                "type": "JDBC",
                "mid_server": mid,
                "mid_target": "inventory",
                "table_name": "servers",
                "import_set_table_name": "u_servers",
            },
        )

    def add(self, table: str, values: dict[str, str]) -> str:
        with self.records.write(SYSTEM, enforce=False) as transaction:
            return transaction.apply(insert(table, values)).sys_id

    def daily(self) -> str:
        values = {"name": "nightly", "run_type": "daily", "run_time": TWO, "run_as_tz": "UTC"}
        return self.add("scheduled_import_set", {**values, "data_source": self.source})

    def change(self, schedule: str, **values: str) -> None:
        with self.records.write(SYSTEM, enforce=False) as transaction:
            transaction.apply(update("scheduled_import_set", schedule, values))

    def sets(self) -> list[tuple[str, str]]:
        with self.records.read(SYSTEM) as transaction:
            found = transaction.find("sys_import_set", "ORDERBYsys_created_on")
        return [(row.get("sys_created_on"), row.get("state")) for row in found]


@pytest.fixture(params=["sqlite", "postgresql"])
def instance(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> Iterator[Instance]:
    url = new_database() if request.param == "postgresql" else ""
    start = datetime(2026, 3, 1, 12, tzinfo=UTC)
    with open_instance(url, clock=ManualClock(start)) as opened:
        yield opened


def test_each_slot_starts_one_import_and_a_missed_one_is_made_up_for_once(
    instance: Instance,
) -> None:
    night = Night(instance)
    schedule = night.daily()
    night.jobs.advance(timedelta(days=2))
    assert [made for made, _ in night.sets()] == ["2026-03-02 02:00:00", "2026-03-03 02:00:00"]
    assert isinstance(night.clock, ManualClock)
    night.clock.advance(timedelta(days=3))  # nobody works meanwhile
    night.jobs.run_due()
    night.jobs.run_due()
    assert len(night.sets()) == 3
    with night.records.write(SYSTEM, enforce=False) as transaction:
        transaction.apply(update("scheduled_import_set", schedule, {"active": "false"}))
    night.jobs.advance(timedelta(days=2))
    assert len(night.sets()) == 3


def test_a_restarted_node_goes_on_with_the_schedules(instance: Instance) -> None:
    night = Night(instance)
    night.daily()
    night.records.hooks.remove(night.scheduled)
    jobs = ManualJobs(JobTable(instance.database, instance.clock, instance.ids, "second"))
    runner = ImportRunner(night.records, instance.clock)
    relay = RelayImports(night.records, runner, EccQueue(night.records), jobs)
    assert ScheduledImports(night.records, runner, relay, jobs).load() == 1
    jobs.advance(timedelta(days=1))
    assert len(night.sets()) == 1


def test_a_start_without_an_agent_is_tried_again_and_then_seen_as_an_error(
    instance: Instance,
) -> None:
    night = Night(instance, agent=False)
    night.daily()
    night.jobs.advance(timedelta(hours=15))
    ((_, state),) = night.sets()
    assert state == "error"
    with night.records.read(SYSTEM) as transaction:
        (found,) = transaction.find("sys_import_set", "")
    assert "JDBC" in found.get("message")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"run_type": "periodically"}, "no interval"),
        ({"run_type": "periodically", "run_period": "1970-01-01 00:00:00"}, "at least one second"),
        ({"run_type": "daily", "time_zone": "Europe/Berln"}, "no time zone 'Europe/Berln'"),
        ({"run_type": "dayly"}, "Did you mean 'daily'"),
        ({"run_type": "weekly", "run_dayofweek": "8"}, "no day 8 of the week"),
        ({"run_type": "monthly", "run_dayofmonth": "32"}, "no day 32 of the month"),
    ],
)
def test_a_schedule_that_cannot_fire_is_refused(
    instance: Instance, values: dict[str, str], told: str
) -> None:
    night = Night(instance)
    with pytest.raises(OperationAborted) as caught:
        night.add("scheduled_import_set", {"name": "x", "data_source": night.source, **values})
    assert told in caught.value.explain()
    assert night.jobs.run_due() == 0


def test_a_change_that_keeps_the_time_keeps_the_slot(instance: Instance) -> None:
    night = Night(instance)
    schedule = night.daily()
    night.jobs.run_due()
    night.change(schedule, name="another name")
    night.change(schedule, active="false")
    night.change(schedule, active="true")
    night.jobs.advance(timedelta(days=1))
    assert [made for made, _ in night.sets()] == ["2026-03-02 02:00:00"]


class Node:
    """A second node on the same database; it knows the schedules of its start."""

    def __init__(self, instance: Instance) -> None:
        self.jobs = ManualJobs(JobTable(instance.database, instance.clock, instance.ids, "second"))
        runner = ImportRunner(instance.records, instance.clock)
        relay = RelayImports(instance.records, runner, EccQueue(instance.records), self.jobs)
        ScheduledImports(instance.records, runner, relay, self.jobs).load()


def test_a_schedule_outlives_the_node_where_it_was_made(instance: Instance) -> None:
    night, other = Night(instance), Node(instance)
    night.daily()
    night.jobs.run_due()  # the first node writes its slot and is never seen again
    other.jobs.advance(timedelta(days=3))
    assert [made[:10] for made, _ in night.sets()] == ["2026-03-02", "2026-03-03", "2026-03-04"]


def test_a_node_that_missed_a_change_fires_no_slot_of_the_past(instance: Instance) -> None:
    night = Night(instance)
    schedule = night.daily()
    other = Node(instance)
    other.jobs.run_due()
    night.change(schedule, run_time="1970-01-01 03:00:00")
    for _ in range(48):
        other.jobs.advance(timedelta(minutes=30))
        night.jobs.advance(timedelta(minutes=30))
    assert [made for made, _ in night.sets()] == ["2026-03-02 03:00:00", "2026-03-03 03:00:00"]
