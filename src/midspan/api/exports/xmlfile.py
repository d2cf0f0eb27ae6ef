"""XML: one element for each row, and the unload form that names what is to be done with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from midspan.api.exports.wanted import Export, Format
from midspan.api.soap.envelope import element, escaped
from midspan.api.tablestream import Reading
from midspan.api.tableview import Column
from midspan.dictionary.values import datetime_text
from midspan.kernel.clock import Clock

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'
_ACTION = "INSERT_OR_UPDATE"
_Row = Callable[[Mapping[str, object]], str]


def xml_pieces(wanted: Export, reading: Reading, clock: Clock) -> Iterator[bytes]:
    """Yield the file; a column that may not be read is missing."""
    table = wanted.selection.table.name
    if wanted.format is Format.UNLOAD:
        root, date = "unload", datetime_text(clock.now())
        yield f'{_DECLARATION}<unload unload_date="{date}">'.encode()
        row: _Row = partial(_unloaded, table, reading.view.columns)
    else:
        root = "xml"
        yield f"{_DECLARATION}<xml>".encode()
        row = partial(_plain, table)
    for rows in reading.pages():
        yield "".join(map(row, rows)).encode()
    yield f"</{root}>".encode()


def _plain(table: str, row: Mapping[str, object]) -> str:
    inside = "".join(element(name, str(text)) for name, text in row.items())
    return f"<{table}>{inside}</{table}>"


def _unloaded(table: str, columns: tuple[Column, ...], row: Mapping[str, object]) -> str:
    """Return a row under the name of its own class, with the names of what it refers to."""
    parts = []
    for column in columns:
        cell = row.get(column.name)
        if not isinstance(cell, dict):
            continue
        if column.field.kind.reference:
            parts.append(_reference(column.name, cell["value"], cell["display_value"]))
        else:
            parts.append(element(column.name, cell["value"]))
    own = row.get("sys_class_name")
    cls = own["value"] if isinstance(own, dict) else ""
    name = cls if cls.isascii() and cls.isidentifier() else table
    return f'<{name} action="{_ACTION}">{"".join(parts)}</{name}>'


def _reference(name: str, text: str, shown: str) -> str:
    start = f'<{name} display_value="{_attribute(shown)}"'
    return f"{start}>{escaped(text)}</{name}>" if text else f"{start}/>"


def _attribute(text: str) -> str:
    """Return a text as it stands in an attribute: line ends and tabs would become spaces there."""
    marks = {'"': "&quot;", "\n": "&#10;", "\t": "&#9;"}
    return "".join(marks.get(character, character) for character in escaped(text))
