"""The order of events of a write, row by row or set by set with the same observable result.

types → access → before rules (order below 1000) → mandatory fields → before rules (1000 and up) →
types again → store → journal, audit, outbox → after rules; all inside the caller's transaction.
A run of changes to one table goes through as a set when no hook needs its rows one by one; every
step below works on a list of drafts, and row by row is simply lists of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import orjson
from msgspec import Struct

from midspan.dictionary import Field, Storage, Table
from midspan.kernel.errors import (
    DuplicateKey,
    InvalidField,
    InvalidRequest,
    MidspanError,
    NotAuthorized,
    OperationAborted,
    RecordNotFound,
)
from midspan.query import ALWAYS, NEVER, evaluate
from midspan.records.change import Applied, Change, Draft, Operation, Refused, Result
from midspan.records.hooks import RecordHook, SetHook
from midspan.records.record import Record
from midspan.records.snapshot import Snapshot
from midspan.security.dynamic import PREFIX

if TYPE_CHECKING:
    from midspan.records.store import RecordStore
    from midspan.records.transaction import RecordTransaction

ACL_DETAIL = "ACL Exception {} Failed due to security constraints"
BATCH = 500
_ACCESS = {Operation.INSERT: "create", Operation.UPDATE: "write", Operation.DELETE: "delete"}
_SYSTEM = frozenset(
    {"sys_created_on", "sys_created_by", "sys_updated_on", "sys_updated_by", "sys_mod_count"}
)


class Writer:
    """Carries out changes; one per store."""

    def __init__(self, store: RecordStore) -> None:
        self._store = store

    def apply(
        self, transaction: RecordTransaction, changes: Sequence[Change], *, collect: bool
    ) -> list[Result]:
        """Carry out ``changes`` in order; see ``RecordTransaction.apply_all``."""
        results: list[Result] = []
        for batch in self._batches(transaction, changes):
            if batch[0].table not in transaction.dictionary:
                transaction.settle()
            results += self._guarded(transaction, batch, collect=collect)
        return results

    def apply_one(
        self,
        transaction: RecordTransaction,
        change: Change,
        *,
        alone: bool = False,
        held: Record | None = None,
    ) -> Applied:
        """Carry out one change or raise; see ``RecordTransaction.apply``."""
        if alone and change.table in transaction.dictionary:
            (result,) = self._batch(transaction, [change], collect=False, held=held)
        else:
            (result,) = self.apply(transaction, [change], collect=False)
        if isinstance(result, Refused):
            raise result.error
        return result

    def _batches(
        self, transaction: RecordTransaction, changes: Sequence[Change]
    ) -> Iterator[list[Change]]:
        """Cut into runs that may be handled together; a second change of a record starts anew."""
        for (table, operation), run in groupby(changes, lambda c: (c.table, c.operation)):
            single = len(changes) == 1 or self._row_wise(transaction, table, operation)
            batch: list[Change] = []
            seen: set[str] = set()
            for change in run:
                if batch and (single or change.sys_id in seen or len(batch) == BATCH):
                    yield batch
                    batch, seen = [], set()
                batch.append(change)
                if change.sys_id:
                    seen.add(change.sys_id)
            if batch:
                yield batch

    def _row_wise(self, transaction: RecordTransaction, table: str, operation: Operation) -> bool:
        known = transaction.dictionary.tables.get(table)
        return known is not None and any(
            _cuts(hook, transaction.dictionary.table(cls), operation, transaction)
            for hook in self._store.hooks
            for cls in known.classes
        )

    def _guarded(
        self, transaction: RecordTransaction, batch: list[Change], *, collect: bool
    ) -> list[Result]:
        """Undo a batch that was refused; with ``collect`` find out whose fault it was."""
        try:
            with transaction.database.savepoint():
                return self._batch(transaction, batch, collect=collect)
        except MidspanError as error:
            if not collect:
                raise
            if len(batch) == 1:
                return [Refused(batch[0], error)]
        return [
            result
            for change in batch
            for result in self._guarded(transaction, [change], collect=True)
        ]

    def _batch(
        self,
        transaction: RecordTransaction,
        batch: list[Change],
        *,
        collect: bool,
        held: Record | None = None,
    ) -> list[Result]:
        outcome: dict[int, Result] = {}
        drafts: list[tuple[int, Draft]] = []
        for position, made in enumerate(self._drafts(transaction, batch, held)):
            try:
                if isinstance(made, MidspanError):
                    raise made
                self._prepare(transaction, made)
                drafts.append((position, made))
            except MidspanError as error:
                if not collect:
                    raise
                outcome[position] = Refused(batch[position], error)
        written = self._store_drafts(transaction, [draft for _, draft in drafts])
        for position, draft in drafts:
            outcome[position] = Applied(
                table=draft.table.name,
                operation=draft.operation,
                sys_id=draft.sys_id,
                written=id(draft) in written,
                values=draft.values,
            )
        return [outcome[position] for position in range(len(batch))]

    # Before the store

    def _drafts(
        self, transaction: RecordTransaction, batch: list[Change], held: Record | None
    ) -> list[Draft | MidspanError]:
        """Load what a batch changes; a record that is missing becomes its error."""
        table = transaction.dictionary.table(batch[0].table)
        if table.engine is not None:
            raise NotAuthorized(
                "Operation Failed", detail=f"{table.name} is written by the instance alone"
            )
        if batch[0].operation is Operation.INSERT:
            return [self._new(transaction, table, change) for change in batch]
        if held is not None:
            return [self._existing(transaction, change, held) for change in batch]
        ids = [change.sys_id for change in batch]
        self._store.lock_rows(transaction.database, table, ids)
        records = transaction.load(table.name, ids)
        return [self._existing(transaction, change, records.get(change.sys_id)) for change in batch]

    def _existing(
        self, transaction: RecordTransaction, change: Change, record: Record | None
    ) -> Draft | MidspanError:
        missing = RecordNotFound(change.table, change.sys_id)
        if record is None:
            return missing
        if transaction.enforce:
            condition = transaction.access.rows(record.table, "read")
            if condition != ALWAYS and not transaction.matches(record, condition):
                return missing
        return Draft(transaction.dictionary.table(record.table), change, record)

    def _new(self, transaction: RecordTransaction, table: Table, change: Change) -> Draft:
        cls = change.values.get("sys_class_name") or table.name
        if cls != table.name and transaction.dictionary.is_a(cls, table.name):
            table = transaction.dictionary.table(cls)
        draft = Draft(table, change, None)
        blank = transaction.snapshot.derive(_blank, table.name)
        draft.values.update(blank.values)
        for name, expression in blank.computed:
            draft.set(name, transaction.values(expression) or "")
        draft.values["sys_id"] = change.sys_id or change.values.get("sys_id") or ""
        if not draft.values["sys_id"]:
            draft.values["sys_id"] = self._store.ids.sys_id()
        if table.hierarchy:
            draft.values["sys_class_name"] = table.name
        return draft

    def _prepare(self, transaction: RecordTransaction, draft: Draft) -> None:
        self._check_row(transaction, draft)
        if draft.operation is not Operation.DELETE:
            self._take_values(transaction, draft)
            self._system_fields(transaction, draft)
        self._before(transaction, draft, late=False)
        if draft.operation is not Operation.DELETE and draft.options.mandatory:
            _check_mandatory(draft)
        self._before(transaction, draft, late=True)
        for guard in self._store.guards:
            if guard.wants(draft.table, draft.operation):
                guard.before(draft, transaction)
        if draft.operation is not Operation.DELETE:
            self._seal(transaction, draft)

    def _check_row(self, transaction: RecordTransaction, draft: Draft) -> None:
        if not transaction.enforce:
            return
        operation = _ACCESS[draft.operation]
        condition = transaction.access.class_rows(draft.table.name, operation)
        allowed = condition == ALWAYS
        if not allowed and condition != NEVER:
            allowed = (
                transaction.matches(draft.before, condition)
                if draft.before
                else evaluate(
                    condition,
                    lambda path: draft.change.values.get(path.name, ""),
                    count=transaction.count_related,
                )
            )
        if not allowed:
            raise NotAuthorized(
                "Operation Failed", detail=ACL_DETAIL.format(draft.operation.value.capitalize())
            )

    def _take_values(self, transaction: RecordTransaction, draft: Draft) -> None:
        """Take over the given values; fields the actor may not write are left as they are."""
        operation = "create" if draft.operation is Operation.INSERT else "write"
        for name, text in draft.change.values.items():
            field = draft.table.fields.get(name)
            if field is None:
                raise InvalidField(draft.table.name, name, draft.table.fields)
            if name in ("sys_id", "sys_class_name") or (
                name in _SYSTEM and draft.options.system_fields
            ):
                continue
            if transaction.enforce and not transaction.access.field(
                draft.table.name, name, operation
            ):
                continue
            if field.storage is Storage.NONE and not field.kind.journal:
                continue
            if field.kind.journal and not text:
                continue
            draft.set(name, _fit(field, text))

    def _system_fields(self, transaction: RecordTransaction, draft: Draft) -> None:
        if draft.operation is Operation.INSERT:
            stamp = self._store.stamp(transaction)
            for name, text in stamp.items():
                if draft.options.system_fields or not draft.values.get(name):
                    draft.values[name] = text
            number = draft.table.number
            if number and "number" in draft.table.fields and not draft.values.get("number"):
                taken = self._store.numbers.take(number, transaction.database)
                draft.values["number"] = taken[0]

    def _before(self, transaction: RecordTransaction, draft: Draft, *, late: bool) -> None:
        if not draft.options.rules:
            return
        for hook in self._store.hooks:
            if hook.wants(draft.table, draft.operation, transaction):
                hook.before(draft, transaction, late=late)
        if draft.refused is not None:
            raise OperationAborted("Operation Failed", detail=draft.refused)

    def _seal(self, transaction: RecordTransaction, draft: Draft) -> None:
        """Hash and encrypt what was given in clear; stored forms pass through unchanged."""
        for field in transaction.snapshot.derive(_secret_fields, draft.table.name):
            if draft.values.get(field.name) != draft.old(field.name):
                place = f"{draft.table.name}:{draft.sys_id}:{field.name}"
                clear = draft.values.get(field.name, "")
                draft.values[field.name] = self._store.protect(field, clear, place)

    # The store and what follows it

    def _store_drafts(self, transaction: RecordTransaction, drafts: list[Draft]) -> set[int]:
        """Write drafts of one table and operation; return the ids of those that changed."""
        written = [draft for draft in drafts if self._stamp_update(transaction, draft)]
        if not written:
            return set()
        by_class: dict[str, list[Draft]] = {}
        for draft in written:
            draft.settled = draft.changes()
            by_class.setdefault(draft.table.name, []).append(draft)
        for group in by_class.values():
            self._write_rows(transaction, group[0].table, group)
        self._record(transaction, written)
        for draft in written:
            draft.settled = None
        transaction.touch(by_class)
        self._follow(transaction, list(by_class.values()))
        for draft in written:
            self._after(transaction, draft)
        return {id(draft) for draft in written}

    def _follow(self, transaction: RecordTransaction, groups: list[list[Draft]]) -> None:
        for guard in self._store.guards:
            for group in groups:
                if guard.wants(group[0].table, group[0].operation):
                    guard.after(group, transaction)

    def _write_rows(self, transaction: RecordTransaction, table: Table, group: list[Draft]) -> None:
        """Write drafts of one class and one operation."""
        match group[0].operation:
            case Operation.INSERT:
                self._insert(transaction, table, group)
            case Operation.UPDATE:
                for draft in group:
                    values = {name: new for name, (_, new) in draft.changes().items()}
                    self._store.update_row(transaction.database, table, draft.sys_id, values)
            case Operation.DELETE:
                ids = [draft.sys_id for draft in group]
                self._store.delete_rows(transaction.database, table, ids)

    def _after(self, transaction: RecordTransaction, draft: Draft) -> None:
        if not draft.options.rules:
            return
        for hook in self._store.hooks:
            if hook.wants(draft.table, draft.operation, transaction):
                hook.after(draft, transaction)

    def _insert(self, transaction: RecordTransaction, table: Table, group: list[Draft]) -> None:
        try:
            self._store.insert_rows(transaction.database, table, [draft.values for draft in group])
        except DuplicateKey as error:
            if len(group) == 1:
                raise DuplicateKey(
                    "Operation Failed",
                    detail=f"Unique Key violation detected by database ({error.detail})",
                ) from error
            raise

    def _stamp_update(self, transaction: RecordTransaction, draft: Draft) -> bool:
        """Set the update stamp where something changed; tell whether there is anything to write."""
        if draft.operation is not Operation.UPDATE:
            return True
        if not draft.changes() and not draft.journal and not draft.options.force:
            return False
        if draft.options.system_fields:
            stamp = self._store.stamp(transaction)
            draft.values["sys_updated_on"] = stamp["sys_updated_on"]
            draft.values["sys_updated_by"] = stamp["sys_updated_by"]
            draft.values["sys_mod_count"] = str(int(draft.old("sys_mod_count") or 0) + 1)
        return True

    def _record(self, transaction: RecordTransaction, drafts: list[Draft]) -> None:
        """Write journal entries, audit rows and events of stored drafts."""
        journal = [row for draft in drafts for row in _journal_rows(draft)]
        transaction.engine_insert("sys_journal_field", journal)
        audited = [draft for draft in drafts if draft.options.rules and draft.table.audit]
        user = transaction.actor.user_name
        transaction.engine_insert(
            "sys_audit", [row for draft in audited for row in _audit_rows(draft, user)]
        )
        transaction.engine_insert("sys_audit_delete", _deletion_rows(drafts))
        self._emit(transaction, [draft for draft in drafts if draft.options.rules])

    def _emit(self, transaction: RecordTransaction, drafts: list[Draft]) -> None:
        """Write one event per draft that some feed wants, for the dispatcher."""
        wanted = [
            draft
            for draft in drafts
            if any(
                feed.wants(draft.table, draft.operation, transaction) for feed in self._store.feeds
            )
        ]
        rows = [
            {
                "sys_id": self._store.ids.uuid7().replace("-", ""),
                "event": f"record.{draft.operation.value}",
                "table_name": draft.table.name,
                "record_id": draft.sys_id,
                "payload": event_payload(draft, transaction.actor.sys_id),
                "state": "ready",
                "attempts": "0",
            }
            for draft in wanted
        ]
        if rows:
            transaction.engine_insert("sys_outbox", rows)


class _Blank(Struct, frozen=True):
    """A new row of a class: its values by field, and those that an expression gives."""

    values: dict[str, str]
    computed: tuple[tuple[str, str], ...]


def _blank(snapshot: Snapshot, table: str) -> _Blank:
    fields = snapshot.dictionary.table(table).fields.values()
    stored = [field for field in fields if field.storage is not Storage.NONE]
    computed = {field.name: field.default for field in stored if field.default.startswith(PREFIX)}
    values = {field.name: "" if field.name in computed else field.default for field in stored}
    return _Blank(values, tuple(computed.items()))


def _secret_fields(snapshot: Snapshot, table: str) -> tuple[Field, ...]:
    fields = snapshot.dictionary.table(table).fields.values()
    return tuple(field for field in fields if field.kind.secret)


def _cuts(
    hook: RecordHook, table: Table, operation: Operation, transaction: RecordTransaction
) -> bool:
    """Tell whether a hook needs the changes of a class to go row by row."""
    if not hook.wants(table, operation, transaction):
        return False
    return not (isinstance(hook, SetHook) and hook.set_based(table, operation, transaction))


def event_payload(draft: Draft, actor: str) -> str:
    """Return the event's JSON: who, and each changed field with its old and new text."""
    changes = {
        name: [old, new]
        for name, (old, new) in draft.changes().items()
        if not draft.table.fields[name].kind.secret
    }
    changes |= {name: ["", text] for name, text in draft.journal.items()}
    return orjson.dumps({"actor": actor, "changes": changes}).decode()


