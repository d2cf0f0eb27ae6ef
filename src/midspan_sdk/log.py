"""What an action or a probe writes its log lines to."""

from __future__ import annotations

from typing import Protocol


class Log(Protocol):
    """Lines kept with the run of the step or job; ``fields`` are its searchable details.

    Secrets do not belong in a line; the receiver redacts what looks like one all the same.
    """

    def info(self, text: str, **fields: object) -> None:
        """Write a line for the reader who follows what happened."""
        ...

    def warning(self, text: str, **fields: object) -> None:
        """Write a line about something odd that did not stop the work."""
        ...

    def error(self, text: str, **fields: object) -> None:
        """Write a line about something that failed."""
        ...
