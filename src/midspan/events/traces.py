"""Deletes what scripts left long ago: events that were worked off, and lines of their log."""

from __future__ import annotations

from datetime import time, timedelta

from midspan.dictionary.values import datetime_text
from midspan.jobs import Daily, Done, JobContext, JobOptions, JobQueue, Outcome, Schedule
from midspan.records import PROPERTIES, RecordStore
from midspan.security.actor import SYSTEM
from midspan.storage import Statements

KIND = "scripts.forget"
EVENT_DAYS = "midspan.events.keep_days"
LOG_DAYS = "midspan.log.keep_days"
_NIGHTLY = Daily(time(3, 30))


class ScriptTraces:
    """A job that comes back every night, once on all nodes.

    The system properties ``midspan.events.keep_days`` (7) and ``midspan.log.keep_days`` (30) say
    how long is long ago; 0 keeps everything.
    """

    def __init__(self, records: RecordStore, jobs: JobQueue) -> None:
        self._records = records
        self._jobs = jobs
        self._sql = Statements("midspan.events", "queue", records.database.dialect)
        jobs.register(KIND, self._work, JobOptions())

    def load(self) -> None:
        """Let the job come back."""
        self._jobs.schedule(Schedule(id=KIND, kind=KIND, rule=_NIGHTLY))

    def _work(self, context: JobContext) -> Outcome:
        return Done({**self.forget()})

    def forget(self) -> dict[str, int]:
        """Delete what is old; return how many rows of each table that were."""
        found: dict[str, int] = {}
        with self._records.write(SYSTEM, enforce=False) as transaction:
            properties = transaction.snapshot.part(PROPERTIES)
            for table, statement, name, days in (
                ("sysevent", "forget", EVENT_DAYS, 7),
                ("syslog", "forget_log", LOG_DAYS, 30),
            ):
                kept = _days(properties.get(name, ""), days)
                if kept:
                    before = datetime_text(transaction.now - timedelta(days=kept))
                    found[table] = transaction.database.execute(self._sql[statement], (before,))
        return found


def _days(text: str, otherwise: int) -> int:
    return int(text) if text.strip().isdecimal() else otherwise
