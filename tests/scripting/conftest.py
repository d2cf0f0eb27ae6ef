"""An instance on each database with the records of ``fixture.yaml``, and a pool of workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.scripting.peer import Peer, listening

from midspan.dictionary.metadata import table_id
from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.records import RecordTransaction, insert
from midspan.sandbox import SandboxPool
from midspan.scripting import ScriptRunner, open_pool
from midspan.security import SYSTEM
from midspan.testing import open_instance

FIXTURE = Path(__file__).with_name("fixture.yaml")
Store = Callable[[RecordTransaction, list[dict[str, Any]]], None]
DEFINING = ("sys_db_object", "sys_dictionary", "sys_choice")


def store(transaction: RecordTransaction, records: list[dict[str, Any]]) -> None:
    """Insert records given as ``{table, values, sys_id}``; a table's parent may be named."""
    for record in records:
        values = {name: str(text) for name, text in (record.get("values") or {}).items()}
        sys_id = record.get("sys_id", "")
        if record["table"] == "sys_db_object":
            sys_id = sys_id or table_id(values["name"])
            parent = values.get("super_class", "")
            values["super_class"] = table_id(parent) if parent else ""
        transaction.apply(insert(record["table"], values, sys_id=sys_id))


def fill(instance: Instance) -> None:
    """Store the fixture: the tables first, then what is in them."""
    records = yaml.load(FIXTURE.read_text(encoding="utf-8"), yaml.CSafeLoader)
    for defining in (True, False):
        chosen = [record for record in records if (record["table"] in DEFINING) is defining]
        with instance.records.write(SYSTEM, enforce=False) as transaction:
            store(transaction, chosen)


@pytest.fixture(scope="session", name="store")
def store_fixture() -> Store:
    """Return the function that inserts records given as data."""
    return store


@pytest.fixture(scope="session")
def pool() -> Iterator[SandboxPool]:
    """Return a pool with the prelude."""
    with open_pool(1) as opened:
        yield opened


@pytest.fixture(scope="session")
def runner(pool: SandboxPool, instance: Instance) -> ScriptRunner:
    """Return a runner on the pool, with all that the instance adds to scripts."""
    made = ScriptRunner(pool)
    made.extensions = instance.scripts.extensions
    return made


@pytest.fixture(scope="session")
def peer() -> Iterator[Peer]:
    """Return another system that scripts may call."""
    with listening() as opened:
        yield opened


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def instance(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> Iterator[Instance]:
    """Return an open instance on each database in turn, filled."""
    url = new_database() if request.param == "postgresql" else ""
    with open_instance(url, clock=ManualClock()) as opened:
        fill(opened)
        yield opened
