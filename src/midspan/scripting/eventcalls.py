"""Host calls behind ``gs.eventQueue``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from midspan.dictionary.values import parse_datetime
from midspan.events import QueuedEvent, queue_event
from midspan.events.schedule import run_now
from midspan.kernel.errors import InvalidRequest, InvalidValue
from midspan.records import RecordTransaction
from midspan.scripting.storable import with_storable


class EventCalls:
    """Answers ``event.queue``; the event belongs to the transaction that ``lend`` gives."""

    def __init__(self, lend: Callable[[bool, bool], Any]) -> None:
        self._lend = lend

    def calls(self) -> Mapping[str, Callable[..., Any]]:
        """Return the functions by the name of their call."""
        return {"event.queue": with_storable(self.queue), "schedule.now": self.run_now}

    def queue(self, *arguments: str) -> str:
        """Write an event and return its id."""
        with self._lend(True, False) as transaction:
            return queue_script_event(transaction, arguments)

    def run_now(self, table: str, sys_id: str) -> str:
        """Let a scheduled script run once and return its job."""
        with self._lend(True, False) as transaction:
            return run_now(transaction, table, sys_id)


def queue_script_event(transaction: RecordTransaction, arguments: tuple[str, ...]) -> str:
    """Write the event that a script asked for: name, table, record, two parameters, queue, when.

    Raises:
        InvalidRequest: the event has no name, or the time is none.
    """
    name, table, instance, parm1, parm2, queue, when = arguments
    if not name:
        raise InvalidRequest("An event needs a name: gs.eventQueue('x.happened', current)")
    try:
        moment = parse_datetime(when) if when else None
    except (InvalidValue, ValueError):
        raise InvalidRequest(
            f"gs.eventQueueScheduled: {when!r} is no date and time",
            hint="Expected is yyyy-MM-dd HH:mm:ss in UTC.",
        ) from None
    event = QueuedEvent(
        name=name,
        table=table,
        instance=instance,
        parm1=parm1,
        parm2=parm2,
        queue=queue,
        process_on=moment,
    )
    return queue_event(transaction, event)
