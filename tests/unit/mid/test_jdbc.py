"""The JDBC probe stops its database, also one that was told before its statement began."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from tests.guard import GUARD

from midspan_link.blocks import Column
from midspan_mid.probes.jdbc import _finished


class Deaf:
    """A reading that hears only the second call to stop: the first came before its statement."""

    columns: tuple[Column, ...] = ()

    def __init__(self) -> None:
        self.calls = 0
        self.begun, self.stopped = threading.Event(), threading.Event()

    def chunks(self) -> Iterator[bytes]:
        return iter(())

    def run(self) -> bool:
        self.begun.set()
        return self.stopped.wait(GUARD)

    def cancel(self) -> None:
        self.calls += 1
        if self.calls == 2:
            self.stopped.set()


def test_told_to_stop_until_it_has() -> None:
    async def scenario() -> Deaf:
        reading = Deaf()
        task = asyncio.create_task(_finished(reading.run, reading))
        await asyncio.to_thread(reading.begun.wait, 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return reading

    reading = asyncio.run(scenario())
    assert reading.stopped.is_set()
    assert reading.calls == 2
