"""Seed files: what they become, and that a mistake is named with file and line, nothing written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from midspan.api.seeding import SEEDED
from midspan.apps.seed import Values, read_seed
from midspan.instance import Instance
from midspan.kernel.errors import Conflict, InvalidDefinition, InvalidRequest
from midspan.kernel.ids import derived_id
from midspan.records import PROPERTIES, RIGHTS, update
from midspan.security import SYSTEM
from midspan.testing import open_instance

SEED = """\
tables:
  u_widget:
    label: Widget
    number: {prefix: WID}
    fields:
      number: {}
      u_name: {label: Name, display: true, mandatory: true}
      u_colour: {choices: {red: Red, blue: Blue}}
      u_owner: {type: reference, to: sys_user}
columns:
  incident:
    u_ticket: {label: Ticket, max_length: 40, choices: [new, old]}
choices:
  incident.category: {printer: Printer}
roles:
  widget_user: {includes: [itil]}
groups:
  Service Desk: {description: First line, roles: [itil]}
users:
  abel.tuter:
    first_name: Abel
    roles: [widget_user]
    groups: [Service Desk]
    password: only for tests
acls:
  - {name: u_widget, operations: [read, write], roles: [widget_user]}
properties:
  glide.sys.default.tz: Europe/Berlin
records:
  u_widget:
    - {key: w1, u_name: First, u_owner: ref:sys_user/abel.tuter}
  incident:
    - key: vpn
      short_description: VPN drops
      category: printer
      u_ticket: new
      assignment_group: ref:sys_user_group/Service Desk
  basic_auth_credentials:
    - {name: inventory, user_name: robot, password: {env: ROBOT_PASSWORD}}
