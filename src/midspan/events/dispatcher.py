"""Hands committed events to their consumers: none is lost, none takes effect twice."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from typing import Any

from msgspec import Struct

from midspan.dictionary.values import datetime_text
from midspan.events.event import Event, read_event
from midspan.events.registry import EventRegistry
from midspan.kernel.errors import FenceLost, MidspanError
from midspan.records import RecordStore, RecordTransaction
from midspan.security.actor import SYSTEM
from midspan.storage import StaleWork, Statements

log = logging.getLogger(__name__)
POLL = timedelta(milliseconds=500)
LEASE = timedelta(seconds=30)
BATCH = 20
MAX_ATTEMPTS = 8
KEPT = timedelta(days=1)
"""How long processed events stay to be looked at."""
_LONGEST_PAUSE = 64


class _Claimed(Struct, frozen=True):
    sys_id: str
    row: tuple[Any, ...]
    fence: int
    attempt: int


class Dispatcher:
    """One per node; several nodes share the outbox through leases and fences.

    An event is claimed in one transaction; its consumers write in a second one, which also marks it
    processed. A consumer that fails is undone and the event tried again, later each time, without
    holding up the others; after ``MAX_ATTEMPTS`` it stays in state ``error`` with the reason.
    """

    def __init__(self, records: RecordStore, registry: EventRegistry, node: str) -> None:
        self._records = records
        self._registry = registry
        self._node = node
        self._sql = Statements("midspan.events", "events", records.database.dialect)
        self._wanted = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._cleaned = 0.0
        registry.on_commit(self.wake)

    def start(self) -> None:
        """Take back what this node held when it died, and begin to work in a thread."""
        with self._records.database.write() as transaction:
            transaction.execute(self._sql["release"], (self._node,))
        self._thread = threading.Thread(target=self._loop, name="events", daemon=True)
        self._thread.start()

    def stop(self, timeout: timedelta) -> bool:
        """Finish the batch under way; tell whether it ended in time."""
        self._stopping = True
        self._wanted.set()
        if self._thread is not None:
            self._thread.join(timeout.total_seconds())
            return not self._thread.is_alive()
        return True

    def wake(self) -> None:
        """Look for events now."""
        self._wanted.set()

    def _loop(self) -> None:
        while not self._stopping:
            try:
                with self._records.database.lives.work():
                    busy = self.dispatch() > 0
                    self._clean()
            except StaleWork:
                busy = True
            except Exception:
                log.exception("dispatching events failed; trying again")
                busy = False
            if not busy:
                self._wanted.wait(POLL.total_seconds())
                self._wanted.clear()

    def drain(self) -> int:
        """Dispatch until nothing is ready; return how many events were handled. For tests."""
        total = 0
        while handled := self.dispatch():
            total += handled
        return total

    def dispatch(self) -> int:
        """Handle one batch of ready events, oldest first; return its size."""
        now = self._records.clock.now()
        with self._records.database.read() as transaction:
            ready = transaction.rows(self._sql["ready"], (datetime_text(now), BATCH))
        if not ready:
            return 0
        claimed = self._claim([str(row[0]) for row in ready])
        with self._records.write(SYSTEM, enforce=False) as records:
            for event in claimed:
                self._handle(records, event)
        return len(claimed)

    def _claim(self, sys_ids: list[str]) -> list[_Claimed]:
        now = self._records.clock.now()
        until = datetime_text(now + LEASE)
        claimed = []
        with self._records.database.write() as transaction:
            for sys_id in sys_ids:
                row = transaction.row(
                    self._sql["claim"], (self._node, until, sys_id, datetime_text(now))
                )
                if row is not None:
                    claimed.append(_Claimed(sys_id, row[:4], int(row[4]), int(row[5])))
        return claimed

    def _handle(self, records: RecordTransaction, claimed: _Claimed) -> None:
        """Consume and mark processed, or undo both and note why."""
        try:
            with records.database.savepoint():
                self._settle(records, claimed, "processed")
                self._consume(read_event(claimed.sys_id, *claimed.row), records)
        except FenceLost:
            log.info("event %s went to another node", claimed.sys_id)
        except Exception as error:
            last = claimed.attempt >= MAX_ATTEMPTS
            log.exception("event %s failed, attempt %d", claimed.sys_id, claimed.attempt)
            reason = error.explain() if isinstance(error, MidspanError) else repr(error)
            pause = timedelta(seconds=min(2 ** (claimed.attempt - 1), _LONGEST_PAUSE))
            self._settle(records, claimed, "error" if last else "claimed", reason, pause)

    def _consume(self, event: Event, records: RecordTransaction) -> None:
        table = records.dictionary.tables.get(event.table)
        if table is None:
            return
        for consumer in self._registry.consumers:
            if consumer.wants(table, event.operation, records):
                consumer.consume(event, records)

    def _settle(
        self,
        records: RecordTransaction,
        claimed: _Claimed,
        state: str,
        error: str | None = None,
        pause: timedelta = timedelta(0),
    ) -> None:
        now = self._records.clock.now()
        until = datetime_text(now + pause) if pause else None
        row = (state, error[:4000] if error else None, until, datetime_text(now))
        sql = self._sql["settle"]
        if records.database.execute(sql, (*row, claimed.sys_id, claimed.fence)) != 1:
            raise FenceLost(f"Event {claimed.sys_id} was claimed by another node")

    def _clean(self) -> None:
        """Delete old processed events, once an hour."""
        now = self._records.clock.monotonic()
        if now - self._cleaned < timedelta(hours=1).total_seconds():
            return
        self._cleaned = now
        before = datetime_text(self._records.clock.now() - KEPT)
        with self._records.database.write() as transaction:
            transaction.execute(self._sql["forget"], (before,))
