"""What code of hooks leaves of a table for somebody: asked once, and part of his access."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from midspan.query import ALWAYS, Condition, Query, Unknown, resolve_query
from midspan.records.hooks import QueryHook
from midspan.records.snapshot import Snapshot
from midspan.security import Actor

if TYPE_CHECKING:
    from midspan.records.store import RecordStore
    from midspan.records.transaction import RecordTransaction


class Narrowing:
    """Asks hooks which rows an actor sees of a table; used for one access."""

    def __init__(
        self,
        store: RecordStore,
        actor: Actor,
        snapshot: Snapshot,
        hooks: Sequence[QueryHook],
        transaction: RecordTransaction | None,
    ) -> None:
        self._store = store
        self._actor = actor
        self._snapshot = snapshot
        self._hooks = hooks
        self._transaction = transaction

    def condition(self, table: str) -> Condition:
        """Return what rows of a table have to meet; ``ALWAYS`` where nothing narrows it."""
        if not any(hook.narrows(table, self._snapshot) for hook in self._hooks):
            return ALWAYS
        if self._transaction is not None:
            return self._asked(table, self._transaction)
        with self._store.read(self._actor, enforce=False) as transaction:
            transaction.use(self._snapshot)
            return self._asked(table, transaction)

    def _asked(self, table: str, transaction: RecordTransaction) -> Condition:
        known = transaction.dictionary.table(table)
        query = Query()
        for hook in self._hooks:
            query = hook.before_query(known, query, transaction)
        condition, _ = resolve_query(
            transaction.dictionary, table, query, Unknown.NOTHING, transaction.values
        )
        return condition
