"""Schedules: when a job comes back, and that each of its slots is one job on all nodes."""

from __future__ import annotations

import logging
import threading
from datetime import datetime, time, timedelta
from typing import Any, TypeAlias

from msgspec import Struct

from midspan.dictionary.values import datetime_text
from midspan.formats.recurrence import next_daily, next_monthly, next_periodic, next_weekly
from midspan.jobs.job import Job
from midspan.jobs.table import JobTable
from midspan.storage import Transaction


class Daily(Struct, frozen=True):
    """Every day at a wall time of a zone."""

    at: time
    zone: str = "UTC"

    def next_slot(self, after: datetime) -> datetime:
        """Return the first slot after an instant."""
        return next_daily(after, self.at, self.zone)


class Weekly(Struct, frozen=True):
    """Every week; ``weekday`` 1 is Monday."""

    weekday: int
    at: time
    zone: str = "UTC"

    def next_slot(self, after: datetime) -> datetime:
        """Return the first slot after an instant."""
        return next_weekly(after, self.weekday, self.at, self.zone)


class Monthly(Struct, frozen=True):
    """Every month; a ``day`` past the month's end is its last day."""

    day: int
    at: time
    zone: str = "UTC"

    def next_slot(self, after: datetime) -> datetime:
        """Return the first slot after an instant."""
        return next_monthly(after, self.day, self.at, self.zone)


class Every(Struct, frozen=True):
    """``start`` and then at a fixed distance, at least one second."""

    start: datetime
    period: timedelta

    def next_slot(self, after: datetime) -> datetime:
        """Return the first slot after an instant."""
        return next_periodic(after, self.start, self.period)


Rule: TypeAlias = Daily | Weekly | Monthly | Every

_log = logging.getLogger(__name__)


class Schedule(Struct, frozen=True, kw_only=True):
    """A job that comes back; ``id`` is that of the record that defines it.

    Its job gets ``payload`` with ``slot`` added, the stored text of the instant it stands for.
    """

    id: str
    kind: str
    rule: Rule
    payload: dict[str, Any] = {}
    priority: int = 100


class Scheduler:
    """Keeps one job ahead for each schedule: the row of the next slot.

    That row is due also when every node was down at its time, so a missed slot is made up for
    once, however many were missed; its key ``schedule:<id>/<slot>`` makes it one on all nodes.
    """

    def __init__(self, table: JobTable) -> None:
        self._table = table
        self._lock = threading.Lock()
        self._schedules: dict[str, tuple[Schedule, datetime | None]] = {}

    def add(self, schedule: Schedule) -> None:
        """Begin with the first slot after now, unless an earlier one still waits."""
        with self._lock:
            self._schedules[schedule.id] = (schedule, None)

    def clear(self) -> None:
        """Forget every schedule; the rows of their next slots are left as they are."""
        with self._lock:
            self._schedules.clear()

    def remove(self, transaction: Transaction, schedule_id: str) -> None:
        """Forget a schedule and end the job that waits for its next slot."""
        self._table.cancel_schedule(transaction, _prefix(schedule_id))

        def forget() -> None:
            with self._lock:
                self._schedules.pop(schedule_id, None)

        transaction.after_commit(forget)

    def tick(self) -> None:
        """Write the rows of slots that are not written yet."""
        now = self._table.clock.now()
        with self._lock:
            missing = [
                schedule
                for schedule, written in self._schedules.values()
                if written is None or written <= now
            ]
        if not missing:
            return
        slots = [(each, slot) for each in missing if (slot := self._next(each, now)) is not None]
        with self._table.database.write() as transaction:
            for schedule, slot in slots:
                self._table.insert(transaction, _job(schedule, slot))
        with self._lock:
            for schedule, slot in slots:
                if self._schedules.get(schedule.id, (None,))[0] is schedule:
                    self._schedules[schedule.id] = (schedule, slot)

    def _next(self, schedule: Schedule, now: datetime) -> datetime | None:
        """Return the next slot; a rule that has none is dropped, for the others' sake."""
        try:
            return schedule.rule.next_slot(now)
        except Exception:
            _log.exception("the schedule %s is dropped: it has no next slot", schedule.id)
            with self._lock:
                if self._schedules.get(schedule.id, (None,))[0] is schedule:
                    del self._schedules[schedule.id]
            return None

    def next_slot(self) -> datetime | None:
        """Return the earliest slot that was written, after which the next has to be."""
        with self._lock:
            slots = [slot for _, slot in self._schedules.values() if slot is not None]
        return min(slots, default=None)


def _prefix(schedule_id: str) -> str:
    return f"schedule:{schedule_id}/"


def _job(schedule: Schedule, slot: datetime) -> Job:
    text = datetime_text(slot)
    return Job(
        kind=schedule.kind,
        payload={**schedule.payload, "slot": text},
        key=f"{_prefix(schedule.id)}{text}",
        run_at=slot,
        priority=schedule.priority,
        queue="schedule",
    )
