"""What the packages above ask of durable work, whatever carries it out."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Protocol

from midspan.jobs.job import (
    Failed,
    GivenUp,
    Handler,
    Job,
    JobContext,
    JobKind,
    JobOptions,
    Outcome,
    Retry,
    next_state,
)
from midspan.jobs.schedule import Schedule, Scheduler
from midspan.jobs.table import JobRow, JobTable
from midspan.kernel.errors import FenceLost, MidspanError, Unavailable
from midspan.storage import StaleWork, Transaction

log = logging.getLogger(__name__)
_DEFAULTS = JobOptions()


class JobQueue(Protocol):
    """Jobs that outlive the process; a handler may run again after a crash, never twice at once
    with both runs being able to write."""

    def register(
        self,
        kind: str,
        handler: Handler,
        options: JobOptions = _DEFAULTS,
        given_up: GivenUp | None = None,
    ) -> None:
        """Say who handles a kind, and who hears that a job of it is given up; before ``start``."""
        ...

    def enqueue(self, transaction: Transaction, job: Job) -> str:
        """Write a job in the caller's transaction; return its id.

        A key that exists already gives the id of its job and writes nothing.
        """
        ...

    def schedule(self, schedule: Schedule) -> None:
        """Let a job come back by a rule; a schedule with the same id is replaced."""
        ...

    def unschedule(self, transaction: Transaction, schedule_id: str) -> None:
        """End a schedule."""
        ...

    def hasten(self, transaction: Transaction, sys_id: str) -> bool:
        """Let a job that waits run once this transaction is committed."""
        ...

    def cancel(self, transaction: Transaction, sys_id: str) -> bool:
        """End a job; a run under way can write nothing any more."""
        ...

    def read(self, transaction: Transaction, sys_id: str) -> JobRow:
        """Return one job as it stands."""
        ...

    def start(self) -> None:
        """Begin to work; returns at once."""
        ...

    def stop(self, timeout: timedelta) -> bool:
        """Take no more jobs, wait for those under way; tell whether all of them ended."""
        ...

    def wake(self) -> None:
        """Look for work now; called after a commit that made some."""
        ...


class TableQueue:
    """What every implementation shares: the rows, the schedules, and how one job is run."""

    def __init__(self, table: JobTable) -> None:
        self.table = table
        self.scheduler = Scheduler(table)
        self.held: dict[str, JobContext] = {}
        """Jobs under way in this process, whose leases have to be kept."""

    def register(
        self,
        kind: str,
        handler: Handler,
        options: JobOptions = _DEFAULTS,
        given_up: GivenUp | None = None,
    ) -> None:
        """Say who handles a kind, and who hears that a job of it is given up; before ``start``."""
        self.table.kinds[kind] = JobKind(kind, handler, options, given_up)

    def enqueue(self, transaction: Transaction, job: Job) -> str:
        """Write a job in the caller's transaction; return its id."""
        transaction.after_commit(self.wake)
        return self.table.insert(transaction, job)

    def schedule(self, schedule: Schedule) -> None:
        """Let a job come back by a rule."""
        self.scheduler.add(schedule)
        self.wake()

    def unschedule(self, transaction: Transaction, schedule_id: str) -> None:
        """End a schedule."""
        self.scheduler.remove(transaction, schedule_id)

    def hasten(self, transaction: Transaction, sys_id: str) -> bool:
        """Let a job that waits run once this transaction is committed."""
        transaction.after_commit(self.wake)
        return self.table.hasten(transaction, sys_id)

    def cancel(self, transaction: Transaction, sys_id: str) -> bool:
        """End a job; a run under way can write nothing any more."""
        return self.table.cancel(transaction, sys_id)

    def read(self, transaction: Transaction, sys_id: str) -> JobRow:
        """Return one job as it stands."""
        return self.table.read(transaction, sys_id)

    def wake(self) -> None:
        """Look for work now."""

    def run_job(self, sys_id: str) -> str | None:
        """Take a job and run it to an outcome; return its new state, None if it was not ours."""
        with self.table.database.lives.work():
            claimed = self.table.claim(sys_id)
            if claimed is None:
                return None
            context, kind = claimed
            self.held[sys_id] = context
            try:
                return self._settled(context, kind)
            except StaleWork:
                log.info("job %s of kind %s ended with a reset", sys_id, kind.name)
                return None
            finally:
                self.held.pop(sys_id, None)

    def _settled(self, context: JobContext, kind: JobKind) -> str | None:
        sys_id = context.job.sys_id
        try:
            outcome = self._outcome(context, kind)
            if context.finished is None:
                self._give_up(context, kind, outcome)
            if context.finished is not None:
                return context.finished
            with self.table.database.write() as transaction:
                return self.table.settle(transaction, context, outcome)
        except FenceLost:
            log.info("job %s of kind %s went to another worker", sys_id, kind.name)
            return None

    @staticmethod
    def _outcome(context: JobContext, kind: JobKind) -> Outcome:
        """Run the handler; what it raises is a reason to try again, unless the job was lost."""
        if context.deaths >= kind.options.max_deaths:
            return Failed(f"The job ended {context.deaths} processes")
        try:
            return kind.handler(context)
        except (FenceLost, StaleWork):
            raise
        except MidspanError as error:
            return Retry(reason=error.explain())
        except Exception as error:
            log.exception("job %s of kind %s failed", context.job.sys_id, kind.name)
            return Retry(reason=f"{type(error).__name__}: {error}")

    @staticmethod
    def _give_up(context: JobContext, kind: JobKind, outcome: Outcome) -> None:
        """Tell who wants to know that this was the last run; the job ends also if that fails.

        Raises:
            FenceLost: the job is somebody else's by now.
            Unavailable: nothing can be written now; the job is taken again after its lease.
        """
        if kind.given_up is None or not isinstance(outcome, Failed | Retry):
            return
        if next_state(outcome, context.attempt, context.max_attempts) != "error":
            return
        try:
            kind.given_up(context, outcome.reason)
        except (FenceLost, StaleWork, Unavailable):
            raise
        except Exception:
            context.reopen()
            log.exception("the end of job %s of kind %s", context.job.sys_id, kind.name)
