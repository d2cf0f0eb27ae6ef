"""A record that changes its class within its hierarchy, and keeps its id and what both have."""

from __future__ import annotations

from midspan.dictionary import Dictionary, Table
from midspan.dictionary.table import Strategy
from midspan.kernel.errors import InvalidRequest, InvalidTable
from midspan.records.blank import blank_row
from midspan.records.change import Change, Draft
from midspan.records.record import Record
from midspan.records.snapshot import Snapshot


def target_class(dictionary: Dictionary, now: str, wanted: str) -> Table:
    """Return the class that a record of class ``now`` can be moved to.

    Raises:
        InvalidTable: there is no such class.
        InvalidRequest: it belongs to another hierarchy, or each class has a table of its own.
    """
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


def moved(snapshot: Snapshot, table: Table, change: Change, before: Record) -> Draft:
    """Return the draft of a record on its way to ``table``.

    Fields that the new class has and the former had not get their defaults.
    """
    draft = Draft(table, change, before)
    former = snapshot.dictionary.table(before.table).fields
    blank = snapshot.derive(blank_row, table.name).values
    fresh = {name: text for name, text in blank.items() if name not in former}
    kept = {name: text for name, text in before.values.items() if name in table.fields}
    draft.values = {**fresh, **kept, "sys_class_name": table.name}
    return draft


def lost_fields(snapshot: Snapshot, draft: Draft) -> dict[str, str]:
    """Return the fields of the former class that the new one has not, emptied."""
    if draft.before is None or draft.before.table == draft.table.name:
        return {}
    return {
        name: ""
        for name, text in draft.before.values.items()
        if text and name not in draft.table.fields
    }
