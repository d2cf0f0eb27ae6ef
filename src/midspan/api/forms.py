"""What display rules make of a record before somebody sees its page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from midspan.api.viewer import Viewer
from midspan.formats import JsonValue
from midspan.records import Record, RecordTransaction
from midspan.rules import MESSAGES


class Displayed(Struct, frozen=True):
    """A record as its page shows it."""

    row: Mapping[str, object]
    messages: tuple[str, ...] = ()
    scratchpad: Mapping[str, JsonValue] = {}
    """What rules left in ``g_scratchpad`` for the page; values that are JSON, no functions."""


class DisplayRules(Protocol):
    """Runs the display rules of a table; ``BusinessRules`` is one."""

    def display(
        self, record: Record, transaction: RecordTransaction
    ) -> tuple[Mapping[str, str], Mapping[str, JsonValue]]:
        """Return the values that rules change for the reader alone, and ``g_scratchpad``."""
        ...


def as_displayed(
    rules: DisplayRules | None, viewer: Viewer, table: str, row: Mapping[str, object]
) -> Displayed:
    """Return a row as display rules leave it, with the messages and the data that they add.

    ``row`` has for each readable field value and display value; what is not in it stays away.
    """
    transaction, sys_id = viewer.transaction, _value(row.get("sys_id"))
    record = transaction.load(table, (sys_id,)).get(sys_id)
    if rules is None or record is None:
        return Displayed(row)
    values, scratchpad = rules.display(record, transaction)
    changed = {
        name: {"value": text, "display_value": _shown(viewer, table, name, text)}
        for name, text in values.items()
        if name in row
    }
    messages = tuple(transaction.locals.get(MESSAGES, ()))
    return Displayed({**row, **changed}, messages, scratchpad)


def _shown(viewer: Viewer, table: str, name: str, text: str) -> str:
    field = viewer.transaction.dictionary.table(table).fields[name]
    if field.kind.reference and field.reference:
        found = viewer.shown(field.reference, text) if text else None
        return found[0] if found else ""
    return viewer.text(Record(table, {name: text}), name)


def _value(cell: object) -> str:
    return str(cell.get("value", "")) if isinstance(cell, dict) else str(cell or "")
