"""The agent's files: mid.yaml, keys, state, the memory of executed jobs, the allow list."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.guard import GUARD

from midspan_link.protocol import Job
from midspan_mid.access import AllowList
from midspan_mid.catalogue import find_probes, permitted
from midspan_mid.cli import main
from midspan_mid.config import MidConfig, NamedTarget, load_config, password_of
from midspan_mid.errors import InvalidConfig
from midspan_mid.home import Home, write_durably
from midspan_mid.identity import Identity
from midspan_mid.spool import Spool
from midspan_mid.state import AgentState, ExecutedJobs, next_generation, save_state
from midspan_mid.targets import Targets
from midspan_sdk import RetryLater, TargetNotAllowed


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home."""
    home = Home(tmp_path / "mid")
    home.create()
    return home


def _write(home: Home, **values: Any) -> None:
    write_durably(
        home.config, msgspec.json.encode({"url": "https://i.example", "name": "m", **values})
    )


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"alow": []}, "unknown key 'alow'. Did you mean 'allow'?"),
        ({"threads": {"maximum": 3}}, "threads: unknown key 'maximum'"),
        ({"threads": {"max": 0}}, ">= 1"),
        ({"targets": {"a": {"url": "sqlite:///x", "usr": "b"}}}, "targets.a: unknown key 'usr'"),
        ({"targets": {"a": {"url": "mysql://h/x"}}}, "targets.a: There is no reader for 'mysql'"),
        ({"targets": {"a": {"url": "postgresql://u:p@h/x"}}}, "must not hold a password"),
        (
            {"targets": {"a": {"url": "postgresql://h/x", "password": "p", "password_env": "E"}}},
            "gives the password twice",
        ),
        ({"targets": {"a": {"url": "postgresql://h/x", "password_file": "no"}}}, "cannot be read"),
        ({"allow": ["http://x"]}, "allow: 'http://x'"),
        ({"allow": ["db:99999"]}, "outside 1-65535"),
        ({"allow": ["sqlite:data.db"]}, "absolute path"),
        ({"url": "http://i.example"}, "insecure_http: true"),
        ({"url": "ftp://i.example"}, "no http or https"),
        ({"name": 7}, "Expected `str`"),
    ],
)
def test_a_wrong_configuration_is_refused(home: Home, values: Any, text: str) -> None:
    _write(home, **values)
    with pytest.raises(InvalidConfig) as caught:
        load_config(home)
    assert text in caught.value.explain()


def test_broken_yaml_and_a_missing_file_are_named(home: Home) -> None:
    with pytest.raises(InvalidConfig, match="cannot be read"):
        load_config(home)
    home.config.write_text("url: [")
    with pytest.raises(InvalidConfig, match="not valid YAML"):
        load_config(home)


def test_secrets_in_readable_files_are_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    target = {"url": "postgresql://db/x", "user": "u"}
    _write(home, targets={"a": {**target, "password": "p"}})
    assert password_of("a", load_config(home).targets["a"], home) == "p"
    home.config.chmod(0o644)
    with pytest.raises(InvalidConfig) as caught:
        load_config(home)
    assert caught.value.hint == f"chmod 600 {home.config}"
    _write(home, targets={"a": {**target, "password_file": "a.password"}})
    write_durably(home.root / "a.password", b"from file\n")
    assert password_of("a", load_config(home).targets["a"], home) == "from file"
    monkeypatch.setenv("A_PASSWORD", "from env")
    assert password_of("a", NamedTarget(url="x", password_env="A_PASSWORD"), home) == "from env"


def test_the_key_file_is_private_and_survives(home: Home) -> None:
    identity = Identity.generate()
    identity.save(home)
    assert stat.S_IMODE(home.key.stat().st_mode) == 0o600
    again = Identity.load(home)
    assert (again.signing_text, again.sealing_text) == (
        identity.signing_text,
        identity.sealing_text,
    )
    home.key.chmod(0o640)
    with pytest.raises(InvalidConfig, match="others may read"):
        Identity.load(home)


def test_the_generation_rises_on_disk_first(home: Home) -> None:
    save_state(home, AgentState("a" * 32, "https://i.example"))
    assert [next_generation(home).generation for _ in range(3)] == [1, 2, 3]


def test_executed_jobs_survive_half_a_line(home: Home) -> None:
    ExecutedJobs(home).add("a" * 32)
    with home.executed.open("a") as file:
        file.write("bbbb")  # the crash
    ExecutedJobs(home).add("c" * 32)
    again = ExecutedJobs(home)
    assert "a" * 32 in again
    assert "c" * 32 in again
    assert "bbbb" not in again


def test_the_spool_forgets_what_was_cut_off_before_it_began(home: Home) -> None:
    spool = Spool(home.spool, 1000)
    spool.claim(Job("a" * 32, 1, 30, "ping")).add_block(0, b"x" * 10)
    (home.spool / ("b" * 32)).mkdir()
    (found,) = Spool(home.spool, 1000).left_over()
    assert (found.job.id, found.started, found.bytes_held) == ("a" * 32, False, 10)
    assert [path.name for path in home.spool.iterdir()] == ["a" * 32]


