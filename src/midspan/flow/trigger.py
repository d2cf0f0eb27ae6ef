"""From a committed change to a queued run, in the transaction that ends the event."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from midspan.dictionary import Dictionary, FieldPath, Table
from midspan.dictionary.values import datetime_text
from midspan.events import Event
from midspan.flow.definition import Flow, parse_flow
from midspan.flow.journal import Journal, queued
from midspan.flow.values import walk
from midspan.jobs import Job, JobQueue
from midspan.kernel.errors import InvalidDefinition
from midspan.kernel.ids import derived_id
from midspan.query import (
    Condition,
    ReadOptions,
    Unknown,
    evaluate,
    parse,
    paths_of,
    plan_read,
)
from midspan.query import resolve_query as resolve
from midspan.records import Operation, RecordTransaction, SnapshotPart
from midspan.storage import Transaction, compile_read

log = logging.getLogger(__name__)
KIND = "flow.run"
_WHEN = {
    Operation.INSERT: ("created", "created_or_updated"),
    Operation.UPDATE: ("updated", "created_or_updated"),
    Operation.DELETE: (),
}
_SEEN = 1000


class ActiveFlow(Struct, frozen=True):
    """An active, published flow."""

    sys_id: str
    text: str
    flow: Flow


def load_flows(transaction: Transaction, dictionary: Dictionary) -> tuple[ActiveFlow, ...]:
    """Read all active flows; a broken one is logged and left out."""
    if "sys_hub_flow" not in dictionary:
        return ()
    query = parse("active=true^status=published^type=flow")
    options = ReadOptions(columns=["sys_id", "definition"], unknown=Unknown.REFUSE)
    plan = plan_read(dictionary, "sys_hub_flow", query, options)
    statement = compile_read(plan, dictionary, transaction.dialect)
    flows = []
    for sys_id, text in transaction.rows(statement.sql, statement.params):
        try:
            flows.append(ActiveFlow(sys_id, text or "", parse_flow(text or "", f"flow {sys_id}")))
        except InvalidDefinition as error:
            log.warning("a flow is left out: %s", error.explain())
    return tuple(flows)


FLOWS = SnapshotPart("flows", frozenset({"sys_hub_flow"}), load_flows)
"""The active flows; given to the instance's ``SnapshotHolder``."""


class RunStart(Struct, frozen=True, kw_only=True):
    """What starts a run: its id, the record it is about, a key that is used once, and who asks."""

    run: str
    table: str
    record: str
    key: str
    by: str


class _Marks(Struct, frozen=True):
    """The values before and after a change, each as a fingerprint."""

    before: list[str]
    after: list[str]


