"""Jobs on a real node: a feeder that looks for due rows, and a carrier that runs them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Protocol

from midspan.jobs.queue import TableQueue
from midspan.jobs.table import JobTable
from midspan.storage import StaleWork

log = logging.getLogger(__name__)
POLL = timedelta(seconds=1)
"""How often a node looks for jobs that other nodes wrote."""
RENEW = timedelta(seconds=5)


class Carrier(Protocol):
    """What runs a job that is due; the row decides, so running one twice does no harm."""

    def start(self, run: Callable[[str], object]) -> None:
        """Get ready; may take a while. ``run`` takes a job's id and never raises."""
        ...

    def submit(self, sys_id: str, fence: int) -> None:
        """Run a job soon, in another thread."""
        ...

    def stop(self, timeout: timedelta) -> None:
        """Finish what is under way."""
        ...


class ThreadCarrier:
    """Runs jobs in a bounded pool of threads."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="job")
        self._run: Callable[[str], object] | None = None

    def start(self, run: Callable[[str], object]) -> None:
        """Keep what runs a job."""
        self._run = run

    def submit(self, sys_id: str, fence: int) -> None:
        """Run a job in the next free thread."""
        if self._run is not None:
            self._pool.submit(self._run, sys_id)

    def stop(self, timeout: timedelta) -> None:
        """Begin nothing more; the queue waited for what is under way."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class NodeJobs(TableQueue):
    """Feeds due jobs to a carrier, never more than ``limit`` at a time, and keeps their leases.

    The backlog stays in the table, where priorities hold and every node sees it.
    """

    def __init__(self, table: JobTable, carrier: Carrier, *, limit: int = 8) -> None:
        super().__init__(table)
        self._carrier = carrier
        self._limit = limit
        self._changed = threading.Condition()
        self._wanted = False
        self._stopping = False
        self._under_way: set[str] = set()
        self._renewed = 0.0
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the feeder, which starts the carrier; returns at once."""
        self._thread = threading.Thread(target=self._loop, name="jobs", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Look for work now."""
        with self._changed:
            self._wanted = True
            self._changed.notify_all()

    def stop(self, timeout: timedelta) -> bool:
        """Take no more jobs and wait for those under way; what is left keeps its lease."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            ended = self._changed.wait_for(
                lambda: not self._under_way, timeout=timeout.total_seconds()
            )
        if self._thread is not None:
            self._thread.join(timeout.total_seconds())
            self._carrier.stop(timeout)
        return ended

    def _loop(self) -> None:
        self._begin()
        while True:
            pause = self._feed_safely()
            with self._changed:
                if not self._wanted and not self._stopping:
                    self._changed.wait(pause.total_seconds())
                if self._stopping:
                    return
                self._wanted = False

    def _begin(self) -> None:
        """Start the carrier; threads keep every promise, too, and stand in for one that fails."""
        try:
            self.table.release()
        except Exception:
            log.exception("jobs of an earlier start are taken after their leases")
        try:
            self._carrier.start(self._run)
        except Exception:
            log.exception("the carrier of jobs cannot be started; threads run them instead")
            self._carrier = ThreadCarrier(self._limit)
            self._carrier.start(self._run)

    def _feed_safely(self) -> timedelta:
        try:
            with self.table.database.lives.work():
                return self._feed()
        except StaleWork:
            return timedelta(0)
        except Exception:
            log.exception("looking for jobs failed; trying again")
            return POLL

    def _feed(self) -> timedelta:
        """Hand out what is due; return how long nothing is to be done."""
        self.scheduler.tick()
        self._renew()
        with self._changed:
            busy = set(self._under_way)
        with self.table.database.read() as transaction:
            due = self.table.due(transaction, self._limit + len(busy))
            coming = self.table.next_run(transaction)
        fresh = [job for job in due if job[0] not in busy][: self._limit - len(busy)]
        with self._changed:
            self._under_way.update(sys_id for sys_id, _ in fresh)
        for sys_id, fence in fresh:
            self._carrier.submit(sys_id, fence)
        if coming is None or len(busy) + len(fresh) >= self._limit:
            return POLL
        return min(POLL, max(coming - self.table.clock.now(), timedelta(milliseconds=10)))

    def _renew(self) -> None:
        """Keep the leases of what runs long, a few times in each lease."""
        now = self.table.clock.monotonic()
        if self.held and now - self._renewed >= RENEW.total_seconds():
            self._renewed = now
            self.table.renew(list(self.held.values()))

    def _run(self, sys_id: str) -> None:
        try:
            self.run_job(sys_id)
        except StaleWork:
            log.info("job %s was not taken: the instance was reset", sys_id)
        except Exception:
            log.exception("job %s was not settled; it is taken again after its lease", sys_id)
        finally:
            with self._changed:
                self._under_way.discard(sys_id)
                self._wanted = True
                self._changed.notify_all()
