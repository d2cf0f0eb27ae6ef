"""What scripts are told about tables: columns, fields, ancestors and descendants."""

from __future__ import annotations

from collections.abc import Mapping
from weakref import WeakKeyDictionary

from msgspec import Struct

from midspan.dictionary import Dictionary, Field, Storage, Table
from midspan.query.functions import Computed
from midspan.sandbox import JsonValue, prepared

HASHED = "password"
"""The type of secrets that nobody reads, scripts included: the instance compares them."""
MASK = "********"
"""Stands for a password that only its check may see."""


class Columns(Struct, frozen=True):
    """The stored fields in the order of rows, and the places of those that stay empty there."""

    names: tuple[str, ...]
    hidden: tuple[int, ...]

    @property
    def readable(self) -> list[str]:
        """The names of the columns whose values are read."""
        return [name for place, name in enumerate(self.names) if place not in self.hidden]


_descriptions: WeakKeyDictionary[Dictionary, dict[str, JsonValue]] = WeakKeyDictionary()
_columns: WeakKeyDictionary[Dictionary, dict[str, Columns]] = WeakKeyDictionary()


def columns_of(dictionary: Dictionary, table: str) -> Columns:
    """Return the columns of a table's rows as scripts get them, remembered for the dictionary.

    Raises:
        InvalidTable: there is no such table.
    """
    known = _columns.setdefault(dictionary, {})
    if table not in known:
        fields = dictionary.table(table).fields
        names = tuple(name for name, one in fields.items() if one.storage is not Storage.NONE)
        hidden = tuple(place for place, name in enumerate(names) if fields[name].type == HASHED)
        known[table] = Columns(names, hidden)
    return known[table]


def without_hashes(table: Table, values: Mapping[str, str]) -> dict[str, str]:
    """Return values as scripts may see them: that a password is there, and nothing of it."""
    hidden = {name for name in values if name in table.fields and table.fields[name].type == HASHED}
    return {name: MASK if name in hidden and text else text for name, text in values.items()}


def describe(dictionary: Dictionary, table: str) -> JsonValue:
    """Return the description of a table, remembered for the dictionary; None without such a table.

    ``columns`` are those of ``columns_of``, ``fields`` all fields by name, ``ancestors`` the table
    itself and its parents, ``classes`` the table itself and its descendants. It is JSON already:
    scripts ask for it time and again.
    """
    if table not in dictionary:
        return None
    known = _descriptions.setdefault(dictionary, {})
    if table not in known:
        known[table] = prepared(_description(dictionary, dictionary.table(table)))
    return known[table]


def described(function: Computed) -> JsonValue:
    """Return the description of a function of fields, as that of a field that nobody sets."""
    return {**_field(function.field), "computed": True}


def _description(dictionary: Dictionary, table: Table) -> JsonValue:
    return {
        "name": table.name,
        "label": table.label,
        "plural": table.plural,
        "display": table.display,
        "parent": table.parent,
        "ancestors": list(dictionary.ancestors(table.name)),
        "classes": list(table.classes),
        "columns": list(columns_of(dictionary, table.name).names),
        "fields": {field.name: _field(field) for field in table.fields.values()},
    }


def _field(field: Field) -> dict[str, JsonValue]:
    """Return what scripts are told about a field, without what is empty or false."""
    told: dict[str, JsonValue] = {
        "type": field.type,
        "storage": field.storage.value,
        "label": field.label,
        "table": field.table,
        "reference": field.reference if field.kind.reference else None,
        "multiple": field.kind.multiple,
        "max_length": field.max_length,
        "mandatory": field.mandatory,
        "read_only": field.read_only,
        "display": field.display,
        "default": field.default,
        "journal": field.kind.journal,
        "choices": [{"value": one.value, "label": one.label} for one in field.choices],
    }
    return {name: value for name, value in told.items() if value}
