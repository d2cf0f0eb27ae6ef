"""The doctor: nothing to say of a sound instance, a finding and a remedy for all that is wrong."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from msgspec import structs

from midspan.api.backup import LAST_BACKUP
from midspan.api.checks import Check, Examined
from midspan.api.doctor import examine
from midspan.dictionary.values import datetime_text
from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.outbound import ALLOW
from midspan.records import ChangeOptions, insert, update
from midspan.security import SYSTEM
from midspan.testing import open_instance

FLOW = """\
name: {name}
trigger: {{table: incident, when: created}}
steps:
  - {{id: note, log: "hello {{{{trigger.record.{field}}}}}"}}
"""
UNCHECKED = ChangeOptions(rules=False)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def instance(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> Iterator[Instance]:
    """Return an open instance on each database in turn."""
    url = new_database() if request.param == "postgresql" else ""
    with open_instance(url, clock=ManualClock()) as opened:
        yield opened


@pytest.fixture
def unused_port() -> Iterator[int]:
    """Return a port that is taken but where nobody listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def found(instance: Instance, name: str, *, kept: bool = False) -> list[Check]:
    """Return what the doctor says under one name; ``kept``: as if the instance kept its data."""
    settings = structs.replace(instance.settings, ephemeral=not kept)
    examined = Examined(
        records=instance.records,
        clock=instance.clock,
        settings=settings,
        outbound=instance.outbound,
        hardening=lambda: {"network": "on"},
    )
    return [check for check in examine(examined) if check.name == name]


def store(instance: Instance, table: str, **values: str) -> str:
    """Insert a record past the rules that would refuse it, as an older release may have left it."""
    with instance.records.write(SYSTEM, enforce=False) as records:
        change = structs.replace(insert(table, values), options=UNCHECKED)
        return records.apply(change).sys_id


def switch_off(instance: Instance, table: str, sys_id: str) -> None:
    with instance.records.write(SYSTEM, enforce=False) as records:
        change = structs.replace(update(table, sys_id, {"active": "false"}), options=UNCHECKED)
        records.apply(change)


def problem(instance: Instance, name: str) -> Check:
    (check,) = found(instance, name)
    assert check.status != "ok"
    assert check.hint
    return check


def is_sound(instance: Instance, name: str) -> bool:
    return [check.status for check in found(instance, name)] == ["ok"]


def test_a_fresh_instance_is_sound(instance: Instance) -> None:
    examined = Examined(
        records=instance.records,
        clock=instance.clock,
        settings=instance.settings,
        outbound=instance.outbound,
        hardening=lambda: {"network": "on"},
    )
    checks = {check.name: check.status for check in examine(examined)}
    clock = checks.pop("clock")
    assert clock == ("ok" if instance.database.dialect.name == "sqlite" else "warning"), "in 2026"
    assert set(checks.values()) == {"ok"}
    assert {"rules", "flows", "maps", "services", "connections", "jobs", "schema"} <= set(checks)


def test_a_rule_that_cannot_run(instance: Instance) -> None:
    rule = store(
        instance, "sys_script", name="Broken", collection="incident", when="before", active="true",
        action_update="true", template="stat=3", order="100",
    )  # fmt: skip
    check = problem(instance, "rules")
    assert check.status == "failed"
    assert "Broken" in check.message
    assert "no field stat" in check.message
    assert rule in check.hint
    switch_off(instance, "sys_script", rule)
    assert is_sound(instance, "rules")


def test_a_flow_whose_field_is_gone(instance: Instance) -> None:
    values = {"active": "true", "status": "published", "type": "flow"}
    good = FLOW.format(name="Good", field="number")
    store(instance, "sys_hub_flow", name="Good", definition=good, **values)
    assert is_sound(instance, "flows")
    bad = FLOW.format(name="Bad", field="nummber")
    flow = store(instance, "sys_hub_flow", name="Bad", definition=bad, **values)
    check = problem(instance, "flows")
    assert check.status == "failed"
    assert "'Bad'" in check.message
    assert "number" in check.message + check.hint
    switch_off(instance, "sys_hub_flow", flow)
    assert is_sound(instance, "flows")


def test_a_map_into_a_table_that_is_not_there(instance: Instance) -> None:
    wrong = store(
        instance, "sys_transform_map", name="Lost", source_table="imp_user", active="true",
        target_table="sys_usr",
    )  # fmt: skip
    check = problem(instance, "maps")
    assert check.status == "failed"
    assert "Lost" in check.message
    assert check.hint == "Did you mean 'sys_user'?"
    switch_off(instance, "sys_transform_map", wrong)
    assert is_sound(instance, "maps")


