"""Jobs for tests and simulation: nothing runs until somebody says so, in one known order."""

from __future__ import annotations

from datetime import datetime, timedelta

from midspan.jobs.queue import TableQueue
from midspan.kernel.clock import ManualClock
from midspan.kernel.errors import LimitExceeded

MOST = 10_000


class ManualJobs(TableQueue):
    """Runs due jobs in the caller's thread: by priority, then time, then id."""

    def start(self) -> None:
        """Give up what an earlier life of this node held."""
        self.table.release()

    def stop(self, timeout: timedelta) -> bool:
        """Nothing is under way between two calls."""
        return True

    def run_due(self) -> int:
        """Run what is due, and what that makes due, until nothing is; return how many runs."""
        for runs in range(MOST):
            self.scheduler.tick()
            with self.table.database.read() as transaction:
                due = self.table.due(transaction, 1)
            if not due:
                return runs
            self.run_job(due[0][0])
        raise LimitExceeded(f"Jobs made each other due {MOST} times")

    def advance(self, by: timedelta) -> int:
        """Move the clock from event to event for ``by`` and run what comes due; return the runs."""
        clock = self.table.clock
        if not isinstance(clock, ManualClock):
            raise TypeError("only a ManualClock can be moved")
        end = clock.now() + by
        runs = self.run_due()
        while (coming := self._next()) is not None and coming <= end:
            clock.set(max(coming, clock.now() + timedelta(microseconds=1)))
            runs += self.run_due()
        if clock.now() < end:
            clock.set(end)
        return runs + self.run_due()

    def _next(self) -> datetime | None:
        with self.table.database.read() as transaction:
            return self.table.next_run(transaction)
