"""Where a page of rows ended, and the condition that the rows behind it meet. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, structs

from midspan.dictionary import FieldPath
from midspan.query.condition import NEVER, And, Condition, Operator, Or, Test, both
from midspan.query.plan import ReadPlan, Sort
from midspan.query.resolve import simplify


class Mark(Struct, frozen=True):
    """The last row of a page: the wire texts that it is sorted by, and its sys_id."""

    values: tuple[str, ...]
    sys_id: str


def marked(plan: ReadPlan, sys_id: FieldPath) -> tuple[ReadPlan, tuple[int, ...]]:
    """Return the plan with every column that its rows are sorted by, and the places of those.

    The last place is that of ``sys_id``. Columns that are added come behind all others.
    """
    names = {path.name: place for place, path in enumerate(plan.columns)}
    columns = list(plan.columns)
    places = []
    for path in (*(sort.path for sort in plan.order), sys_id):
        if path.name not in names:
            names[path.name] = len(columns)
            columns.append(path)
        places.append(names[path.name])
    return structs.replace(plan, columns=tuple(columns)), tuple(places)


def mark_of(row: Sequence[str | None], places: Sequence[int]) -> Mark:
    """Return the mark of a row of a plan made by ``marked``."""
    *values, sys_id = (row[place] or "" for place in places)
    return Mark(tuple(values), sys_id)


def behind_mark(order: Sequence[Sort], sys_id: FieldPath, mark: Mark) -> Condition:
    """Return what rows meet that come after the marked one in ``order`` and then by ``sys_id``.

    The row itself need not exist any more.
    """
    found: Condition = Test(sys_id, Operator.GREATER, (mark.sys_id,))
    for sort, value in zip(reversed(order), reversed(mark.values), strict=True):
        found = simplify(Or((_later(sort, value), both(_alike(sort, value), found))))
    if order and mark.values[0] and not order[0].descending:
        # Says nothing new, but an index on the first key may begin there.
        first = Test(order[0].path, Operator.GREATER_OR_EQUAL, (mark.values[0],))
        found = And((first, found))
    return found


def _later(sort: Sort, value: str) -> Condition:
    """What comes after the value; empty values come first, or last when descending."""
    if sort.descending:
        if value == "":
            return NEVER
        empty = Test(sort.path, Operator.IS_EMPTY)
        return Or((Test(sort.path, Operator.LESS, (value,)), empty))
    if value == "":
        return Test(sort.path, Operator.IS_NOT_EMPTY)
    return Test(sort.path, Operator.GREATER, (value,))


def _alike(sort: Sort, value: str) -> Condition:
    if value == "":
        return Test(sort.path, Operator.IS_EMPTY)
    return Test(sort.path, Operator.EQUALS, (value,))
