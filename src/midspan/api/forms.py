"""What display rules make of a record before somebody sees its page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from midspan.api.viewer import Viewer
from midspan.formats import JsonValue
from midspan.records import Record, RecordTransaction
from midspan.rules import MESSAGES


class DisplayRules(Protocol):
    """Runs the display rules of a table; ``BusinessRules`` is one."""

    def display(
        self, record: Record, transaction: RecordTransaction
    ) -> tuple[Mapping[str, str], Mapping[str, JsonValue]]:
        """Return the values that rules change for the reader alone, and ``g_scratchpad``."""
        ...


def as_displayed(
    rules: DisplayRules | None, viewer: Viewer, table: str, row: Mapping[str, object]
) -> tuple[dict[str, object], list[str]]:
    """Return a row as display rules leave it, and the messages that they add.

    ``row`` has for each readable field value and display value; what is not in it stays away. The
    scratchpad is for scripts of clients, which a page has none of.
    """
    transaction, sys_id = viewer.transaction, _value(row.get("sys_id"))
    record = transaction.load(table, (sys_id,)).get(sys_id)
    if rules is None or record is None:
        return dict(row), []
    values, _ = rules.display(record, transaction)
    changed = {
        name: {"value": text, "display_value": _shown(viewer, table, name, text)}
        for name, text in values.items()
        if name in row
    }
    return {**row, **changed}, list(transaction.locals.get(MESSAGES, ()))


def _shown(viewer: Viewer, table: str, name: str, text: str) -> str:
    field = viewer.transaction.dictionary.table(table).fields[name]
    if field.kind.reference and field.reference:
        found = viewer.shown(field.reference, text) if text else None
        return found[0] if found else ""
    return viewer.text(Record(table, {name: text}), name)


def _value(cell: object) -> str:
    return str(cell.get("value", "")) if isinstance(cell, dict) else str(cell or "")
