"""Writes to a database that takes one at a time: one thread, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from midspan.api.lane import WriteLane
from midspan.kernel.clock import ManualClock
from midspan.kernel.errors import DuplicateKey, Unavailable
from midspan.storage import SqliteDatabase
from midspan.storage.sqlite import SqliteGroup

from .conftest import PASSWORD

INCIDENTS = "/api/now/table/incident"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    found = SqliteDatabase(tmp_path / "lane.db", ephemeral=True)
    with found.write() as transaction:
        transaction.execute("CREATE TABLE written (number INTEGER PRIMARY KEY)")
    yield found
    found.close()


class Writes:
    """Inserts numbers through a lane, and tells what readers see."""

    def __init__(self, database: SqliteDatabase, clock: ManualClock) -> None:
        self.database = database
        self.clock = clock
        self.lane = WriteLane(database, 100, clock, 30.0, kind=lambda number, **_: number % 10)
        self.seen: list[list[int]] = []

    def one(self, number: int, *, fails: bool = False, slow: bool = False) -> int:
        """Insert a number, noting what is committed by then."""
        with self.database.write() as transaction:
            transaction.execute("INSERT INTO written VALUES (?)", (number,))
            if fails:
                raise ValueError(str(number))
            self.seen.append(self.committed())
            if slow:
                self.clock.advance(timedelta(seconds=1))
        return number

    def committed(self) -> list[int]:
        """Return what readers see."""
        with self.database.read() as transaction:
            return [row[0] for row in transaction.rows("SELECT number FROM written")]

    def run(self, *writes: tuple[int, dict[str, bool]]) -> list[int | BaseException]:
        """Send writes at once; return what each was answered."""

        async def all_of_them() -> list[int | BaseException]:
            sent = (self.lane.run(self.one, number, **how) for number, how in writes)
            return await asyncio.gather(*sent, return_exceptions=True)

        return asyncio.run(all_of_them())


@pytest.fixture
def writes(database: SqliteDatabase) -> Iterator[Writes]:
    found = Writes(database, ManualClock())
    yield found
    found.lane.close()


def test_what_waits_is_committed_together(writes: Writes) -> None:
    assert writes.run(*((number, {}) for number in range(10))) == list(range(10))
    assert writes.seen == [[]] * 10
    assert writes.committed() == list(range(10))


def test_each_fails_by_itself(writes: Writes) -> None:
    answers = writes.run((1, {}), (2, {"fails": True}), (1, {}), (3, {}))
    assert answers[0] == 1
    assert isinstance(answers[1], ValueError)
    assert isinstance(answers[2], DuplicateKey)
    assert answers[3] == 3
    assert writes.committed() == [1, 3]


def test_who_is_through_does_not_wait_for_what_is_slow(writes: Writes) -> None:
    writes.run((1, {}), (5, {"slow": True}), (3, {}))
    assert writes.seen == [[], [], [1, 5]]  # it took long, so that the rest is another group
    writes.seen.clear()
    writes.run((11, {}), (15, {}), (13, {}))
    assert writes.seen == [[1, 3, 5], [1, 3, 5, 11], [1, 3, 5, 11]]  # and now it was known


def test_nobody_is_answered_before_the_commit_nor_when_it_fails(
    writes: Writes, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SqliteDatabase.together

    @contextmanager
    def failing(self: SqliteDatabase) -> Iterator[SqliteGroup]:
        with real(self) as group:
            yield group
            raise OSError("the disk is full")

    monkeypatch.setattr(SqliteDatabase, "together", failing)
    answers = writes.run((1, {}), (2, {"fails": True}))
    assert [type(answer) for answer in answers] == [OSError, ValueError]
    assert writes.committed() == []


def test_a_lane_goes_on_after_a_loop_that_ended(writes: Writes) -> None:
    assert writes.run((1, {})) == [1]
    assert writes.run((2, {})) == [2]
    writes.lane.close()
    assert [type(answer) for answer in writes.run((3, {}))] == [Unavailable]


def test_writes_run_one_after_the_other_in_one_thread(database: SqliteDatabase) -> None:
    lane = WriteLane(database, 10, ManualClock(), 30.0)
    seen: list[tuple[int, str]] = []

    def note(number: int) -> None:
        seen.append((number, threading.current_thread().name))

    async def ten() -> None:
        await asyncio.gather(*(lane.run(note, number) for number in range(10)))

    asyncio.run(ten())
    lane.close()
    assert [number for number, _ in seen] == list(range(10))
    assert len({name for _, name in seen}) == 1


def test_who_waited_too_long_is_refused_and_does_nothing(database: SqliteDatabase) -> None:
    clock = ManualClock()
    lane = WriteLane(database, 10, clock, 30.0)
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
    assert asked == ["POST", "PATCH", "DELETE"]


def test_a_write_behind_a_change_of_the_dictionary_knows_it(site: Any) -> None:
    column = {"name": "incident", "element": "u_lane", "internal_type": "string"}

    async def both() -> Any:
        auth = ("admin", PASSWORD)
        return await asyncio.gather(
            site._send("POST", "/api/now/table/sys_dictionary", auth=auth, json=column),
            site._send("POST", INCIDENTS, auth=auth, json={"u_lane": "there"}),
        )

    site.send("GET", f"{INCIDENTS}?sysparm_limit=1", user="admin")  # so that both are admitted
    made = [answer.json()["result"] for answer in site._runner.run(both())]
    assert made[0]["element"] == "u_lane"
    assert made[1]["u_lane"] == "there"
