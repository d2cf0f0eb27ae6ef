"""Calls that a script asks for inside an open transaction: they leave once that is committed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from midspan.jobs import Done, Failed, Job, JobContext, JobOptions, JobQueue, Outcome
from midspan.kernel.errors import MidspanError
from midspan.outbound.message import Asked
from midspan.records import RecordStore, RecordTransaction
from midspan.security.actor import SYSTEM

if TYPE_CHECKING:
    from midspan.outbound.sender import Messages

KIND = "outbound.message"
_ONCE = JobOptions(max_attempts=1, max_deaths=1)
"""Nobody can tell whether a call that was cut off arrived, so it is not sent again."""


class DeferredMessages:
    """Queues calls with the caller's transaction; what is queued is sealed, secrets and all."""

    def __init__(
        self, records: RecordStore, jobs: JobQueue, messages: Callable[[], Messages]
    ) -> None:
        self._records = records
        self._jobs = jobs
        self._messages = messages
        jobs.register(KIND, self._carry_out, _ONCE)

    def enqueue(self, transaction: RecordTransaction, asked: Asked) -> str:
        """Let a call leave after the commit; its answer reaches the log alone.

        Returns what ``withdraw`` takes.
        """
        place = self._records.ids.sys_id()
        clear = msgspec.json.encode(asked).decode()
        sealed = self._records.keepers.vault.seal(clear, f"{KIND}:{place}")
        job = Job(kind=KIND, payload={"place": place, "sealed": sealed})
        return self._jobs.enqueue(transaction.database, job)

    def withdraw(self, transaction: RecordTransaction, job: str) -> None:
        """Keep a call from leaving, in the transaction that queued it."""
        self._jobs.cancel(transaction.database, job)

    def _carry_out(self, context: JobContext) -> Outcome:
        payload = context.job.payload
        place, sealed = str(payload["place"]), str(payload["sealed"])
        clear = self._records.keepers.vault.open(sealed, f"{KIND}:{place}")
        asked = msgspec.json.decode(clear, type=Asked)
        try:
            with self._records.read(SYSTEM, enforce=False) as transaction:
                prepared = self._messages().prepare(transaction, asked)
        except MidspanError as error:
            return Failed(error.message)
        replied = self._messages().send(prepared)
        if replied.status == 0:
            return Failed(replied.error[:1000])
        return Done({"status": replied.status})
