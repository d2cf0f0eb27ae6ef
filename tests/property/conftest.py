"""Two instances side by side, on both databases."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psycopg
import pytest

from midspan.kernel.clock import ManualClock
from midspan.storage.dialect import POSTGRESQL, POSTGRESQL_SETUP, SQLITE
from midspan.storage.functions import register_functions
from midspan.testing import open_instance

from .stores import Store
from .veil import Ids, Side


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def sides(request: pytest.FixtureRequest) -> Iterator[tuple[Side, Side]]:
    new_database: Callable[[], str] = (
        request.getfixturevalue("new_database") if request.param == "postgresql" else str
    )
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        found = []
        for _ in range(2):
            ids = Ids()
            instance = stack.enter_context(
                open_instance(new_database(), clock=ManualClock(), ids=ids)
            )
            side = Side(instance, ids, runner)
            stack.callback(side.app.close)
            found.append(side)
        yield found[0], found[1]


@pytest.fixture(scope="module")
def stores(new_database: Callable[..., str]) -> Iterator[tuple[Store, Store]]:
    light = sqlite3.connect(":memory:", isolation_level=None)
    register_functions(light)
    with psycopg.connect(new_database(empty=True), autocommit=True) as heavy:
        heavy.execute(POSTGRESQL_SETUP)
        heavy.execute("SET client_min_messages = warning")
        heavy.prepare_threshold = None
        yield Store(SQLITE, light), Store(POSTGRESQL, heavy)
    light.close()
