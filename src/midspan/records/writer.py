"""The order of events of a write, row by row or set by set with the same observable result.

types → access → before rules (order below 1000) → mandatory fields → before rules (1000 and up) →
types again → store → journal, audit, outbox → after rules; all inside the caller's transaction.
A run of changes to one table goes through as a set when no hook needs its rows one by one; every
step below works on a list of drafts, and row by row is simply lists of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

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
from midspan.query import ALWAYS
from midspan.records.blank import blank_row
from midspan.records.change import ACL_DETAIL, Applied, Change, Draft, Operation, Refused, Result
from midspan.records.hooks import PageCut, RecordHook, cuts, is_page_hook
from midspan.records.moving import empty_lost, moved
from midspan.records.record import Record
from midspan.records.rights import meets, unwritable
from midspan.records.snapshot import Snapshot
from midspan.records.traces import audit_rows, deletion_rows, journal_rows, outbox_row

if TYPE_CHECKING:
    from midspan.records.store import RecordStore
    from midspan.records.transaction import RecordTransaction

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
            (result,) = self._batch(transaction, [change], set(), collect=False, held=held)
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
            cuts(hook, transaction.dictionary.table(cls), operation, transaction)
            for hook in self._store.hooks
            for cls in known.classes
        )

    def _guarded(
        self, transaction: RecordTransaction, batch: list[Change], *, collect: bool
    ) -> list[Result]:
        """Undo a batch that was refused; with ``collect`` find out whose fault it was."""
        if len(batch) > 1 and self._row_wise(transaction, batch[0].table, batch[0].operation):
            return self._one_by_one(transaction, batch, collect=collect)
        try:
            with transaction.database.savepoint():
                return self._set(transaction, batch, collect=collect)
        except PageCut:
            return self._one_by_one(transaction, batch, collect=collect)
        except MidspanError as error:
            if not collect:
                raise
            if len(batch) == 1:
                return [Refused(batch[0], error)]
        return self._one_by_one(transaction, batch, collect=True)

    def _one_by_one(
        self, transaction: RecordTransaction, batch: list[Change], *, collect: bool
    ) -> list[Result]:
        return [
            result
            for change in batch
            for result in self._guarded(transaction, [change], collect=collect)
        ]

    def _set(
        self, transaction: RecordTransaction, batch: list[Change], *, collect: bool
    ) -> list[Result]:
        """Carry out a batch; hooks that work on sets hear whether it was kept."""
        lost: set[str] = set()
        if len(batch) == 1:  # raised, so that what its rules did is undone, too
            return self._batch(transaction, batch, lost, collect=False)
        kept = not collect
        try:
            results = self._batch(transaction, batch, lost, collect=collect)
            kept = True
            return results
        except PageCut:
            kept = False
            raise
        finally:
            for hook in self._store.hooks:
                if is_page_hook(hook):
                    hook.settle_set(transaction, kept=kept, lost=lost)

    def _batch(
        self,
        transaction: RecordTransaction,
        batch: list[Change],
        lost: set[str],
        *,
        collect: bool,
        held: Record | None = None,
    ) -> list[Result]:
        outcome: dict[int, Result] = {}
        drafts: dict[int, Draft] = {}
        together = len(batch) > 1
        for position, made in enumerate(self._drafts(transaction, batch, held)):
            if isinstance(made, MidspanError):
                outcome[position] = Refused(batch[position], made)
            else:
                drafts[position] = made
        for position, error in self._prepare(transaction, drafts, together=together).items():
            outcome[position] = Refused(batch[position], error)
            lost.add(drafts.pop(position).sys_id)
        if outcome and not collect:
            first = outcome[min(outcome)]
            assert isinstance(first, Refused)  # noqa: S101 - nothing else is in it yet
            raise first.error
        written = self._store_drafts(transaction, list(drafts.values()), together=together)
        is_update = batch[0].operation is Operation.UPDATE
        for position, draft in drafts.items():
            outcome[position] = Applied(
                table=draft.table.name,
                operation=draft.operation,
                sys_id=draft.sys_id,
                written=id(draft) in written,
                values=draft.values,
                changed=written.get(id(draft), ()) if is_update else None,
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
        if change.to_class and change.to_class != record.table:
            return moved(transaction, change, record)
        return Draft(transaction.dictionary.table(record.table), change, record)

    def _new(self, transaction: RecordTransaction, table: Table, change: Change) -> Draft:
        cls = change.values.get("sys_class_name") or table.name
        if cls != table.name and transaction.dictionary.is_a(cls, table.name):
            table = transaction.dictionary.table(cls)
        draft = Draft(table, change, None)
        blank = transaction.snapshot.derive(blank_row, table.name)
        draft.values.update(blank.values)
        values = transaction.values if blank.computed else None
        for name, expression in blank.computed:
            draft.set(name, (values and values(expression)) or "")
        given = change.sys_id or change.values.get("sys_id")
        draft.values["sys_id"] = given or self._store.ids.sys_id()
        if table.hierarchy:
            draft.values["sys_class_name"] = table.name
        return draft

    def _prepare(
        self, transaction: RecordTransaction, drafts: Mapping[int, Draft], *, together: bool
    ) -> dict[int, MidspanError]:
        """Take drafts to the point where they can be stored; return what was refused, and why.

        Each step is taken for all drafts before the next one; a refused draft takes no more.
        """
        refused: dict[int, MidspanError] = {}

        def each(step: Callable[[RecordTransaction, Draft], None]) -> None:
            for position, draft in drafts.items():
                if position not in refused:
                    try:
                        step(transaction, draft)
                    except MidspanError as error:
                        refused[position] = error

        each(self._take)
        self._before(transaction, drafts, refused, late=False, together=together)
        each(_check_policies)
        self._before(transaction, drafts, refused, late=True, together=together)
        each(self._finish)
        return refused

    def _take(self, transaction: RecordTransaction, draft: Draft) -> None:
        self._check_row(transaction, draft)
        if draft.operation is not Operation.DELETE:
            self._take_values(transaction, draft)
            self._system_fields(transaction, draft)

    def _finish(self, transaction: RecordTransaction, draft: Draft) -> None:
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
        if not meets(transaction, draft, condition):
            raise NotAuthorized(
                "Operation Failed", detail=ACL_DETAIL.format(draft.operation.value.capitalize())
            )

    def _take_values(self, transaction: RecordTransaction, draft: Draft) -> None:
        """Take over the given values; fields the actor may not write are left as they are."""
        kept = unwritable(transaction, draft) if transaction.enforce else frozenset()
        for name, text in draft.change.values.items():
            field = draft.table.fields.get(name)
            if field is None:
                raise InvalidField(draft.table.name, name, draft.table.fields)
            if name in ("sys_id", "sys_class_name") or (
                name in _SYSTEM and draft.options.system_fields
            ):
                continue
            if name in kept:
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

    def _before(
        self,
        transaction: RecordTransaction,
        drafts: Mapping[int, Draft],
        refused: dict[int, MidspanError],
        *,
        late: bool,
        together: bool,
    ) -> None:
        """Let each hook work on the drafts that are left; a refusal keeps no other from it."""
        for hook in self._store.hooks:
            wanted = {
                position: draft
                for position, draft in drafts.items()
                if position not in refused
                and draft.options.rules
                and hook.wants(draft.table, draft.operation, transaction)
            }
            if together and wanted and is_page_hook(hook):
                positions = list(wanted)
                failed = hook.before_all(list(wanted.values()), transaction, late=late)
                refused.update((positions[at], error) for at, error in failed.items())
                continue
            for position, draft in wanted.items():
                try:
                    hook.before(draft, transaction, late=late)
                except MidspanError as error:
                    refused[position] = error
        for position, draft in drafts.items():
            if position not in refused and draft.refused is not None:
                refused[position] = OperationAborted("Operation Failed", detail=draft.refused)

    def _seal(self, transaction: RecordTransaction, draft: Draft) -> None:
        """Hash and encrypt what was given in clear; stored forms pass through unchanged."""
        for field in transaction.snapshot.derive(_secret_fields, draft.table.name):
            if draft.values.get(field.name) != draft.old(field.name):
                place = f"{draft.table.name}:{draft.sys_id}:{field.name}"
                clear = draft.values.get(field.name, "")
                draft.values[field.name] = self._store.protect(field, clear, place)

    # The store and what follows it

    def _store_drafts(
        self, transaction: RecordTransaction, drafts: list[Draft], *, together: bool
    ) -> dict[int, tuple[str, ...]]:
        """Write drafts of one table and operation; return those that changed, with their fields."""
        written = [draft for draft in drafts if self._stamp_update(transaction, draft)]
        if not written:
            return {}
        by_class: dict[str, list[Draft]] = {}
        for draft in written:
            draft.settled = draft.changes()
            by_class.setdefault(draft.table.name, []).append(draft)
        for group in by_class.values():
            self._write_rows(transaction, group[0].table, group)
        self._record(transaction, written)
        changed = {id(draft): tuple(draft.changes()) for draft in written}
        for draft in written:
            draft.settled = None
        transaction.touch(by_class)
        self._follow(transaction, list(by_class.values()))
        self._after(transaction, written, together=together)
        return changed

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
                    empty_lost(transaction, draft)
                    self._store.update_row(transaction.database, table, draft.sys_id, values)
            case Operation.DELETE:
                ids = [draft.sys_id for draft in group]
                self._store.delete_rows(transaction.database, table, ids)

    def _after(
        self, transaction: RecordTransaction, drafts: list[Draft], *, together: bool
    ) -> None:
        drafts = [draft for draft in drafts if draft.options.rules]
        paged: list[RecordHook] = []
        if together:
            paged += filter(is_page_hook, self._store.hooks)
        for draft in drafts:
            for hook in self._store.hooks:
                if hook not in paged and hook.wants(draft.table, draft.operation, transaction):
                    hook.after(draft, transaction)
        for hook in paged:
            wanted = [d for d in drafts if hook.wants(d.table, d.operation, transaction)]
            if wanted and is_page_hook(hook):
                hook.after_all(wanted, transaction)

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
        user, ids = transaction.actor.user_name, self._store.ids
        journal = [row for draft in drafts for row in journal_rows(draft, user, ids)]
        transaction.engine_insert("sys_journal_field", journal)
        audited = [draft for draft in drafts if draft.options.rules and draft.table.audit]
        transaction.engine_insert(
            "sys_audit", [row for draft in audited for row in audit_rows(draft, user)]
        )
        transaction.engine_insert("sys_audit_delete", deletion_rows(drafts))
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
        actor, ids = transaction.actor.sys_id, self._store.ids
        rows = [outbox_row(draft, actor, ids.uuid7().replace("-", "")) for draft in wanted]
        if rows:
            transaction.engine_insert("sys_outbox", rows)


def _secret_fields(snapshot: Snapshot, table: str) -> tuple[Field, ...]:
    fields = snapshot.dictionary.table(table).fields.values()
    return tuple(field for field in fields if field.kind.secret)


def _fit(field: Field, text: str) -> str:
    """Cut text to the field's length, as the vendor does without a word."""
    kind = field.kind
    cut = field.storage is Storage.TEXT and not kind.secret and not kind.multiple
    return text[: field.max_length] if cut else text


def _check_policies(_: RecordTransaction, draft: Draft) -> None:
    if draft.operation is Operation.DELETE or not draft.options.mandatory:
        return
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
