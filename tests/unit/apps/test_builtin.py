"""The apps that come with Midspan: they fit together and have what clients look up."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from midspan.apps.definition import AppDefinition, RecordDefinition
from midspan.apps.entries import Keys
from midspan.apps.load import BUILT_IN, builtin_apps, builtin_hash, load_app
from midspan.dictionary import Dictionary, Field, Storage
from midspan.dictionary.metadata import rows_of
from midspan.dictionary.values import canonical

COLUMNS: dict[str, dict[str, dict[str, Any]]] = yaml.safe_load(
    (Path(__file__).parent / "columns.yaml").read_text(encoding="utf-8")
)
CHOICES = {
    "task.state": "-5 1 2 3 4 7",
    "task.impact": "1 2 3",
    "task.priority": "1 2 3 4 5",
    "task.escalation": "0 1 2 3",
    "incident.state": "1 2 3 6 7 8",
    "incident.incident_state": "1 2 3 6 7 8",
    "incident.hold_reason": "1 3 4 5",
    "problem.state": "101 102 103 104 106 107",
    "problem.problem_state": "101 102 103 104 106 107",
    "problem.resolution_code": "fix_applied risk_accepted canceled duplicate",
    "change_request.state": "-5 -4 -3 -2 -1 0 3 4",
    "change_request.type": "normal standard emergency",
    "change_request.risk": "1 2 3 4",
    "change_task.state": "-5 1 2 3 4",
    "cmdb_ci.install_status": "0 1 2 3 4 5 6 7 8 100",
    "cmdb_ci.operational_status": "1 2 3 4 5 6 7 8",
    "alm_asset.install_status": "1 2 3 6 7 8 9 10",
    "sc_request.request_state": (
        "requested in_process closed_complete closed_incomplete closed_cancelled"
        " closed_rejected closed_skipped"
    ),
}
PREFIXES = {
    "task": "TASK",
    "incident": "INC",
    "problem": "PRB",
    "problem_task": "PTASK",
    "change_request": "CHG",
    "change_task": "CTASK",
    "sc_request": "REQ",
    "sc_req_item": "RITM",
    "sc_task": "SCTASK",
    "kb_knowledge": "KB",
    "sys_import_set": "ISET",
    "interaction": "IMS",
}
PARENTS = {
    "incident": "task",
    "sc_req_item": "task",
    "sysapproval_group": "task",
    "cmdb_ci_linux_server": "cmdb_ci_server",
    "cmdb_ci_server": "cmdb_ci_computer",
    "cmdb_ci_ip_switch": "cmdb_ci_netgear",
    "cmdb_ci_aix_server": "cmdb_ci_unix_server",
    "cmdb_ci_db_mysql_instance": "cmdb_ci_db_instance",
    "cmdb_ci_service_discovered": "cmdb_ci_service_auto",
    "service_offering": "cmdb_ci_service",
    "cmdb_ci_vm_instance": "cmdb_ci_vm_object",
    "cmdb_ci_ec2_instance": "cmdb_ci",
    "cmdb_ci": "cmdb",
    "sysauto_script": "sysauto",
    "sys_script": "sys_metadata",
    "sys_dictionary": "sys_metadata",
    "http_connection": "sys_connection",
    "basic_auth_credentials": "discovery_credentials",
}
WELL_KNOWN = {
    ("sys_user", "6816f79cc0a8016401c5a33be04be441"): {"user_name": "admin", "active": "true"},
    ("sys_user_role", "2831a114c611228501d4ea6c309d626d"): {"name": "admin"},
    ("sys_user_role", "282bf1fac6112285017366cb5f867469"): {"name": "itil"},
    ("sc_catalog", "e0d08b13c3330100c8b837659bba8fb4"): {"title": "Service Catalog"},
    ("cmdb_rel_type", "1a9cb166f1571100a92eb60da2bce5c5"): {"name": "Depends on::Used by"},
    ("cmdb_rel_type", "60bc4e22c0a8010e01f074cbe6bd73c3"): {"name": "Runs on::Runs"},
}
DIFFERENT = {
    # Kept equal to state, which begins at 101.
    "problem.problem_state": {"default"},
    # Holds the table's name, as the dictionary's own rows do.
    "sys_number.category": {"type", "to"},
    # Filled in by the record store for every class, not by a default.
    "sys_user.sys_class_name": {"default"},
    # The same type as the domain of every other table.
    "sys_user.sys_domain": {"type"},
    # A piece of a file is far longer than a string may be.
    "sys_attachment_doc.data": {"type"},
    # Every hierarchy has the same field here.
    "task.sys_class_name": {"label"},
}
"""What we do otherwise than the reference, and why."""
DISPLAYED = {
    "incident": "number",
    "sys_user": "name",
    "sys_user_group": "name",
    "cmn_location": "name",
    "cmdb_ci_server": "name",
    "cmdb_rel_type": "name",
    "sys_attachment": "file_name",
    "sc_cat_item": "name",
}


EVERY_KIND = {
    "app.yaml": "{name: sample, label: Sample, version: 1.0.0}",
    "roles.yaml": "sample_user: {description: Samples}",
    "acls.yaml": "- {name: incident, operation: read, roles: [sample_user]}",
    "properties.yaml": "sample.limit: {value: 3, type: integer, private: true}",
    "rules/a.yaml": "{name: A, table: incident, update: true, set: {active: false}}",
    "rest/a/service.yaml": """
