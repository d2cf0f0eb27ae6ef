"""The event queue of scripts: rows of ``sysevent``, worked off one by one in their order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from msgspec import Struct

from midspan.dictionary.values import datetime_text
from midspan.jobs import Done, Job, JobContext, JobOptions, JobQueue, Outcome
from midspan.kernel.errors import Conflict, MidspanError, Unavailable
from midspan.records import RecordStore, RecordTransaction, SnapshotPart
from midspan.security.actor import SYSTEM
from midspan.storage import Statements, Transaction
from midspan.storage.catalog import columns_of

log = logging.getLogger(__name__)
TABLE = "sysevent"
KIND = "events.work"
_OPTIONS = JobOptions(max_attempts=8, first_delay=timedelta(seconds=2))
_WOKEN = "events.queues"


class QueuedEvent(Struct, frozen=True, kw_only=True):
    """One row of ``sysevent``; ``process_on`` None: at once."""

    name: str
    sys_id: str = ""
    table: str = ""
    instance: str = ""
    """The id of the record that it is about."""
    parm1: str = ""
    parm2: str = ""
    queue: str = ""
    process_on: datetime | None = None
    user_id: str = ""
    user_name: str = ""


class Registered(Struct, frozen=True):
    """What is known of event names: the queue of each that has one."""

    queues: Mapping[str, str] = {}


def load_register(transaction: Transaction) -> Registered:
    """Read the queues of registered events."""
    sql = Statements("midspan.events", "queue", transaction.dialect)
    # An upgrade reads the configuration before it has made the new tables.
    if not columns_of(transaction, "sysevent_register"):
        return Registered()
    return Registered({name: queue for name, queue in transaction.rows(sql["register"]) if queue})


REGISTER = SnapshotPart(
    "event_register", frozenset({"sysevent_register"}), lambda tx, _: load_register(tx)
)
"""The registered events; registered with the ``SnapshotHolder`` of the instance."""


def queue_event(transaction: RecordTransaction, event: QueuedEvent) -> str:
    """Write an event in the caller's transaction, to be worked off after its commit; return its id.

    Names need not be registered; a registered one goes to the queue it is registered with, unless
    another is given.

    Raises:
        Conflict: nothing works off events here.
    """
    jobs = transaction.store.jobs
    if jobs is None:
        raise Conflict("There is nobody to work off events", hint="Start the instance's work.")
    queue = event.queue or transaction.snapshot.part(REGISTER).queues.get(event.name, "")
    due = event.process_on if event.process_on and event.process_on > transaction.now else None
    sys_id = transaction.store.ids.uuid7().replace("-", "")
    transaction.engine_insert(
        TABLE,
        [
            {
                "sys_id": sys_id,
                "name": event.name[:100],
                "table": event.table,
                "instance": event.instance,
                "parm1": event.parm1[:4000],
                "parm2": event.parm2[:4000],
                "queue": queue[:80],
                "state": "ready",
                "process_on": datetime_text(due) if due else transaction.now_text,
                "user_id": "" if transaction.actor.trusted else transaction.actor.sys_id,
                "user_name": transaction.actor.user_name,
            }
        ],
    )
    woken: set[tuple[str, str]] = transaction.locals.setdefault(_WOKEN, set())
    key = (queue, datetime_text(due) if due else "")
    if key not in woken:
        woken.add(key)
        job = Job(kind=KIND, payload={"queue": queue}, run_at=due, queue="events")
        jobs.enqueue(transaction.database, job)
    return sys_id


class EventHandler(Protocol):
    """What reacts to an event, inside the transaction that ends it."""

    def handle(self, event: QueuedEvent, transaction: RecordTransaction) -> str:
        """React; return what went wrong, which ends the event in error, or ``''``.

        What it raises undoes what all handlers did.
        """
        ...


class EventQueue:
    """Works off ``sysevent``: each event once, those of a queue one after the other.

    An event is taken, handled and marked in one transaction. Several nodes may work on a queue:
    the row of its first event keeps the others waiting until that one is through.
    """

    def __init__(
        self, records: RecordStore, jobs: JobQueue, actor_of: Callable[[str], Any]
    ) -> None:
        self._records = records
        self._actor_of = actor_of
        self._sql = Statements("midspan.events", "queue", records.database.dialect)
        locks = "" if records.database.single_writer else " FOR UPDATE"
        self._take = self._sql["take"] + locks
        self.handlers: list[EventHandler] = []
        jobs.register(KIND, self._work, _OPTIONS)

    def _work(self, context: JobContext) -> Outcome:
        queue = str(context.job.payload.get("queue", ""))
        handled = 0
        while self._one(queue, context):
            handled += 1
        return Done({"handled": handled})

    def _one(self, queue: str, context: JobContext) -> bool:
        """Work off the first due event of a queue; tell whether there was one."""
        now = datetime_text(self._records.clock.now())
        with self._records.database.read() as transaction:
            if transaction.row(self._sql["first"], (queue, now)) is None:
                return False
        with self._records.write(SYSTEM, enforce=False) as records:
            context.hold(records.database)
            row = records.database.row(self._take, (queue, now))
            if row is None:
                return True  # another node was faster; look again
            self._handle(records, _event(row))
        return True

    def _handle(self, records: RecordTransaction, event: QueuedEvent) -> None:
        began = self._records.clock.monotonic()
        state, reason = "processed", ""
        try:
            actor = self._actor_of(event.user_id)
            with records.database.savepoint(), records.acting(actor):
                reason = "; ".join(filter(None, (h.handle(event, records) for h in self.handlers)))
        except Unavailable:
            raise  # no worker was free: the job tries again later
        except MidspanError as error:
            state, reason = "error", error.explain()
        except Exception as error:
            log.exception("event %s %s failed", event.name, event.sys_id)
            state, reason = "error", f"{type(error).__name__}: {error}"
        if reason:
            state = "error"
            records.store.logbook.add("error", f"Event {event.name}: {reason}", script=TABLE)
        spent = round((self._records.clock.monotonic() - began) * 1000)
        now = datetime_text(self._records.clock.now())
        row = (state, reason[:4000] or None, spent, now, now, event.sys_id)
        records.database.execute(self._sql["settle"], row)


def _event(row: Sequence[Any]) -> QueuedEvent:
    sys_id, name, table, instance, parm1, parm2, queue, user_id, user_name = row
    return QueuedEvent(
        sys_id=sys_id,
        name=name or "",
        table=table or "",
        instance=instance or "",
        parm1=parm1 or "",
        parm2=parm2 or "",
        queue=queue or "",
        user_id=user_id or "",
        user_name=user_name or "",
    )
