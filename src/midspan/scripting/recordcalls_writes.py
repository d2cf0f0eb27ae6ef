"""Host calls that write: one record, or every row that a query finds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from midspan.kernel.errors import LimitExceeded, MidspanError, RecordNotFound
from midspan.query import Unknown
from midspan.records import Applied, Change, ChangeOptions, Operation
from midspan.sandbox import JsonValue, SandboxUnavailable, ScriptError
from midspan.scripting import recordcalls_plans as plans
from midspan.scripting.criteria import Criteria
from midspan.scripting.recordcalls_tables import Columns, columns_of
from midspan.scripting.stagedrows import apply_staged, is_staged
from midspan.scripting.unit import Unit

_log = logging.getLogger("midspan.script")


class Write(Struct, frozen=True, kw_only=True):
    """One write as the prelude sends it; ``query`` for those that change every matching row."""

    table: str
    secure: bool = False
    values: dict[str, str] = {}
    rules: bool = True
    system_fields: bool = True
    force: bool = False
    sys_id: str = ""
    authors: dict[str, str] = {}
    """User names of those whose journal entries the values are, by field."""
    query: Criteria | None = None
    whole: bool = False
    """Whether an update has to answer with all columns, not with what it changed."""

    @property
    def options(self) -> ChangeOptions:
        """How the change is carried out."""
        return ChangeOptions(rules=self.rules, system_fields=self.system_fields, force=self.force)

    def change(self, operation: Operation, sys_id: str | None = None) -> Change:
        """Return it as the change of the record it names, or of another."""
        return Change(
            table=self.table,
            operation=operation,
            sys_id=self.sys_id if sys_id is None else sys_id,
            values={} if operation is Operation.DELETE else self.values,
            options=self.options,
            authors=self.authors,
        )


class WriteCalls:
    """Answers the calls of a GlideRecord that change records.

    ``lend`` gives the transaction for a call: ``lend(write, enforce)`` is a context manager.
    ``seen`` returns the row of a table and an id as the actor may read it, or None.
    """

    def __init__(
        self,
        unit: Unit,
        lend: Callable[[bool, bool], Any],
        seen: Callable[[str, str], JsonValue],
    ) -> None:
        self._lend = lend
        self._seen = seen
        self._alone = unit.enclosing is None  # each write is a transaction of its own

    def calls(self) -> Mapping[str, Callable[..., Any]]:
        """Return the functions by the name of their call."""
        return {
            "record.insert": self.insert,
            "record.update": self.update,
            "record.delete": self.delete,
            "record.updateMultiple": self.update_multiple,
            "record.deleteMultiple": self.delete_multiple,
        }

    def insert(self, raw: Any) -> JsonValue:
        """Insert a record."""
        return self._write(msgspec.convert(raw, Write), Operation.INSERT)

    def update(self, raw: Any) -> JsonValue:
        """Update a record; ``{"missing": true}`` when there is none.

        The answer is ``{"changed": {..}}``: what is stored now in the fields that were given and
        in those that became others; or ``{"row": [..]}``, as after an insert.
        """
        return self._write(msgspec.convert(raw, Write), Operation.UPDATE)

    def delete(self, raw: Any) -> JsonValue:
        """Delete a record."""
        return self._write(msgspec.convert(raw, Write), Operation.DELETE)

    def update_multiple(self, raw: Any) -> JsonValue:
        """Give every matching row the same values."""
        return self._write_many(msgspec.convert(raw, Write), Operation.UPDATE)

    def delete_multiple(self, raw: Any) -> JsonValue:
        """Delete every matching row."""
        return self._write_many(msgspec.convert(raw, Write), Operation.DELETE)

    def _write(self, wanted: Write, operation: Operation) -> JsonValue:
        change = wanted.change(operation)
        try:
            with self._lend(True, wanted.secure) as transaction:
                if not wanted.secure and is_staged(transaction.dictionary, wanted.table):
                    applied = apply_staged(transaction, change)
                else:
                    applied = transaction.apply(change, alone=self._alone)
                if operation is Operation.DELETE:
                    return {}
                columns = columns_of(transaction.dictionary, wanted.table)
        except RecordNotFound as error:
            if operation is Operation.UPDATE and not wanted.secure:
                return {"missing": True}
            return _refused(error)
        except (ScriptError, SandboxUnavailable, LimitExceeded):
            raise
        except MidspanError as error:
            return _refused(error)
        if wanted.secure:
            return {"row": self._seen(wanted.table, applied.sys_id) or _unseen(applied, columns)}
        return _outcome(applied, wanted, columns)

    def _write_many(self, wanted: Write, operation: Operation) -> JsonValue:
        """Change all matching rows in one transaction; a condition that was dropped refuses all."""
        criteria = msgspec.structs.replace(
            wanted.query or Criteria(wanted.table), limit=None, window=None
        )
        with self._lend(True, wanted.secure) as transaction:
            plan = plans.plan(transaction, criteria, Unknown.REFUSE)
            ids = plans.ids_of(transaction, plan)
            changes = [wanted.change(operation, sys_id) for sys_id in ids]
            if not wanted.secure and is_staged(transaction.dictionary, wanted.table):
                for change in changes:
                    apply_staged(transaction, change)
                return {"count": len(changes)}
            written = 0
            for result in transaction.apply_all(changes, collect=True):
                if isinstance(result, Applied):
                    written += 1
                else:
                    _log.warning("not written: %s", result.error.explain())
        return {"count": written}


def _outcome(applied: Applied, wanted: Write, columns: Columns) -> JsonValue:
    if applied.changed is not None and not wanted.whole:
        hidden = {columns.names[place] for place in columns.hidden}
        names = {*applied.changed, *wanted.values} - hidden
        changed: JsonValue = {name: applied.values.get(name) or None for name in names}
        return {"changed": changed}
    row: list[JsonValue] = [applied.values.get(name) or None for name in columns.names]
    for place in columns.hidden:
        row[place] = None
    return {"row": row}


def _unseen(applied: Applied, columns: Columns) -> JsonValue:
    """Return a row that its writer may not read: its id, which he needs, and nothing else."""
    return [applied.sys_id if name == "sys_id" else None for name in columns.names]


def _refused(error: MidspanError) -> JsonValue:
    _log.warning("not written: %s", error.explain())
    return {"error": error.message}
