"""Transform maps as values: read from their records, checked against the dictionary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from midspan.dictionary import Dictionary, Field
from midspan.kernel.errors import InvalidDefinition, InvalidField, InvalidTable, did_you_mean
from midspan.records import Record, RecordTransaction, SnapshotPart
from midspan.sandbox import Script

CHOICE_ACTIONS = ("create", "ignore", "reject")


class FieldMap(Struct, frozen=True, kw_only=True):
    """How one target field gets its value."""

    target: str
    source: str = ""
    script: str = ""
    script_name: str = ""
    coalesce: bool = False
    coalesce_empty: bool = False
    case_sensitive: bool = False
    choice_action: str = "create"
    reference_field: str = ""
    """Field of the referenced table to look up; empty means its display field."""
    date_format: str = ""


class EventScript(Struct, frozen=True):
    """A script that runs at one moment of a run, such as ``onBefore``."""

    when: str
    script: Script


class TransformMap(Struct, frozen=True, kw_only=True):
    """One map from a staging table to a target table."""

    sys_id: str
    name: str
    source: str
    target: str
    order: int
    run_rules: bool
    mandatory: str
    """``No``, ``Only mapped`` or ``All``."""
    copy_empty: bool
    create_on_empty: bool
    fields: tuple[FieldMap, ...]
    script: Script | None = None
    """What runs for each row when its fields are filled."""
    events: tuple[EventScript, ...] = ()
    """In the order in which they run."""

    @property
    def keys(self) -> tuple[FieldMap, ...]:
        """The field maps that coalesce."""
        return tuple(field for field in self.fields if field.coalesce)

    @property
    def is_scripted(self) -> bool:
        """Tell whether scripts steer it, so that its rows have to go through one by one."""
        return self.script is not None or bool(self.events)

    @property
    def is_conditional(self) -> bool:
        """Tell whether a script finds the record to update, by its sys_id."""
        return [key.target for key in self.keys] == ["sys_id"]


def load_maps(transaction: RecordTransaction, staging: str) -> list[TransformMap]:
    """Return the active maps of a staging table in their order, every name checked.

    Raises:
        InvalidDefinition: a map names an unknown table, field or action; says the nearest.
    """
    found = []
    query = f"source_table={staging}^active=true^ORDERBYorder"
    for record in transaction.find("sys_transform_map", query):
        entries = transaction.find("sys_transform_entry", f"map={record.sys_id}^ORDERBYorder")
        fields = tuple(_field_map(record, entry, transaction.dictionary) for entry in entries)
        _check_table(record, transaction.dictionary)
        found.append(
            TransformMap(
                sys_id=record.sys_id,
                name=record.get("name"),
                source=staging,
                target=record.get("target_table"),
                order=int(record.get("order") or 100),
                run_rules=record.get("run_business_rules") != "false",
                mandatory=record.get("enforce_mandatory_fields") or "No",
                copy_empty=record.get("copy_empty_fields") == "true",
                create_on_empty=record.get("create_new_record_on_empty_coalesce_fields") == "true",
                fields=fields,
                script=_own_script(record),
                events=_events(transaction, record),
            )
        )
    return found


def _own_script(record: Record) -> Script | None:
    text = record.get("script")
    if record.get("run_script") != "true" or not text.strip():
        return None
    return Script(f"sys_transform_map.{record.sys_id}.script", text)


def _events(transaction: RecordTransaction, record: Record) -> tuple[EventScript, ...]:
    query = f"map={record.sys_id}^active=true^ORDERBYorder"
    return tuple(
        EventScript(
            found.get("when"),
            Script(f"sys_transform_script.{found.sys_id}.script", found.get("script")),
        )
        for found in transaction.find("sys_transform_script", query)
    )


def hold_keys(transaction: RecordTransaction, maps: Iterable[TransformMap]) -> None:
    """Let rows of maps with keys come one after another, whichever import they belong to.

    Two rows with the same new key would else both make a record. Held until the end of the
    transaction.
    """
    held = tuple(each.sys_id for each in maps if each.keys)
    if held:
        table = transaction.dictionary.table("sys_transform_map")
        transaction.store.lock_rows(transaction.database, table, held)


def _check_table(record: Record, dictionary: Dictionary) -> None:
    try:
        dictionary.table(record.get("target_table"))
    except InvalidTable as error:
        raise _wrong(record, error.message, error.hint) from error


def _field_map(record: Record, entry: Record, dictionary: Dictionary) -> FieldMap:
    target = entry.get("target_field")
    try:
        field = dictionary.field(record.get("target_table"), target)
        if entry.get("use_source_script") != "true":
            dictionary.field(record.get("source_table"), entry.get("source_field"))
        lookup = entry.get("reference_value_field")
        if lookup and field.reference:
            dictionary.field(field.reference, lookup)
    except (InvalidField, InvalidTable) as error:
        raise _wrong(record, error.message, error.hint) from error
    action = entry.get("choice_action") or "create"
    if action not in CHOICE_ACTIONS:
        hint = did_you_mean(action, CHOICE_ACTIONS) or f"Known: {', '.join(CHOICE_ACTIONS)}"
        raise _wrong(record, f"unknown choice action {action!r} of {target}", hint)
    scripted = entry.get("use_source_script") == "true"
    return FieldMap(
        target=target,
        source=entry.get("source_field"),
        script=entry.get("source_script") if scripted else "",
        script_name=f"sys_transform_entry.{entry.sys_id}.source_script",
        coalesce=entry.get("coalesce") == "true",
        coalesce_empty=entry.get("coalesce_empty_fields") == "true",
        case_sensitive=entry.get("coalesce_case_sensitive") == "true",
        choice_action=action,
        reference_field=lookup,
        date_format=entry.get("date_format"),
    )


def _wrong(record: Record, message: str, hint: str | None) -> InvalidDefinition:
    return InvalidDefinition(f"Transform map {record.get('name')}: {message}", hint=hint)


def known_maps(transaction: RecordTransaction, staging: str) -> tuple[TransformMap, ...]:
    """Return what ``load_maps`` does, for a write; remembered until a map or a table changes.

    Raises:
        InvalidDefinition: as for ``load_maps``.
    """
    known = transaction.snapshot.part(MAPS)
    maps = known.get(staging)
    if maps is None:
        maps = known[staging] = tuple(load_maps(transaction, staging))
    return maps


MAPS: SnapshotPart[dict[str, tuple[TransformMap, ...]]] = SnapshotPart(
    "transform_maps",
    frozenset({"sys_transform_map", "sys_transform_entry", "sys_transform_script"}),
    lambda *_: {},
)
"""The maps that were asked for since the last change of any map or table, by staging table;
registered with the ``SnapshotHolder`` of the instance."""


def display_field(dictionary: Dictionary, field: Field, chosen: str) -> str:
    """Return the field of the referenced table that incoming texts are compared with."""
    return chosen or dictionary.table(field.reference or "").display


Values = Mapping[str, str]