def test_a_full_spool_waits_until_the_instance_took_something(home: Home) -> None:
    async def scenario() -> None:
        spool = Spool(home.spool, 10)
        held = spool.claim(Job("a" * 32, 1, 30, "ping"))
        held.add_block(0, b"x" * 10)
        waiting = asyncio.create_task(spool.room())
        await asyncio.wait([waiting], timeout=0.02)
        assert not waiting.done()
        held.drop_blocks_below(1)
        await asyncio.wait_for(waiting, GUARD)
        assert spool.bytes_held == 0

    asyncio.run(scenario())


def test_capabilities_and_topics_are_limited_locally() -> None:
    found = find_probes()
    assert sorted(found) == ["JDBCProbe", "RESTProbe", "ping"]
    assert list(permitted(found, MidConfig("u", "n", capabilities=["PING"]))) == ["ping"]
    assert list(permitted(found, MidConfig("u", "n", topics=["JDBCProbe"]))) == ["JDBCProbe"]
    with pytest.raises(InvalidConfig) as caught:
        permitted(found, MidConfig("u", "n", topics=["JDBCPrope"]))
    assert caught.value.hint == "Did you mean 'JDBCProbe'?"


def _allow(*lines: str) -> AllowList:
    return AllowList.parse(lines, "/etc/mid.yaml")


NAMES = {
    "db.corp": ["10.0.0.5"],
    "web.corp": ["10.0.0.6", "192.168.1.1"],
    "evil.example": ["169.254.169.254"],
}


@pytest.mark.parametrize(
    ("rules", "host", "port"),
    [
        (["db.corp:5432"], "DB.corp.", 5432),
        (["*.corp:5000-6000"], "db.corp", 5432),
        (["10.0.0.0/24:5432"], "db.corp", 5432),
        (["10.0.0.0/24:5432"], "10.0.0.9", 5432),
        (["db.corp:5432"], "db.corp", 0),
    ],
)
def test_what_a_rule_allows(rules: list[str], host: str, port: int) -> None:
    names = {**NAMES, "DB.corp.": ["10.0.0.5"]}
    assert _allow(*rules).addresses(host, port, lambda host, port: names[host])


@pytest.mark.parametrize(
    ("rules", "host", "port"),
    [
        ([], "db.corp", 5432),
        (["db.corp:5432"], "db.corp", 5433),
        (["db.corp"], "xdb.corp", 5432),
        (["*.corp"], "corp", 80),
        (["10.0.0.0/24"], "web.corp", 80),
        (["evil.example"], "evil.example", 80),
        (["8.8.8.0/24"], "8.8.4.4", 53),
        (["10.0.0.0/24"], "::ffff:10.0.1.1", 53),
    ],
)
def test_what_no_rule_allows(rules: list[str], host: str, port: int) -> None:
    with pytest.raises(TargetNotAllowed) as caught:
        _allow(*rules).addresses(host, port, lambda host, port: NAMES[host])
    assert host in caught.value.message
    assert "/etc/mid.yaml" in str(caught.value.detail)


def test_a_name_that_no_rule_can_hold_is_not_even_resolved() -> None:
    def resolve(host: str, port: int) -> list[str]:
        raise AssertionError("the name service was asked")

    with pytest.raises(TargetNotAllowed):
        _allow("db.corp:5432").addresses("secret-data.attacker.example", 5432, resolve)


def test_files_and_sockets_are_allowed_by_path(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "deep").mkdir(parents=True)
    (tmp_path / "outside.db").touch()
    (data / "link.db").symlink_to(tmp_path / "outside.db")
    allow = _allow(f"sqlite:{data}/*.db", "unix:/run/postgresql")
    allow.check_file(str(data / "a.db"))
    allow.check_socket("/run/postgresql")
    for path in (data / "link.db", data / "deep" / "a.db", data / "a.txt", tmp_path / "outside.db"):
        with pytest.raises(TargetNotAllowed, match="sqlite:"):
            allow.check_file(str(path))
    with pytest.raises(TargetNotAllowed, match="unix:/srv/sockets"):
        allow.check_socket("/srv/sockets")


def test_a_named_target_hides_its_secret_and_pins_its_address(home: Home) -> None:
    named = {"inventory": NamedTarget("postgresql://db.corp/assets", user="u", password="hunter2")}
    targets = Targets(home, named, _allow(), lambda host, port: NAMES[host])
    target = targets.find("inventory")
    assert (target.host, target.port, target.attributes["addresses"]) == (
        "db.corp",
        5432,
        "10.0.0.5",
    )
    assert target.secret is not None
    assert target.secret["password"] == "hunter2"
    assert "hunter2" not in repr(target)
    with pytest.raises(TargetNotAllowed) as caught:
        targets.find("inventry")
    assert caught.value.detail == "Did you mean 'inventory'?"


def test_an_unknown_name_is_tried_later() -> None:
    with pytest.raises(RetryLater, match=r"nowhere\.invalid"):
        _allow("nowhere.invalid:1").addresses("nowhere.invalid", 1)


def test_commands_without_an_enrolment_say_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("run", "status"):
        assert main([command, "--home", str(tmp_path / "none")]) == 1
        assert "midspan mid enrol" in capsys.readouterr().err
    url = "http://127.0.0.1:9"
    arguments = ["enrol", "--url", url, "--code", "x", "--home", str(tmp_path / "mid")]
    assert main(arguments) == 1
    assert "does not answer" in capsys.readouterr().err
