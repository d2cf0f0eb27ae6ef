"""What the files of a table app may say; each kind of file is one struct. Pure.

Unknown keys and wrong types are errors that name the file and the place. The format is described
for authors in ``docs/reference/app-files.md``.
"""

from __future__ import annotations

import re
from typing import Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Struct

from midspan.dictionary import FIELD_TYPES, Choice, FieldSpec, NumberFormat, Strategy, TableSpec
from midspan.kernel.errors import InvalidDefinition, did_you_mean

Kind = TypeVar("Kind", bound=Struct)
Scalar = str | int | float | bool | None
_UNKNOWN = re.compile(r"unknown field `([^`]+)`")
_STEP = re.compile(r"\.(\w+)")
_IN_MAPPING = re.compile(r"`\$\.(\w+)\[\.\.\.\]")


class AppFile(Struct, frozen=True, forbid_unknown_fields=True):
    """``app.yaml``: the app's name and what it needs."""

    name: str
    label: str
    version: str
    description: str = ""
    requires: tuple[str, ...] = ()


class NumberFile(Struct, frozen=True, forbid_unknown_fields=True):
    """Automatic numbers of a table."""

    prefix: str
    digits: int = 7
    start: int = 10001


class FieldFile(Struct, frozen=True, forbid_unknown_fields=True):
    """One field of a table file; what is missing is inherited or the type's default."""

    type: str | None = None
    to: str | None = None
    label: str | None = None
    max_length: int | None = None
    mandatory: bool | None = None
    read_only: bool | None = None
    unique: bool | None = None
    index: bool | None = None
    display: bool | None = None
    default: Scalar = None
    choices: dict[str | int, str] | tuple[str | int, ...] | None = None
    audit: bool | None = None

    def spec(self, name: str) -> FieldSpec:
        """Return the field as the dictionary takes it."""
        return FieldSpec(
            name=name,
            label=self.label,
            type=self.type,
            reference=self.to,
            max_length=self.max_length,
            mandatory=self.mandatory,
            read_only=self.read_only,
            unique=self.unique,
            indexed=self.index,
            display=self.display,
            default=None if self.default is None else text(self.default),
            choices=_choices(self.choices),
            audit=self.audit,
        )


