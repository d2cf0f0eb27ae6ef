"""A node that approves changes and runs flows until it is killed; started by ``test_kill_flow``."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import dbos  # noqa: F401 - a node imports it late; here the parent has it ready
from tests.system.nursery import Told, nurse

from midspan.instance import Instance
from midspan.kernel.settings import Settings
from midspan.records import insert, update
from midspan.security.actor import SYSTEM

PAUSE = 0.03


class Fuse:
    """A checkpoint of the interpreter: the process dies when it comes to it the n-th time."""

    def __init__(self, point: str, times: int) -> None:
        self._point = point
        self._left = times
        self._lock = threading.Lock()

    def __call__(self, point: str) -> None:
        """Die when the time has come."""
        with self._lock:
            self._left -= point == self._point
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)


def work(arguments: dict[str, Any], told: Told) -> None:
    """Work on ``folder`` and ``database``; approve ``count`` changes; die at ``point``."""
    settings = Settings(
        data=Path(arguments["folder"]), database=arguments["database"], egress="127.0.0.1"
    )
    instance = Instance(settings)
    if arguments["point"]:
        instance.flows.interpreter.checkpoint = Fuse(arguments["point"], arguments["times"])
        told.ready()  # it may die at once, at what the last node left
    instance.start_work()
    if not arguments["point"]:
        told.ready()
    for number in range(arguments["count"]):
        with instance.records.write(SYSTEM) as transaction:
            values = {"short_description": f"change {number}", "approval": "requested"}
            change = transaction.apply(insert("change_request", values)).sys_id
        with instance.records.write(SYSTEM) as transaction:
            transaction.apply(update("change_request", change, {"approval": "approved"}))
        told.wait(PAUSE)
    told.wait()
    instance.close()


if __name__ == "__main__":
    nurse(work)
