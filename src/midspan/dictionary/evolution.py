"""Which change of a dictionary can be carried out: names that tables can bear, storages that stay.

Definitions come from files and from records that any administrator may write through the API.
"""

from __future__ import annotations

import re

from midspan.dictionary.dictionary import SYSTEM_FIELDS, Dictionary
from midspan.dictionary.field import Field
from midspan.dictionary.table import Table
from midspan.dictionary.values import canonical
from midspan.kernel.errors import InvalidDefinition

LONGEST_NAME = 63
"""Characters that PostgreSQL keeps of a name; it cuts off the rest in silence."""
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TAKEN = ("pg_", "sqlite_")
_SYSTEM = frozenset(field.name for field in SYSTEM_FIELDS)


def check_evolution(before: Dictionary, after: Dictionary) -> None:
    """Look at every table and field that ``after`` adds to ``before`` or defines anew.

    Raises:
        InvalidDefinition: a name that is none, or a field whose values would need another column.
        InvalidValue: a default that the field cannot hold.
    """
    for table in after:
        old = before.tables.get(table.name)
        if old is None:
            _check_table_name(table.name)
        for name in table.own:
            _check_field(table, table.fields[name], old.fields.get(name) if old else None)


def _check_table_name(name: str) -> None:
    if not _is_name(name) or name.startswith(_TAKEN):
        raise InvalidDefinition(
            f"A table cannot be called {name[:80]!r}",
            hint="Use lower-case letters, digits and _, at most 63, such as u_building; "
            "pg_… and sqlite_… belong to the databases.",
        )


def _check_field(table: Table, field: Field, old: Field | None) -> None:
    if old is None:
        if field.name not in _SYSTEM and not _is_name(field.name, field.column):
            raise InvalidDefinition(
                f"Table {table.name} cannot have a field called {field.name[:80]!r}",
                hint="Use lower-case letters, digits and _, at most 63, such as u_floor.",
            )
    elif old.type != field.type and (field.name in _SYSTEM or old.storage is not field.storage):
        raise InvalidDefinition(
            f"Field {field.name} of table {table.name} cannot change from {old.type} to "
            f"{field.type}",
            hint="Give the new field another name.",
        )
    changed = old is None or old.default != field.default
    if changed and field.default and not field.default.startswith("javascript:"):
        canonical(field, field.default)


def _is_name(*names: str) -> bool:
    return all(_NAME.fullmatch(name) and len(name) <= LONGEST_NAME for name in names)
