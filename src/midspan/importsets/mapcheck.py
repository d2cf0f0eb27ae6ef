"""Refuses transform maps and field maps with names that do not exist, when they are written."""

from __future__ import annotations

from midspan.dictionary import Table
from midspan.importsets.maps import CHOICE_ACTIONS
from midspan.kernel.errors import InvalidField, InvalidTable, did_you_mean
from midspan.query import Query
from midspan.records import Draft, Operation, RecordTransaction

MAP, ENTRY = "sys_transform_map", "sys_transform_entry"


class MapChecks:
    """A ``RecordHook`` of maps and field maps.

    Source fields are left to the load: a staging table gets its columns from the data. An entry
    whose map is not there yet is let through, since records may be written in any order; the load
    reads the whole map again before it stores anything.
    """

    def wants(self, table: Table, operation: Operation, transaction: RecordTransaction) -> bool:
        """Take what is written to maps and field maps."""
        return table.name in (MAP, ENTRY) and operation is not Operation.DELETE

    def before(self, draft: Draft, transaction: RecordTransaction, *, late: bool) -> None:
        """Refuse a name that does not exist, with the nearest one."""
        if late:
            return
        try:
            if draft.table.name == MAP:
                _check_map(draft, transaction)
            else:
                _check_entry(draft, transaction)
        except (InvalidField, InvalidTable) as error:
            draft.refuse(error.explain())

    def after(self, draft: Draft, transaction: RecordTransaction) -> None:
        """Nothing follows."""

    def before_query(self, table: Table, query: Query, transaction: RecordTransaction) -> Query:
        """Leave queries as they are."""
        return query


def _check_map(draft: Draft, transaction: RecordTransaction) -> None:
    if draft.get("target_table"):
        transaction.dictionary.table(draft.get("target_table"))


def _check_entry(draft: Draft, transaction: RecordTransaction) -> None:
    action = draft.get("choice_action")
    if action and action not in CHOICE_ACTIONS:
        hint = did_you_mean(action, CHOICE_ACTIONS) or f"Known: {', '.join(CHOICE_ACTIONS)}."
        draft.refuse(f"There is no choice action {action!r}. {hint}")
    owner = transaction.load(MAP, (draft.get("map"),)).get(draft.get("map"))
    target = owner.get("target_table") if owner else ""
    if target not in transaction.dictionary or not draft.get("target_field"):
        return
    field = transaction.dictionary.field(target, draft.get("target_field"))
    lookup = draft.get("reference_value_field")
    if lookup and field.reference in transaction.dictionary:
        transaction.dictionary.field(field.reference or "", lookup)
