"""An instance on each database, a pool of workers for all tests, and a way to run a text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.outbound import ALLOW
from midspan.records import insert
from midspan.sandbox import JsonValue, SandboxPool, Script
from midspan.scripting import PerWrite, ScriptRunner, open_pool
from midspan.security import SYSTEM
from midspan.testing import open_instance

from .peer import Peer, listening

Run = Callable[[str], JsonValue]
Ask = Callable[..., Any]


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


def make(instance: Instance, table: str, **values: str) -> str:
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        return transaction.apply(insert(table, values)).sys_id


@pytest.fixture
def peer() -> Iterator[Peer]:
    with listening() as opened:
        yield opened


@pytest.fixture
def admitted(instance: Instance) -> None:
    """Let scripts reach loopback; once for each instance."""
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        if transaction.first("sys_properties", f"name={ALLOW}") is None:
            values = {"name": ALLOW, "value": "127.0.0.1, localhost"}
            transaction.apply(insert("sys_properties", values))


@pytest.fixture
def ask(instance: Instance) -> Ask:
    """Return a function that runs the body of a function as the system."""

    def run(body: str, **names: str) -> Any:
        for name, value in names.items():
            body = body.replace(f"<{name}>", value)
        script = Script("test", f"(function () {{ {body} }})()")
        return instance.scripts.run(script, unit=PerWrite(instance.records, SYSTEM))

    return run


def logged(instance: Instance, query: str = "") -> list[dict[str, str]]:
    with instance.records.read(SYSTEM) as transaction:
        return [dict(row.values) for row in transaction.find("sys_outbound_http_log", query)]
