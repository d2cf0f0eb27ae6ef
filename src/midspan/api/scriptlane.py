"""Threads for scripts that requests ask for, of which plain requests are not to feel much.

A script in a worker takes a processor, and its host calls take the interpreter that answers plain
requests, too. While those come in, short scripts take turns: half of the threads run them. Where
none comes in, or where scripts run for long, all threads do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from midspan.api.lane import Lane
from midspan.kernel.clock import Clock

TURN = 0.05
"""Seconds that a script waits for its turn at most: those before it may be waiting, too."""
LULL = 0.1
"""Seconds without a plain request after which scripts take no turns."""
_Result = TypeVar("_Result")


class Turns:
    """Which scripts may start; one for all lanes of an instance, for any thread.

    ``together`` of them run at the same time while plain requests come in, if they are short.
    """

    def __init__(self, clock: Clock, together: int) -> None:
        self._clock = clock
        self._together = max(1, together)
        self._changed = threading.Condition()
        self._running = 0
        self._plain = float("-inf")

    def note_plain(self) -> None:
        """Note that a plain request came in."""
        self._plain = self._clock.monotonic()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for a turn, and hold it for the block."""
        with self._changed:
            self._changed.wait_for(self._is_free, TURN)
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify()

    def _is_free(self) -> bool:
        if self._running < self._together:
            return True
        return self._clock.monotonic() - self._plain > LULL


class ScriptLane(Lane):
    """A bounded number of threads whose work takes turns with that of the other script lanes."""

    def __init__(self, threads: int, waiting: int, turns: Turns | None = None) -> None:
        super().__init__(threads, waiting)
        self._turns = turns

    async def _run(self, work: Callable[[], _Result], args: tuple[Any, ...]) -> _Result:
        if self._turns is None:
            return await super()._run(work, args)
        return await super()._run(partial(_in_turn, self._turns, work), args)


def _in_turn(turns: Turns, work: Callable[[], _Result]) -> _Result:
    with turns.taken():
        return work()
