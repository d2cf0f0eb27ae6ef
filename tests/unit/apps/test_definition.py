"""App folders: what they become, and that each mistake is named with its file and place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from midspan.apps.definition import AppDefinition, RecordDefinition
from midspan.apps.entries import Keys
from midspan.apps.load import load_app
from midspan.dictionary import Choice, NumberFormat, Strategy
from midspan.kernel.errors import InvalidDefinition
from midspan.kernel.ids import derived_id

Write = Callable[[dict[str, str]], Path]
APP = "name: desk\nlabel: Desk\nversion: 1.0.0\n"
TABLE = "table: u_desk\nfields:\n  u_name: {}\n"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def files(content: dict[str, str]) -> Path:
        for name, text in {"app.yaml": APP, **content}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path

    return files


def records(app: AppDefinition, table: str) -> list[RecordDefinition]:
    return [record for record in app.records if record.table == table]


def only(app: AppDefinition, table: str) -> dict[str, str]:
    (record,) = records(app, table)
    return dict(record.values)


def test_a_table_file_becomes_a_specification(write: Write) -> None:
    folder = write(
        {
            "tables/u_desk.yaml": """
table: u_desk
extends: task
label: Desk
plural: Desks and chairs
extendable: true
storage: per_class
number: {prefix: DSK, digits: 5, start: 7}
engine: desks
audit: false
ws_access: false
indexes: [[u_room, u_name]]
unique: [[u_name, u_floor]]
fields:
  u_name: {label: Name, max_length: 80, mandatory: true, unique: true, index: true, display: true}
  u_room: {type: reference, to: cmn_location, read_only: true, audit: false}
  u_floor: {type: integer, default: 2, choices: {1: First, 2: Second}}
  u_wood: {type: boolean, default: false, choices: [oak, "on"]}
"""
        }
    )
    (spec,) = load_app(folder).tables
    assert (spec.name, spec.extends, spec.label, spec.plural) == (
        "u_desk", "task", "Desk", "Desks and chairs",
    )  # fmt: skip
    assert spec.strategy is Strategy.PER_CLASS
    assert spec.number == NumberFormat("DSK", 5, 7)
    assert (spec.engine, spec.extendable, spec.audit, spec.ws_access) == (
        "desks", True, False, False,
    )  # fmt: skip
    assert spec.indexes == (("u_room", "u_name"), ("!u_name", "u_floor"))
    name, room, floor, wood = spec.fields
    assert (name.max_length, name.mandatory, name.unique, name.indexed, name.display) == (
        80, True, True, True, True,
    )  # fmt: skip
    assert (room.type, room.reference, room.read_only, room.audit) == (
        "reference", "cmn_location", True, False,
    )  # fmt: skip
    assert floor.choices == (Choice("1", "First", 0), Choice("2", "Second", 1))
    assert floor.default == "2"
    assert wood.default == "false"
    assert wood.choices == (Choice("oak", "oak", 0), Choice("on", "on", 1))


def test_what_a_field_leaves_out_is_left_to_its_parent(write: Write) -> None:
    (spec,) = load_app(write({"tables/u_desk.yaml": TABLE})).tables
    (field,) = spec.fields
    assert (field.type, field.label, field.default, field.choices, field.mandatory) == (
        None, None, None, None, None,
    )  # fmt: skip


def test_data_has_derived_or_given_ids_and_references(write: Write) -> None:
    folder = write(
        {
            "data/rooms.yaml": """
- table: u_room
  records:
    - {key: north, u_name: North, u_opened: 2026-01-31, u_code: 0123, u_active: true, u_note: no}
    - {sys_id: 0123456789abcdef0123456789abcdef, key: south, u_name: South}
- table: u_desk
  records:
    - {name: first, u_room: "ref:u_room/south", u_rooms: ["ref:u_room/north", "ref:u_room/south"]}
    - {key: text, u_script: {file: hello.js}, u_empty: }
