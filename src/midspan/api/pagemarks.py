"""Where the pages of a reading ended, so that the next one begins behind the last row read.

A client asks for rows by number. While others write, numbers shift: with them alone a row would
come twice, or never. A page that begins where this process ended one for the same reader therefore
begins behind that row, whatever number it has now. What is remembered is a help, not a state: where
it is gone, or the page before was answered by another process, numbers count as they always did.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import timedelta

from midspan.kernel.clock import Clock
from midspan.query.keyset import Mark

LIFETIME = timedelta(minutes=10)
"""How long after a page its end is remembered."""
MOST_READINGS = 512
MOST_MARKS = 32
"""Marks of one reading; clients that fetch pages side by side are a few pages apart."""
LONGEST_MARK = 500
"""Characters; what sorts by longer texts is paged by number. All marks take 8 MB at most."""


class PageMarks:
    """Ends of pages by reading and the number of the row behind them; bounded; for all threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._readings: OrderedDict[bytes, OrderedDict[int, tuple[Mark, float]]] = OrderedDict()

    def find(self, reading: bytes, offset: int) -> Mark | None:
        """Return the end of the page before ``offset``; a first page begins the reading anew."""
        with self._lock:
            if offset == 0:
                self._readings.pop(reading, None)
                return None
            marks = self._readings.get(reading)
            found = marks.get(offset) if marks is not None else None
        return found[0] if found is not None and self._clock.monotonic() < found[1] else None

    def keep(self, reading: bytes, offset: int, mark: Mark) -> None:
        """Remember that the row before number ``offset`` is the marked one."""
        if sum(map(len, mark.values)) > LONGEST_MARK:
            return
        deadline = self._clock.monotonic() + LIFETIME.total_seconds()
        with self._lock:
            marks = self._readings.setdefault(reading, OrderedDict())
            self._readings.move_to_end(reading)
            marks[offset] = (mark, deadline)
            marks.move_to_end(offset)
            if len(marks) > MOST_MARKS:
                marks.popitem(last=False)
            if len(self._readings) > MOST_READINGS:
                self._readings.popitem(last=False)
