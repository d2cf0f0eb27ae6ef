"""Scripts that were put into ``sys_trigger`` to run at an instant, once or again and again."""

from __future__ import annotations

from datetime import datetime

from midspan.dictionary import Table
from midspan.dictionary.values import datetime_text, parse_datetime
from midspan.events.schedule import next_fire
from midspan.events.triggers import TRIGGERS, TYPES
from midspan.jobs import Done, Failed, Job, JobContext, JobOptions, JobQueue, Outcome, Retry
from midspan.kernel.errors import InvalidDefinition, did_you_mean
from midspan.query import Query
from midspan.records import Draft, Operation, Record, RecordStore, RecordTransaction, delete, update
from midspan.rules.schedule import LIMITS
from midspan.sandbox import SandboxUnavailable, Script, ScriptError
from midspan.scripting import PerWrite, RecordView, ScriptRunner
from midspan.security import SYSTEM

KIND = "script.trigger"
_FAILED = "-1"
_RUN_TYPES = {number: name for name, number in TYPES.items()}


class ScriptTriggers:
    """A ``RecordHook`` of ``sys_trigger``: a row with a script is a job at its ``next_action``.

    The script runs as the system. A row that runs once is deleted when it has run, and stays with
    the error when it failed; another gets its next instant. One whose process dies is run again
    from its beginning.
    """

    def __init__(self, records: RecordStore, runner: ScriptRunner, jobs: JobQueue) -> None:
        self._records = records
        self._runner = runner
        self._jobs = jobs
        jobs.register(KIND, self._fire, JobOptions(max_attempts=3))

    def wants(self, table: Table, operation: Operation, transaction: RecordTransaction) -> bool:
        """Take every change of the triggers."""
        return table.name == TRIGGERS

    def before(self, draft: Draft, transaction: RecordTransaction, *, late: bool) -> None:
        """Refuse what could not run again; without an instant a script runs at once."""
        if late or draft.operation is Operation.DELETE or not draft.get("script"):
            return
        if not draft.get("next_action"):
            draft.set("next_action", transaction.now_text)
        try:
            _next(Record(TRIGGERS, draft.values), transaction.now)
        except InvalidDefinition as error:
            draft.refuse(error.explain())

    def after(self, draft: Draft, transaction: RecordTransaction) -> None:
        """Replace the job with the change."""
        self._jobs.unschedule(transaction.database, draft.sys_id)
        over = draft.operation is Operation.DELETE or draft.get("state") == _FAILED
        if over or not draft.get("script"):
            return
        slot = draft.get("next_action")
        job = Job(
            kind=KIND,
            payload={"trigger": draft.sys_id, "slot": slot},
            key=f"schedule:{draft.sys_id}/{slot}",
            run_at=parse_datetime(slot),
            queue="schedule",
        )
        self._jobs.enqueue(transaction.database, job)

    def before_query(self, table: Table, query: Query, transaction: RecordTransaction) -> Query:
        """Leave queries as they are."""
        return query

    def _fire(self, context: JobContext) -> Outcome:
        sys_id, slot = (str(context.job.payload[name]) for name in ("trigger", "slot"))
        with self._records.read(SYSTEM) as transaction:
            record = transaction.load(TRIGGERS, (sys_id,)).get(sys_id)
        if record is None or record.get("next_action") != slot:
            return Done({"skipped": "the trigger is gone or was changed"})
        title = f"Trigger {record.get('name')!r}"
        script = Script(f"{TRIGGERS}.{sys_id}.script", record.get("script"))
        problem = ""
        try:
            with self._runner.session(PerWrite(self._records, SYSTEM), limits=LIMITS) as session:
                views = {"current": RecordView(TRIGGERS, record.values)}
                session.run(script, views, discard=True)
        except SandboxUnavailable as error:
            return Retry(reason=error.explain())
        except ScriptError as error:
            self._records.logbook.failure(error, title=title)
            problem = str(error)
        self._go_on(sys_id, slot, problem)
        return Failed(f"{title}: {problem}") if problem else Done()

    def _go_on(self, sys_id: str, slot: str, problem: str) -> None:
        """Leave the row for its next run, or for nobody; unless the script itself changed it."""
        with self._records.write(SYSTEM, enforce=False) as transaction:
            record = transaction.load(TRIGGERS, (sys_id,)).get(sys_id)
            if record is None or record.get("next_action") != slot:
                return
            following = _next(record, transaction.now)
            errors = str(int(record.get("error_count") or 0) + 1) if problem else "0"
            values = {"error_count": errors, "last_error": problem}
            if following is not None:
                moment = datetime_text(following)
                transaction.apply(update(TRIGGERS, sys_id, {**values, "next_action": moment}))
            elif problem:
                transaction.apply(update(TRIGGERS, sys_id, {**values, "state": _FAILED}))
            else:
                transaction.apply(delete(TRIGGERS, sys_id))


def _next(record: Record, after: datetime) -> datetime | None:
    """Return when a trigger runs after an instant; None for one that runs once.

    Raises:
        InvalidDefinition: it has no such type, or lacks what its type needs.
    """
    number = record.get("trigger_type") or TYPES["once"]
    if number not in _RUN_TYPES:
        known = ", ".join(f"{key} ({name})" for key, name in _RUN_TYPES.items())
        raise InvalidDefinition(
            f"There is no trigger_type {number[:20]!r}",
            hint=did_you_mean(number, _RUN_TYPES) or f"Known: {known}.",
        )
    if number == TYPES["once"]:
        return None
    names = ("name", "run_time", "run_dayofweek", "run_dayofmonth", "time_zone", "sys_created_on")
    item = {name: record.get(name) for name in names}
    kind, start = _RUN_TYPES[number], record.get("next_action")
    values = {"run_type": kind, "run_period": record.get("repeat"), "run_start": start}
    return next_fire(Record(TRIGGERS, {**item, **values}), after)
