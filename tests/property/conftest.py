"""Two instances side by side, on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from midspan.kernel.clock import ManualClock
from midspan.testing import open_instance

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
