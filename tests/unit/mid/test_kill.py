"""The agent as a process of its own, killed at chosen moments and started again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import uvicorn
from tests.guard import GUARD

from midspan_link.protocol import Job
from midspan_mid.cli import main
from midspan_mid.home import Home, write_durably
from midspan_mid.state import load_state

from .conftest import eventually
from .instance_double import CODE, InstanceDouble, Refusal

SRC = Path(__file__).parents[3] / "src"
ENDLESS = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS m FROM n"
)


class Server:
    """The double behind a real socket, in a thread of its own."""

    def __init__(self) -> None:
        self.double = InstanceDouble()
        self.double.lease_seconds = 3
        config = uvicorn.Config(self.double, port=0, log_level="error", lifespan="off", ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)

    def start(self) -> str:
        """Return the URL once the socket listens."""
        self._thread.start()
        while not self._server.started:
            self._thread.join(0.01)
        return f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        """End the thread."""
        self._server.should_exit = True
        self._thread.join()


class Process:
    """One run of the agent."""

    def __init__(self, home: Home) -> None:
        self._log = (home.root.parent / "agent.log").open("ab")
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "midspan_mid", "run", "--home", str(home.root)],
            env={**os.environ, "PYTHONPATH": str(SRC)},
            stderr=self._log,
        )

    def end(self, number: int) -> int:
        """Send a signal and return the exit status."""
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        self._log.close()
        return self.popen.wait(GUARD)


@pytest.fixture
def server() -> Iterator[Server]:
    """A running double."""
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def home(server: Server, tmp_path: Path, assets_db: Path) -> Home:
    """A home enrolled by the command line, with one named target."""
    home = Home(tmp_path / "mid")
    url = server.start()
    assert (
        main(["enrol", "--url", url, "--code", CODE, "--name", "lab", "--home", str(home.root)])
        == 0
    )
    config = {
        "url": url,
        "name": "lab",
        "grace_seconds": 0,
        "targets": {"inventory": {"url": f"sqlite://{assets_db}"}},
    }
    write_durably(home.config, msgspec.json.encode(config))
    return home


def _started(home: Home, job: str, fence: int) -> bool:
    """Tell whether the probe began under this fence; files may vanish while we look."""
    try:
        held = msgspec.json.decode((home.spool / job / "job.json").read_bytes(), type=Job)
    except FileNotFoundError:
        return False
    return held.fence == fence and (home.spool / job / "started").exists()


def _until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    asyncio.run(eventually(condition, seconds))


@pytest.mark.parametrize("repeatable", [False, True])
def test_killed_while_the_probe_runs(server: Server, home: Home, repeatable: bool) -> None:
    double = server.double
    double.longest_wait = 0.0  # no poll of a stopped agent is left to claim what it gave back
    query = {"target": "inventory", "query": ENDLESS}
    offer = double.offer("JDBCProbe", query, repeatable=repeatable)
    first = Process(home)
    _until((home.spool / offer.id / "started").exists)
    assert first.end(signal.SIGKILL) == -signal.SIGKILL
    second = Process(home)
    if repeatable:
        _until(lambda: offer.claims >= 2)
        assert offer.releases[0] == "the agent was interrupted"
        _until(lambda: _started(home, offer.id, offer.fence))
    else:
        _until(lambda: offer.completion is not None)
        assert offer.completion is not None
        assert offer.completion.error_code == "outcome_unknown"
        assert offer.claims == 1
    assert second.end(signal.SIGTERM) == 0
    if repeatable:
        assert (offer.state, offer.releases[-1]) == ("ready", "the agent stops")
    assert load_state(home).generation == 2


@pytest.mark.parametrize(("held", "repeatable"), [(0, False), (2, False), (2, True)])
def test_killed_while_blocks_are_sent(
    server: Server, home: Home, held: int, repeatable: bool
) -> None:
    """The result is complete on disk; the instance took ``held`` blocks and then no more."""
    double = server.double
    blocked = True

    async def block(method: str, path: str) -> None:
        if blocked and method == "POST" and path.endswith(f"/blocks/{held}"):
            raise Refusal(503, "", "later")

    double.before = block
    query = "SELECT id, hex(randomblob(1000)) AS pad FROM assets"
    offer = double.offer(
        "JDBCProbe", {"target": "inventory", "query": query}, repeatable=repeatable
    )
    first = Process(home)
    _until((home.spool / offer.id / "result.json").exists)
    _until(lambda: len(offer.blocks) == held)
    first.end(signal.SIGKILL)
    before = [block.header.digest for block in offer.blocks]
    blocked = False
    second = Process(home)
    _until(lambda: offer.completion is not None)
    assert second.end(signal.SIGTERM) == 0
    assert offer.completion is not None
    assert offer.completion.state == "processed"
    assert [row[0] for row in offer.rows] == [str(n) for n in range(1, 2501)]
    assert [block.header.digest for block in offer.blocks][:held] == before
    assert (offer.claims, offer.completion.rows) == (1, 2500)
    assert list(home.spool.iterdir()) == []


def test_sigterm_ends_clean_and_a_second_agent_is_refused(
    server: Server, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    first = Process(home)
    _until(lambda: bool(server.double.polls))
    assert main(["run", "--home", str(home.root)]) == 1
    assert "Another agent runs" in capsys.readouterr().err
    assert main(["status", "--home", str(home.root)]) == 0
    status = msgspec.json.decode(capsys.readouterr().out)
    assert (status["running"], status["generation"]) == (True, 1)
    assert first.end(signal.SIGTERM) == 0
    lines = (home.root.parent / "agent.log").read_text().splitlines()
    assert [msgspec.json.decode(line)["message"] for line in lines][-1] == "agent ended"


def test_a_copy_of_the_identity_is_stopped(server: Server, home: Home) -> None:
    process = Process(home)
    _until(lambda: bool(server.double.polls))
    (mid,) = server.double.mids.values()
    mid.generation = 9
    assert process.popen.wait(GUARD) == 3
    process.end(signal.SIGTERM)
    assert server.double.issues[0] == "lab: generation 1"
