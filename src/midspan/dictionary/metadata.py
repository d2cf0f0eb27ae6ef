"""Tables as records: specifications to rows of the dictionary tables, and back. Pure.

A table is a row of ``sys_db_object``; its fields are rows of ``sys_dictionary`` (one more, without
an element, stands for the table); what a child changes about an inherited field is a row of
``sys_dictionary_override``; choices are rows of ``sys_choice`` and numbers of ``sys_number``.
Traits the vendor has no column for travel in ``attributes`` as ``key=value`` pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from midspan.dictionary.field import Choice
from midspan.dictionary.table import FieldSpec, NumberFormat, Strategy, TableSpec
from midspan.kernel.ids import derived_id

MetadataRow = tuple[str, str, dict[str, str]]
"""Table name, sys_id, values by field."""

TABLE_COLUMNS = ("name", "label", "super_class", "is_extendable", "ws_access")
FIELD_COLUMNS = (
    "name", "element", "column_label", "internal_type", "reference", "max_length", "mandatory",
    "read_only", "unique", "display", "default_value", "audit", "attributes", "active",
)  # fmt: skip
OVERRIDE_COLUMNS = (
    "name", "element", "column_label", "max_length", "reference", "default_value",
    "default_value_override", "mandatory", "mandatory_override", "read_only",
    "read_only_override", "attributes",
)  # fmt: skip
CHOICE_COLUMNS = ("name", "element", "value", "label", "sequence", "inactive", "language")
NUMBER_COLUMNS = ("category", "prefix", "maximum_digits", "number")


def table_id(name: str) -> str:
    """Return the sys_id of a table's row in sys_db_object."""
    return derived_id("sys_db_object", name)


def rows_of(specs: Iterable[TableSpec]) -> Iterator[MetadataRow]:
    """Yield the metadata rows of tables; parents' specifications must be among ``specs``."""
    by_name = {spec.name: spec for spec in specs}
    for spec in by_name.values():
        inherited = _inherited(spec, by_name)
        yield _table_row(spec)
        yield _collection_row(spec)
        if spec.number:
            yield _number_row(spec.name, spec.number)
        for field in spec.fields:
            row = _override_row if field.name in inherited else _field_row
            yield row(spec.name, field)
            for choice in field.choices or ():
                yield _choice_row(spec.name, field.name, choice)


def field_row(table: str, field: FieldSpec) -> MetadataRow:
    """Return the sys_dictionary row of a table's own field."""
    return _field_row(table, field)


def choice_row(table: str, element: str, choice: Choice) -> MetadataRow:
    """Return the sys_choice row of one choice of a field."""
    return _choice_row(table, element, choice)


class Metadata(Struct, frozen=True):
    """Rows as read from the database, each a tuple in the order of the ``…_COLUMNS``."""

    tables: list[tuple[Any, ...]]
    fields: list[tuple[Any, ...]]
    overrides: list[tuple[Any, ...]]
    choices: list[tuple[Any, ...]]
    numbers: list[tuple[Any, ...]]


def specs_of(metadata: Metadata) -> list[TableSpec]:
    """Return the specifications that metadata rows describe, sorted by table name."""
    names = {table_id(str(row[0])): str(row[0]) for row in metadata.tables}
    fields = _fields(metadata, names)
    attributes = {str(row[0]): _pairs(row[12]) for row in metadata.fields if not row[1]}
    numbers = {
        str(_named(row[0], names)): NumberFormat(
            str(row[1] or ""), int(row[2] or 7), int(row[3] or 0) + 1
        )
        for row in metadata.numbers
    }
    specs = []
    for name, label, parent, extendable, ws_access in _by_name(metadata.tables):
        traits = attributes.get(name, {})
        specs.append(
            TableSpec(
                name=name,
                label=label or "",
                plural=traits.get("plural", ""),
                extends=names.get(parent or "", parent or None),
                extendable=bool(extendable),
                strategy=Strategy(traits.get("storage", "single")),
                number=numbers.get(name),
                engine=traits.get("engine"),
                audit=traits.get("audit") != "false",
                ws_access=ws_access is None or bool(ws_access),
                fields=tuple(fields.get(name, ())),
                indexes=tuple(
                    tuple(index.split("+"))
                    for index in traits.get("indexes", "").split("|")
                    if index
                ),
            )
        )
    return specs


