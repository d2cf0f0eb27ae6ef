"""An instance on a given port, or an agent, until it is killed; started by ``test_kill_mid``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import dbos  # noqa: F401 - a node imports it late; here the parent has it ready
from tests.system.mid_lab import Site
from tests.system.nursery import Told, nurse

from midspan.instance import Instance
from midspan.kernel.settings import Settings
from midspan_mid.cli import main
from midspan_mid.probes import jdbc  # noqa: F401 - found late, too


class WhenValidated(logging.Handler):
    """Says that the agent is ready when it logs that it is validated and so gets jobs."""

    def __init__(self, told: Told) -> None:
        super().__init__()
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        """Look at a line."""
        if record.getMessage() == "validated":
            self._told.ready()


def work(arguments: dict[str, Any], told: Told) -> None:
    """Be an agent when a ``home`` is given, else an instance on ``folder`` and ``database``."""
    if "home" in arguments:
        logging.getLogger("midspan_mid.agent").addHandler(WhenValidated(told))
        status = main(["run", "--home", arguments["home"]])
        assert status == 0, status
        return
    settings = Settings(data=Path(arguments["folder"]), database=arguments["database"])
    instance = Instance(settings)
    site = Site(instance, port=arguments["port"])
    site.start()
    told.ready()
    told.wait()
    site.stop()
    instance.close()


if __name__ == "__main__":
    nurse(work)
