"""How long to wait before the next try."""

from __future__ import annotations

import random


class Backoff:
    """Doubling waits in seconds, each shortened at random by up to half."""

    def __init__(
        self, first: float = 0.5, longest: float = 30.0, source: random.Random | None = None
    ) -> None:
        self._first = first
        self._longest = longest
        self._next = first
        self._random = source or random.Random()  # noqa: S311 - spreads load, protects nothing

    def wait(self) -> float:
        """Return the seconds to wait now; the next answer is about twice as long."""
        seconds = self._next * self._random.uniform(0.5, 1.0)
        self._next = min(self._longest, self._next * 2)
        return seconds

    def reset(self) -> None:
        """Begin again with the first wait, after a success."""
        self._next = self._first
