"""Covers the values that a reader may see in some rows of a plan and not in others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import structs

from midspan.query import ALWAYS, Condition, Mask, Operator, ReadPlan, Test, both
from midspan.storage import Row

if TYPE_CHECKING:
    from midspan.records.transaction import RecordTransaction

CHUNK = 500


class _Hidden(str):
    """An empty text that is told from others by its identity."""

    __slots__ = ()


HIDDEN = _Hidden()
"""Stands in a row where a value is hidden; who does not know of it takes it for an empty one."""


def run_masked(transaction: RecordTransaction, plan: ReadPlan) -> list[Row]:
    """Return the rows of a restricted plan with ``HIDDEN`` for what its masks cover."""
    masks = tuple(mask for mask in plan.masks if _places(plan, mask))
    bare = structs.replace(plan, masks=())
    if not masks:
        return transaction.run(bare)
    own = transaction.dictionary.path(plan.table, "sys_id")
    rows = transaction.run(structs.replace(bare, columns=(*plan.columns, own)))
    ids = [str(row[-1]) for row in rows]
    return covered(transaction, structs.replace(plan, masks=masks), [row[:-1] for row in rows], ids)


def covered(
    transaction: RecordTransaction, plan: ReadPlan, rows: Sequence[Row], ids: Sequence[str]
) -> list[Row]:
    """Return rows that were read, whose ids are ``ids``, with ``HIDDEN`` for what masks cover."""
    found = [list(row) for row in rows]
    for mask in plan.masks:
        places = _places(plan, mask)
        shown = meeting(transaction, plan.table, ids, mask.condition)
        for row, sys_id in zip(found, ids, strict=True):
            if sys_id not in shown:
                for place in places:
                    row[place] = HIDDEN
    return [tuple(row) for row in found]


def meeting(
    transaction: RecordTransaction, table: str, ids: Sequence[str], condition: Condition
) -> set[str]:
    """Return the ids of those rows that meet a condition of access, with what scripts decide."""
    if condition == ALWAYS:
        return set(ids)
    path = transaction.dictionary.path(table, "sys_id")
    found: set[str] = set()
    for start in range(0, len(ids), CHUNK):
        own = Test(path, Operator.IN, tuple(ids[start : start + CHUNK]))
        settled = transaction.access.settled(condition, table, own)
        plan = ReadPlan(table=table, columns=(path,), condition=both(own, settled))
        found.update(str(row[0]) for row in transaction.run(plan))
    return found


def _places(plan: ReadPlan, mask: Mask) -> list[int]:
    return [place for place, path in enumerate(plan.columns) if path in mask.columns]
