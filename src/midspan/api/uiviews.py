"""What a view means for an answer, an export or a page: which columns it has. Pure."""

from __future__ import annotations

from msgspec import Struct

from midspan.api.listcolumns import list_columns
from midspan.dictionary import Table
from midspan.records import Snapshot
from midspan.records.layouts import DEFAULT, Section, form_of, list_of

_LONGEST = 80
"""Characters of the name of a view that a warning repeats."""


class Shown(Struct, frozen=True):
    """The fields that a view shows of a table; None where it has no layout for it."""

    fields: tuple[str, ...] | None
    warnings: tuple[str, ...] = ()


def columns_of_list(
    snapshot: Snapshot, table: Table, view: str = DEFAULT, user: str = ""
) -> tuple[str, ...]:
    """Return what a list shows: as the view says, else the default view, else what is telling."""
    for name in dict.fromkeys((view, DEFAULT)):
        if found := list_of(snapshot, table.name, name, user):
            return found
    return list_columns(table)


def form_shown(snapshot: Snapshot, table: str, view: str = DEFAULT) -> tuple[Section, ...]:
    """Return the form of a page: as the view says, else the default view, else none."""
    return form_of(snapshot, table, view) or form_of(snapshot, table)


def answered(snapshot: Snapshot, table: str, view: str) -> Shown:
    """Return what records in answers of web services show: the form of a view, else its list."""
    form = tuple(name for part in form_of(snapshot, table, view) for name in part.elements)
    return _shown(table, view, tuple(dict.fromkeys(form)) or list_of(snapshot, table, view))


def exported(snapshot: Snapshot, table: str, view: str, user: str) -> Shown:
    """Return what exports show: the list of a view, else its form."""
    found = list_of(snapshot, table, view, user)
    return _shown(table, view, found) if found else answered(snapshot, table, view)


def _shown(table: str, view: str, fields: tuple[str, ...]) -> Shown:
    if fields:
        return Shown(fields)
    return Shown(None, (f"View left out: table {table} has no view {view[:_LONGEST]}",))
