"""Every implementation of jobs, on both databases, driven the same way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import cast

import pytest
from tests.guard import GUARD

from midspan.instance import Instance
from midspan.jobs import JobQueue, JobRow, JobTable, ManualJobs, NodeJobs
from midspan.jobs.dbos import DbosCarrier
from midspan.jobs.node import ThreadCarrier
from midspan.kernel.clock import ManualClock
from midspan.testing import open_instance


class Driver:
    """One queue and what it takes to see a job reach a state."""

    def __init__(self, instance: Instance, queue: JobQueue, table: JobTable) -> None:
        self.instance = instance
        self.queue = queue
        self.table = table
        self.clock = cast(ManualClock, table.clock)

    @property
    def database(self):  # type: ignore[no-untyped-def]
        return self.instance.database

    def read(self, sys_id: str) -> JobRow:
        with self.database.read() as transaction:
            return self.queue.read(transaction, sys_id)

    def until(self, sys_id: str, *states: str) -> JobRow:
        """Let it work until the job has one of the states."""
        self.wait(lambda: self.read(sys_id).state in states)
        return self.read(sys_id)

    def wait(self, condition: Callable[[], bool]) -> None:
        """Let it work until the condition holds."""
        deadline = time.monotonic() + GUARD
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true"
            self.step()

    def step(self) -> None:
        if isinstance(self.queue, ManualJobs):
            self.queue.run_due()
        else:
            self.queue.wake()
            threading.Event().wait(0.02)

    def pass_time(self, by: timedelta) -> None:
        """Move the clock, and let the queue notice."""
        self.clock.advance(by)
        self.step()

    def live_until(self, condition: Callable[[], bool]) -> None:
        """Let the time pass that jobs wait for, one after the other, until the condition holds."""

        def ended() -> bool:
            with self.database.read() as transaction:
                coming = self.table.next_run(transaction)
            if coming is not None and coming > self.clock.now():
                self.pass_time(coming - self.clock.now())
            return condition()

        self.wait(ended)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> Iterator[Instance]:
    url = new_database() if request.param == "postgresql" else ""
    with open_instance(url, clock=ManualClock()) as instance:
        yield instance


@pytest.fixture(params=["manual", "threads", "dbos"])
def driver(request: pytest.FixtureRequest, opened: Instance) -> Iterator[Driver]:
    """A queue that is not started yet, over an empty table of jobs."""
    with opened.database.write() as transaction:
        transaction.execute("DELETE FROM sys_job")
    table = JobTable(opened.database, ManualClock(), opened.ids, "node-1")
    if request.param == "manual":
        queue: JobQueue = ManualJobs(table)
    else:
        carrier = ThreadCarrier(4) if request.param == "threads" else _dbos(opened)
        queue = NodeJobs(table, carrier, limit=4)
    yield Driver(opened, queue, table)
    assert queue.stop(timedelta(seconds=10))


def _dbos(opened: Instance) -> DbosCarrier:
    url = f"sqlite:///{opened.settings.data}/jobs.db"
    return DbosCarrier(opened.settings.database or url, "node-1", opened.ids.token(6), threads=4)
