"""Answers that are kept for requests that may come again: rows of ``sys_idempotency_key``.

A row is written in the transaction that has the effect of its request, so there is either both or
neither, whenever a node dies. While a request is under way its key is held in the memory of its
node and, where several nodes share a database, by a lock of its transaction; both end with it. The
answer is sealed, because it may show what few may read.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import msgspec
from msgspec import Struct

from midspan.dictionary import Storage
from midspan.dictionary.values import datetime_text
from midspan.kernel.errors import Conflict, InvalidRequest
from midspan.records import RecordStore, RecordTransaction
from midspan.storage import Statements

TABLE = "sys_idempotency_key"
KEPT = timedelta(hours=24)


class KeyReused(InvalidRequest):
    """An idempotency key came before, with another request."""

    code = "MS113"

    def __init__(self) -> None:
        super().__init__(
            "Idempotency-Key was used before",
            detail="The same key came with another query or body within the last 24 hours.",
            hint="Send a new key with each new request.",
        )


class KeyInFlight(Conflict):
    """A request with the same idempotency key is still under way."""

    code = "MS450"

    def __init__(self) -> None:
        super().__init__(
            "Idempotency-Key is in use",
            detail="A request with this key is still under way.",
            hint="Send it again in a moment.",
        )


class KeptKey(Struct, frozen=True, kw_only=True):
    """One key of one user on one route, and what was asked with it."""

    sys_id: str
    user: str
    method: str
    path: str


class KeptAnswer(Struct, frozen=True, kw_only=True):
    """An answer as it was sent."""

    status: int
    content_type: str
    headers: dict[str, str]
    body: str


class KeptAnswers:
    """The kept answers of one instance, as one node sees them; safe to use from many threads."""

    def __init__(self, records: RecordStore) -> None:
        self._records = records
        self._sql = Statements("midspan.api", "keptanswers", records.database.dialect)
        self._under_way: set[tuple[int | None, str]] = set()
        self._lock = threading.Lock()

    @contextmanager
    def under_way(self, key: KeptKey) -> Iterator[None]:
        """Keep other requests with this key off, on this node.

        Raises:
            KeyInFlight: there is one.
        """
        mark = (self._records.database.lives.begun, key.sys_id)
        with self._lock:
            if mark in self._under_way:
                raise KeyInFlight
            self._under_way.add(mark)
        try:
            yield
        finally:
            with self._lock:
                self._under_way.discard(mark)

    def take(self, transaction: RecordTransaction, key: KeptKey) -> None:
        """Keep other nodes off until the end of a transaction that writes.

        Raises:
            KeyInFlight: another node has the key.
        """
        if self._records.database.single_writer:
            return
        number = int(key.sys_id[:16], 16) - 2**63
        row = transaction.database.row(self._sql["take"], (number,))
        if row is None or not row[0]:
            raise KeyInFlight

    def asked(self, transaction: RecordTransaction, key: KeptKey) -> str | None:
        """Return the digest of the request that the key came with; None: it did not come."""
        row = self._row(transaction, key)
        return None if row is None else row[0]

    def find(self, transaction: RecordTransaction, key: KeptKey, digest: str) -> KeptAnswer | None:
        """Return the answer that is kept for a key, None where it did not come yet.

        Raises:
            KeyReused: it came with another request.
        """
        row = self._row(transaction, key)
        if row is None:
            return None
        if row[0] != digest:
            raise KeyReused
        text = self._records.keepers.vault.open(row[1], _place(key))
        return msgspec.json.decode(text, type=KeptAnswer)

    def keep(
        self, transaction: RecordTransaction, key: KeptKey, digest: str, answer: KeptAnswer
    ) -> None:
        """Keep an answer in the transaction that has the effect of its request."""
        text = msgspec.json.encode(answer).decode()
        transaction.database.execute(self._sql["forget"], (key.sys_id,))
        row = {
            "sys_id": key.sys_id,
            "user": key.user,
            "method": key.method,
            "path": key.path[:1_000],
            "asked": digest,
            "answer": self._records.keepers.vault.seal(text, _place(key)),
            "expires": datetime_text(transaction.now + KEPT),
        }
        transaction.engine_insert(TABLE, [row])

    def _row(self, transaction: RecordTransaction, key: KeptKey) -> tuple[str, str] | None:
        database = transaction.database
        now = database.dialect.bind(Storage.DATETIME, transaction.now_text)
        row = database.row(self._sql["find"], (key.sys_id, now))
        return None if row is None else (str(row[0]), str(row[1]))


def sweep(records: RecordStore) -> int:
    """Take away the answers that are too old; return how many they were."""
    database = records.database
    sql = Statements("midspan.api", "keptanswers", database.dialect)
    now = database.dialect.bind(Storage.DATETIME, datetime_text(records.clock.now()))
    with database.read() as transaction:
        if transaction.row(sql["any_expired"], (now,)) is None:
            return 0
    with database.write() as transaction:
        return transaction.execute(sql["sweep"], (now,))


def _place(key: KeptKey) -> str:
    return f"{TABLE}:{key.sys_id}:answer"
