"""Writes to a database that takes one at a time: one thread, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest

from midspan.api.lane import WriteLane
from midspan.kernel.clock import ManualClock
from midspan.kernel.errors import Unavailable

INCIDENTS = "/api/now/table/incident"


def test_writes_run_one_after_the_other_in_one_thread() -> None:
    lane = WriteLane(10, ManualClock(), 30.0)
    seen: list[tuple[int, str]] = []

    def note(number: int) -> None:
        seen.append((number, threading.current_thread().name))

    async def ten() -> None:
        await asyncio.gather(*(lane.run(note, number) for number in range(10)))

    asyncio.run(ten())
    lane.close()
    assert [number for number, _ in seen] == list(range(10))
    assert len({name for _, name in seen}) == 1


def test_who_waited_too_long_is_refused_and_does_nothing() -> None:
    clock = ManualClock()
    lane = WriteLane(10, clock, 30.0)
    begun, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def slow() -> None:
        begun.set()
        assert go_on.wait(60)
        done.append("slow")

    async def both() -> None:
        first = asyncio.ensure_future(lane.run(slow))
        second = asyncio.ensure_future(lane.run(done.append, "late"))
        await asyncio.to_thread(begun.wait, 60)
        clock.advance(timedelta(seconds=31))
        go_on.set()
        await first
        with pytest.raises(Unavailable, match="busy"):
            await second

    asyncio.run(both())
    lane.close()
    assert done == ["slow"]


def test_the_table_api_writes_in_that_thread_and_reads_in_others(
    make_app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_app()
    asked: list[str] = []

    async def noted(self: WriteLane, function: Any, *args: Any, **named: Any) -> Any:
        asked.append(args[-1].name if hasattr(args[-1], "name") else args[-1].method)
        return function(*args, **named)

    monkeypatch.setattr(WriteLane, "run", noted)
    made = site.send("POST", INCIDENTS, user="admin", json={"short_description": "one"})
    path = f"{INCIDENTS}/{made.json()['result']['sys_id']}"
    assert site.send("PATCH", path, user="admin", json={"state": "2"}).status_code == 200
    assert site.send("GET", INCIDENTS, user="admin").status_code == 200
    assert site.send("DELETE", path, user="admin").status_code == 204
    assert asked == ["POST", "PATCH", "table.delete"]
