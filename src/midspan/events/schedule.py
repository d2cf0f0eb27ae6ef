"""When schedule items fire, and the jobs that make them fire once a slot on all nodes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import TypeAlias

from msgspec import Struct

from midspan.dictionary import Table
from midspan.dictionary.values import parse_datetime
from midspan.events.triggers import is_kept, keep_trigger
from midspan.jobs import (
    Daily,
    Done,
    Every,
    Failed,
    Job,
    JobContext,
    JobOptions,
    JobQueue,
    Monthly,
    Outcome,
    Schedule,
    Weekly,
)
from midspan.kernel.errors import Conflict, InvalidDefinition, did_you_mean
from midspan.query import Query
from midspan.records import Draft, Operation, Record, RecordStore, RecordTransaction
from midspan.security import SYSTEM

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RUN_TYPES = ("daily", "weekly", "monthly", "periodically", "once", "on_demand", "parent")
SCRIPTS = "sysauto_script"

Rule = Daily | Weekly | Monthly | Every

_log = logging.getLogger(__name__)


def rule_of(record: Record, zone: str = "UTC") -> Rule | None:
    """Return the rule of a schedule item; None when it fires once, on demand or after another.

    ``zone`` counts when the record names none. Whether zone and day exist shows at ``next_slot``.

    Raises:
        InvalidDefinition: the record lacks what its kind of run needs, or it has no such kind.
    """
    place = record.get("run_as_tz") or record.get("time_zone") or zone
    match record.get("run_type") or "daily":
        case "daily":
            return Daily(_time(record), place)
        case "weekly":
            return Weekly(_number(record, "run_dayofweek"), _time(record), place)
        case "monthly":
            return Monthly(_number(record, "run_dayofmonth"), _time(record), place)
        case "periodically":
            period = record.get("run_period")
            if not period:
                raise InvalidDefinition(f"{record.get('name')} repeats and has no interval")
            start = parse_datetime(record.get("run_start") or record.get("sys_created_on"))
            return Every(start, parse_datetime(period) - _EPOCH)
        case "once" | "on_demand" | "parent":
            return None
        case other:
            raise InvalidDefinition(
                f"{record.get('name')} has the unknown kind of run {other!r}",
                hint=did_you_mean(other, RUN_TYPES) or f"Known: {', '.join(RUN_TYPES)}.",
            )


def next_fire(record: Record, after: datetime, zone: str = "UTC") -> datetime | None:
    """Return when a schedule item fires first after an instant; None: not by itself any more.

    Pure. A wall time that a change of the clocks skips fires right after the gap, one that comes
    twice fires the first time only.
    """
    if record.get("active") == "false":
        return None
    if record.get("run_type") == "once":
        start = record.get("run_start")
        moment = parse_datetime(start) if start else None
        return moment if moment is not None and moment > after else None
    rule = rule_of(record, zone)
    return rule.next_slot(after) if rule is not None else None


Fire: TypeAlias = Callable[[Record, str, JobContext], Outcome]
"""Does the work of a schedule item for a slot, the stored text of its instant; empty: by hand."""


class ItemKind(Struct, frozen=True):
    """One table of schedule items: the kind of its jobs, and under what name they get the id."""

    table: str
    kind: str
    name: str
    options: JobOptions


SCRIPT_ITEMS = ItemKind(SCRIPTS, "script.scheduled", "scheduled_script", JobOptions(max_attempts=3))


class ScheduleItems:
    """Keeps one job ahead for each active schedule item; also a ``RecordHook`` of their table.

    Making it registers the handler; ``load`` tells the jobs about every schedule, at start-up. A
    change is told to the node that made it. The others learn of it when they run one of its slots:
    a slot that is none of the record's as it is now does nothing, and a node that ran one goes on
    with the record's rule, so that schedules outlive the node where they were made.
    """

    def __init__(self, records: RecordStore, jobs: JobQueue, items: ItemKind, fire: Fire) -> None:
        self._records = records
        self._jobs = jobs
        self._items = items
        self._run = fire
        jobs.register(items.kind, self._fire, items.options)

    def load(self) -> int:
        """Schedule all active records; return how many."""
        with self._records.read(SYSTEM) as transaction:
            active = transaction.find(self._items.table, "active=true")
            # Still inside, so that these are schedules of the state that the database has.
            return sum(self._schedule_safely(record) for record in active)

    def catch_up(self) -> None:
        """Bring the rows of ``sys_trigger`` up to what passed while nobody was at work."""
        with self._records.read(SYSTEM) as transaction:
            late = [
                record
                for record in transaction.find(self._items.table, "active=true")
                if not is_kept(transaction, record, _next_safely(record, transaction.now))
            ]
        if late:
            with self._records.write(SYSTEM, enforce=False) as transaction:
                for record in late:
                    keep_trigger(transaction, record, _next_safely(record, transaction.now))

    def wants(self, table: Table, operation: Operation, transaction: RecordTransaction) -> bool:
        """Take every change of the schedule items."""
        return table.name == self._items.table

    def before(self, draft: Draft, transaction: RecordTransaction, *, late: bool) -> None:
        """Refuse a schedule that could not fire."""
        if not late and draft.operation is not Operation.DELETE:
            try:
                rule = rule_of(Record(self._items.table, draft.values))
                if rule is not None:
                    rule.next_slot(transaction.now)
            except InvalidDefinition as error:
                draft.refuse(error.explain())

    def after(self, draft: Draft, transaction: RecordTransaction) -> None:
        """Replace the schedule once the change is durable."""
        self._jobs.unschedule(transaction.database, draft.sys_id)
        record = Record(self._items.table, dict(draft.values))
        if draft.operation is Operation.DELETE or draft.get("active") == "false":
            keep_trigger(transaction, record, None)
            return
        keep_trigger(transaction, record, next_fire(record, transaction.now))
        if record.get("run_type") == "once":
            self._once(record, transaction)
        else:
            transaction.after_commit(lambda: self._schedule(record))

    def before_query(self, table: Table, query: Query, transaction: RecordTransaction) -> Query:
        """Leave queries as they are."""
        return query

    def _schedule(self, record: Record) -> None:
        rule = rule_of(record)
        if rule is not None:
            payload = {self._items.name: record.sys_id}
            self._jobs.schedule(
                Schedule(id=record.sys_id, kind=self._items.kind, rule=rule, payload=payload)
            )
            self._jobs.wake()

    def _schedule_safely(self, record: Record) -> bool:
        """Schedule a record; one that cannot fire is logged and keeps no other from firing."""
        try:
            self._schedule(record)
        except InvalidDefinition as error:
            _log.error("%s does not fire: %s", record.get("name"), error.explain())
            return False
        return True

    def _once(self, record: Record, transaction: RecordTransaction) -> None:
        moment = next_fire(record, transaction.now)
        if moment is not None:
            slot = record.get("run_start")
            job = Job(
                kind=self._items.kind,
                payload={self._items.name: record.sys_id, "slot": slot},
                key=f"schedule:{record.sys_id}/{slot}",
                run_at=moment,
                queue="schedule",
            )
            self._jobs.enqueue(transaction.database, job)

    def _fire(self, context: JobContext) -> Outcome:
        """Start the work of one slot, if the record still has it."""
        payload = context.job.payload
        schedule, slot = str(payload[self._items.name]), str(payload.get("slot", ""))
        table = self._items.table
        with self._records.read(SYSTEM) as transaction:
            record = transaction.load(table, (schedule,)).get(schedule)
        by_hand = not slot
        if record is None or (record.get("active") == "false" and not by_hand):
            with self._records.database.write() as database:
                self._jobs.unschedule(database, schedule)
            return Done({"skipped": "the schedule is gone or not active"})
        if not by_hand and record.get("run_type") != "once" and not self._schedule_safely(record):
            return Failed("The schedule cannot fire")
        if not by_hand and not _is_slot(record, slot):
            return Done({"skipped": "the schedule was changed"})
        if not by_hand:
            with self._records.write(SYSTEM, enforce=False) as transaction:
                keep_trigger(transaction, record, next_fire(record, transaction.now))
        return self._run(record, slot, context)


def _next_safely(record: Record, after: datetime) -> datetime | None:
    """Return when a record fires next; None also for one that cannot, which ``load`` logs."""
    try:
        return next_fire(record, after)
    except InvalidDefinition:
        return None


def run_now(transaction: RecordTransaction, table: str, sys_id: str) -> str:
    """Let a scheduled script run once after the commit, whatever its schedule; return the job.

    Raises:
        InvalidDefinition: no record of this table can be run so.
        RecordNotFound: there is no such record.
        Conflict: nothing runs jobs here.
    """
    if table != SCRIPT_ITEMS.table:
        raise InvalidDefinition(
            f"A record of {table} cannot be run now", hint=f"Only one of {SCRIPTS} can."
        )
    jobs = transaction.store.jobs
    if jobs is None:
        raise Conflict("There is nobody to run jobs", hint="Start the instance's work.")
    transaction.require(table, sys_id)
    job = Job(kind=SCRIPT_ITEMS.kind, payload={SCRIPT_ITEMS.name: sys_id}, queue="schedule")
    return jobs.enqueue(transaction.database, job)


def _is_slot(record: Record, slot: str) -> bool:
    """Tell whether a schedule, as it is now, fires at this instant."""
    moment = parse_datetime(slot)
    return next_fire(record, moment - timedelta(seconds=1)) == moment


def _number(record: Record, name: str) -> int:
    """Return a number of the record; 1 when none is given."""
    text = record.get(name) or "1"
    if not text.isdecimal():
        raise InvalidDefinition(f"{record.get('name')}: {name} is {text!r}", hint="Give a number.")
    return int(text)


def _time(record: Record) -> time:
    """Return the time of day; midnight when none is given."""
    text = record.get("run_time")
    try:
        return time.fromisoformat(text[-8:]) if text else time()
    except ValueError:
        raise InvalidDefinition(
            f"{record.get('name')}: run_time is {text!r}", hint="Give HH:MM:SS."
        ) from None
