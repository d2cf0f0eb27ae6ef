"""Agent or instance is killed at random points of imports; each row arrives, and arrives once."""

from __future__ import annotations

import random
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from midspan.ecc import Enrolments
from midspan.importsets.relay import ENDED, RelayedLoad
from midspan.instance import Instance
from midspan.kernel.settings import Settings
from midspan.security import SYSTEM

from .mid_lab import AgentProcess, PrivateDatabase, Records, until
from .nursery import Nursery

KILLS = 20
KILLS_OF_ONE = 7
"""How many kills one import gets before it may end in peace."""
ROWS = 1200
STATEMENT = """
    SELECT s.serial, s.name, s.ram, repeat(md5(s.serial), 128) AS pad
    FROM servers s, LATERAL (SELECT pg_sleep(0.0005 + 0 * s.ram)) AS w"""
"""About a second of work and five blocks."""


def free_port() -> int:
    """Return a port for a server that comes back to it, out of the range given to clients."""
    for port in random.SystemRandom().sample(range(20_000, 30_000), 100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise AssertionError("no port is free")


class Lab(Records):
    """An instance and its agent, both killed at will, looked at from outside."""

    def __init__(self, folder: Path, database: str, private: str) -> None:
        self._private = private
        self._place = {"folder": str(folder), "database": database, "port": free_port()}
        self.url = f"http://127.0.0.1:{self._place['port']}"
        self.instance = Instance(Settings(data=folder, database=database))
        super().__init__(self.instance)
        self.nodes = {
            victim: Nursery("tests.system.relay_node", folder / f"{victim}.log")
            for victim in ("instance", "agent")
        }
        self.start("instance")
        self._enrol(folder)
        self.start("agent")

    def start(self, victim: str) -> None:
        """Start the instance or the agent."""
        given = {"home": str(self._home)} if victim == "agent" else self._place
        self.nodes[victim].start(**given)

    def pull(self, number: int) -> RelayedLoad:
        """Fill the private table with new rows and import them."""
        PrivateDatabase(self._private, f"k{number}", ROWS)
        return self.instance.relay.run_now("assets")

    def state(self, load: RelayedLoad) -> str:
        """Return the state of an import."""
        return self.instance.relay.state(load)

    def at_work(self, victim: str, load: RelayedLoad) -> bool:
        """Tell whether the instance or the agent has still to do something for an import."""
        if victim == "instance":
            return self.state(load) not in ENDED
        (job,) = self.find("ecc_queue", f"sys_id={load.output}")
        return job["state"] in ("ready", "processing")

    def close(self) -> None:
        """End everything."""
        for nursery in self.nodes.values():
            nursery.close()
        self.instance.close()

    def _enrol(self, folder: Path) -> None:
        agent = AgentProcess(self, folder, "mid")
        self._home = agent.home.root
        enrolments = Enrolments(self.records)
        assert agent.enrol(enrolments.issue_code("mid", SYSTEM).code) == 0
        target = PrivateDatabase(self._private, "none", 0).target()
        agent.configure(targets={"inventory": target})
        mid = enrolments.validate("mid", SYSTEM)
        place = {"mid_server": mid, "mid_target": "inventory"}
        self.source("assets", "u_assets", query="Specific SQL", sql_statement=STATEMENT, **place)


@pytest.fixture(params=["sqlite", "postgresql"])
def lab(
    request: pytest.FixtureRequest, new_database: Callable[..., str], tmp_path: Path
) -> Iterator[Lab]:
    database = new_database() if request.param == "postgresql" else ""
    made = Lab(tmp_path, database, new_database(empty=True))
    yield made
    made.close()


def check(lab: Lab, number: int, load: RelayedLoad) -> None:
    """Check that every row of an import is there once, and that its totals say so."""
    assert lab.state(load) == "processed", lab.find("sys_import_set", f"sys_id={load.import_set}")
    assert lab.totals(load) == (ROWS, 0, 0, 0, ROWS)
    wanted = {f"k{number}-{row}" for row in range(ROWS)}
    staged = lab.find("u_assets", f"sys_import_set={load.import_set}")
    assert len(staged) == ROWS
    assert {row["u_serial"] for row in staged} == wanted
    assert {row["sys_import_state"] for row in staged} == {"inserted"}
    servers = lab.find("cmdb_ci_server", f"serial_numberSTARTSWITHk{number}-")
    assert len(servers) == ROWS
    assert {server["serial_number"] for server in servers} == wanted
    (answer,) = lab.find("ecc_queue", f"response_to={load.output}")
    assert (answer["queue"], answer["state"]) == ("input", "processed")


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["agent", "instance"])
def test_killed_at_random_points_of_an_import(lab: Lab, victim: str) -> None:
    seed = random.SystemRandom().randrange(10**6)
    chance = random.Random(seed)  # noqa: S311 - nothing secret hangs on it
    loads: list[RelayedLoad] = []
    kills = 0
    while kills < KILLS:
        loads.append(lab.pull(len(loads)))
        for _ in range(KILLS_OF_ONE):
            threading.Event().wait(chance.uniform(0, 1.2))
            if not lab.at_work(victim, loads[-1]):
                break
            assert lab.nodes[victim].end() == -signal.SIGKILL
            lab.start(victim)
            kills += 1
        until(lambda: lab.state(loads[-1]) in ENDED, 120)
    lab.instance.holder.refresh()  # the staging table was made by another process
    for number, load in enumerate(loads):
        check(lab, number, load)
    assert lab.find("ecc_block", "") == [], f"seed {seed}"
    for nursery in lab.nodes.values():
        assert nursery.end(signal.SIGTERM) == 0
