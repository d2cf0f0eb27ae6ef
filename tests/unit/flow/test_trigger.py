"""How often a trigger starts its flow for one record; on both databases.

Source: flows reference §3: "For each unique change" keeps a history of changed values, and a return
to an earlier value does not fire; "Once" counts for the record's life.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from midspan.instance import Instance
from midspan.jobs import ManualJobs
from midspan.kernel.clock import ManualClock
from midspan.records import Change, Record, delete, insert, update
from midspan.security.actor import SYSTEM
from midspan.testing import open_instance

FLOW = """
name: {name}
trigger: {{table: change_request, when: {when}, condition: "{condition}", run: {run}}}
steps:
  - {{id: note, log: "{{{{trigger.record.short_description}}}}"}}
"""
APPROVED = "approvalCHANGESTOapproved"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def instance(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> Iterator[Instance]:
    url = new_database() if request.param == "postgresql" else ""
    with open_instance(url, clock=ManualClock()) as opened:
        yield opened


class Watched:
    """A flow with a trigger, and changes that it may start for."""

    def __init__(self, instance: Instance, **trigger: str) -> None:
        self.instance = instance
        text = FLOW.format(name="f", **trigger)
        values = {"name": "f", "active": "true", "status": "published", "definition": text}
        self.flow = self._apply(insert("sys_hub_flow", values))

    def _apply(self, change: Change) -> str:
        with self.instance.records.write(SYSTEM) as transaction:
            return transaction.apply(change).sys_id

    def create(self, **values: str) -> str:
        """Insert a change request."""
        return self._apply(insert("change_request", {"short_description": "new", **values}))

    def change(self, sys_id: str, **values: str) -> None:
        """Update it."""
        self._apply(update("change_request", sys_id, values))

    def delete(self, sys_id: str) -> None:
        """Delete it."""
        self._apply(delete("change_request", sys_id))

    def runs(self) -> list[Record]:
        """Let everything happen; return the runs, oldest first."""
        self.instance.dispatcher.drain()
        assert isinstance(self.instance.jobs, ManualJobs)
        self.instance.jobs.run_due()
        with self.instance.records.read(SYSTEM) as transaction:
            return transaction.find("sys_flow_context", f"flow={self.flow}^ORDERBYsys_created_on")

    def fired(self, sys_id: str, *steps: dict[str, str]) -> list[bool]:
        """Make changes one by one; tell of each whether it started the flow."""
        before, answers = len(self.runs()), []
        for values in steps:
            self.change(sys_id, **values)
            now = len(self.runs())
            answers.append(now > before)
            before = now
        return answers


def approval(*values: str) -> list[dict[str, str]]:
    return [{"approval": value} for value in values]


def described(*values: str) -> list[dict[str, str]]:
    return [{"short_description": value} for value in values]


UPDATED = {"when": "updated", "condition": ""}
ON_APPROVAL = {"when": "updated", "condition": APPROVED}
BY_TEXT = {"when": "updated", "condition": "short_descriptionSTARTSWITHa"}
BY_LENGTH = {"when": "updated", "condition": "glidefunction:length(short_description)<3"}


@pytest.mark.parametrize(
    ("trigger", "run", "steps", "expected"),
    [
        (ON_APPROVAL, "every", approval("approved", "rejected", "approved"), [1, 0, 1]),
        (ON_APPROVAL, "once", approval("approved", "rejected", "approved"), [1, 0, 0]),
        (
            ON_APPROVAL,
            "for_each_unique_change",
            approval("approved", "rejected", "approved"),
            [1, 0, 0],
        ),
        (UPDATED, "once", described("a", "b"), [1, 0]),
        (UPDATED, "for_each_unique_change", described("a", "b", "a", "b", "c"), [1, 1, 0, 0, 1]),
        (UPDATED, "for_each_unique_change", described("a", "new", "a"), [1, 0, 0]),
        (
            UPDATED,
            "for_each_unique_change",
            [*described("a"), *approval("approved"), *described("new"), *approval("rejected")],
            [1, 1, 0, 1],
        ),
        (BY_TEXT, "for_each_unique_change", described("a", "b", "ab", "a"), [1, 0, 1, 0]),
        (BY_LENGTH, "for_each_unique_change", described("a", "b", "long", "a"), [1, 1, 0, 0]),
        (
            BY_TEXT,
            "for_each_unique_change",
            [*described("a"), {"description": "other"}, {"description": "another"}],
            [1, 0, 0],
        ),
    ],
)
def test_how_often_one_record_starts_a_flow(
    instance: Instance,
    trigger: dict[str, str],
    run: str,
    steps: list[dict[str, str]],
    expected: list[int],
) -> None:
    watched = Watched(instance, run=run, **trigger)
    change = watched.create(approval="requested")
    assert watched.fired(change, *steps) == [bool(fires) for fires in expected]
    other = watched.create(approval="requested")
    assert watched.fired(other, *steps) == [bool(fires) for fires in expected]
    assert {record.get("state") for record in watched.runs()} == {"COMPLETE"}


@pytest.mark.parametrize("run", ["once", "for_each_unique_change"])
def test_a_creation_counts_as_the_first_change(instance: Instance, run: str) -> None:
    watched = Watched(instance, when="created_or_updated", condition="", run=run)
    change = watched.create(short_description="first")
    assert len(watched.runs()) == 1
    unique = run == "for_each_unique_change"
    assert watched.fired(change, *described("second", "first")) == [unique, False]


def test_changes_that_wait_together_count_as_they_came(instance: Instance) -> None:
    watched = Watched(instance, run="for_each_unique_change", **UPDATED)
    change = watched.create()
    for text in ("a", "b", "a", "c"):
        watched.change(change, short_description=text)
    runs = watched.runs()
    with instance.records.read(SYSTEM) as transaction:
        lines = [transaction.first("sys_flow_log", f"context={run.sys_id}") for run in runs]
    assert sorted(line.get("message") for line in lines if line) == ["a", "b", "c"]


def test_a_record_that_is_gone_starts_nothing(instance: Instance) -> None:
    watched = Watched(instance, run="once", **UPDATED)
    change = watched.create()
    watched.change(change, short_description="a")
    watched.delete(change)
    assert watched.runs() == []


def test_the_time_of_the_last_start_is_kept(instance: Instance) -> None:
    watched = Watched(instance, run="once", **UPDATED)
    change = watched.create()
    assert watched.fired(change, *described("a")) == [True]

    def fired() -> str:
        with instance.records.read(SYSTEM) as transaction:
            (state,) = transaction.find("sys_flow_trigger_state", f"flow={watched.flow}")
        return state.get("fired")

    first = fired()
    assert isinstance(instance.clock, ManualClock)
    instance.clock.advance(timedelta(hours=1))
    assert watched.fired(change, *described("b")) == [False]
    assert fired() == first
