"""Tables as schemas of an OpenAPI document: what somebody may read of them, and what he may send.

The answer of a field is a text, or with ``sysparm_display_value=all`` a pair; of a reference also
an object with a link. What may be sent is wider: numbers, truth values and ``null`` are understood.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from midspan.api.description import REF, TEXT, Schema, members, ref
from midspan.dictionary import Dictionary, Field, Storage, Table
from midspan.query import NEVER
from midspan.security import Access

_SYSTEM = frozenset(
    {
        "sys_class_name", "sys_created_by", "sys_created_on", "sys_id", "sys_mod_count",
        "sys_tags", "sys_updated_by", "sys_updated_on",
    }
)  # fmt: skip
"""Fields that the instance fills itself."""
_LINK: Schema = {"type": "string", "format": "uri"}
_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = "[0-9]{2}:[0-9]{2}:[0-9]{2}"
_NAMES = {
    Storage.TEXT: "GivenText",
    Storage.NONE: "GivenText",
    Storage.INTEGER: "GivenInteger",
    Storage.DECIMAL: "GivenDecimal",
    Storage.BOOLEAN: "GivenBoolean",
    Storage.DATETIME: "GivenDateTime",
    Storage.DATE: "GivenDate",
}
VALUES: dict[str, Schema] = {
    "Record": {
        "type": "object",
        "description": "Values by name; a field that you may not read is missing.",
        "additionalProperties": {"anyOf": [ref("Shown"), ref("ShownReference")]},
    },
    "Shown": {
        "description": "A stored value or a display value; both with sysparm_display_value=all.",
        "anyOf": [TEXT, members(("display_value", "value"), display_value=TEXT, value=TEXT)],
    },
    "ShownReference": {
        "description": "Empty, or the sys_id of a record with its address and its name.",
        "anyOf": [
            TEXT,
            members(("link", "value"), link=_LINK, value=TEXT),
            members(("display_value",), display_value=TEXT, link=_LINK, value=TEXT),
        ],
    },
    "GivenText": {"type": ["string", "null"]},
    "GivenInteger": {"type": ["integer", "string", "null"], "pattern": "^(-?[0-9]{1,18})?$"},
    "GivenDecimal": {"type": ["number", "string", "null"], "pattern": "^(-?[0-9]+([.][0-9]+)?)?$"},
    "GivenBoolean": {"enum": [True, False, "true", "false", None]},
    "GivenDateTime": {
        "description": "In UTC; a time of day or a duration may stand without its date.",
        "type": ["string", "null"],
        "pattern": f"^({_DATE}( {_TIME})?|{_TIME})?$",
    },
    "GivenDate": {"type": ["string", "null"], "pattern": f"^({_DATE})?$"},
    "GivenReference": {
        "description": "sys_id of a record, or its display value.",
        "type": ["string", "null"],
    },
    "GivenList": {
        "description": "sys_ids or display values with commas between.",
        "type": ["string", "null"],
    },
}
"""The schemas that those of fields refer to."""


class TableRights(Struct, frozen=True):
    """What somebody may do with some rows of a table."""

    read: bool
    create: bool
    write: bool
    delete: bool

    def allows(self, right: str) -> bool:
        """Tell whether the operation called ``right`` is possible."""
        return bool(getattr(self, right))


def rights_of(access: Access, table: Table) -> TableRights:
    """Return what the actor may do through web services; what he changes he has to read, too."""
    if not table.ws_access:
        return TableRights(False, False, False, False)
    may = {
        operation: access.rows(table.name, operation) != NEVER
        for operation in ("read", "create", "write", "delete")
    }
    own = table.engine is None
    return TableRights(
        may["read"],
        own and may["create"],
        own and may["write"] and may["read"],
        own and may["delete"] and may["read"],
    )


class TableSchemas:
    """Makes the schemas of tables, and the lists of choices that they refer to."""

    def __init__(self, dictionary: Dictionary, access: Access, readable: frozenset[str]) -> None:
        self._dictionary = dictionary
        self._access = access
        self._readable = readable
        self._choices: dict[tuple[object, ...], str] = {}
        self._new_choices: list[tuple[str, Schema]] = []

    def of(self, table: Table, rights: TableRights) -> Iterator[tuple[str, Schema]]:
        """Yield by name what is answered of a table, what may be sent, what makes a record.

        After them come the lists of choices to which no table before has referred.
        """
        yield table.name, self._shown(table, rights)
        writable = self._writable(table, "write") if rights.write else []
        if rights.write:
            yield f"{table.name}.input", self._given(table, writable)
        if rights.create:
            yield f"{table.name}.new", self._new(table, writable if rights.write else None)
        yield from self._new_choices
        self._new_choices.clear()

    def _shown(self, table: Table, rights: TableRights) -> Schema:
        properties = {
            name: self._property(field, self._shape(table, field))
            for name, field in sorted(table.fields.items())
            if rights.read and (field.kind.secret or self._access.reaches(table.name, name, "read"))
        }
        return {"title": table.label, "type": "object", "properties": properties}

    def _writable(self, table: Table, operation: str) -> list[Field]:
        return [
            field
            for name, field in sorted(table.fields.items())
            if name not in _SYSTEM
            and not field.read_only
            and self._access.reaches(table.name, name, operation)
        ]

    def _given(self, table: Table, fields: list[Field]) -> dict[str, Any]:
        properties = {
            field.name: self._property(field, self._wanted(table, field)) for field in fields
        }
        return {"title": table.label, "type": "object", "properties": properties}

    def _new(self, table: Table, writable: list[Field] | None) -> Schema:
        """Return what makes a record: mostly what changes one, with the mandatory fields.

        ``writable`` are the fields of the schema for changes, None where there is none.
        """
        fields = self._writable(table, "create")
        if fields == writable:
            found: dict[str, Any] = {"allOf": [{"$ref": f"{REF}{table.name}.input"}]}
        else:
            found = self._given(table, fields)
        if needed := list(_mandatory(table, fields)):
            found["required"] = needed
        return found

    def _property(self, field: Field, schema: dict[str, Any]) -> Schema:
        """Add what people and generators of code want to know of a column."""
        column: dict[str, object] = {"type": field.type, "max_length": field.max_length}
        if field.reference in self._readable:
            column["reference"] = field.reference
        return {**schema, "title": field.label, "x-column": column}

    def _shape(self, table: Table, field: Field) -> dict[str, Any]:
        if field.kind.reference:
            found: dict[str, Any] = {"$ref": f"{REF}ShownReference"}
        elif field.choices:
            choices = {"$ref": self._choices_of(table, field)}
            found = {"anyOf": [choices, {"$ref": f"{REF}Shown"}]}
        else:
            found = {"$ref": f"{REF}Shown"}
        if field.read_only or field.name in _SYSTEM:
            found["readOnly"] = True
        return found

    def _wanted(self, table: Table, field: Field) -> dict[str, Any]:
        if field.kind.reference:
            found: dict[str, Any] = {"$ref": f"{REF}GivenReference"}
        elif field.kind.multiple:
            found = {"$ref": f"{REF}GivenList"}
        elif field.choices:
            found = {"$ref": self._choices_of(table, field)}
        else:
            found = {"$ref": REF + _NAMES[field.storage]}
        if field.kind.secret:
            found["writeOnly"] = True
        return found

    def _choices_of(self, table: Table, field: Field) -> str:
        """Return the address of a list of choices; fields with the same one share it."""
        entries = tuple(dict.fromkeys((each.value, each.label) for each in field.choices))
        name = self._choices.get(entries)
        if name is None:
            name = self._choices[entries] = f"choices.{table.name}.{field.name}"
            values = [{"const": value, "title": label} for value, label in _distinct(entries)]
            self._new_choices.append((name, {"oneOf": values}))
        return REF + name


def _distinct(entries: tuple[tuple[str, str], ...]) -> Iterator[tuple[str, str]]:
    """Yield each value once, with its first label."""
    labels: dict[str, str] = {}
    for value, label in entries:
        labels.setdefault(value, label)
    yield from labels.items()


def _mandatory(table: Table, writable: list[Field]) -> Iterator[str]:
    """Yield what whoever makes a record has to say: no default or number takes its place."""
    for field in writable:
        numbered = field.name == "number" and table.number is not None
        if field.mandatory and not field.default and not numbered:
            yield field.name
