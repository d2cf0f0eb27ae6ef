"""Runs the scripts of access rules over the rows in question: read here, decided by whom we ask."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from midspan.kernel.errors import InvalidQuery
from midspan.query import Condition, Operator, ReadPlan, Test, both
from midspan.records.record import Record
from midspan.records.snapshot import Snapshot
from midspan.security import Access, AccessRule
from midspan.security.undecided import Undecided

if TYPE_CHECKING:
    from midspan.records.store import RecordStore
    from midspan.records.transaction import RecordTransaction

MOST_JUDGED = 10_000
"""Rows of one class that a script may have to decide about in one query."""
_PAGE = 500
_JUDGING = "access_judging"


class AccessScripts(Protocol):
    """Runs the script of an access rule."""

    def passing(
        self, transaction: RecordTransaction, rule: AccessRule, records: Sequence[Record]
    ) -> Collection[str]:
        """Return the ids of those records, all of one class, for which the script passes.

        Raises:
            ScriptError: it went over a limit.
            SandboxUnavailable: it could not run.
        """
        ...

    def passes(self, transaction: RecordTransaction, rule: AccessRule) -> bool | None:
        """Tell whether a script passes that is given no record; None when it throws.

        Raises:
            ScriptError: it went over a limit.
            SandboxUnavailable: it could not run.
        """
        ...


class Judging:
    """A ``Judge`` for one access; what a script itself reads under access rules asks no script."""

    def __init__(
        self,
        store: RecordStore,
        scripts: AccessScripts,
        access: Access,
        snapshot: Snapshot,
        transaction: RecordTransaction | None,
    ) -> None:
        """``access`` is what somebody may do as long as scripts grant nothing."""
        self._store = store
        self._scripts = scripts
        self._access = access
        self._snapshot = snapshot
        self._transaction = transaction

    def passes(self, rule: AccessRule) -> bool | None:
        """Tell whether the script passes without a record; None where it does not get through."""
        with self._asking() as transaction:
            return None if transaction is None else self._scripts.passes(transaction, rule)

    def passing(self, asked: Undecided, table: str, within: Condition) -> tuple[str, ...]:
        """Return the ids of the rows of a class that meet ``within`` and pass the script."""
        with self._asking() as transaction:
            if transaction is None:
                return ()
            ids = _candidates(transaction, asked.table, table, within)
            found: list[str] = []
            for start in range(0, len(ids), _PAGE):
                loaded = transaction.load(asked.table, ids[start : start + _PAGE])
                records = [
                    loaded[sys_id] for sys_id in ids[start : start + _PAGE] if sys_id in loaded
                ]
                found += self._scripts.passing(transaction, asked.rule, records)
            return tuple(found)

    def passes_new(self, asked: Undecided, values: Mapping[str, str]) -> bool:
        """Tell whether a record that is not stored yet passes the script."""
        with self._asking() as transaction:
            if transaction is None:
                return False
            sys_id = values.get("sys_id") or "new"
            record = Record(asked.table, {**values, "sys_id": sys_id})
            return sys_id in self._scripts.passing(transaction, asked.rule, [record])

    @contextmanager
    def _asking(self) -> Iterator[RecordTransaction | None]:
        """Lend a transaction; None inside a script that already decides something."""
        if self._transaction is None:
            with self._store.read(self._access.actor, enforce=False) as transaction:
                transaction.use(self._snapshot)
                transaction.locals[_JUDGING] = True
                yield transaction
            return
        if self._transaction.locals.get(_JUDGING):
            yield None
            return
        self._transaction.locals[_JUDGING] = True
        try:
            with self._transaction.under(self._access):
                yield self._transaction
        finally:
            self._transaction.locals[_JUDGING] = False


def _candidates(
    transaction: RecordTransaction, cls: str, table: str, within: Condition
) -> list[str]:
    """Return the ids of rows of exactly ``cls`` among those of ``table``.

    Raises:
        InvalidQuery: there are too many.
    """
    dictionary = transaction.dictionary
    if dictionary.table(table).hierarchy:
        kind = dictionary.path(table, "sys_class_name")
        within = both(within, Test(kind, Operator.EQUALS, (cls,)))
    path = dictionary.path(table, "sys_id")
    plan = ReadPlan(table=table, columns=(path,), condition=within, limit=MOST_JUDGED + 1)
    ids = [str(row[0]) for row in transaction.run(plan)]
    if len(ids) > MOST_JUDGED:
        raise InvalidQuery(
            f"The script of an access rule would run for more than {MOST_JUDGED} rows of {cls}",
            hint="Narrow the query; the script runs for every row that the query may find.",
        )
    return ids
