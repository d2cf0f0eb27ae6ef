"""Time is injected: nobody below the entry points calls ``datetime.now``."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Where a part gets the time from."""

    def now(self) -> datetime:
        """Return the current instant, aware, in UTC, with microseconds."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start; never goes back; for durations only."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the wall clock in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the machine's monotonic clock in seconds."""
        return time.monotonic()


class ManualClock:
    """A clock for tests and simulation: it stands still until it is moved."""

    def __init__(self, start: datetime = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)) -> None:
        self._now = start
        self._elapsed = 0.0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return the instant the clock was last moved to."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds the clock was advanced by since it was made."""
        return self._elapsed

    def advance(self, by: timedelta) -> datetime:
        """Move forward by ``by`` (never backwards) and return the new instant."""
        if by < timedelta(0):
            raise ValueError("a clock only moves forward")
        with self._lock:
            self._now += by
            self._elapsed += by.total_seconds()
            return self._now

    def set(self, instant: datetime) -> None:
        """Move forward to ``instant``."""
        self.advance(instant - self._now)
