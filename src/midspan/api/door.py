"""The door of the application: counts who is inside, and keeps new ones waiting during a reset."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Door:
    """Used on one event loop."""

    def __init__(self) -> None:
        self._inside = 0
        self._closed = False
        self._turn = asyncio.Lock()
        self._opened = asyncio.Event()
        self._empty = asyncio.Event()

    def enter_at_once(self) -> bool:
        """Come in and tell so, unless the door is closed."""
        if self._closed:
            return False
        self._inside += 1
        return True

    async def enter(self) -> None:
        """Come in; waits while the door is closed."""
        while self._closed:
            await self._opened.wait()
        self._inside += 1

    def leave(self) -> None:
        """Go out, once for each ``enter``."""
        self._inside -= 1
        if not self._inside:
            self._empty.set()

    @asynccontextmanager
    async def closed(self, limit: float) -> AsyncIterator[None]:
        """Let nobody in, and wait up to ``limit`` seconds until all who are inside are out."""
        async with self._turn:
            self._closed = True
            self._opened.clear()
            self._empty.clear()
            try:
                if self._inside:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._empty.wait(), limit)
                yield
            finally:
                self._closed = False
                self._opened.set()
