"""From a database only the agent can reach to servers in the CMDB, over a real socket."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from tests.guard import GUARD

from midspan.ecc.errors import NoAgent
from midspan.security import SYSTEM
from midspan.testing import open_instance
from midspan_link import protocol

from .mid_lab import AgentProcess, PrivateDatabase, Site, serving, until

NUMBERS = itertools.count(1)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> Iterator[Site]:
    url = new_database() if request.param == "postgresql" else ""
    with open_instance(url) as instance, serving(instance) as site:
        yield site


@pytest.fixture(scope="module")
def private_url(new_database: Callable[..., str]) -> str:
    return new_database(empty=True)


@pytest.fixture
def key() -> str:
    return f"k{next(NUMBERS)}"


@pytest.fixture
def assets(private_url: str, key: str) -> PrivateDatabase:
    return PrivateDatabase(private_url, key, 300)


@pytest.fixture
def agent(site: Site, tmp_path: Path, key: str, assets: PrivateDatabase) -> Iterator[AgentProcess]:
    """An enrolled, validated agent that runs and knows the target ``inventory``."""
    made = AgentProcess(site, tmp_path, f"mid-{key}")
    assert made.enrol(site.enrolments.issue_code(made.name, SYSTEM).code) == 0
    closed = {"url": "postgresql://127.0.0.1:9/assets", "user": "reader"}
    made.configure(targets={"inventory": assets.target(), "closed": closed})
    site.enrolments.validate(made.name, SYSTEM)
    made.start()
    yield made
    if made.running:
        made.end()


def mid_of(site: Site, agent: AgentProcess) -> str:
    (row,) = site.find("ecc_agent", f"name={agent.name}")
    return str(row["sys_id"])


def test_rows_arrive_once_and_a_second_pull_updates_what_changed(
    site: Site, agent: AgentProcess, assets: PrivateDatabase, key: str
) -> None:
    site.source(
        key, f"u_{key}", mid_server=mid_of(site, agent), mid_target="inventory",
        table_name="servers",
    )  # fmt: skip
    first = site.relay.run_now(key)
    state = asyncio.run(site.relay.finished(first, within=timedelta(seconds=GUARD)))
    assert state == "processed"
    assert site.totals(first) == (300, 0, 0, 0, 300)
    servers = site.find("cmdb_ci_server", f"serial_numberSTARTSWITH{key}-")
    assert len(servers) == 300
    assert {row["serial_number"]: row["name"] for row in servers}[f"{key}-7"] == f"host\t{key} 7"
    assets.change([3, 77, 299])
    second = site.relay.run_now(key)
    assert site.finished(second)["state"] == "processed"
    assert site.totals(second) == (0, 3, 297, 0, 300)
    renamed = site.find("cmdb_ci_server", f"serial_numberSTARTSWITH{key}-^nameSTARTSWITHrenamed")
    assert len(renamed) == 3
    assert site.find("ecc_block", f"output={second.output}") == []
    (job,) = site.find("ecc_queue", f"sys_id={second.output}")
    assert (job["state"], job["output_rows"], job["attempts"]) == ("processed", "300", "1")
    assert "password" not in job["payload"]
    (answer,) = site.find("ecc_queue", f"response_to={second.output}")
    assert (answer["queue"], answer["state"]) == ("input", "processed")


def test_values_of_a_foreign_database_fit_fields_of_every_type(
    site: Site, agent: AgentProcess, key: str
) -> None:
    statement = rf"""
        SELECT '{key}' AS serial, E'tab\there\nline\\back \\N ü 漢 😀' AS name, 16 AS ram,
          true AS yes, false AS no, 12345678901234567.89::numeric AS cost, NULL::text AS nothing,
          TIMESTAMPTZ '2024-03-31 02:30:00.25+02' AS seen, TIMESTAMP '2024-03-31 02:30:00' AS wall,
          DATE '2024-02-29' AS day, '\x00ff'::bytea AS raw, ARRAY['a,b', NULL] AS list,
          '{{"a": [1]}}'::json AS doc"""
    source = {"query": "Specific SQL", "sql_statement": statement, "mid_target": "inventory"}
    site.source(key, f"u_{key}", mid_server=mid_of(site, agent), **source)
    (found,) = site.find("sys_transform_map", f"name={key}")
    more = {
        "virtual": "u_yes", "monitor": "u_no", "cost": "u_cost", "last_discovered": "u_seen",
        "start_date": "u_wall", "attributes": "u_doc", "asset_tag": "u_nothing",
    }  # fmt: skip
    for target, column in more.items():
        entry = {"map": found["sys_id"], "target_field": target, "source_field": column}
        site.add("sys_transform_entry", entry)
    load = site.relay.run_now(key)
    assert site.finished(load)["state"] == "processed"
    assert site.totals(load) == (1, 0, 0, 0, 1)
    (server,) = site.find("cmdb_ci_server", f"serial_number={key}")
    assert {name: server[name] for name in (*more, "name", "ram")} == {
        "virtual": "true", "monitor": "false", "cost": "12345678901234567.89",
        "last_discovered": "2024-03-31 00:30:00", "start_date": "2024-03-31 02:30:00",
        "attributes": '{"a": [1]}', "asset_tag": "", "ram": "16",
        "name": "tab\there\nline\\back \\N ü 漢 😀",
    }  # fmt: skip
    (staged,) = site.find(f"u_{key}", "")
    assert [staged[name] for name in ("u_day", "u_raw", "u_list")] == [
        "2024-02-29", r"\x00ff", '{"a,b",NULL}',
    ]  # fmt: skip


def test_wrong_used_and_unreadable_codes_are_refused_alike(
    site: Site, tmp_path: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = site.enrolments.issue_code(key, SYSTEM).code
    assert AgentProcess(site, tmp_path, "first").enrol(code) == 0
    assert AgentProcess(site, tmp_path, "second").enrol(code) == 1
    used = capsys.readouterr().err
    assert AgentProcess(site, tmp_path, "third").enrol("wrong") == 1
    wrong = capsys.readouterr().err
    assert used == wrong
    assert "code" in used


def test_an_agent_that_nobody_validated_gets_no_job_until_somebody_does(
    site: Site, agent: AgentProcess, key: str
) -> None:
    site.enrolments.invalidate(agent.name, SYSTEM)
    site.source(
        key, f"u_{key}", mid_server=mid_of(site, agent), mid_target="inventory",
        table_name="servers",
    )  # fmt: skip
    until(lambda: site.enrolments.find(mid_of(site, agent)).status == "Up")
    load = site.relay.run_now(key)
    (job,) = site.find("ecc_queue", f"sys_id={load.output}")
    assert "is not validated" in job["selection_reason"]
    until(lambda: "waiting to be validated" in agent.log.read_text())
    assert site.find("ecc_queue", f"sys_id={load.output}")[0]["state"] == "ready"
    site.enrolments.validate(agent.name, SYSTEM)
    assert site.finished(load)["state"] == "processed"


def test_a_killed_agent_goes_on_and_every_row_is_there_once(
    site: Site, agent: AgentProcess, key: str
) -> None:
    slow = (
        "SELECT s.serial, s.name, s.ram FROM servers s, "
        "LATERAL (SELECT pg_sleep(0.01 + 0 * s.ram)) AS w"
    )
    site.source(
        key, f"u_{key}", mid_server=mid_of(site, agent), mid_target="inventory",
        query="Specific SQL", sql_statement=slow,
    )  # fmt: skip
    load = site.relay.run_now(key)
    until((agent.home.spool / load.output / "started").exists)
    assert agent.end(signal.SIGKILL) == -signal.SIGKILL
    agent.start()
    assert site.finished(load)["state"] == "processed"
    assert site.totals(load) == (300, 0, 0, 0, 300)
    (job,) = site.find("ecc_queue", f"sys_id={load.output}")
    assert int(job["fence"]) >= 2
    assert len(site.find(f"u_{key}", f"sys_import_set={load.import_set}")) == 300


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"connection_url": "postgresql://db.example.com/x", "table_name": "t"}, "not allowed"),
        ({"mid_target": "nowhere", "table_name": "t"}, "no target named"),
        ({"mid_target": "closed", "table_name": "t"}, "127.0.0.1:9"),
        ({"mid_target": "inventory", "table_name": "missing"}, "missing"),
    ],
)
def test_what_the_agent_cannot_read_ends_the_import_with_its_words(
    site: Site, agent: AgentProcess, key: str, values: dict[str, str], told: str
) -> None:
    site.source(key, f"u_{key}", mid_server=mid_of(site, agent), **values)
    load = site.relay.run_now(key)
    ended = site.finished(load)
    assert ended["state"] == "error"
    assert told in ended["message"]
    assert site.find("sys_import_set_run", f"set={load.import_set}") == []


@pytest.mark.parametrize("by_alias", [True, False])
def test_a_secret_reaches_the_agent_sealed_and_nowhere_else(
    site: Site, agent: AgentProcess, assets: PrivateDatabase, key: str, by_alias: bool
) -> None:
    target = assets.target()
    place = target["url"].partition("host=")[2]
    rule = f"unix:{place}" if place else target["url"].split("/")[2]
    agent.end()
    agent.configure(allow=[rule])
    agent.start()
    user, password = target["user"], target.get("password", f"secret of {key}")
    values = {"connection_url": target["url"], "table_name": "servers"}
    if by_alias:
        alias = site.add("sys_alias", {"id": f"db.{key}", "name": key, "type": "credential"})
        secret = {"name": key, "credential_alias": alias, "active": "true"}
        secret |= {"user_name": user, "password": password}
        site.add("basic_auth_credentials", secret)
        values |= {"credential_alias": f"db.{key}"}
    else:
        values |= {"jdbc_user_name": user, "jdbc_password": password}
    site.source(key, f"u_{key}", mid_server=mid_of(site, agent), **values)
    load = site.relay.run_now(key)
    ended = site.finished(load)
    assert (ended["state"], ended["message"]) == ("processed", "")
    assert site.totals(load) == (300, 0, 0, 0, 300)
    rows = site.find("ecc_queue", f"sys_id={load.output}^ORresponse_to={load.output}")
    assert password not in "".join("".join(row.values()) for row in rows)
    assert password not in agent.log.read_text()


def test_without_a_suitable_agent_nothing_is_started(site: Site, key: str) -> None:
    site.source(key, f"u_{key}", mid_target="inventory", table_name="servers")
    for row in site.find("ecc_agent", ""):
        site.enrolments.invalidate(row["sys_id"], SYSTEM)
    before = len(site.find("sys_import_set", ""))
    with pytest.raises(NoAgent, match="JDBC"):
        site.relay.run_now(key)
    assert len(site.find("sys_import_set", "")) == before


def test_requests_without_a_good_signature_are_refused(site: Site, agent: AgentProcess) -> None:
    poll = f"{site.url}{protocol.BASE}/poll"
    bare = httpx.post(poll, content=b"{}", timeout=GUARD)
    assert (bare.status_code, bare.json()["error"]["code"]) == (401, "malformed")
    headers = {
        "X-Midspan-Mid": mid_of(site, agent),
        "X-Midspan-Generation": "1",
        "X-Midspan-Timestamp": "1",
        "X-Midspan-Nonce": "n",
        "X-Midspan-Signature": "AAAA",
    }
    forged = httpx.post(poll, content=b"{}", headers=headers, timeout=GUARD)
    assert (forged.status_code, forged.json()["error"]["code"]) == (401, protocol.CODE_SIGNATURE)
    headers["X-Midspan-Mid"] = "0" * 32
    stranger = httpx.post(poll, content=b"{}", headers=headers, timeout=GUARD)
    assert stranger.json()["error"]["code"] == protocol.CODE_UNKNOWN_MID
    large = httpx.post(f"{site.url}{protocol.BASE}/enrol", content=b"x" * 100_000, timeout=GUARD)
    assert large.status_code == 413
