"""Field types by their internal name, and the few ways in which a value is stored.

What each storage means in SQLite, in PostgreSQL, on the wire and in comparisons is decided in
``docs/decisions/0002-storage-types.md``. Source of the names: rest-api reference, column types.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Storage(StrEnum):
    """How a value is kept; decides the column type, the comparison and the order."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATETIME = "datetime"
    DATE = "date"
    NONE = "none"
    """Not a column of its own: journals, pseudo columns."""


class FieldType(Struct, frozen=True):
    """One internal type: ``name`` as the dictionary stores it, and its traits."""

    name: str
    storage: Storage
    max_length: int = 40
    reference: bool = False
    """Holds the sys_id of one record."""
    multiple: bool = False
    """Holds a comma-joined list of sys_ids."""
    secret: bool = False
    """Never readable: ``password`` is hashed, ``password2`` encrypted."""
    journal: bool = False
    """Append-only entries kept in ``sys_journal_field``."""


# fmt: off
_TEXT_LENGTHS = {
    "string": 40, "url": 1024, "email": 100, "html": 8000, "script": 1_000_000, "xml": 1_000_000,
    "script_plain": 8000, "json": 1_000_000, "char": 32, "choice": 40, "color": 40, "css": 8000,
    "conditions": 4000, "condition_string": 254, "ph_number": 40, "document_id": 32, "GUID": 32,
    "domain_path": 255, "field_name": 80, "table_name": 80, "sys_class_name": 80, "radio": 40,
    "sys_class_path": 255, "glide_action_list": 255, "image": 100, "ip_addr": 255, "sys_id": 32,
    "multi_two_lines": 255, "translated_field": 40, "translated_html": 65_000, "user_image": 40,
    "translated_text": 4000, "user_input": 4000, "user_roles": 255, "wiki_text": 65_000,
    "workflow": 80, "stage_state": 255, "day_of_week": 40, "documentation_field": 80,
    "short_field_name": 40, "file_attachment": 40, "variables": 40, "version": 40,
    "external_names": 40, "internal_type": 40, "payload": 100_000_000, "properties": 4000,
    "template_value": 65_000, "approval_rules": 255, "counter": 40,
}
_OTHERS = (
    FieldType("reference", Storage.TEXT, 32, reference=True),
    FieldType("domain_id", Storage.TEXT, 32, reference=True),
    FieldType("glide_list", Storage.TEXT, 1024, multiple=True),
    FieldType("password", Storage.TEXT, 255, secret=True),
    FieldType("password2", Storage.TEXT, 4000, secret=True),
    FieldType("boolean", Storage.BOOLEAN),
    FieldType("integer", Storage.INTEGER),
    FieldType("longint", Storage.INTEGER),
    FieldType("order_index", Storage.INTEGER),
    FieldType("decimal", Storage.DECIMAL, 15),
    FieldType("float", Storage.DECIMAL, 40),
    FieldType("percent_complete", Storage.DECIMAL, 15),
    FieldType("currency", Storage.DECIMAL, 20),
    FieldType("price", Storage.DECIMAL, 20),
    FieldType("glide_date_time", Storage.DATETIME),
    FieldType("due_date", Storage.DATETIME),
    FieldType("glide_time", Storage.DATETIME),
    FieldType("glide_duration", Storage.DATETIME),
    FieldType("timer", Storage.DATETIME),
    FieldType("glide_date", Storage.DATE),
    FieldType("journal", Storage.NONE, 4000, journal=True),
    FieldType("journal_input", Storage.NONE, 4000, journal=True),
    FieldType("journal_list", Storage.NONE, 4000),
    FieldType("related_tags", Storage.NONE, 40),
    FieldType("collection", Storage.NONE, 40),
)
# fmt: on

FIELD_TYPES: dict[str, FieldType] = {
    name: FieldType(name, Storage.TEXT, length) for name, length in _TEXT_LENGTHS.items()
} | {kind.name: kind for kind in _OTHERS}
"""Every internal type that a field may have, by name."""


def field_type(name: str) -> FieldType:
    """Return the type called ``name``; an unknown one is kept as plain text.

    >>> field_type("reference").reference
    True
    >>> field_type("something_new").storage
    <Storage.TEXT: 'text'>
    """
    return FIELD_TYPES.get(name) or FieldType(name, Storage.TEXT, 255)