def _fields(metadata: Metadata, tables: Mapping[str, str]) -> dict[str, list[FieldSpec]]:
    choices = _choices(metadata)
    found: dict[str, list[FieldSpec]] = {}
    taken = set()
    for row in _by_name(metadata.fields):
        name, element, active = row[0], row[1], row[-1]
        if element and active is not False and active != 0:
            taken.add((name, element))
            spec = _field_spec(row, tables, choices.get((name, element)))
            found.setdefault(name, []).append(spec)
    for row in _by_name(metadata.overrides):
        values = dict(zip(OVERRIDE_COLUMNS, row, strict=True))
        key = (values["name"], values["element"])
        taken.add(key)
        found.setdefault(values["name"], []).append(
            _override_spec(values, tables, choices.get(key))
        )
    for (name, element), entries in sorted(choices.items()):
        if (name, element) not in taken:
            spec = FieldSpec(name=element, choices=tuple(entries))
            found.setdefault(name, []).append(spec)
    return found


def _choices(metadata: Metadata) -> dict[tuple[str, str], list[Choice]]:
    """Return the choices of each field in their order; a row that names no field is none's."""
    choices: dict[tuple[str, str], list[Choice]] = {}
    for name, element, value, label, sequence, inactive, language in metadata.choices:
        if not name or not element:
            continue
        choice = Choice(value or "", label or "", sequence or 0, bool(inactive), language or "en")
        choices.setdefault((name, element), []).append(choice)
    for entries in choices.values():
        entries.sort(key=lambda choice: (choice.sequence, choice.value))
    return choices


def _by_name(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return rows by their two first columns; an empty one, which is no name, is ``''``."""
    named = [row if row[0] else ("", *row[1:]) for row in rows]
    return sorted(named, key=lambda row: (row[0], str(row[1] or "")))


def _field_spec(
    row: tuple[Any, ...], tables: Mapping[str, str], choices: list[Choice] | None
) -> FieldSpec:
    (
        _, element, label, kind, reference, max_length, mandatory,
        read_only, unique, display, default, audit, attributes, _,
    ) = row  # fmt: skip
    return FieldSpec(
        name=element,
        label=label or None,
        type=kind or "string",
        reference=_named(reference, tables),
        max_length=max_length or None,
        mandatory=_flag(mandatory),
        read_only=_flag(read_only),
        unique=_flag(unique),
        display=_flag(display),
        default=default or None,
        audit=None if audit is None else bool(audit),
        indexed="index=true" in (attributes or "") or None,
        choices=tuple(choices) if choices else None,
    )


def _override_spec(
    values: Mapping[str, Any], tables: Mapping[str, str], choices: list[Choice] | None
) -> FieldSpec:
    return FieldSpec(
        name=values["element"],
        label=values["column_label"] or None,
        reference=_named(values["reference"], tables),
        max_length=values["max_length"] or None,
        default=(values["default_value"] or "") if values["default_value_override"] else None,
        mandatory=bool(values["mandatory"]) if values["mandatory_override"] else None,
        read_only=bool(values["read_only"]) if values["read_only_override"] else None,
        display="display=true" in (values["attributes"] or "") or None,
        indexed="index=true" in (values["attributes"] or "") or None,
        choices=tuple(choices) if choices else None,
    )


def _named(value: str | None, tables: Mapping[str, str]) -> str | None:
    """Return a table's name, given its name or the sys_id of its row; clients write either."""
    return tables.get(value, value) if value else None


def _flag(value: object) -> bool | None:
    return True if value else None


def _pairs(attributes: str | None) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in (attributes or "").split(",") if "=" in pair)


