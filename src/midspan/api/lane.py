"""Threads for requests: a bounded number of them, and one for the writes of SQLite."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import groupby
from typing import Any, ParamSpec, TypeVar, cast

from midspan.kernel.clock import Clock
from midspan.kernel.errors import Unavailable
from midspan.storage import Database, WriteGroup

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
MOST_TOGETHER = 64
"""Writes that one commit makes durable."""
LONG = 0.020
"""Seconds after which a group takes no further write, and of a write that counts as slow."""


class TooManyWaiting(Unavailable):
    """All threads are busy, and as many requests as may wait for one do."""

    code = "MS641"

    def __init__(self) -> None:
        super().__init__("Too many requests are waiting", hint="Try again in a moment.")


class Lane:
    """A bounded number of threads and of requests that wait for one."""

    def __init__(self, threads: int, waiting: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="midspan-request")
        self._limit = threads + waiting
        self._busy = 0

    async def run(
        self,
        function: Callable[_Arguments, _Result],
        *args: _Arguments.args,
        **named: _Arguments.kwargs,
    ) -> _Result:
        """Run ``function`` in a thread, with the caller's context variables.

        Raises:
            TooManyWaiting: too many wait already.
        """
        if self._busy >= self._limit:
            raise TooManyWaiting
        self._busy += 1
        try:
            return await self._run(partial(function, *args, **named), args)
        finally:
            self._busy -= 1

    async def _run(self, work: Callable[[], _Result], _: tuple[Any, ...]) -> _Result:
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: context.run(work))

    def close(self) -> None:
        """Finish what runs and stop."""
        self._pool.shutdown(cancel_futures=True)


class WriteLane(Lane):
    """One thread for writes to a database that takes one at a time, many with one commit.

    Many threads that wait for its lock wake each other up to no purpose: two thirds of the time of
    a small write. What waits is done in one go instead and committed together; nobody is told
    before. Each fails by itself, but for a commit that fails. What is of a ``kind`` that took long
    the last time does not join others: they would have to wait for it although they are done.
    Whoever waited longer than ``patience`` seconds is refused, as with the lock.
    """

    def __init__(
        self,
        database: Database,
        waiting: int,
        clock: Clock,
        patience: float,
        kind: Callable[..., Hashable] = lambda *_: None,
    ) -> None:
        super().__init__(1, waiting)
        self._database = database
        self._clock = clock
        self._patience = patience
        self._kind = kind
        self._lock = threading.Lock()
        self._waiting: deque[_Turn] = deque()
        self._going = False
        self._slow: set[Hashable] = set()

    async def _run(self, work: Callable[[], _Result], args: tuple[Any, ...]) -> _Result:
        turn = _Turn(work, self._kind(*args), self._clock.monotonic() + self._patience)
        self._waiting.append(turn)
        self._go_on()
        return cast(_Result, await turn.future)

    def close(self) -> None:
        """Finish what runs and stop; what waits is refused."""
        super().close()
        while self._waiting:
            turn = self._waiting.popleft()
            turn.error = Unavailable("The instance is stopping", hint="Try again in a moment.")
            with suppress(RuntimeError):  # nobody is left in a loop that is closed
                turn.tell()

    def _go_on(self) -> None:
        """Start the thread, behind whatever the loop can do now: that may be further writes."""
        with self._lock:
            if self._going or not self._waiting:
                return
            self._going = True
        asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        try:
            self._pool.submit(self._work)
        except RuntimeError:  # it is closed
            self.close()

    def _work(self) -> None:
        turns = self._together()
        with self._lock:
            self._going = False
        for loop, own in groupby(turns, lambda turn: turn.loop):
            with suppress(RuntimeError):  # nobody is left in a loop that is closed
                loop.call_soon_threadsafe(self._tell, list(own))

    def _tell(self, turns: list[_Turn]) -> None:
        for turn in turns:
            turn.tell()
        self._go_on()

    def _together(self) -> list[_Turn]:
        """Do what waits, as far as it goes together; return it with what became of it."""
        taken: list[_Turn] = []
        try:
            with self._database.together() as group:
                begun = self._clock.monotonic()
                while turn := self._next(taken, group, begun):
                    taken.append(turn)
                    self._take(turn)
        except Exception as error:
            for turn in taken:
                turn.error = turn.error or error
        return taken

    def _next(self, taken: list[_Turn], group: WriteGroup, begun: float) -> _Turn | None:
        if not self._waiting:
            return None
        if taken and (
            group.is_over
            or len(taken) == MOST_TOGETHER
            or self._clock.monotonic() - begun > LONG
            or self._waiting[0].kind in self._slow
        ):
            return None
        return self._waiting.popleft()

    def _take(self, turn: _Turn) -> None:
        begun = self._clock.monotonic()
        if begun > turn.deadline:
            turn.error = Unavailable("The database is busy", hint="Try again in a moment.")
            return
        turn.take()
        if self._clock.monotonic() - begun > LONG:
            self._slow.add(turn.kind)
        else:
            self._slow.discard(turn.kind)


class _Turn:
    """A write that waits for its turn, and what became of it."""

    def __init__(self, work: Callable[[], object], kind: Hashable, deadline: float) -> None:
        self._work = work
        self._context = contextvars.copy_context()
        self.kind = kind
        self.deadline = deadline
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[object] = self.loop.create_future()
        self._result: object = None
        self.error: BaseException | None = None

    def take(self) -> None:
        """Do the work, unless nobody waits for it any more; keep what comes of it."""
        if self.future.cancelled():
            return
        try:
            self._result = self._context.run(self._work)
        except StopIteration as error:  # which no future takes
            self.error = RuntimeError(f"work ended with {error!r}")
        except BaseException as error:
            self.error = error

    def tell(self) -> None:
        """Hand out what came of it, in the loop of whoever waits."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self._result)
