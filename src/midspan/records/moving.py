"""A record that changes its class within its hierarchy, and keeps its id and what both have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midspan.dictionary import Dictionary, Table
from midspan.dictionary.table import Strategy
from midspan.kernel.errors import InvalidRequest, InvalidTable, MidspanError, NotAuthorized
from midspan.query import ALWAYS, NEVER
from midspan.records.blank import blank_row
from midspan.records.change import ACL_DETAIL, Change, Draft
from midspan.records.record import Record

if TYPE_CHECKING:
    from midspan.records.transaction import RecordTransaction


def moved(transaction: RecordTransaction, change: Change, before: Record) -> Draft | MidspanError:
    """Return the draft of a record on its way to another class, or why it cannot go there.

    It needs the right to write both classes and to create the new one. Fields that the new class
    has and the former had not get their defaults.
    """
    try:
        table = _target(transaction.dictionary, before.table, change.to_class)
    except MidspanError as error:
        return error
    if not _allowed(transaction, table, before):
        return NotAuthorized("Operation Failed", detail=ACL_DETAIL.format("Update"))
    draft = Draft(table, change, before)
    former = transaction.dictionary.table(before.table).fields
    blank = transaction.snapshot.derive(blank_row, table.name).values
    fresh = {name: text for name, text in blank.items() if name not in former}
    kept = {name: text for name, text in before.values.items() if name in table.fields}
    draft.values = {**fresh, **kept, "sys_class_name": table.name}
    return draft


def empty_lost(transaction: RecordTransaction, draft: Draft) -> None:
    """Empty the fields that the former class of a moved record has and the new one has not."""
    before = draft.before
    if before is None or before.table == draft.table.name:
        return
    lost = {
        name: "" for name, text in before.values.items() if text and name not in draft.table.fields
    }
    former = transaction.dictionary.table(before.table)
    transaction.store.update_row(transaction.database, former, draft.sys_id, lost)


def _target(dictionary: Dictionary, now: str, wanted: str) -> Table:
    if wanted not in dictionary:
        raise InvalidTable(wanted, dictionary.tables)
    source, target = dictionary.table(now), dictionary.table(wanted)
    if source.root != target.root or source.strategy is not Strategy.SINGLE:
        raise InvalidRequest(
            "Operation Failed",
            detail=f"A record of {now} cannot become one of {wanted}",
            hint=f"Both have to extend {source.root}, which keeps all its classes together.",
        )
    return target


def _allowed(transaction: RecordTransaction, table: Table, before: Record) -> bool:
    if not transaction.enforce:
        return True
    if transaction.access.class_rows(table.name, "create") == NEVER:
        return False
    former = transaction.access.class_rows(before.table, "write")
    return former == ALWAYS or transaction.matches(before, former)
