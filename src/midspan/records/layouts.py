"""Views of forms and lists: which fields a table shows under a name.

A view is a row of ``sys_ui_view``. What it shows of a table are the sections of a form
(``sys_ui_section`` with ``sys_ui_element``, in the order of ``sys_ui_form_section``) and the
columns of a list (``sys_ui_list`` with ``sys_ui_list_element``). A table without a layout of its
own has that of the nearest table it extends. What is no field, such as a formatter or the split of
a section into columns, is passed over. Sources: the vendor's "View management", "Form API" and
"List API".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from midspan.dictionary import Dictionary
from midspan.records.snapshot import Snapshot, SnapshotPart
from midspan.storage import Statements, Transaction
from midspan.storage.catalog import columns_of

DEFAULT = ""
"""The name of the view that is meant where none is named."""
_DEFAULT_ID = "Default view"
_CALLED_DEFAULT = frozenset({"default", "default view"})
_TABLES = (
    "sys_ui_view",
    "sys_ui_list",
    "sys_ui_list_element",
    "sys_ui_form",
    "sys_ui_form_section",
    "sys_ui_section",
    "sys_ui_element",
    "sys_ui_related_list",
    "sys_ui_related_list_entry",
)


class Section(Struct, frozen=True):
    """A part of a form; the first one mostly has no caption."""

    caption: str
    elements: tuple[str, ...]


class RelatedList(Struct, frozen=True):
    """Rows of ``table`` whose ``field`` names the record; ``query`` narrows and sorts them."""

    table: str
    field: str
    query: str = ""


class Layouts(Struct, frozen=True):
    """All layouts by table and view; lists also by user."""

    forms: Mapping[tuple[str, str], tuple[Section, ...]] = {}
    lists: Mapping[tuple[str, str, str], tuple[str, ...]] = {}
    """The user is ``''`` for the list that everybody has."""
    related: Mapping[tuple[str, str], tuple[RelatedList, ...]] = {}
    """What a form shows below the fields."""


def load_layouts(transaction: Transaction, dictionary: Dictionary) -> Layouts:
    """Read all views and layouts."""
    # An upgrade reads the dictionary of the new release before it has made the new tables.
    if not all(name in dictionary and columns_of(transaction, name) for name in _TABLES):
        return Layouts()
    sql = Statements("midspan.records", "layouts", transaction.dialect)
    names = {sys_id: name or DEFAULT for sys_id, name in transaction.rows(sql["views"])}
    names[_DEFAULT_ID] = DEFAULT
    columns = _grouped(transaction.rows(sql["list_elements"]))
    lists: dict[tuple[str, str, str], tuple[str, ...]] = {}
    for sys_id, table, view, user in transaction.rows(sql["lists"]):
        name = names.get(view or _DEFAULT_ID)
        if name is not None and sys_id in columns:
            lists.setdefault((table, name, user or ""), columns[sys_id])
    return Layouts(_forms(transaction, sql, names), lists, _related(transaction, sql, names))


def _related(
    transaction: Transaction, sql: Statements, names: Mapping[str, str]
) -> dict[tuple[str, str], tuple[RelatedList, ...]]:
    """Return related lists by table and view; what is no ``table.field`` is passed over."""
    entries: dict[str, list[RelatedList]] = {}
    for owner, text, narrowed, order in transaction.rows(sql["related_entries"]):
        table, dot, field = text.partition(".")
        if dot:
            query = "^".join(part for part in (narrowed, order and f"ORDERBY{order}") if part)
            entries.setdefault(owner, []).append(RelatedList(table, field, query))
    return {
        (table, names[view or _DEFAULT_ID]): tuple(entries[sys_id])
        for sys_id, table, view in transaction.rows(sql["related_lists"])
        if sys_id in entries and (view or _DEFAULT_ID) in names
    }


def _forms(
    transaction: Transaction, sql: Statements, names: Mapping[str, str]
) -> dict[tuple[str, str], tuple[Section, ...]]:
    """Return the sections by table and view: as a form puts them, else all there are."""
    elements = _grouped(transaction.rows(sql["elements"]))
    sections: dict[str, Section] = {}
    loose: dict[tuple[str, str], list[Section]] = {}
    for sys_id, table, view, caption in transaction.rows(sql["sections"]):
        name = names.get(view or _DEFAULT_ID)
        if name is not None and sys_id in elements:
            section = sections[sys_id] = Section(caption or "", elements[sys_id])
            loose.setdefault((table, name), []).append(section)
    forms = {key: tuple(found) for key, found in loose.items()}
    placed = _grouped(transaction.rows(sql["form_sections"]))
    for sys_id, table, view in transaction.rows(sql["forms"]):
        name = names.get(view or _DEFAULT_ID)
        found = tuple(sections[one] for one in placed.get(sys_id, ()) if one in sections)
        if name is not None and found:
            forms[table, name] = found
    return forms


def _grouped(rows: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for owner, text in rows:
        found.setdefault(owner, []).append(text)
    return {owner: tuple(dict.fromkeys(texts)) for owner, texts in found.items()}


LAYOUTS = SnapshotPart("layouts", frozenset(_TABLES), load_layouts)
"""Registered with the ``SnapshotHolder`` of the instance."""


def form_of(snapshot: Snapshot, table: str, view: str = DEFAULT) -> tuple[Section, ...]:
    """Return the sections of a form with the fields that exist; none where nothing lays it out."""
    forms = snapshot.part(LAYOUTS).forms
    if not forms:
        return ()
    name = _name(view)
    for each in snapshot.dictionary.ancestors(table):
        if sections := forms.get((each, name)):
            known = (
                Section(section.caption, _fields(snapshot.dictionary, table, section.elements))
                for section in sections
            )
            return tuple(section for section in known if section.elements)
    return ()


def related_of(
    snapshot: Snapshot, table: str, view: str = DEFAULT
) -> tuple[RelatedList, ...] | None:
    """Return the related lists of a form; None where nothing lays them out."""
    related = snapshot.part(LAYOUTS).related
    for each in snapshot.dictionary.ancestors(table) if related else ():
        found = related.get((each, _name(view)))
        if found is not None:
            fields = {
                one: snapshot.dictionary.find_path(one.table, one.field)
                for one in found
                if one.table in snapshot.dictionary
            }
            return tuple(one for one in found if fields.get(one) is not None)
    return None


def list_of(snapshot: Snapshot, table: str, view: str = DEFAULT, user: str = "") -> tuple[str, ...]:
    """Return the columns of a list, those of the user's own if he has one, or none."""
    lists = snapshot.part(LAYOUTS).lists
    if not lists:
        return ()
    name = _name(view)
    for owner in dict.fromkeys((user, "")):
        for each in snapshot.dictionary.ancestors(table):
            if columns := lists.get((each, name, owner)):
                return _fields(snapshot.dictionary, table, columns)
    return ()


def views_of(snapshot: Snapshot, table: str) -> frozenset[str]:
    """Return the names of the views that lay a table out, for all or for one user."""
    known = snapshot.part(LAYOUTS)
    tables = snapshot.dictionary.ancestors(table)
    keys = (*known.forms, *((table, view) for table, view, _ in known.lists))
    return frozenset(view for name, view in keys if view and name in tables)


def _name(view: str) -> str:
    return DEFAULT if view.lower() in _CALLED_DEFAULT else view


def _fields(dictionary: Dictionary, table: str, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(_known(dictionary, table, names))


def _known(dictionary: Dictionary, table: str, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if dictionary.find_path(table, name) is not None:
            yield name
