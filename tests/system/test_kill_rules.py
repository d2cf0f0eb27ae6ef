"""A node is killed at any moment: async rules and script actions happen once for each change.

Each of them inserts a location that names its incident; whatever was killed, one of each remains.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from midspan.instance import Instance
from midspan.kernel.settings import Settings
from midspan.records import Record, insert
from midspan.security.actor import SYSTEM

from .nursery import Nursery

KILLS = 10
DEADLINE = 180.0
MADE = (
    "var made = new GlideRecord('cmn_location'); made.name = '{} ' + current.number; made.insert();"
)


class Lab:
    """The instance that is killed, looked at from outside; it does no work in this process."""

    def __init__(self, folder: Path, database: str) -> None:
        self._place = {"folder": str(folder), "database": database}
        self.instance = Instance(Settings(data=folder, database=database))
        self.nursery = Nursery("tests.system.rules_node", folder / "nodes.log")
        rule = {"collection": "incident", "action_insert": "true", "advanced": "true"}
        later = {**rule, "name": "Later", "when": "async", "script": MADE.format("async")}
        told = {
            **rule,
            "name": "Tell",
            "when": "before",
            "script": "gs.eventQueue('x.made', current, '1')",
        }
        action = {"name": "Act", "event_name": "x.made", "script": MADE.format("event")}
        with self.instance.records.write(SYSTEM) as transaction:
            transaction.apply(insert("sys_script", later))
            transaction.apply(insert("sys_script", told))
            transaction.apply(insert("sysevent_script_action", action))

    def close(self) -> None:
        """End the nodes."""
        self.nursery.close()
        self.instance.close()

    def node(self, count: int) -> None:
        """Start a node that makes some incidents."""
        self.nursery.start(**self._place, count=count)

    def find(self, table: str, query: str = "") -> list[Record]:
        """Return records by an encoded query."""
        with self.instance.records.read(SYSTEM) as transaction:
            return transaction.find(table, query)

    def expected(self) -> Counter[str]:
        """Return the names of the locations that there have to be."""
        numbers = [r.get("number") for r in self.find("incident", "short_description=killed")]
        return Counter(f"{what} {number}" for number in numbers for what in ("async", "event"))

    def made(self) -> Counter[str]:
        """Return the names of the locations that there are."""
        query = "nameSTARTSWITHasync INC^ORnameSTARTSWITHevent INC"
        return Counter(record.get("name") for record in self.find("cmn_location", query))


@pytest.fixture(params=["sqlite", "postgresql"])
def lab(
    request: pytest.FixtureRequest, new_database: Callable[[], str], tmp_path: Path
) -> Iterator[Lab]:
    database = new_database() if request.param == "postgresql" else ""
    made = Lab(tmp_path, database)
    yield made
    made.close()


@pytest.mark.slow
def test_killed_at_random_points(lab: Lab) -> None:
    seed = random.SystemRandom().randrange(10**6)
    chance = random.Random(seed)  # noqa: S311 - nothing secret hangs on it
    for _ in range(KILLS):
        lab.node(6)
        threading.Event().wait(chance.uniform(0.1, 1.5))
        assert lab.nursery.end() == -signal.SIGKILL
        assert lab.made() <= lab.expected(), f"seed {seed}"
    before = len(lab.expected())
    lab.node(1)
    deadline = time.monotonic() + DEADLINE
    # Its own incident first: what it makes as it stops would be left for the next node.
    while not (len(lab.expected()) > before and lab.made() == lab.expected()):
        assert lab.made() <= lab.expected(), f"seed {seed}"
        assert time.monotonic() < deadline, f"seed {seed}: {lab.expected() - lab.made()}"
        threading.Event().wait(0.2)
    assert lab.nursery.end(signal.SIGTERM) == 0
    assert lab.made() == lab.expected(), f"seed {seed}"
    assert {event.get("state") for event in lab.find("sysevent")} == {"processed"}
