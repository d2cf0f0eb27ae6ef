"""Threads that requests run in: a bounded number, and a bounded queue in front of them."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from midspan.kernel.clock import Clock
from midspan.kernel.errors import Unavailable

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


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
            Unavailable: too many wait already.
        """
        if self._busy >= self._limit:
            raise Unavailable("Too many requests are waiting", hint="Try again in a moment.")
        self._busy += 1
        try:
            context = contextvars.copy_context()
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(
                self._pool, lambda: context.run(function, *args, **named)
            )
        finally:
            self._busy -= 1

    def close(self) -> None:
        """Finish what runs and stop."""
        self._pool.shutdown(cancel_futures=True)


class WriteLane(Lane):
    """One thread for writes to a database that takes one at a time.

    Many threads that wait for its lock wake each other up to no purpose: two thirds of the time of
    a small write. Whoever waited longer than ``patience`` seconds is refused, as with the lock.
    """

    def __init__(self, waiting: int, clock: Clock, patience: float) -> None:
        super().__init__(1, waiting)
        self._clock = clock
        self._patience = patience

    async def run(
        self,
        function: Callable[_Arguments, _Result],
        *args: _Arguments.args,
        **named: _Arguments.kwargs,
    ) -> _Result:
        """Do as ``Lane.run``.

        Raises:
            Unavailable: too many wait already, or this one waited too long.
        """
        asked = self._clock.monotonic()

        def in_time() -> _Result:
            if self._clock.monotonic() - asked > self._patience:
                raise Unavailable("The database is busy", hint="Try again in a moment.")
            return function(*args, **named)

        return await super().run(in_time)
