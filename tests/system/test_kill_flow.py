"""A node is killed at random points; each approval has one run, and no effect comes too often.

The peer ignores idempotency keys and keeps every request it got, so it sees what really left.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from midspan.flow import ENDED
from midspan.instance import Instance
from midspan.kernel.settings import Settings
from midspan.records import Record, insert
from midspan.security.actor import SYSTEM
from midspan_spokes.slack.loopback import LoopbackServer

from .nursery import Nursery

KILLS = 20
POINTS = ("intent", "effect", "answer")
"""The interpreter's points around an effect; at ``answer`` it is sent and not written down."""
DEADLINE = 120.0
FLOW = """
name: Tell three peers about approved changes
trigger: {table: change_request, when: updated, condition: approvalCHANGESTOapproved}
steps:
  - id: safe
    action:
      spoke: http
      action: get
      connection: x_peer.all
      inputs: {path: /safe, query: {change: "{{trigger.record.number}}"}}
  - id: keyed
    action:
      spoke: http
      action: send_idempotent
      connection: x_peer.all
      inputs: {path: /keyed, query: {change: "{{trigger.record.number}}"}}
  - id: never
    action:
      spoke: http
      action: send_request
      connection: x_peer.all
      inputs: {path: /never, query: {change: "{{trigger.record.number}}"}}
  - id: done
    log: "told: {{steps.never.status}}"
"""


class Peer:
    """An ASGI app that counts requests by step and change; each gets a number of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: list[tuple[str, str]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        change = parse_qs(scope["query_string"].decode())["change"][0]
        with self._lock:
            self._seen.append((scope["path"].strip("/"), change))
            answer = json.dumps({"request": len(self._seen)}).encode()
        await asyncio.sleep(0.01)
        length = str(len(answer)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def calls(self) -> Counter[tuple[str, str]]:
        """Return how often each step's request came for each change."""
        with self._lock:
            return Counter(self._seen)


class Lab:
    """The instance that is killed, looked at from outside; it does no work in this process."""

    def __init__(self, folder: Path, database: str, url: str) -> None:
        self._place = {"folder": str(folder), "database": database}
        self.instance = Instance(Settings(data=folder, database=database, egress="127.0.0.1"))
        self.nursery = Nursery("tests.system.flow_node", folder / "nodes.log")
        self._install(url)

    def close(self) -> None:
        """End the nodes."""
        self.nursery.close()
        self.instance.close()

    def node(self, count: int, point: str = "", times: int = 1) -> None:
        """Start a node that approves some changes and dies at a point."""
        self.nursery.start(**self._place, count=count, point=point, times=times)

    def find(self, table: str, query: str = "") -> list[Record]:
        """Return records by an encoded query."""
        with self.instance.records.read(SYSTEM) as transaction:
            return transaction.find(table, query)

    def numbers(self) -> dict[str, str]:
        """Return the numbers of the approved changes by their ids."""
        found = self.find("change_request", "approval=approved")
        return {change.sys_id: change.get("number") for change in found}

    def finished(self, least: int = 1) -> list[Record]:
        """Wait until each of at least so many changes has a run that ended; return the runs."""
        deadline = time.monotonic() + DEADLINE
        while True:
            changes, runs = self.numbers(), self.find("sys_flow_context")
            met = len(runs) >= len(changes) >= least
            if met and all(run.get("state") in ENDED for run in runs):
                return runs
            assert time.monotonic() < deadline, Counter(run.get("state") for run in runs)
            threading.Event().wait(0.2)

    def stored(self) -> dict[tuple[str, str], tuple[str, str]]:
        """Return attempts and outputs of each step whose result is stored, by run and path."""
        return {
            (step.get("context"), step.get("path")): (step.get("attempts"), step.get("outputs"))
            for step in self.find("sys_flow_step_run", "state=complete")
        }

    def _install(self, url: str) -> None:
        with self.instance.records.write(SYSTEM) as transaction:
            alias = {"id": "x_peer.all", "name": "Peer"}
            connection = {
                "name": "peer",
                "connection_url": url,
                "connection_alias": transaction.apply(insert("sys_alias", alias)).sys_id,
            }
            transaction.apply(insert("http_connection", connection))
            flow = {"name": "f", "active": "true", "status": "published", "definition": FLOW}
            transaction.apply(insert("sys_hub_flow", flow))


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture(params=["sqlite", "postgresql"])
def lab(
    request: pytest.FixtureRequest, new_database: Callable[[], str], tmp_path: Path, peer: Peer
) -> Iterator[Lab]:
    database = new_database() if request.param == "postgresql" else ""
    with LoopbackServer(peer) as server:
        made = Lab(tmp_path, database, server.url)
        yield made
        made.close()


