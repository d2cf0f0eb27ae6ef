"""An import file as the records it stands for: source, map, field maps, schedule. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from midspan.apps.definition import FieldMapFile, ImportFile, MapFile, ScheduleFile, text
from midspan.dictionary import FieldSpec, TableSpec
from midspan.kernel.ids import derived_id

_STAGED_LENGTH = 255
Entry = tuple[str, str, dict[str, str]]
"""Table, key, values."""


def staging_table(definition: ImportFile) -> TableSpec:
    """Return the staging table of an import file: one text field for each of its columns."""
    return TableSpec(
        name=definition.staging,
        label=_staging_label(definition),
        extends="sys_import_set_row",
        fields=tuple(
            FieldSpec(name=name, type="string", max_length=_STAGED_LENGTH)
            for name in definition.columns
        ),
    )


def import_records(definition: ImportFile) -> Iterator[Entry]:
    """Yield the records of an import file, parents first."""
    source = definition.source
    yield (
        "sys_data_source",
        source.name,
        {
            "name": source.name,
            "type": source.type,
            "format": source.format,
            "file_retrieval_method": source.file_retrieval_method,
            "file_path": source.file_path,
            "csv_delimiter": source.csv_delimiter,
            "import_set_table_name": definition.staging,
            "import_set_table_label": _staging_label(definition),
            "connection_url": source.connection_url,
            "mid_server": f"ref:ecc_agent/{source.mid_server}" if source.mid_server else "",
            "mid_target": source.target,
            "credential_alias": source.credential,
            "query": source.query,
            "table_name": source.table_name,
            "sql_statement": source.sql_statement,
        },
    )
    yield from _map_records(definition.map, definition.staging)
    if definition.schedule:
        yield _schedule_record(definition.schedule, source.name)


def _staging_label(definition: ImportFile) -> str:
    return definition.staging.removeprefix("u_").replace("_", " ")


def _map_records(definition: MapFile, staging: str) -> Iterator[Entry]:
    yield (
        "sys_transform_map",
        definition.name,
        {
            "name": definition.name,
            "source_table": staging,
            "target_table": definition.target,
            "active": "true",
            "order": str(definition.order),
            "run_business_rules": text(definition.run_business_rules),
            "enforce_mandatory_fields": definition.enforce_mandatory_fields,
            "copy_empty_fields": text(definition.copy_empty_fields),
            "create_new_record_on_empty_coalesce_fields": text(definition.create_on_empty_coalesce),
        },
    )
    for position, field in enumerate(definition.fields):
        yield _field_record(definition, field, staging, position)


def _field_record(definition: MapFile, field: FieldMapFile, staging: str, position: int) -> Entry:
    return (
        "sys_transform_entry",
        f"{definition.name}/{field.target}",
        {
            "map": derived_id("sys_transform_map", definition.name),
            "source_table": staging,
            "source_field": field.source,
            "target_table": definition.target,
            "target_field": field.target,
            "coalesce": text(field.coalesce),
            "coalesce_empty_fields": text(field.coalesce_empty),
            "coalesce_case_sensitive": text(field.case_sensitive),
            "use_source_script": text(bool(field.script)),
            "source_script": field.script,
            "choice_action": field.choice_action,
            "reference_value_field": field.reference_field,
            "date_format": field.date_format,
            "order": str(position),
        },
    )


def _schedule_record(schedule: ScheduleFile, source: str) -> Entry:
    return (
        "scheduled_import_set",
        schedule.name,
        {
            "name": schedule.name,
            "data_source": derived_id("sys_data_source", source),
            "run_type": schedule.run,
            "run_time": f"1970-01-01 {schedule.at}:00",
            "time_zone": schedule.time_zone,
            "run_dayofweek": text(schedule.day_of_week),
            "run_dayofmonth": str(schedule.day_of_month),
            "run_period": schedule.every,
            "run_as": schedule.run_as,
            "active": text(schedule.active),
        },
    )
