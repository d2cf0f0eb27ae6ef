"""What access rules leave of a change: whether its record passes, and which fields it may set."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from midspan.dictionary import FieldPath
from midspan.query import ALWAYS, NEVER, Condition, evaluate
from midspan.records.change import Draft, Operation
from midspan.security import grouped

if TYPE_CHECKING:
    from midspan.records.transaction import RecordTransaction


def meets(transaction: RecordTransaction, draft: Draft, condition: Condition) -> bool:
    """Tell whether a record as it is stored, or a new one as it is given, meets a condition."""
    if condition in (ALWAYS, NEVER):
        return condition == ALWAYS
    if draft.before:
        return transaction.matches(draft.before, condition)
    given = draft.change.values
    return evaluate(
        transaction.access.settled_new(condition, given),
        partial(_given, transaction, given),
        count=transaction.count_related,
    )


def _given(transaction: RecordTransaction, values: Mapping[str, str], path: FieldPath) -> str:
    """Return a value of a new record; beyond a reference, that of the stored record it leads to."""
    text = values.get(path.steps[0].name, "")
    for table, step in zip(path.tables[1:], path.steps[1:], strict=True):
        record = transaction.load(table, (text,)).get(text) if text else None
        if record is None:
            return ""
        text = record.get(step.name)
    return text


def unwritable(transaction: RecordTransaction, draft: Draft) -> frozenset[str]:
    """Return the given fields that the actor may not write in this record."""
    operation = "create" if draft.operation is Operation.INSERT else "write"
    access, table = transaction.access, draft.table
    given = [name for name in draft.change.values if name in table.fields]
    rights = ((access.field_rows(table.name, name, operation), name) for name in given)
    return frozenset(
        name
        for condition, names in grouped(right for right in rights if right[0] != ALWAYS)
        if not meets(transaction, draft, condition)
        for name in names
    )