@pytest.mark.slow
def test_killed_at_random_points(lab: Lab, peer: Peer) -> None:
    seed = random.SystemRandom().randrange(10**6)
    chance = random.Random(seed)  # noqa: S311 - nothing secret hangs on it
    stored: dict[tuple[str, str], tuple[str, str]] = {}
    for kill in range(KILLS):
        if kill % 3 == 0:
            lab.node(4, chance.choice(POINTS), chance.randint(1, 6))
            assert lab.nursery.ended() == -signal.SIGKILL
        else:
            lab.node(4)
            threading.Event().wait(chance.uniform(0, 0.8))
            assert lab.nursery.end() == -signal.SIGKILL
        now = lab.stored()
        assert {key: now.get(key) for key in stored} == stored, f"seed {seed}"
        stored = now
    known = len(lab.numbers())
    lab.node(1)
    runs = lab.finished(known + 1)
    assert lab.nursery.end(signal.SIGTERM) == 0
    now, numbers, calls = lab.stored(), lab.numbers(), peer.calls()
    assert {key: now.get(key) for key in stored} == stored, f"seed {seed}"
    assert sorted(run.get("source_record") for run in runs) == sorted(numbers), f"seed {seed}"
    assert set(calls) <= {(step, number) for step in _MOST for number in numbers.values()}
    for run in runs:
        check_run(
            lab, run, {step: calls[step, numbers[run.get("source_record")]] for step in _MOST}
        )
    assert sum(run.get("state") == "COMPLETE" for run in runs) >= KILLS, f"seed {seed}"


_MOST = {"safe": KILLS + 1, "keyed": 2, "never": 1}
"""How often a request may be sent at most, over all kills."""


def check_run(lab: Lab, run: Record, calls: dict[str, int]) -> None:
    """Check one run that has ended: its state, its journal and what its peer got."""
    view = lab.instance.flows.show(SYSTEM, run.sys_id)
    state = {step.get("path"): step.get("state") for step in view.steps}
    told = f"{run.get('state')} {state} {calls}"
    assert [step.get("position") for step in view.steps] == ["1", "2", "3", "4"][: len(view.steps)]
    assert all(calls[step] <= most for step, most in _MOST.items()), told
    assert all(calls[step] >= 1 for step in _MOST if state.get(step) == "complete"), told
    assert all(calls[step] == 0 for step in _MOST if step not in state), told
    assert state["safe"] == "complete", told
    if run.get("state") == "COMPLETE":
        assert list(state) == ["safe", "keyed", "never", "done"], told
        assert set(state.values()) == {"complete"}, told
        assert [line.get("message") for line in view.log] == ["told: 200"]
    else:
        assert run.get("state") == "OUTCOME_UNKNOWN", told
        assert list(state.values())[-1] == "unknown", told
        assert len(view.log) == 0


@pytest.mark.parametrize(
    ("step", "deaths", "state", "calls"),
    [
        ("safe", 2, "COMPLETE", (3, 1, 1)),
        ("keyed", 1, "COMPLETE", (1, 2, 1)),
        ("keyed", 2, "OUTCOME_UNKNOWN", (1, 2, 0)),
        ("never", 1, "OUTCOME_UNKNOWN", (1, 1, 1)),
    ],
)
def test_killed_after_the_request_and_before_the_journal(
    lab: Lab, peer: Peer, step: str, deaths: int, state: str, calls: tuple[int, int, int]
) -> None:
    lab.node(1, "answer", [*_MOST].index(step) + 1)
    assert lab.nursery.ended() == -signal.SIGKILL
    for _ in range(deaths - 1):
        lab.node(0, "answer")
        assert lab.nursery.ended() == -signal.SIGKILL
    lab.node(0)
    (run,) = lab.finished()
    assert lab.nursery.end(signal.SIGTERM) == 0
    assert run.get("state") == state
    (number,) = lab.numbers().values()
    seen = peer.calls()
    assert tuple(seen[name, number] for name in _MOST) == calls
    check_run(lab, run, {name: seen[name, number] for name in _MOST})
