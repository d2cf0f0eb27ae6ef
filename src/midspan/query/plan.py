"""Plans: everything ``storage.compile`` needs to know, with every name resolved. Pure values."""

from __future__ import annotations

from msgspec import Struct

from midspan.dictionary import FieldPath
from midspan.query.condition import ALWAYS, Condition, Operator


class Sort(Struct, frozen=True):
    """One resolved sort key; empty values come first when ascending, last when descending."""

    path: FieldPath
    descending: bool = False


class Mask(Struct, frozen=True):
    """Columns whose values are for the reader only in rows that meet a condition."""

    columns: tuple[FieldPath, ...]
    condition: Condition


class ReadPlan(Struct, frozen=True, kw_only=True):
    """Rows of one table and its descendants.

    A row is a tuple with one entry per ``columns``: the canonical wire text, or None when empty.
    ``condition`` holds only ``Test`` leaves. Rows are sorted by ``order`` and then by ``sys_id``,
    so pages of one query never overlap. ``warnings`` names what the planner left out. Who runs the
    plan covers the values that ``masks`` hide; a statement cannot be made before.
    """

    table: str
    columns: tuple[FieldPath, ...]
    condition: Condition = ALWAYS
    order: tuple[Sort, ...] = ()
    limit: int | None = None
    offset: int = 0
    warnings: tuple[str, ...] = ()
    masks: tuple[Mask, ...] = ()


class Aggregate(Struct, frozen=True):
    """One aggregate: COUNT without a path, or SUM, AVG, MIN, MAX of a field."""

    function: str
    path: FieldPath | None = None


class Having(Struct, frozen=True):
    """What a group must meet: an aggregate of it compared with a canonical value.

    SUM and AVG are compared as they are shown; an empty aggregate meets no comparison.
    """

    aggregate: Aggregate
    operator: Operator
    value: str


class GroupSort(Struct, frozen=True):
    """One sort key of groups: an aggregate, a group, or the display value of a group."""

    by: FieldPath | Aggregate
    descending: bool = False


class AggregatePlan(Struct, frozen=True, kw_only=True):
    """Groups of one table's rows; a row is the group values followed by the aggregates.

    Groups are sorted by ``order`` and then by their values. Without ``group_by`` all rows are one
    group, also when there are none, unless ``having`` refuses it.
    """

    table: str
    group_by: tuple[FieldPath, ...] = ()
    aggregates: tuple[Aggregate, ...] = ()
    condition: Condition = ALWAYS
    having: tuple[Having, ...] = ()
    order: tuple[GroupSort, ...] = ()
    limit: int | None = None
    warnings: tuple[str, ...] = ()

    @property
    def used(self) -> tuple[FieldPath, ...]:
        """The fields that it groups, aggregates, tests and sorts by, without its condition's."""
        aggregates = (*self.aggregates, *(test.aggregate for test in self.having))
        others = (*aggregates, *(sort.by for sort in self.order))
        paths = (by.path if isinstance(by, Aggregate) else by for by in others)
        return (*self.group_by, *(path for path in paths if path is not None))