name: A
service_id: a
namespace: x_sample
versions: [v1]
resources: [{name: A, method: GET, path: /, script: a.js, version: v1}]
""",
    "rest/a/a.js": "1",
    "imports/a.yaml": """
source: {name: A, type: JDBC, mid_server: north, target: payroll, credential: payroll}
staging: u_sample
columns: [u_name]
map: {name: A, target: sys_user, fields: [{target: user_name, source: u_name, coalesce: true}]}
schedule: {name: A, at: 12:30}
""",
    "flows/a.yaml": "{name: A, description: Does nothing}",
}


@pytest.fixture(scope="module")
def apps() -> list[AppDefinition]:
    return builtin_apps()


@pytest.fixture(scope="module")
def dictionary(apps: list[AppDefinition]) -> Dictionary:
    return Dictionary.build(spec for app in apps for spec in app.tables)


@pytest.fixture(scope="module")
def records(apps: list[AppDefinition]) -> list[RecordDefinition]:
    return [record for app in apps for record in app.records]


def test_each_app_comes_after_those_it_requires(apps: list[AppDefinition]) -> None:
    names = [app.app.name for app in apps]
    folders = resources.files("midspan_apps").iterdir()
    assert sorted(names) == sorted(
        entry.name for entry in folders if entry.is_dir() and not entry.name.startswith("_")
    )
    assert names == [name for name in BUILT_IN if name in names]
    for position, app in enumerate(apps):
        assert set(app.app.requires) <= set(names[:position])


def test_the_hash_is_that_of_the_same_files() -> None:
    assert len(builtin_hash()) == 64
    assert builtin_hash() == builtin_hash()


def test_every_reference_has_its_table(dictionary: Dictionary) -> None:
    missing = {
        f"{table.name}.{field.name} to {field.reference}"
        for table in dictionary
        for field in table.fields.values()
        if (field.kind.reference or field.kind.multiple)
        and field.reference is not None
        and field.reference not in dictionary
    }
    assert missing == set()


def test_every_index_is_on_stored_fields(dictionary: Dictionary) -> None:
    for table in dictionary:
        for index in table.indexes:
            for name in index:
                field = table.fields[name.removeprefix("!")]
                assert field.storage is not Storage.NONE


def test_tables_survive_the_way_through_metadata(
    apps: list[AppDefinition], dictionary: Dictionary
) -> None:
    """Each row of the dictionary tables names a field of theirs, and its value fits."""
    for table, _, values in rows_of([spec for app in apps for spec in app.tables]):
        for name, value in values.items():
            assert len(value) <= _room(dictionary.field(table, name))


@pytest.mark.parametrize("table", sorted(COLUMNS))
def test_columns_are_those_that_clients_know(table: str, dictionary: Dictionary) -> None:
    assert table in dictionary
    fields = dictionary.table(table).fields
    assert set(COLUMNS[table]) <= set(fields)
    for name, known in COLUMNS[table].items():
        field = fields[name]
        found = {
            "type": field.type,
            "to": field.reference,
            "label": field.label,
            "default": field.default,
        }
        kept = found.keys() - DIFFERENT.get(f"{table}.{name}", set())
        expected = {key: value for key, value in known.items() if key in kept}
        assert {key: found[key] for key in expected} == expected, f"{table}.{name}"
        assert field.max_length >= int(known.get("max_length", 0)), f"{table}.{name}"


@pytest.mark.parametrize("path", DIFFERENT)
def test_differences_are_still_there(path: str, dictionary: Dictionary) -> None:
    table, name = path.split(".")
    field = dictionary.field(table, name)
    found = {"type": field.type, "to": field.reference, "label": field.label}
    found["default"] = field.default
    assert all(found[key] != COLUMNS[table][name][key] for key in DIFFERENT[path])


@pytest.mark.parametrize("path", CHOICES)
def test_choices_are_those_that_clients_know(path: str, dictionary: Dictionary) -> None:
    values = [choice.value for choice in dictionary.field(*path.split(".")).choices]
    assert [value for value in values if value in CHOICES[path].split()] == CHOICES[path].split()
    assert all(choice.label for choice in dictionary.field(*path.split(".")).choices)


@pytest.mark.parametrize("table", PREFIXES)
def test_numbers(table: str, dictionary: Dictionary) -> None:
    number = dictionary.table(table).number
    assert number is not None
    assert number.text(10001) == f"{PREFIXES[table]}0010001"


@pytest.mark.parametrize("table", PARENTS)
def test_inheritance(table: str, dictionary: Dictionary) -> None:
    assert dictionary.is_a(table, PARENTS[table])


@pytest.mark.parametrize("table", DISPLAYED)
def test_display_fields(table: str, dictionary: Dictionary) -> None:
    assert dictionary.table(table).display == DISPLAYED[table]


@pytest.mark.parametrize(("table", "sys_id"), WELL_KNOWN)
def test_well_known_records(table: str, sys_id: str, records: list[RecordDefinition]) -> None:
    found = [r for r in records if r.table == table and r.sys_id == sys_id]
    assert len(found) == 1
    expected = WELL_KNOWN[(table, sys_id)]
    assert {name: found[0].values.get(name) for name in expected} == expected


def test_no_two_records_share_an_id(records: list[RecordDefinition]) -> None:
    ids = [(record.table, record.sys_id) for record in records]
    assert len(ids) == len(set(ids))


def test_every_value_fits_its_field(
    records: list[RecordDefinition], dictionary: Dictionary
) -> None:
    for record in records:
        for name, value in record.values.items():
            field = dictionary.field(record.table, name)
            place = f"{record.file}: {record.table}.{name}={value[:40]}"
            assert canonical(field, value) == value, place
            assert len(value) <= _room(field), place


def test_every_reference_in_a_record_is_shipped(
    records: list[RecordDefinition], dictionary: Dictionary
) -> None:
    shipped = {(record.table, record.sys_id) for record in records}
    literal = {"sys_security_operation", "sys_security_type", "sys_glide_object", "sys_db_object"}
    for record in records:
        for name, value in record.values.items():
            field = dictionary.field(record.table, name)
            if value in ("", "global") or not field.kind.reference or field.reference is None:
                continue
            if field.reference in literal:
                continue
            classes = dictionary.table(field.reference).classes
            assert any((table, value) in shipped for table in classes), f"{record.file}: {name}"


def test_what_each_kind_of_file_becomes_has_its_fields(
    tmp_path: Path, dictionary: Dictionary
) -> None:
    for name, content in EVERY_KIND.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    keys: Keys = {("ecc_agent", "north"): "a" * 32}
    app = load_app(tmp_path, keys)
    assert {record.file for record in app.records} == set(EVERY_KIND) - {"app.yaml", "rest/a/a.js"}
    for record in app.records:
        for name, value in record.values.items():
            assert canonical(dictionary.field(record.table, name), value) == value


def test_every_rule_protects_something_there_is(
    records: list[RecordDefinition], dictionary: Dictionary
) -> None:
    for record in records:
        if record.table == "sys_security_acl" and record.values["type"] == "record":
            table, _, field = record.values["name"].partition(".")
            assert table == "*" or table in dictionary
            if field not in ("", "*"):
                assert field in dictionary.table(table).fields


def test_nobody_is_given_a_password(
    records: list[RecordDefinition], dictionary: Dictionary
) -> None:
    secret = [
        f"{record.file}: {name}"
        for record in records
        for name, value in record.values.items()
        if value and dictionary.field(record.table, name).kind.secret
    ]
    assert secret == []


def test_priority_follows_from_impact_and_urgency(records: list[RecordDefinition]) -> None:
    rows = [record.values for record in records if record.table == "dl_u_priority"]
    found = {(row["impact"], row["urgency"]): int(row["priority"]) for row in rows}
    assert found == {
        (str(impact), str(urgency)): impact + urgency - 1
        for impact in (1, 2, 3)
        for urgency in (1, 2, 3)
    }


def _room(field: Field) -> int:
    """Only texts have a length to keep; numbers and flags are checked by their type."""
    return max(field.max_length, 40) if field.storage is Storage.TEXT else 1_000_000
