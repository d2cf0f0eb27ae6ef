"""When scheduled imports fire, and the jobs that make them fire once a slot on all nodes."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta

from midspan.dictionary import Table
from midspan.dictionary.values import parse_datetime
from midspan.importsets.relay import RelayImports
from midspan.importsets.run import ImportRunner
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
    Retry,
    Schedule,
    Weekly,
)
from midspan.kernel.errors import (
    DuplicateKey,
    InvalidDefinition,
    MidspanError,
    Unavailable,
    did_you_mean,
)
from midspan.kernel.ids import derived_id
from midspan.query import Query
from midspan.records import Draft, Operation, Record, RecordStore, RecordTransaction
from midspan.security import SYSTEM

TABLE = "scheduled_import_set"
KIND = "import.scheduled"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OPTIONS = JobOptions(max_attempts=5, first_delay=timedelta(seconds=30))

RUN_TYPES = ("daily", "weekly", "monthly", "periodically", "once", "on_demand", "parent")

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


class ScheduledImports:
    """Keeps one job ahead for each active scheduled import; also a ``RecordHook`` of their table.

    Making it registers the handler; ``load`` tells the jobs about every schedule, at start-up. A
    change is told to the node that made it. The others learn of it when they run one of its slots:
    a slot that is none of the record's as it is now does nothing, and a node that ran one goes on
    with the record's rule, so that schedules outlive the node where they were made.
    """

    def __init__(
        self, records: RecordStore, runner: ImportRunner, relay: RelayImports, jobs: JobQueue
    ) -> None:
        self._records = records
        self._runner = runner
        self._relay = relay
        self._jobs = jobs
        jobs.register(KIND, self._fire, _OPTIONS)

    def load(self) -> int:
        """Schedule all active records; return how many."""
        with self._records.read(SYSTEM) as transaction:
            active = transaction.find(TABLE, "active=true")
            # Still inside, so that these are schedules of the state that the database has.
            return sum(self._schedule_safely(record) for record in active)

    def wants(self, table: Table, operation: Operation, transaction: RecordTransaction) -> bool:
        """Take every change of scheduled imports."""
        return table.name == TABLE

    def before(self, draft: Draft, transaction: RecordTransaction, *, late: bool) -> None:
        """Refuse a schedule that could not fire."""
        if not late and draft.operation is not Operation.DELETE:
            try:
                rule = rule_of(Record(TABLE, draft.values))
                if rule is not None:
                    rule.next_slot(transaction.now)
            except InvalidDefinition as error:
                draft.refuse(error.explain())

    def after(self, draft: Draft, transaction: RecordTransaction) -> None:
        """Replace the schedule once the change is durable."""
        self._jobs.unschedule(transaction.database, draft.sys_id)
        if draft.operation is Operation.DELETE or draft.get("active") == "false":
            return
        record = Record(TABLE, dict(draft.values))
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
            payload = {"scheduled_import": record.sys_id}
            self._jobs.schedule(Schedule(id=record.sys_id, kind=KIND, rule=rule, payload=payload))
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
                kind=KIND,
                payload={"scheduled_import": record.sys_id, "slot": slot},
                key=f"schedule:{record.sys_id}/{slot}",
                run_at=moment,
                queue="schedule",
            )
            self._jobs.enqueue(transaction.database, job)

    def _fire(self, context: JobContext) -> Outcome:
        """Start the import of one slot; the set's id is derived from the slot, so it is one."""
        payload = context.job.payload
        schedule, slot = str(payload["scheduled_import"]), str(payload.get("slot", ""))
        with self._records.read(SYSTEM) as transaction:
            record = transaction.load(TABLE, (schedule,)).get(schedule)
        if record is None or record.get("active") == "false":
            with self._records.database.write() as database:
                self._jobs.unschedule(database, schedule)
            return Done({"skipped": "the schedule is gone or not active"})
        if record.get("run_type") != "once" and not self._schedule_safely(record):
            return Failed("The schedule cannot fire")
        if slot and not _is_slot(record, slot):
            return Done({"skipped": "the schedule was changed"})
        import_set = derived_id(TABLE, schedule, slot)
        try:
            source = self._runner.source(record.get("data_source"))
            load = self._relay.start_load(source.sys_id, import_set=import_set)
        except DuplicateKey:
            return Done({"import_set": import_set})
        except MidspanError as error:
            if isinstance(error, Unavailable) and context.attempt < _OPTIONS.max_attempts:
                return Retry(reason=error.explain()[:1000])
            return self._refused(record, error, import_set)
        return Done({"import_set": load.import_set})

    def _refused(self, record: Record, error: MidspanError, import_set: str) -> Outcome:
        """Leave an import set in error, where the people who wait for the rows look."""
        with suppress(InvalidDefinition, DuplicateKey):
            source = self._runner.source(record.get("data_source"))
            self._relay.refuse(source, error.explain(), import_set=import_set)
        return Failed(error.explain()[:1000])


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
