"""What stops a run loudly, and what an older segment can no longer write."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from midspan.flow import JournalMismatch
from midspan.flow.definition import parse_flow
from midspan.flow.interpreter import _Segment
from midspan.flow.journal import Entry, Run, queued
from midspan.instance import Instance
from midspan.jobs import Job, ManualJobs
from midspan.kernel.clock import ManualClock
from midspan.kernel.errors import FenceLost, InvalidDefinition
from midspan.security.actor import SYSTEM
from midspan.testing import open_instance

TEXT = """
name: f
trigger: {table: incident}
steps:
  - {id: first, log: one}
  - {id: second, log: two}
"""


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    with open_instance(clock=ManualClock()) as opened:
        yield opened


def begun(instance: Instance, text: str = TEXT) -> Run:
    """Queue a run and begin a segment of it."""
    journal = instance.flows.journal
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        sys_id = instance.ids.sys_id()
        snapshot = journal.version(transaction, "f" * 32, "f", text)
        values = {"flow": "f" * 32, "snapshot": snapshot, "source_table": "incident"}
        values |= {"source_record": "r" * 32, "inputs": "{}", "idempotency_key": sys_id}
        transaction.engine_insert("sys_flow_context", [queued(sys_id, values)])
        run = journal.begin(transaction, sys_id, "node-1")
    assert run is not None
    return run


def entry(path: str, position: int, kind: str = "log") -> Entry:
    return Entry(sys_id="0", path=path, position=position, kind=kind, state="complete")


def test_a_later_segment_takes_the_fence(instance: Instance) -> None:
    old = begun(instance)
    journal = instance.flows.journal
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        new = journal.begin(transaction, old.sys_id, "node-2")
        assert new is not None
        assert new.fence == old.fence + 1
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        with pytest.raises(FenceLost):
            journal.add(transaction, old, entry("first", 1))
        journal.finish(transaction, new, "COMPLETE")
        assert journal.begin(transaction, new.sys_id, "node-1") is None


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ([entry("other", 1)], "'other'"),
        ([entry("first", 1, "action slack.post_webhook")], "action slack.post_webhook"),
        ([entry("first", 1), entry("second", 2), entry("third", 3)], "'third'"),
    ],
)
def test_an_unexpected_entry_stops_the_run(
    instance: Instance, entries: list[Entry], text: str
) -> None:
    flow = parse_flow(TEXT)
    segment = _Segment(instance.flows.interpreter, begun(instance), flow, entries)

    def carry_out() -> None:
        segment.walk(flow.steps, "")
        segment.check_used_up()

    with pytest.raises(JournalMismatch) as caught:
        carry_out()
    assert text in caught.value.message


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ("name: f", "expected a trigger"),
        ("name: f\ntrigger: {tabel: incident}\nsteps: []", "unknown key 'tabel'"),
        ("name: f\ntrigger: {table: incident}\nsteps: []", "expected a list of steps"),
        ("name: f\nname: g", "given twice"),
        ("name: f\ntrigger: {table: i, when: never}\nsteps: [{id: a, log: x}]", "when"),
        ("name: f\ntrigger: {table: i}\nsteps: [{id: a, log: x, if: {}}]", "expected one of"),
        ("name: f\ntrigger: {table: i}\nsteps: [{id: 'a b', log: x}]", "letters, digits"),
        ("- a", "expected name, trigger and steps"),
        ("a: [", "not YAML"),
    ],
)
def test_a_document_is_read_strictly(document: str, text: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        parse_flow(document)
    assert text in caught.value.message


def test_a_run_that_cannot_go_on_ends_as_error(instance: Instance) -> None:
    run = begun(instance, "name: f")
    with instance.database.write() as transaction:
        job = Job(kind="flow.run", payload={"run": run.sys_id})
        instance.jobs.enqueue(transaction, job)
    assert isinstance(instance.jobs, ManualJobs)
    instance.jobs.advance(timedelta(hours=1))
    view = instance.flows.show(SYSTEM, run.sys_id)
    assert view.run.get("state") == "ERROR"
    assert "expected a trigger" in view.run.get("error")