"""
ENVIRONMENT = {"ROBOT_PASSWORD": "sealed and secret", "ABEL_PASSWORD": "from the outside"}
MEMBER = "{key: a, group: ref:sys_user_group/Service Desk, user: ref:sys_user/abel.tuter}"
"""A unique key refuses it: the seed has made him a member."""
USED = "records:\n  incident:\n    - {key: a, impact: {env: NONE}}\n"
Seeding = Callable[..., bool]


@pytest.fixture
def instance() -> Iterator[Instance]:
    with open_instance() as opened:
        yield opened


@pytest.fixture
def seed(instance: Instance, tmp_path: Path) -> Seeding:
    """Return a function that applies texts as seed files."""

    def apply(*texts: str, plain: bool = True) -> bool:
        paths = [tmp_path / f"seed{number}.yaml" for number in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text)
        return instance.seed([read_seed(path) for path in paths], Values(ENVIRONMENT, plain=plain))

    return apply


def test_everything_is_there_and_works_together(instance: Instance, seed: Seeding) -> None:
    assert seed(SEED)
    with instance.records.read(SYSTEM) as records:
        vpn = records.require("incident", derived_id("incident", "vpn"))
        assert (vpn.get("u_ticket"), vpn.get("category")) == ("new", "printer")
        assert vpn.get("number").startswith("INC"), "defaults, numbers and rules apply"
        assert vpn.get("priority") == "5"
        widget = records.require("u_widget", derived_id("u_widget", "w1"))
        assert widget.get("number").startswith("WID")
        assert widget.get("u_owner") == derived_id("sys_user", "abel.tuter")
        category = records.dictionary.table("incident").fields["category"]
        assert category.choices[-1].label == "Printer", "after those that were there"
        assert len(category.choices) > 1
        ticket = records.dictionary.table("incident").fields["u_ticket"]
        assert [choice.value for choice in ticket.choices] == ["new", "old"]
        (robot,) = records.find("basic_auth_credentials", "name=inventory")
        sealed = robot.get("password")
        noted = records.find("sys_installed_record", f"record_id={robot.sys_id}")
        assert [row.get("fields") for row in noted] == ["name,user_name"], "no hash of a secret"
    place = ("basic_auth_credentials", robot.sys_id, "password", sealed)
    assert instance.records.reveal(*place) == "sealed and secret"
    rights = instance.holder.current().part(RIGHTS)
    abel = instance.identities.sign_in("abel.tuter", "only for tests", rights)
    assert abel.roles >= {"widget_user", "itil"}
    assert abel.groups == {derived_id("sys_user_group", "Service Desk")}
    with instance.records.read(abel) as records:
        assert [row.get("u_name") for row in records.find("u_widget", "")] == ["First"]
    assert instance.holder.current().part(PROPERTIES)["glide.sys.default.tz"] == "Europe/Berlin"


def test_later_files_build_on_earlier_ones(instance: Instance, seed: Seeding) -> None:
    more = (
        "records:\n  u_widget:\n    - {key: w2, u_name: Next, u_owner: ref:sys_user/abel.tuter}\n"
    )
    assert seed(SEED, more)
    with instance.records.read(SYSTEM) as records:
        assert len(records.find("u_widget", "u_owner.user_name=abel.tuter")) == 2


@pytest.mark.parametrize(
    ("broken", "problem", "hint"),
    [
        ("recods: {}\n", ":1: a seed has no part 'recods'", "'records'"),
        ("roles:\n- x\n", ":1: Expected `object`, got `array`", None),
        ("tables:\n  u_a:\n    fields:\n      u_b: {tpye: string}\n", ":2: fields.u_b: ", "'type'"),
        ("tables:\n  u_a:\n    fields:\n      u_b: {type: strng}\n", ":4: field u_b", "'string'"),
        ("columns:\n  incidnt:\n    u_b: {}\n", ":3: there is no table incidnt", "'incident'"),
        ("columns:\n  incident:\n    state: {}\n", ":3: incident has a column state", "Give"),
        ("choices:\n  incident.categry: {a: A}\n", ":2: incident has no column", "'category'"),
        ("choices:\n  incident: {a: A}\n", ":2: expected TABLE.COLUMN", None),
        ("roles:\n  x: {includes: [itill]}\n", ":2: no app has a record 'itill'", "'itil'"),
        ("users:\n  x:\n    roles: [itil]\n    groups: [Desk]\n", ":2: no app has a record", None),
        ("users:\n  x: {frist_name: X}\n", ":2: Table sys_user has no field", "'first_name'"),
        ("users:\n  admin: {}\n", ":2: the user admin is there", "MIDSPAN_ADMIN_PASSWORD"),
        ("users:\n  x:\n    password: short\n", ":3: ", None),
        ("users:\n  x:\n    password: {env: NONE}\n", ":3: the variable NONE", "Export NONE"),
        ("acls:\n\n  - {name: incident, operation: raed, roles: [itil]}\n", ":3: ", "'read'"),
        ("records:\n  incident:\n    - {short_description: x}\n", ":3: a record of", "key"),
        ("records:\n  incident:\n    - {key: a}\n    - {key: a}\n", ":4: the record 'a'", "key"),
        ("records:\n  incident:\n    - key: a\n      stat: 1\n", ":3: Table incident", "'state'"),
        ("records:\n  incident:\n    - {key: a, impact: high}\n", ":3: ", None),
        (f"records:\n  sys_user_grmember:\n    - {MEMBER}\n", ":3: Operation Failed", None),
        ("records:\n  incident: [{key: a}\n", "line 3", None),
        (USED, ":3: the variable NONE", "Export NONE"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line_and_nothing_is_written(
    instance: Instance, seed: Seeding, broken: str, problem: str, hint: str | None
) -> None:
    before = set(instance.holder.current().dictionary.tables)
    with pytest.raises(InvalidDefinition) as refused:
        seed(SEED, broken)
    assert problem in refused.value.message
    assert "seed1.yaml" in refused.value.message
    assert hint is None or hint in (refused.value.hint or ""), refused.value.hint
    assert set(instance.holder.current().dictionary.tables) == before
    with instance.records.read(SYSTEM) as records:
        assert records.find("incident", "") == []
        assert records.find("sys_user", "user_name=abel.tuter") == []
    assert seed(SEED), "it may be tried again"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"none\.yaml cannot be read"):
        read_seed(tmp_path / "none.yaml")


def test_passwords_stand_in_seeds_of_ephemeral_instances_only(seed: Seeding) -> None:
    with pytest.raises(InvalidDefinition, match=r"seed0\.yaml:24: a password may stand") as refused:
        seed(SEED, plain=False)
    assert "{env: NAME}" in (refused.value.hint or "")
    outside = SEED.replace("password: only for tests", "password: {env: ABEL_PASSWORD}")
    assert seed(outside, plain=False)


def test_a_seed_is_applied_once_and_never_to_what_was_used(
    instance: Instance, seed: Seeding
) -> None:
    assert seed(SEED)
    admin = {"user_password": "chosen by somebody"}
    with instance.records.write(SYSTEM, enforce=False) as records:
        (found,) = records.find("sys_user", "user_name=admin")
        records.apply(update("sys_user", found.sys_id, admin))
    assert not seed(SEED), "the next start"
    assert not seed("records: {}\n"), "with another file"
    with instance.records.write(SYSTEM, enforce=False) as records:
        (note,) = records.find("sys_properties", f"name={SEEDED}")
        records.apply(update("sys_properties", note.sys_id, {"name": "x.y.z"}))
    with pytest.raises(Conflict, match="used before"):
        seed(SEED)