""",
            "files/hello.js": "gs.info('hello');\n",
        }
    )
    app = load_app(folder)
    north, south = records(app, "u_room")
    first, script = records(app, "u_desk")
    assert north.sys_id == derived_id("u_room", "north")
    assert north.file == "data/rooms.yaml"
    assert north.values == {
        "u_name": "North",
        "u_opened": "2026-01-31",
        "u_code": "0123",
        "u_active": "true",
        "u_note": "no",
    }
    assert south.sys_id == "0123456789abcdef0123456789abcdef"
    assert first.sys_id == derived_id("u_desk", "first")
    assert first.values["u_room"] == south.sys_id
    assert first.values["u_rooms"] == f"{north.sys_id},{south.sys_id}"
    assert script.values == {"u_script": "gs.info('hello');\n", "u_empty": ""}


def test_a_reference_reaches_apps_read_before(write: Write, tmp_path: Path) -> None:
    keys: Keys = {("u_room", "north"): "a" * 32}
    folder = write(
        {"data/desks.yaml": "- {table: u_desk, records: [{key: a, u_room: ref:u_room/north}]}"}
    )
    assert only(load_app(folder, keys), "u_desk")["u_room"] == "a" * 32
    assert keys[("u_desk", "a")] == derived_id("u_desk", "a")


def test_roles_and_access_rules(write: Write) -> None:
    app = load_app(
        write(
            {
                "roles.yaml": """
desk_admin:
  description: Runs the desks
  includes: [desk_user]
  sys_id: 2831a114c611228501d4ea6c309d626d
desk_user:
""",
                "acls.yaml": """
- {name: u_desk, operations: [read, write], roles: [desk_user]}
- {name: u_desk, operation: delete, roles: [desk_admin]}
- {name: u_desk.u_owner, operation: read, condition: "u_owner=javascript:gs.getUserID()"}
""",
            }
        )
    )
    admin, user = records(app, "sys_user_role")
    assert admin.sys_id == "2831a114c611228501d4ea6c309d626d"
    assert only(app, "sys_user_role_contains") == {"role": admin.sys_id, "contains": user.sys_id}
    rules = records(app, "sys_security_acl")
    assert [(r.values["name"], r.values["operation"], r.values["condition"]) for r in rules] == [
        ("u_desk", "read", ""),
        ("u_desk", "write", ""),
        ("u_desk", "delete", ""),
        ("u_desk.u_owner", "read", "u_owner=javascript:gs.getUserID()"),
    ]
    assert [r.values for r in records(app, "sys_security_acl_role")] == [
        {"sys_security_acl": rules[0].sys_id, "sys_user_role": user.sys_id},
        {"sys_security_acl": rules[1].sys_id, "sys_user_role": user.sys_id},
        {"sys_security_acl": rules[2].sys_id, "sys_user_role": admin.sys_id},
    ]


def test_a_rest_service_with_a_version(write: Write) -> None:
    app = load_app(
        write(
            {
                "rest/desks/service.yaml": """
name: Desks
service_id: desks
namespace: x_acme
versions: [v1]
default_version: v1
resources:
  - {name: One, method: get, path: "/{id}", script: one.js, version: v1}
  - {name: All, method: GET, path: /, script: all.js, version: v1, requires_authentication: false}
""",
                "rest/desks/one.js": "one",
                "rest/desks/all.js": "all",
            }
        )
    )
    (service,) = records(app, "sys_ws_definition")
    (version,) = records(app, "sys_ws_version")
    one, every = records(app, "sys_ws_operation")
    assert service.values["base_uri"] == "/api/x_acme/desks"
    assert (version.values["web_service_definition"], version.values["is_default"]) == (
        service.sys_id,
        "true",
    )
    assert one.values["web_service_version"] == version.sys_id
    assert one.values["operation_uri"] == "/api/x_acme/v1/desks/{id}"
    assert (one.values["http_method"], one.values["operation_script"]) == ("GET", "one")
    assert one.values["requires_authentication"] == "true"
    assert (every.values["operation_uri"], every.values["requires_authentication"]) == (
        "/api/x_acme/v1/desks",
        "false",
    )


def test_an_import_file_becomes_source_map_entries_and_schedule(write: Write) -> None:
    app = load_app(
        write(
            {
                "imports/desks.yaml": """
source: {name: Desks, type: File, format: CSV, csv_delimiter: ";"}
staging: u_desk_import
columns: [u_name, u_note]
map:
  name: Desks to rooms
  target: cmn_location
  fields:
    - {target: name, source: u_name, coalesce: true}
    - {target: city, script: answer = 'Bern';}
