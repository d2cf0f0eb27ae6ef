"""An enrolled agent and the instance's double."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from midspan_mid.agent import Agent, Surroundings
from midspan_mid.backoff import Backoff
from midspan_mid.cli import introduce
from midspan_mid.home import Home, write_durably
from midspan_mid.identity import Identity
from midspan_mid.state import AgentState, save_state

from .instance_double import CODE, InstanceDouble

URL = "http://127.0.0.1:1"


@pytest.fixture(scope="session")
def postgres_url(postgres_url: str) -> str:
    """The server of the run as an agent takes it: without a password, not even an empty one."""
    return postgres_url.replace(":@", "@")


class MidLab:
    """One home, one double, and ways to run an agent between them."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root / "mid")
        self.instance = InstanceDouble()
        self.transport: httpx.AsyncBaseTransport = httpx.ASGITransport(self.instance)

    async def enrol(self, **config: Any) -> None:
        """Enrol through the protocol and write ``mid.yaml``."""
        self.home.create()
        identity = Identity.generate()
        identity.save(self.home)
        enrolled = await introduce(URL, "lab", CODE, identity, self.transport)
        save_state(self.home, AgentState(enrolled.mid_sys_id, URL))
        self.configure(**config)

    def configure(self, **config: Any) -> None:
        """Write ``mid.yaml``; JSON is YAML."""
        import json  # noqa: PLC0415

        values = {"url": URL, "name": "lab", "grace_seconds": 0, **config}
        write_durably(self.home.config, json.dumps(values).encode())

    @asynccontextmanager
    async def running(self, **around: Any) -> AsyncIterator[Agent]:
        """Run an agent for the block; it is stopped as by SIGTERM."""
        around.setdefault("backoff", lambda: Backoff(0.001, 0.01))
        agent = Agent(self.home, Surroundings(transport=self.transport, **around))
        stop = asyncio.Event()
        task = asyncio.create_task(agent.run(stop))
        try:
            yield agent
        finally:
            stop.set()
            await task


@pytest.fixture
def lab(tmp_path: Path) -> MidLab:
    """A home that is not enrolled yet, and a double."""
    return MidLab(tmp_path)


@pytest.fixture
def assets_db(tmp_path: Path) -> Path:
    """A SQLite file with 2,500 assets whose names need escapes."""
    path = tmp_path / "assets.db"
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE assets (id INTEGER PRIMARY KEY, name TEXT, note VARCHAR(20))"
        )
        connection.executemany(
            "INSERT INTO assets VALUES (?, ?, ?)",
            [(n, f"server\t{n}\nrack\\{n % 7}", None if n % 3 else "") for n in range(1, 2501)],
        )
    connection.close()
    return path


async def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Return when the condition holds; fail after ``seconds``."""
    end = asyncio.get_running_loop().time() + seconds
    while not condition():
        if asyncio.get_running_loop().time() > end:
            raise AssertionError("the condition did not come true in time")
        await asyncio.sleep(0.005)
