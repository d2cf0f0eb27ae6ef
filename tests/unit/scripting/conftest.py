"""An instance on each database, a pool of workers for all tests, and a way to run a text."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.sandbox import JsonValue, SandboxPool, Script
from midspan.scripting import PerWrite, ScriptRunner, open_pool
from midspan.security import SYSTEM
from midspan.testing import open_instance

Run = Callable[[str], JsonValue]


@pytest.fixture(scope="session")
def pool() -> Iterator[SandboxPool]:
    """Return a pool with the prelude; two workers, as small instances have."""
    with open_pool(2) as opened:
        yield opened


@pytest.fixture(scope="session")
def runner(pool: SandboxPool) -> ScriptRunner:
    """Return a runner on the pool."""
    return ScriptRunner(pool)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def instance(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> Iterator[Instance]:
    """Return an open instance on each database in turn."""
    url = new_database() if request.param == "postgresql" else ""
    with open_instance(url, clock=ManualClock()) as opened:
        yield opened


@pytest.fixture
def run(instance: Instance, runner: ScriptRunner) -> Run:
    """Return a function that runs a text as the system, one commit for each write."""
    return lambda text: runner.run(Script("test", text), unit=PerWrite(instance.records, SYSTEM))