def _fit(field: Field, text: str) -> str:
    """Cut text to the field's length, as the vendor does without a word."""
    kind = field.kind
    cut = field.storage is Storage.TEXT and not kind.secret and not kind.multiple
    return text[: field.max_length] if cut else text


def _check_mandatory(draft: Draft) -> None:
    empty = [
        field.label
        for field in draft.table.fields.values()
        if field.mandatory and not draft.get(field.name)
    ]
    if empty:
        raise InvalidRequest(
            "Operation Failed",
            detail=f"Data Policy Exception: The following fields are mandatory: {', '.join(empty)}",
        )


def _journal_rows(draft: Draft) -> Iterable[dict[str, str]]:
    for name, text in draft.journal.items():
        yield {
            "name": draft.table.name,
            "element_id": draft.sys_id,
            "element": name,
            "value": text,
        }


def _audit_rows(draft: Draft, user: str) -> Iterable[dict[str, str]]:
    if draft.operation is not Operation.UPDATE:
        return
    for name, (old, new) in draft.changes().items():
        field = draft.table.fields[name]
        if field.audit:
            yield {
                "tablename": draft.table.name,
                "documentkey": draft.sys_id,
                "fieldname": name,
                "oldvalue": "" if field.kind.secret else old,
                "newvalue": "" if field.kind.secret else new,
                "user": user,
            }


def _deletion_rows(drafts: list[Draft]) -> list[dict[str, str]]:
    return [
        {
            "tablename": draft.table.name,
            "documentkey": draft.sys_id,
            "display_value": draft.old(draft.table.display),
        }
        for draft in drafts
        if draft.operation is Operation.DELETE
    ]
