"""DBOS Transact as the carrier of jobs: one workflow for each time a job is offered.

A process has one DBOS, so a process has one carrier of this kind at a time. DBOS is imported when
the carrier starts, in the feeder's thread, because that alone takes half a second.
"""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from midspan.kernel.errors import Conflict

log = logging.getLogger(__name__)
VERSION = "midspan-jobs-1"
"""Raised when a workflow of an older release may not be carried on by this one."""
KEPT = 1000
"""After how many workflows the finished ones are deleted; the job's row is the history."""
_one = threading.Lock()


class DbosCarrier:
    """Runs jobs as DBOS workflows named ``job/fence/start/number``.

    A workflow that ends without having taken its job (the database was away) must not stand in the
    way of the next one, so the name is used once; the row lets only one of them in.

    ``url`` is the system database, ``sqlite:///…`` or ``postgresql://…``; ``node`` must be unique
    and stay the same when the node is started again, so that DBOS resumes its workflows; ``boot``
    is new with each start.
    """

    def __init__(self, url: str, node: str, boot: str, *, threads: int = 8) -> None:
        self._url = url
        self._node = node
        self._boot = boot
        self._count = 0
        self._threads = threads
        self._dbos: Any = None
        self._workflow: Callable[[str], None] | None = None

    def start(self, run: Callable[[str], object]) -> None:
        """Import and launch DBOS; it resumes the workflows this node left behind.

        Raises:
            Conflict: another DBOS runs in this process.
        """
        if not _one.acquire(blocking=False):
            raise Conflict(
                "Another instance in this process runs its jobs on DBOS",
                hint="A second instance in one process runs its jobs in threads.",
            )
        try:
            self._launch(importlib.import_module("dbos"), run)
        except BaseException:
            _one.release()
            raise

    def _launch(self, dbos: Any, run: Callable[[str], object]) -> None:
        def job(sys_id: str) -> None:
            run(sys_id)

        workflow = dbos.DBOS.workflow(name="midspan.job", max_recovery_attempts=1000)(job)
        dbos.DBOS(
            config={
                "name": "midspan",
                "system_database_url": self._url,
                "application_version": VERSION,
                "executor_id": self._node,
                "serializer": dbos.DBOSPortableJSONSerializer(),
                "log_level": "WARNING",
                "max_executor_threads": self._threads,
            }
        )
        dbos.DBOS.launch()
        self._dbos, self._workflow = dbos, workflow

    def submit(self, sys_id: str, fence: int) -> None:
        """Start a workflow that offers the job."""
        if self._workflow is None:
            return
        self._count += 1
        if self._count % KEPT == 0:
            self._forget()
        with self._dbos.SetWorkflowID(f"{sys_id}/{fence}/{self._boot}/{self._count}"):
            self._dbos.DBOS.start_workflow(self._workflow, sys_id)

    def _forget(self) -> None:
        ended = self._dbos.DBOS.list_workflows(
            name="midspan.job",
            status=["SUCCESS", "ERROR"],
            limit=KEPT,
            load_input=False,
            load_output=False,
        )
        self._dbos.DBOS.delete_workflows([workflow.workflow_id for workflow in ended])

    def stop(self, timeout: timedelta) -> None:
        """Shut DBOS down; the queue waited for what is under way."""
        if self._dbos is not None:
            seconds = int(timeout.total_seconds())
            self._dbos.DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=seconds)
            self._dbos = None
            _one.release()
