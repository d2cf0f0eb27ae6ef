"""What a record looks like in an answer of JSONv2. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from midspan.api.errors import on_the_wire
from midspan.api.soap.schema import has_twin
from midspan.api.tablerequest import Display, RowShape
from midspan.api.tableview import View
from midspan.api.uiviews import answered
from midspan.kernel.errors import MidspanError
from midspan.records import Snapshot

_VERBS = {"insert": "Insert into", "update": "Update of", "delete": "Delete of"}


def shape_of(
    snapshot: Snapshot, table: str, display: Display, view: str
) -> tuple[RowShape, tuple[str, ...]]:
    """Return the shape of the rows, references as bare ids, and what of the wish is left out.

    Columns are those of the view, with the id that tells which record it is, else all.
    """
    if not view:
        return RowShape(display=display, links=False), ()
    chosen = answered(snapshot, table, view)
    fields = None if chosen.fields is None else tuple(dict.fromkeys(("sys_id", *chosen.fields)))
    return RowShape(fields=fields, display=display, links=False), chosen.warnings


def success(view: View, row: Mapping[str, object]) -> dict[str, object]:
    """Return a record; with both values a column may have a second one before it, ``dv_``."""
    shown: dict[str, object] = {"__status": "success"}
    if view.display is not Display.BOTH:
        return {**shown, **row}
    for column in view.columns:
        cell = row.get(column.name)
        if isinstance(cell, dict):
            if has_twin(column.field):
                shown[f"dv_{column.name}"] = cell["display_value"]
            shown[column.name] = cell["value"]
    return shown


def failure(
    table: str, verb: str, error: MidspanError, values: Mapping[str, object]
) -> dict[str, object]:
    """Return a record that was not written, and why."""
    wire = on_the_wire(error)
    reason = ": ".join(part for part in (wire.message, wire.detail) if part)
    return {
        **values,
        "__status": "failure",
        "__error": {"message": f"Invalid {_VERBS[verb]}: {table}", "reason": reason},
    }
