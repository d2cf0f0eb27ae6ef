"""Scripts that requests ask for: they take turns while plain requests come in."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
from tests.guard import GUARD

from midspan.api.scriptlane import LULL, ScriptLane, Turns
from midspan.kernel.clock import ManualClock

from .conftest import EXTRA, Site


class Scripts:
    """Runs of scripts in threads: each holds its turn until it is told to end."""

    def __init__(self, turns: Turns, threads: ThreadPoolExecutor) -> None:
        self._turns = turns
        self._threads = threads
        self._ended = threading.Event()
        self._runs: list[Future[None]] = []

    def start(self) -> threading.Event:
        """Ask for a turn; return what is set once it is there."""
        begun = threading.Event()

        def run() -> None:
            with self._turns.taken():
                begun.set()
                self._ended.wait(GUARD)

        self._runs.append(self._threads.submit(run))
        return begun

    def end(self) -> None:
        """Let all runs end."""
        self._ended.set()
        for run in self._runs:
            run.result(GUARD)


@contextmanager
def scripts(turns: Turns) -> Iterator[Scripts]:
    with ThreadPoolExecutor(8) as threads:
        made = Scripts(turns, threads)
        try:
            yield made
        finally:
            made.end()


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let turns be waited for as long as the test takes."""
    monkeypatch.setattr("midspan.api.scriptlane.TURN", GUARD)


@pytest.mark.usefixtures("endless")
def test_all_scripts_run_where_no_plain_request_comes_in() -> None:
    with scripts(Turns(ManualClock(), 1)) as runs:
        assert all(runs.start().wait(GUARD) for _ in range(4))


@pytest.mark.usefixtures("endless")
def test_half_of_the_scripts_run_while_plain_requests_come_in() -> None:
    turns = Turns(ManualClock(), 2)
    turns.note_plain()
    with scripts(turns) as runs:
        assert all([runs.start().wait(GUARD), runs.start().wait(GUARD)])
        third = runs.start()
        assert not third.wait(0.05)  # a third would be there within microseconds
        runs.end()
        assert third.is_set()


@pytest.mark.usefixtures("endless")
def test_after_a_lull_scripts_take_no_turns() -> None:
    clock = ManualClock()
    turns = Turns(clock, 1)
    turns.note_plain()
    clock.advance(timedelta(seconds=2 * LULL))
    with scripts(turns) as runs:
        assert all(runs.start().wait(GUARD) for _ in range(2))


def test_a_script_that_runs_for_long_holds_up_nobody() -> None:
    turns = Turns(ManualClock(), 1)
    turns.note_plain()
    with scripts(turns) as runs:
        assert all(runs.start().wait(GUARD) for _ in range(3))


def test_what_a_lane_runs_takes_a_turn_and_gives_it_back() -> None:
    turns = Turns(ManualClock(), 1)
    turns.note_plain()
    lane = ScriptLane(2, 10, turns)

    def fail() -> None:
        raise ValueError("no")

    async def both() -> int:
        with pytest.raises(ValueError, match="no"):
            await lane.run(fail)
        return await lane.run(lambda: 7)

    assert asyncio.run(both()) == 7
    lane.close()


class Noting(Turns):
    """Counts the plain requests."""

    count = 0

    def note_plain(self) -> None:
        """Count one."""
        self.count += 1


def test_plain_requests_are_noted_and_those_that_wait_by_themselves_are_not(
    site: Site, make_app: Callable[..., Site]
) -> None:
    turns = Noting(site.instance.clock, 1)
    served = make_app(extra_routes=EXTRA, script_turns=turns)
    served.send("GET", "/api/now/table/incident", user="ann")
    served.send("POST", "/api/now/table/incident", user="ann", json={})
    assert turns.count == 2
    assert served.send("POST", "/api/t/sizes", user="ann", content=b"abc").text == "3 bytes"
    assert turns.count == 2