schedule: {name: Desks every night, run: weekly, at: 12:30, day_of_week: 2}
"""
            }
        )
    )
    (source,) = records(app, "sys_data_source")
    (transform,) = records(app, "sys_transform_map")
    name, city = records(app, "sys_transform_entry")
    schedule = only(app, "scheduled_import_set")
    assert source.values["import_set_table_name"] == "u_desk_import"
    (staging,) = app.tables
    assert (staging.name, staging.extends) == ("u_desk_import", "sys_import_set_row")
    assert [(field.name, field.max_length) for field in staging.fields] == [
        ("u_name", 255),
        ("u_note", 255),
    ]
    assert name.values["map"] == city.values["map"] == transform.sys_id
    assert (name.values["coalesce"], name.values["source_field"]) == ("true", "u_name")
    assert (city.values["use_source_script"], city.values["source_script"]) == (
        "true",
        "answer = 'Bern';",
    )
    assert (schedule["data_source"], schedule["run_time"]) == (source.sys_id, "1970-01-01 12:30:00")


def test_rules_properties_and_flows(write: Write) -> None:
    flow = "name: Greet\ntrigger: {on: created, table: u_desk}\n"
    app = load_app(
        write(
            {
                "rules/close.yaml": """
name: Close
table: u_desk
update: true
order: 50
condition: u_state=3^EQ
set: {active: false, u_state: 7}
script: close.js
""",
                "rules/close.js": "current.u_closed = true;",
                "properties.yaml": """
