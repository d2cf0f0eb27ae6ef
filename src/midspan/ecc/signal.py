"""Wakes those who wait for a job in this process, whatever thread the news comes from."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Signal:
    """Calls every listener when fired; once closed, stays fired."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []
        self.closed = False

    @contextmanager
    def listening(self, listener: Callable[[], None]) -> Iterator[None]:
        """Call ``listener`` on each firing inside the block; it must return at once."""
        with self._lock:
            self._listeners.append(listener)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.remove(listener)

    def fire(self) -> None:
        """Wake everybody."""
        with self._lock:
            waiting = list(self._listeners)
        for listener in waiting:
            listener()

    def close(self) -> None:
        """Wake everybody for the last time; nobody need wait any more."""
        self.closed = True
        self.fire()