def test_a_resource_that_never_answers(instance: Instance) -> None:
    service = store(instance, "sys_ws_definition", name="S", service_id="s", active="true")
    values = {"web_service_definition": service, "http_method": "GET", "active": "true"}
    script = "response.setStatus(200)"
    store(instance, "sys_ws_operation", name="One", relative_path="/a/{x}",
          operation_script=script, **values)  # fmt: skip
    assert is_sound(instance, "services")
    twin = store(instance, "sys_ws_operation", name="Two", relative_path="/a/{y}",
                 operation_script=script, **values)  # fmt: skip
    assert "its path and method" in problem(instance, "services").message
    switch_off(instance, "sys_ws_operation", twin)
    empty = store(instance, "sys_ws_operation", name="Three", relative_path="/b", **values)
    assert "its script is empty" in problem(instance, "services").message
    switch_off(instance, "sys_ws_operation", empty)
    switch_off(instance, "sys_ws_definition", service)
    assert "'S' is not active" in problem(instance, "services").message
    with instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(update("sys_ws_definition", service, {"active": "true"}))


def test_a_connection_that_leads_nowhere(instance: Instance, unused_port: int) -> None:
    alias = store(instance, "sys_alias", id="chat", name="Chat")
    assert "no active HTTP connection" in problem(instance, "connections").message
    url = f"http://127.0.0.1:{unused_port}"
    connection = store(
        instance, "http_connection", name="chat", connection_alias=alias, active="true",
        connection_url=url,
    )  # fmt: skip
    assert "not allowed" in problem(instance, "connections").message
    store(instance, "sys_properties", name=ALLOW, value=f"127.0.0.1:{unused_port}")
    instance.holder.refresh()
    assert f"Nobody answers at {url}" in problem(instance, "connections").message
    with instance.records.write(SYSTEM, enforce=False) as records:
        changed = {"use_mid": "true"}
        records.apply(update("http_connection", connection, changed))
    assert is_sound(instance, "connections"), "an agent's matter"


def test_jobs_that_nobody_carries_out(instance: Instance) -> None:
    now = instance.clock.now()
    long_ago = datetime_text(now - timedelta(hours=1))
    rows = [
        {"kind": "late", "state": "scheduled", "run_at": long_ago},
        {"kind": "left", "state": "running", "claimed_by": "node-a", "lease_until": long_ago},
        {"kind": "gave up", "state": "error", "error": "it broke"},
        {"kind": "fine", "state": "scheduled", "run_at": datetime_text(now)},
    ]
    with instance.records.write(SYSTEM, enforce=False) as records:
        for row in rows:
            records.engine_insert("sys_job", [row])
    checks = found(instance, "jobs")
    assert [check.status for check in checks] == ["warning"] * 3
    assert all(check.hint for check in checks)
    said = [check.message for check in checks]
    assert said[0].startswith("late")
    assert "node-a" in said[1]
    assert "it broke" in said[2]


def test_the_age_of_the_newest_backup(instance: Instance) -> None:
    (none,) = found(instance, "backup", kept=True)
    assert (none.status, none.hint) == ("warning", "midspan backup FILE")
    for days, status in ((1, "ok"), (8, "warning")):
        taken = datetime_text(instance.clock.now() - timedelta(days=days))
        with instance.records.write(SYSTEM, enforce=False) as records:
            known = records.first("sys_properties", f"name={LAST_BACKUP}")
            values = {"name": LAST_BACKUP, "value": taken}
            records.apply(
                update("sys_properties", known.sys_id, values)
                if known
                else insert("sys_properties", values)
            )
        (check,) = found(instance, "backup", kept=True)
        assert check.status == status
        assert f"{days} days" in check.message


def test_a_column_and_an_index_that_somebody_dropped(instance: Instance) -> None:
    """The remedy is the statement that makes it, and it works."""
    with instance.database.read() as transaction:
        kind = instance.database.dialect.name
        names = (
            "SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE 'ix_task%'"
            if kind == "sqlite"
            else "SELECT indexname FROM pg_indexes WHERE indexname LIKE 'ix_task%'"
        )
        index = min(row[0] for row in transaction.rows(names))
    with instance.database.write() as transaction:
        transaction.execute(f'DROP INDEX "{index}"')
        transaction.execute('ALTER TABLE "sys_properties" DROP COLUMN "description"')
    checks = found(instance, "schema")
    assert {check.status for check in checks} == {"failed"}
    said = " ".join(check.message for check in checks)
    assert "sys_properties.description" in said
    assert index in said
    with instance.database.write() as transaction:
        for check in checks:
            statement = re.sub("^.* run in the database: ", "", check.hint)
            transaction.execute(statement)
    assert is_sound(instance, "schema")


def test_a_key_that_is_gone(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MIDSPAN_MASTER_KEY", raising=False)
    key = instance.settings.data / "master.key"
    kept = key.rename(key.with_name("elsewhere"))
    check = problem(instance, "master key")
    assert check.status == "failed"
    assert str(key) in check.message + check.hint
    kept.rename(key)
    assert is_sound(instance, "master key")
