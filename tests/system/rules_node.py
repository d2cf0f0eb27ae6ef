"""A node that makes incidents and works off what their rules leave; for ``test_kill_rules``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dbos  # noqa: F401 - a node imports it late; here the parent has it ready
from tests.system.nursery import Told, nurse

from midspan.instance import Instance
from midspan.kernel.settings import Settings
from midspan.records import insert
from midspan.security.actor import SYSTEM

PAUSE = 0.02


def work(arguments: dict[str, Any], told: Told) -> None:
    """Work on ``folder`` and ``database``; make ``count`` incidents, half of them in sets."""
    settings = Settings(data=Path(arguments["folder"]), database=arguments["database"])
    instance = Instance(settings)
    instance.start_work()
    told.ready()
    for number in range(arguments["count"]):
        size = 3 if number % 2 else 1
        changes = [insert("incident", {"short_description": "killed"}) for _ in range(size)]
        with instance.records.write(SYSTEM) as transaction:
            transaction.apply_all(changes)
        told.wait(PAUSE)
    told.wait()
    instance.close()


if __name__ == "__main__":
    nurse(work)