class TableFile(Struct, frozen=True, forbid_unknown_fields=True):
    """``tables/<table>.yaml``: one table, only what differs from the default."""

    table: str
    extends: str | None = None
    label: str = ""
    plural: str = ""
    extendable: bool = False
    storage: Strategy = Strategy.SINGLE
    number: NumberFile | None = None
    engine: str | None = None
    audit: bool = True
    ws_access: bool = True
    indexes: tuple[tuple[str, ...], ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    fields: dict[str, FieldFile] = {}

    def spec(self) -> TableSpec:
        """Return the table as the dictionary takes it."""
        number = self.number
        return TableSpec(
            name=self.table,
            label=self.label,
            plural=self.plural,
            extends=self.extends,
            extendable=self.extendable,
            strategy=self.storage,
            number=NumberFormat(number.prefix, number.digits, number.start) if number else None,
            engine=self.engine,
            audit=self.audit,
            ws_access=self.ws_access,
            fields=tuple(field.spec(name) for name, field in self.fields.items()),
            indexes=(*self.indexes, *((f"!{names[0]}", *names[1:]) for names in self.unique)),
        )


class RoleFile(Struct, frozen=True, forbid_unknown_fields=True):
    """One role of ``roles.yaml``; its name is the key."""

    description: str = ""
    includes: tuple[str, ...] = ()
    """Names of the roles that whoever has this one has too."""
    elevated: bool = False
    grantable: bool = True
    sys_id: str = ""


class PropertyFile(Struct, frozen=True, forbid_unknown_fields=True):
    """One property of ``properties.yaml``; a plain value stands for an entry with that value."""

    value: Scalar = None
    type: str = "string"
    description: str = ""
    choices: tuple[str, ...] = ()
    private: bool = False
    read_roles: tuple[str, ...] = ()
    write_roles: tuple[str, ...] = ()


class AccessFile(Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of ``acls.yaml``."""

    name: str
    operation: str = ""
    operations: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    condition: str = ""
    script: str = ""
    description: str = ""
    type: str = "record"


class DataFile(Struct, frozen=True, forbid_unknown_fields=True):
    """One block of ``data/*.yaml``: records of one table."""

    table: str
    records: tuple[dict[str, Any], ...]


class ResourceFile(Struct, frozen=True, forbid_unknown_fields=True):
    """One resource of a scripted REST service."""

    name: str
    method: str
    path: str
    script: str
    requires_authentication: bool = True
    requires_acl: bool = False
    acls: tuple[str, ...] = ()
    version: str = ""
    description: str = ""
    consumes: str = ""
    produces: str = ""


class ServiceFile(Struct, frozen=True, forbid_unknown_fields=True):
    """``rest/<service>/service.yaml``: a scripted REST service; scripts lie beside it."""

    name: str
    service_id: str
    namespace: str
    resources: tuple[ResourceFile, ...]
    description: str = ""
    versions: tuple[str, ...] = ()
    default_version: str = ""
    acls: tuple[str, ...] = ()
    active: bool = True


class SourceFile(Struct, frozen=True, forbid_unknown_fields=True):
    """The data source of an import file; the names are those of sys_data_source."""

    name: str
    type: str = "File"
    format: str = "CSV"
    file_retrieval_method: str = "Attachment"
    file_path: str = ""
    csv_delimiter: str = ","
    connection_url: str = ""
    mid_server: str = ""
    target: str = ""
    """Name of a target that only the MID server knows."""
    credential: str = ""
    """Alias of the credential to use with ``connection_url``."""
    query: str = "All Rows from Table"
    table_name: str = ""
    sql_statement: str = ""


class FieldMapFile(Struct, frozen=True, forbid_unknown_fields=True):
    """One field map of an import file."""

    target: str
    source: str = ""
    script: str = ""
    coalesce: bool = False
    coalesce_empty: bool = False
    case_sensitive: bool = False
    choice_action: str = ""
    reference_field: str = ""
    date_format: str = ""


class MapFile(Struct, frozen=True, forbid_unknown_fields=True):
    """The transform map of an import file."""

    name: str
    target: str
    fields: tuple[FieldMapFile, ...]
    order: int = 100
    run_business_rules: bool = True
    enforce_mandatory_fields: str = "No"
    copy_empty_fields: bool = False
    create_on_empty_coalesce: bool = False


class ScheduleFile(Struct, frozen=True, forbid_unknown_fields=True):
    """The schedule of an import file."""

    name: str
    run: str = "daily"
    at: str = "02:00"
    time_zone: str = "UTC"
    day_of_week: str | int = ""
    day_of_month: int = 1
    every: str = ""
    run_as: str = ""
    active: bool = True


class ImportFile(Struct, frozen=True, forbid_unknown_fields=True):
    """``imports/<name>.yaml``: source, staging table, map and schedule of one import."""

    source: SourceFile
    staging: str
    map: MapFile
    schedule: ScheduleFile | None = None
    columns: tuple[str, ...] = ()
    """Fields of the staging table, to create it; without them it has to exist."""


class RuleFile(Struct, frozen=True, forbid_unknown_fields=True):
    """``rules/<name>.yaml``: a business rule; ``script`` names a file beside it, if any."""

    name: str
    table: str
    when: Literal["before", "after", "async", "display"] = "before"
    order: int = 100
    active: bool = True
    insert: bool = False
    update: bool = False
    delete: bool = False
    query: bool = False
    roles: tuple[str, ...] = ()
    condition: str = ""
    set: dict[str, Scalar] = {}
    abort: bool = False
    message: str = ""
    script: str = ""


class RecordDefinition(Struct, frozen=True):
    """One record that an app ships: wire texts by field, and the file that says so."""

    table: str
    sys_id: str
    values: dict[str, str]
    file: str


class AppDefinition(Struct, frozen=True):
    """An app read completely."""

    app: AppFile
    tables: tuple[TableSpec, ...]
    records: tuple[RecordDefinition, ...]
    content_hash: str
    columns: tuple[RecordDefinition, ...] = ()
    """What it adds to tables of others, as records of the dictionary."""


def convert(data: object, kind: type[Kind], file: str) -> Kind:
    """Read parsed YAML as ``kind``.

    Raises:
        InvalidDefinition: names the file, the place and, for an unknown key, the nearest.
    """
    try:
        return msgspec.convert(data, kind, strict=True)
    except msgspec.ValidationError as error:
        problem, place = _precise(data, kind, str(error))
        match = _UNKNOWN.search(problem)
        keys = _keys(kind, problem) if match else []
        hint = did_you_mean(match[1], keys) or f"Known: {', '.join(keys)}" if match else None
        raise InvalidDefinition(f"{file}{place}: {problem}", hint=hint) from error


def _precise(data: object, kind: type[Struct], problem: str) -> tuple[str, str]:
    """Return the problem and the entry it is in; for mappings the decoder only says ``[...]``."""
    match = _IN_MAPPING.search(problem)
    if match and isinstance(data, dict) and isinstance(entries := data.get(match[1]), dict):
        for name, value in entries.items():
            try:
                msgspec.convert({**data, match[1]: {name: value}}, kind, strict=True)
            except msgspec.ValidationError as error:
                return str(error), f": {match[1]}.{name}"
    return problem, ""


def check_field(name: str, field: FieldFile, place: str) -> None:
    """Refuse a field whose type nobody knows, or a reference to nothing."""
    if field.type is not None and field.type not in FIELD_TYPES:
        raise InvalidDefinition(
            f"{place}: field {name} has the unknown type {field.type}",
            hint=did_you_mean(field.type, FIELD_TYPES),
        )
    if field.type == "reference" and not field.to:
        raise InvalidDefinition(
            f"{place}: field {name} does not say what it refers to",
            hint="Add the name of a table: to: TABLE",
        )


def text(value: Scalar) -> str:
    """Return the wire text of a scalar in a file.

    >>> text(True), text(None), text(3)
    ('true', '', '3')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _choices(
    given: dict[str | int, str] | tuple[str | int, ...] | None,
) -> tuple[Choice, ...] | None:
    """A mapping gives values with labels; a plain list gives labels that are the values."""
    if given is None:
        return None
    pairs = (
        given.items() if isinstance(given, dict) else ((str(value), str(value)) for value in given)
    )
    return tuple(
        Choice(str(value), label, sequence) for sequence, (value, label) in enumerate(pairs)
    )


def _keys(kind: type[Struct], problem: str) -> list[str]:
    """Return the keys known at the place that the decoder names, such as ``$.fields[...]``."""
    found = kind
    for name in _STEP.findall(problem.rpartition("`$")[2]):
        member = next(field for field in msgspec.structs.fields(found) if field.name == name)
        found = _struct(member.type) or found
    return [field.encode_name for field in msgspec.structs.fields(found)]


def _struct(kind: Any) -> type[Struct] | None:
    """Return the struct in a type such as ``dict[str, FieldFile] | None``."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        return kind
    return next((found for part in get_args(kind) if (found := _struct(part))), None)
