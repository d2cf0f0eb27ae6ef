"""Keeps two payloads from adding the same item at once, on whatever node each is taken.

Whoever adds an item first takes a lock on everything by which it would be known. On SQLite there
is one writer at a time anyway. On PostgreSQL the locks are those of the database; there are a few
hundred of them in all, so that a large payload cannot use up what the server has room for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from midspan.records import RecordTransaction
from midspan.storage import Statements

_SPACE = 0x6D696465
"""The first half of the number of each lock; no other part of the instance uses it."""
_LOCKS = 512


def hold_keys(transaction: RecordTransaction, keys: Iterable[tuple[str, ...]]) -> None:
    """Take the locks of these keys until the end of the transaction, in one order for all."""
    if transaction.store.database.single_writer:
        return
    sql = Statements("midspan.cmdb", "cmdb", transaction.database.dialect)["lock"]
    for number in sorted({_number(key) for key in keys}):
        transaction.database.row(sql, (_SPACE, number))


def _number(key: tuple[str, ...]) -> int:
    digest = hashlib.blake2b("\x1f".join(key).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % _LOCKS
