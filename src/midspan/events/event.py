"""A committed change as its consumers see it, and who they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec
from msgspec import Struct

from midspan.dictionary import Table
from midspan.kernel.ids import derived_id
from midspan.records import Operation, RecordTransaction


class Event(Struct, frozen=True, kw_only=True):
    """One stored change: ``changes`` holds old and new wire text by field, never a secret.

    ``actor`` is the sys_id of the user who made it, empty for the system.
    """

    id: str
    operation: Operation
    table: str
    record_id: str
    actor: str
    changes: Mapping[str, tuple[str, str]]

    def derived(self, *names: str) -> str:
        """Return the id of something that this event starts: the same on every try."""
        return derived_id("event", self.id, *names)


class Consumer(Protocol):
    """Somebody who reacts to changes by writing rows, in the transaction that ends the event."""

    name: str

    def wants(self, table: Table, operation: Operation, transaction: RecordTransaction) -> bool:
        """Tell whether changes of this kind concern the consumer at all."""
        ...

    def consume(self, event: Event, transaction: RecordTransaction) -> None:
        """React. Nothing may leave the process from here; it may run again after a crash."""
        ...


class Payload(Struct, frozen=True):
    """What the record store writes into an outbox row."""

    actor: str
    changes: dict[str, tuple[str, str]]


def read_event(sys_id: str, name: str, table: str, record_id: str, payload: str) -> Event:
    """Return the event of an outbox row; its name is ``record.<operation>``."""
    content = msgspec.json.decode(payload, type=Payload)
    return Event(
        id=sys_id,
        operation=Operation(name.removeprefix("record.")),
        table=table,
        record_id=record_id,
        actor=content.actor,
        changes=content.changes,
    )