def _inherited(spec: TableSpec, by_name: Mapping[str, TableSpec]) -> set[str]:
    names = {"sys_id", "sys_class_name", "sys_created_on", "sys_created_by", "sys_updated_on"}
    parent = by_name.get(spec.extends or "")
    while parent is not None:
        names |= {field.name for field in parent.fields}
        parent = by_name.get(parent.extends or "")
    return names if spec.extends else set()


def _table_row(spec: TableSpec) -> MetadataRow:
    values = {
        "name": spec.name,
        "label": spec.label,
        "super_class": table_id(spec.extends) if spec.extends else "",
        "is_extendable": _text(spec.extendable),
        "ws_access": _text(spec.ws_access),
    }
    return "sys_db_object", table_id(spec.name), values


def _collection_row(spec: TableSpec) -> MetadataRow:
    traits = {
        "storage": spec.strategy.value if spec.strategy is not Strategy.SINGLE else "",
        "engine": spec.engine or "",
        "audit": "" if spec.audit else "false",
        "plural": spec.plural,
        "indexes": "|".join("+".join(index) for index in spec.indexes),
    }
    values = {
        "name": spec.name,
        "element": "",
        "column_label": spec.label,
        "internal_type": "collection",
        "attributes": ",".join(f"{key}={value}" for key, value in traits.items() if value),
        "active": "true",
    }
    return "sys_dictionary", derived_id("sys_dictionary", spec.name, ""), values


def _field_row(table: str, field: FieldSpec) -> MetadataRow:
    values = {
        "name": table,
        "element": field.name,
        "column_label": field.label or "",
        "internal_type": field.type or "string",
        "reference": field.reference or "",
        "max_length": str(field.max_length or ""),
        "mandatory": _text(bool(field.mandatory)),
        "read_only": _text(bool(field.read_only)),
        "unique": _text(bool(field.unique)),
        "display": _text(bool(field.display)),
        "default_value": field.default or "",
        "audit": "" if field.audit is None else _text(field.audit),
        "attributes": "index=true" if field.indexed else "",
        "active": "true",
    }
    return "sys_dictionary", derived_id("sys_dictionary", table, field.name), values


def _override_row(table: str, field: FieldSpec) -> MetadataRow:
    traits = {"index": field.indexed, "display": field.display}
    values = {
        "name": table,
        "element": field.name,
        "column_label": field.label or "",
        "max_length": str(field.max_length or ""),
        "reference": field.reference or "",
        "default_value": field.default or "",
        "default_value_override": _text(field.default is not None),
        "mandatory": _text(bool(field.mandatory)),
        "mandatory_override": _text(field.mandatory is not None),
        "read_only": _text(bool(field.read_only)),
        "read_only_override": _text(field.read_only is not None),
        "attributes": ",".join(f"{name}=true" for name, on in traits.items() if on),
    }
    return (
        "sys_dictionary_override",
        derived_id("sys_dictionary_override", table, field.name),
        values,
    )


def _choice_row(table: str, element: str, choice: Choice) -> MetadataRow:
    values = {
        "name": table,
        "element": element,
        "value": choice.value,
        "label": choice.label,
        "sequence": str(choice.sequence),
        "inactive": _text(choice.inactive),
        "language": choice.language,
    }
    key = derived_id("sys_choice", table, element, choice.value, choice.language)
    return "sys_choice", key, values


def _number_row(table: str, number: NumberFormat) -> MetadataRow:
    values = {
        "category": table,
        "prefix": number.prefix,
        "maximum_digits": str(number.digits),
        "number": str(number.start - 1),
    }
    return "sys_number", derived_id("sys_number", table), values


def _text(flag: bool) -> str:
    return "true" if flag else "false"
