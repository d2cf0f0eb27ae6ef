"""Rows of the queue that others insert, over REST or from a script: completed and announced."""

from __future__ import annotations

from midspan.dictionary import Table
from midspan.ecc.ending import TABLE
from midspan.ecc.errors import UnknownAgent
from midspan.ecc.message import AGENT_PREFIX
from midspan.ecc.queue import EccQueue
from midspan.ecc.selection import select
from midspan.query import Query
from midspan.records import Draft, Operation, RecordTransaction
from midspan_link.protocol import MAX_RESULT


class QueueHook:
    """A ``RecordHook``: gives outputs a sequence and their agent, and wakes waiting polls.

    An output for a name that no agent has ends in error at once; one that is addressed to nobody
    of ours (an agent without ``mid.server.``) is left alone.
    """

    def __init__(self, queue: EccQueue) -> None:
        self._queue = queue

    def wants(self, table: Table, operation: Operation, transaction: RecordTransaction) -> bool:
        """Take inserts into the queue, and updates, which may make a job ready again."""
        return table.name == TABLE and operation is not Operation.DELETE

    def before(self, draft: Draft, transaction: RecordTransaction, *, late: bool) -> None:
        """Fill what the sender left out."""
        if late or draft.operation is not Operation.INSERT:
            return
        if not draft.get("sequence"):
            draft.set("sequence", self._queue.next_sequence(transaction.now))
        address = draft.get("agent")
        if draft.get("queue") != "output" or draft.get("mid_server"):
            return
        if address.startswith(AGENT_PREFIX) and draft.get("state") == "ready":
            self._address(draft, transaction, address.removeprefix(AGENT_PREFIX))

    def after(self, draft: Draft, transaction: RecordTransaction) -> None:
        """Wake those who poll, once the job is durable."""
        if draft.get("queue") == "output" and draft.get("state") == "ready":
            transaction.after_commit(self._queue.signal.fire)

    def before_query(self, table: Table, query: Query, transaction: RecordTransaction) -> Query:
        """Leave queries as they are."""
        return query

    @staticmethod
    def _address(draft: Draft, transaction: RecordTransaction, name: str) -> None:
        if len(draft.get("payload")) > MAX_RESULT:
            _refuse(draft, f"The payload is longer than {MAX_RESULT} characters")
            return
        try:
            choice = select(transaction, name=name)
        except UnknownAgent as error:
            _refuse(draft, error.explain())
            return
        draft.set("mid_server", choice.mid_sys_id)
        draft.set("selection_reason", choice.reason[:1000])


def _refuse(draft: Draft, why: str) -> None:
    draft.set("state", "error")
    draft.set("error_string", why)