class FlowTriggers:
    """The consumer of events that starts flows."""

    name = "flows"

    def __init__(self, journal: Journal, jobs: JobQueue) -> None:
        self._journal = journal
        self._jobs = jobs

    def wants(self, table: Table, operation: Operation, transaction: RecordTransaction) -> bool:
        """Tell whether some flow is triggered by such changes."""
        return any(self._triggered(table.name, operation, transaction))

    def consume(self, event: Event, transaction: RecordTransaction) -> None:
        """Queue a run for each flow whose trigger matches."""
        states: tuple[dict[str, str], dict[str, str]] | None = None
        for active in self._triggered(event.table, event.operation, transaction):
            states = states or self._states(event, transaction)
            if states is None:
                return
            before, after = states
            condition = condition_of(active.flow, event.table, transaction)
            if not matches(condition, before, after, transaction):
                continue
            marks = _marks(condition, before, after, event)
            if self._may_run(active, event, marks, transaction):
                self._queue(active, event, after, transaction)

    def _triggered(
        self, table: str, operation: Operation, transaction: RecordTransaction
    ) -> Iterator[ActiveFlow]:
        for active in transaction.snapshot.part(FLOWS):
            trigger = active.flow.trigger
            if trigger.when in _WHEN[operation] and (
                table == trigger.table or transaction.dictionary.is_a(table, trigger.table)
            ):
                yield active

    def _states(
        self, event: Event, transaction: RecordTransaction
    ) -> tuple[dict[str, str], dict[str, str]] | None:
        """Return the record before and after the event, undoing what happened since."""
        record = transaction.load(event.table, (event.record_id,)).get(event.record_id)
        if record is None:
            log.info("record %s of event %s is gone; no flow starts", event.record_id, event.id)
            return None
        after = dict(record.values)
        sql = self._journal.sql["later_events"]
        for (payload,) in transaction.database.rows(sql, (event.record_id, event.id)):
            for name, (old, _) in msgspec.json.decode(payload)["changes"].items():
                after[name] = old
        after.update({name: new for name, (_, new) in event.changes.items()})
        before = {**after, **{name: old for name, (old, _) in event.changes.items()}}
        return before, after

    def _may_run(
        self,
        active: ActiveFlow,
        event: Event,
        marks: _Marks,
        transaction: RecordTransaction,
    ) -> bool:
        """Apply the trigger's run mode; what was seen is kept in one row a record.

        ``once`` is once in the record's life. ``for_each_unique_change`` keeps every value that it
        met, also the one that a change took away: a return to an earlier value starts nothing.
        """
        mode = active.flow.trigger.run
        if mode == "every":
            return True
        sys_id = derived_id("flow trigger", active.sys_id, event.record_id)
        now = datetime_text(transaction.now)
        database = transaction.database
        known = database.execute(self._journal.sql["lock_seen"], (sys_id,)) == 1
        if known and mode == "once":
            return False
        seen: list[str] = []
        if known:
            row = database.row(self._journal.sql["seen"], (sys_id,))
            seen = msgspec.json.decode(row[0]) if row and row[0] else []
        if seen and all(mark in seen for mark in marks.after):
            return False
        met = dict.fromkeys([*seen, *marks.before, *marks.after])
        text = msgspec.json.encode([*met][-_SEEN:]).decode()
        if known:
            database.execute(self._journal.sql["see"], (text, now, sys_id))
            return True
        values = {
            "sys_id": sys_id,
            "flow": active.sys_id,
            "source_table": event.table,
            "source_record": event.record_id,
            "fired": now,
            "seen": text,
        }
        transaction.engine_insert("sys_flow_trigger_state", [values])
        return True

    def _queue(
        self,
        active: ActiveFlow,
        event: Event,
        after: Mapping[str, str],
        transaction: RecordTransaction,
    ) -> None:
        start = RunStart(
            run=event.derived(active.sys_id),
            table=event.table,
            record=event.record_id,
            key=f"{event.id}/{active.sys_id}",
            by="record trigger",
        )
        self.start(active, start, after, transaction, changes=event.changes)

    def start(
        self,
        active: ActiveFlow,
        start: RunStart,
        values: Mapping[str, str],
        transaction: RecordTransaction,
        *,
        changes: Mapping[str, Any] | None = None,
    ) -> None:
        """Queue a run for a record with these values, as part of the transaction."""
        name, definition = active.flow.name, active.text
        fields = transaction.dictionary.table(start.table).fields
        record = {field: value for field, value in values.items() if not fields[field].kind.secret}
        inputs: dict[str, Any] = {"record": record, "changes": changes or {}}
        row = {
            "flow": active.sys_id,
            "name": name,
            "snapshot": self._journal.version(transaction, active.sys_id, name, definition),
            "source_table": start.table,
            "source_record": start.record,
            "calling_source": start.by,
            "idempotency_key": start.key,
            "inputs": msgspec.json.encode(inputs).decode(),
        }
        transaction.engine_insert("sys_flow_context", [queued(start.run, row)])
        job = Job(kind=KIND, payload={"run": start.run}, key=f"flow/{start.run}", queue="flow")
        self._jobs.enqueue(transaction.database, job)


def condition_of(flow: Flow, table: str, transaction: RecordTransaction) -> Condition:
    """Return the trigger's condition, resolved for a table."""
    text = flow.trigger.condition
    found, _ = resolve(
        transaction.dictionary, table, parse(text), Unknown.NOTHING, transaction.values
    )
    return found


def matches(
    condition: Condition,
    before: Mapping[str, str],
    after: Mapping[str, str],
    transaction: RecordTransaction,
) -> bool:
    """Tell whether a condition holds for a change."""

    def now(path: FieldPath) -> str:
        return walk(transaction, after, path)

    return evaluate(
        condition,
        now,
        lambda path: walk(transaction, before, path),
        transaction.count_related,
    )


def _marks(
    condition: Condition, before: Mapping[str, str], after: Mapping[str, str], event: Event
) -> _Marks:
    """Return what makes a change unique.

    That are the values, taken together, of the fields that the condition names; without a
    condition each changed field counts by itself, the system's own aside.
    """
    named = sorted({path.steps[0].name for path in paths_of(condition)})
    groups = [named] if named else [[n] for n in event.changes if not n.startswith("sys_")]

    def marks(values: Mapping[str, str]) -> list[str]:
        pairs = ([f"{name}={values.get(name, '')}" for name in names] for names in groups)
        return [derived_id(*texts) for texts in pairs]

    changed = event.operation is Operation.UPDATE
    return _Marks(marks(before) if changed else [], marks(after))
