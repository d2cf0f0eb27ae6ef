"""``midspan serve`` with one change feed, so that every write of an incident fills the outbox.

An instance writes outbox rows only for changes that somebody waits for; the feed here is that
somebody. Takes the arguments of ``midspan``.
"""

from __future__ import annotations

import sys
from typing import Any

from midspan.cli import main, node
from midspan.dictionary import Table
from midspan.instance import Instance
from midspan.records import Operation, RecordTransaction


class IncidentFeed:
    """Wants every change of an incident."""

    def wants(self, table: Table, operation: Operation, transaction: RecordTransaction) -> bool:
        """Tell whether an event has to be written."""
        return table.name == "incident"


class WatchedInstance(Instance):
    """An instance whose incidents somebody waits for."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.records.feeds.append(IncidentFeed())


if __name__ == "__main__":
    node.Instance = WatchedInstance  # type: ignore[attr-defined]
    sys.exit(main())