desk.limit: 12
desk.mode: {value: fast, type: choicelist, choices: [fast, slow], private: true}
""",
                "flows/greet.yaml": flow,
            }
        )
    )
    rule = only(app, "sys_script")
    assert (rule["when"], rule["action_update"], rule["action_insert"], rule["order"]) == (
        "before", "true", "false", "50",
    )  # fmt: skip
    assert rule["template"] == "active=false^u_state=7"
    assert (rule["advanced"], rule["script"]) == ("true", "current.u_closed = true;")
    limit, mode = (record.values for record in records(app, "sys_properties"))
    assert (limit["name"], limit["value"], limit["is_private"]) == ("desk.limit", "12", "false")
    assert (mode["value"], mode["choices"], mode["is_private"]) == ("fast", "fast,slow", "true")
    greeting = only(app, "sys_hub_flow")
    assert (greeting["internal_name"], greeting["definition"]) == ("greet", flow)


def test_the_content_hash_follows_every_file(write: Write) -> None:
    data = "- {table: u_desk, records: [{key: a, u_script: {file: a.js}}]}"
    folder = write({"tables/u_desk.yaml": TABLE, "data/a.yaml": data, "files/a.js": "one"})
    first = load_app(folder).content_hash
    assert load_app(folder).content_hash == first
    (folder / "files/a.js").write_text("two")
    assert load_app(folder).content_hash != first


MISTAKES: dict[str, tuple[dict[str, str], str, str]] = {
    "unknown file": ({"acl.yaml": ""}, "acl.yaml is no part of an app", "'acls.yaml'"),
    "unknown folder": ({"table/x.yaml": ""}, "table is no part of an app", "'tables'"),
    "not yaml": ({"tables/u.yaml": "a: }"}, "tables/u.yaml, line 1", ""),
    "key given twice": (
        {"tables/u_desk.yaml": TABLE + "  u_name: {}\n"},
        "tables/u_desk.yaml, line 4, column 3: the key 'u_name' is given twice",
        "",
    ),
    "too deep": ({"tables/u.yaml": "[" * 5000}, "nested over 100 levels deep", ""),
    "foreign type": ({"app.yaml": "!!python/name:os.system"}, "app.yaml, line 1", ""),
    "other name ending": ({"tables/u_desk.yml": TABLE}, "tables/u_desk.yml", "end in .yaml"),
    "unknown key of the app": ({"app.yaml": APP + "require: []"}, "app.yaml", "'requires'"),
    "missing key": ({"app.yaml": "name: desk\nlabel: D\n"}, "missing required field `version`", ""),
    "unknown key of a table": (
        {"tables/u_desk.yaml": TABLE + "extend: a"},
        "`extend`",
        "'extends'",
    ),
    "unknown key of a field": (
        {"tables/u_desk.yaml": TABLE + "  u_b: {lable: B}\n"},
        "tables/u_desk.yaml: fields.u_b: Object contains unknown field `lable`",
        "'label'",
    ),
    "wrong type in a field": (
        {"tables/u_desk.yaml": TABLE + "  u_b: {max_length: long}\n"},
        "tables/u_desk.yaml: fields.u_b: Expected `int | null`, got `str`",
        "",
    ),
    "yes is not a boolean": (
        {"tables/u_desk.yaml": TABLE + "  u_b: {mandatory: yes}\n"},
        "fields.u_b: Expected `bool | null`, got `str`",
        "",
    ),
    "unknown field type": (
        {"tables/u_desk.yaml": TABLE + "  u_b: {type: glide_datetime}\n"},
        "field u_b has the unknown type glide_datetime",
        "'glide_date_time'",
    ),
    "reference to nothing": (
        {"tables/u_desk.yaml": TABLE + "  u_b: {type: reference}\n"},
        "field u_b does not say what it refers to",
        "to: TABLE",
    ),
    "unknown storage": ({"tables/u_desk.yaml": TABLE + "storage: wide"}, "'wide'", ""),
    "table under another name": (
        {"tables/u_chair.yaml": TABLE},
        "tables/u_chair.yaml defines the table u_desk",
        "tables/u_desk.yaml",
    ),
    "record without a key": (
        {"data/a.yaml": "- {table: u_desk, records: [{u_b: 1}]}"},
        "neither key, sys_id nor name",
        "Give it a key",
    ),
    "record twice": (
        {
            "data/a.yaml": "- {table: u_desk, records: [{key: a}]}",
            "data/b.yaml": "- {table: u_desk, records: [{key: a}]}",
        },
        "data/b.yaml: the record 'a' of u_desk is defined already, in data/a.yaml",
        "another key",
    ),
    "unknown reference": (
        {"data/a.yaml": "- {table: u_desk, records: [{key: first, u_b: ref:u_desk/frist}]}"},
        "no app has a record 'frist' of u_desk",
        "'first'",
    ),
    "nested value": (
        {"data/a.yaml": "- {table: u_desk, records: [{key: a, u_b: {c: d}}]}"},
        "data/a.yaml: expected a text or {file: NAME}",
        "",
    ),
    "nested list": (
        {"data/a.yaml": "- {table: u_desk, records: [{key: a, u_b: [[c]]}]}"},
        "data/a.yaml: expected a list of texts",
        "",
    ),
    "data is no list": ({"data/a.yaml": "table: u_desk"}, "data/a.yaml: expected a list", ""),
    "missing script": (
        {"data/a.yaml": "- {table: u_desk, records: [{key: a, u_b: {file: no.js}}]}"},
        "data/a.yaml names files/no.js, which does not exist",
        "",
    ),
    "script outside the app": (
        {"data/a.yaml": "- {table: u_desk, records: [{key: a, u_b: {file: ../../secret}}]}"},
        "which is outside the app",
        "",
    ),
    "unknown operation": (
        {"acls.yaml": "- {name: u_desk, operation: raed, roles: [a]}"},
        "acls.yaml[0]: u_desk has no operation 'raed'",
        "'read'",
    ),
    "no operation": (
        {"acls.yaml": "- {name: u_desk, roles: [a]}"},
        "u_desk has no operation ''",
        "Known: read",
    ),
    "rule that never grants": (
        {"acls.yaml": "- {name: u_desk, operation: read}"},
        "u_desk would never grant anything",
        "roles, a condition or a script",
    ),
    "rule with an unknown role": (
        {
            "roles.yaml": "desk_user:",
            "acls.yaml": "- {name: u_desk, operation: read, roles: [desk_usr]}",
        },
        "acls.yaml: no app has a record 'desk_usr' of sys_user_role",
        "'desk_user'",
    ),
    "unknown key of a role": (
        {"roles.yaml": "desk_user: {include: []}"},
        "roles.yaml: desk_user",
        "'includes'",
    ),
    "properties without names": ({"properties.yaml": "- a"}, "properties.yaml: expected names", ""),
    "unknown moment of a rule": (
        {"rules/a.yaml": "{name: A, table: u_desk, when: later}"},
        "rules/a.yaml: Invalid enum value 'later'",
        "",
    ),
    "flow without a name": ({"flows/a.yaml": "steps: []"}, "flows/a.yaml: a flow needs a name", ""),
    "service without a file": ({"rest/a/x.js": ""}, "rest/a/service.yaml cannot be read", ""),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named(mistake: str, write: Write) -> None:
    files, message, hint = MISTAKES[mistake]
    with pytest.raises(InvalidDefinition) as caught:
        load_app(write(files))
    assert message in str(caught.value)
    assert hint in (caught.value.hint or "")


def test_a_folder_without_an_app_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidDefinition, match=r"app\.yaml cannot be read"):
        load_app(tmp_path)
    with pytest.raises(InvalidDefinition, match="is not a folder"):
        load_app(tmp_path / "none")


def test_a_script_that_is_not_text(write: Write) -> None:
    folder = write({"data/a.yaml": "- {table: u, records: [{key: a, b: {file: a.js}}]}"})
    (folder / "files").mkdir()
    (folder / "files/a.js").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidDefinition, match=r"files/a\.js is not UTF-8 text"):
        load_app(folder)
