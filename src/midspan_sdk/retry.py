"""How often and how far apart a failed step is tried again; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Up to ``attempts`` tries in all; the wait grows by ``factor`` from ``first_delay``.

    With ``honour_retry_after`` a longer wait that the peer asked for wins, even over
    ``max_delay``.
    """

    attempts: int = 4
    first_delay: timedelta = timedelta(seconds=10)
    factor: float = 2.0
    max_delay: timedelta = timedelta(minutes=5)
    honour_retry_after: bool = True

    def __post_init__(self) -> None:
        """Refuse values that could never work."""
        if self.attempts < 1 or self.factor < 1 or self.first_delay < timedelta(0):
            raise ValueError(
                "a retry policy needs attempts >= 1, factor >= 1 and first_delay >= 0, "
                f"got {self.attempts}, {self.factor} and {self.first_delay}"
            )

    def delay(self, attempt: int, asked: timedelta | None = None) -> timedelta | None:
        """Return the wait after failed try number ``attempt`` (from 1), None when it was the last.

        >>> [RetryPolicy().delay(attempt) for attempt in (1, 2, 4)]
        [datetime.timedelta(seconds=10), datetime.timedelta(seconds=20), None]
        >>> RetryPolicy().delay(1, timedelta(minutes=9))
        datetime.timedelta(seconds=540)
        """
        if attempt >= self.attempts:
            return None
        wait = self.max_delay
        seconds = self.first_delay.total_seconds()
        for _ in range(attempt - 1):
            if seconds >= wait.total_seconds():
                break
            seconds *= self.factor
        wait = min(timedelta(seconds=seconds), wait)
        if self.honour_retry_after and asked is not None:
            wait = max(wait, asked)
        return wait
