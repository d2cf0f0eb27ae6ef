"""Who consumes events; decides which changes become events at all."""

from __future__ import annotations

from collections.abc import Callable

from midspan.dictionary import Table
from midspan.events.event import Consumer
from midspan.records import Operation, RecordTransaction

_NOTED = "events.noted"


class EventRegistry:
    """The consumers in their order; to the record store it is the feed of changes."""

    def __init__(self) -> None:
        self.consumers: list[Consumer] = []
        self._listeners: list[Callable[[], None]] = []

    def add(self, consumer: Consumer) -> None:
        """Add a consumer; before the dispatcher starts."""
        self.consumers.append(consumer)

    def on_commit(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after each commit that wrote events."""
        self._listeners.append(listener)

    def wants(self, table: Table, operation: Operation, transaction: RecordTransaction) -> bool:
        """Tell whether some consumer wants such changes; the commit then wakes listeners."""
        if not any(each.wants(table, operation, transaction) for each in self.consumers):
            return False
        if _NOTED not in transaction.locals:
            transaction.locals[_NOTED] = True
            for listener in self._listeners:
                transaction.after_commit(listener)
        return True
