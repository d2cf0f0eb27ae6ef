"""Opens the database of each release with the code of today, on both databases.

What users made and changed has to be there afterwards, and what the present code needs, too.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
import zstandard

import midspan_apps
from midspan.api.checks import Examined
from midspan.api.upkeep import schema
from midspan.apps.bootstrap import upgrade
from midspan.apps.load import BUILT_IN, builtin_apps, load_app
from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.kernel.settings import Settings
from midspan.records import RIGHTS, delete, insert, update
from midspan.security import SYSTEM
from midspan.storage.dialect import POSTGRESQL_SETUP

HERE = Path(__file__).parent
RELEASES = sorted(path.name for path in HERE.iterdir() if (path / "sqlite.json").is_file())
KEY = "bWlkc3BhbiByZWxlYXNlIGZpeHR1cmUga2V5IDAwMSE="
PASSWORD, SECRET = "kept password", "kept secret"


@pytest.fixture(scope="module", params=RELEASES)
def release(request: pytest.FixtureRequest) -> Path:
    """Return the folder of one release."""
    return HERE / str(request.param)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def upgraded(
    request: pytest.FixtureRequest,
    release: Path,
    tmp_path_factory: pytest.TempPathFactory,
    new_database: Callable[..., str],
) -> Iterator[tuple[Instance, dict[str, Any]]]:
    """Return the release's instance, opened by this code, and what it has to hold."""
    data = tmp_path_factory.mktemp("upgraded")
    url = ""
    if request.param == "sqlite":
        (data / "records.db").write_bytes(_unpacked(release / "records.db.zst"))
    else:
        url = new_database(empty=True)
        load_sql(url, _unpacked(release / "records.sql.zst").decode())
    expected = json.loads((release / f"{request.param}.json").read_text())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIDSPAN_MASTER_KEY", KEY)
        instance = Instance(Settings(data=data, database=url), clock=ManualClock())
    yield instance, expected
    instance.close()


def _unpacked(file: Path) -> bytes:
    return zstandard.ZstdDecompressor().decompress(file.read_bytes())


def load_sql(url: str, text: str) -> None:
    """Run a plain dump: statements as they are, rows through COPY.

    Left out is what belongs to the server that wrote it: its settings, psql's own commands, and
    the collation, which each server makes from what it has.
    """
    with psycopg.connect(url) as connection:
        connection.execute(POSTGRESQL_SETUP)
        statements: list[str] = []
        lines = iter(text.split("\n"))
        for line in lines:
            if line.startswith("COPY "):
                connection.execute("\n".join(statements).encode())
                statements = []
                with connection.cursor().copy(line.encode()) as copy:
                    while (row := next(lines)) != "\\.":
                        copy.write(f"{row}\n")
            elif not line.startswith(("\\", "SET ", "CREATE COLLATION ", "--")):
                statements.append(line)
        connection.execute("\n".join(statements).encode())
        connection.execute("SELECT pg_catalog.set_config('search_path', 'public', false)")


def test_there_is_a_fixture() -> None:
    assert RELEASES


def test_rows_of_users_are_there(upgraded: tuple[Instance, dict[str, Any]]) -> None:
    instance, expected = upgraded
    with instance.records.read(SYSTEM, enforce=False) as records:
        for sys_id, number, text in expected["incidents"]:
            incident = records.require("incident", sys_id)
            assert incident.get("number") == number
            assert incident.get("short_description") == text
            assert incident.get("caller_id") == expected["user"]
            assert incident.get("priority") == "1"
            notes = records.find("sys_journal_field", f"element_id={sys_id}")
            assert [note.get("value") for note in notes] == [text.replace("kept", "note")]
        table, sys_id, values = expected["own_table"]
        own = records.require(table, sys_id)
        assert {name: own.get(name) for name in values} == values


def test_numbers_go_on(upgraded: tuple[Instance, dict[str, Any]]) -> None:
    instance, expected = upgraded
    with instance.records.write(SYSTEM, enforce=False) as records:
        made = records.apply(insert("incident", {"short_description": "after"}))
        number = records.require("incident", made.sys_id).get("number")
    assert number > max(each[1] for each in expected["incidents"])


def test_people_and_secrets_are_there(upgraded: tuple[Instance, dict[str, Any]]) -> None:
    instance, expected = upgraded
    rights = instance.holder.current().part(RIGHTS)
    actor = instance.identities.sign_in("kept", PASSWORD, rights)
    assert actor.sys_id == expected["user"]
    assert "itil" in actor.roles
    table, credential = "basic_auth_credentials", expected["credential"]
    with instance.records.read(SYSTEM, enforce=False) as records:
        stored = records.require(table, credential).get("password")
    assert instance.records.reveal(table, credential, "password", stored) == SECRET


def test_what_was_customised_is_kept_and_known_as_such(
    upgraded: tuple[Instance, dict[str, Any]],
) -> None:
    instance, expected = upgraded
    with instance.records.read(SYSTEM, enforce=False) as records:
        for table, sys_id, values in expected["customized"]:
            record = records.require(table, sys_id)
            assert {name: record.get(name) for name in values} == values
            noted = records.first("sys_installed_record", f"record_id={sys_id}")
            assert noted is not None
            assert noted.get("customized") == "true"


def test_everything_this_release_ships_is_there(
    upgraded: tuple[Instance, dict[str, Any]],
) -> None:
    instance, _ = upgraded
    examined = Examined(records=instance.records, clock=instance.clock, settings=instance.settings)
    assert [check.status for check in schema(examined)] == ["ok"]
    dictionary = instance.holder.current().dictionary
    with instance.records.read(SYSTEM, enforce=False) as records:
        for app in builtin_apps():
            assert {spec.name for spec in app.tables} <= set(dictionary.tables)
            for record in app.records:
                there = records.load(record.table, [record.sys_id])
                assert record.sys_id in there, record.file


def test_the_second_start_changes_nothing(upgraded: tuple[Instance, dict[str, Any]]) -> None:
    instance, _ = upgraded
    assert upgrade(instance.records, builtin_apps()) == []


@pytest.fixture
def next_release(tmp_path: Path) -> Path:
    """Return the folder of built-in apps as a release after this one might ship them."""
    root = Path(str(shutil.copytree(_builtin(), tmp_path / "apps")))
    _edit(root / "platform/app.yaml", lambda app: app.update(version="99.0.0"))
    _edit(
        root / "platform/tables/cmn_location.yaml",
        lambda table: table["fields"].update(what3words={"label": "Three words", "index": True}),
    )
    new = {"table": "platform_news", "label": "News", "fields": {"name": {"label": "Headline"}}}
    (root / "platform/tables/platform_news.yaml").write_text(yaml.safe_dump(new))
    record = {"key": "first", "name": "Read all about it"}
    rows = [{"table": "platform_news", "records": [record]}]
    (root / "platform/data/news.yaml").write_text(yaml.safe_dump(rows))
    acls = root / "platform/acls.yaml"
    text = acls.read_text()
    assert "Companies are referenced" in text
    assert "Locations are referenced" in text
    text = text.replace("Companies are referenced", "Now companies are referenced")
    acls.write_text(text.replace("Locations are referenced", "Now locations are referenced"))
    return root


def _builtin() -> Path:

    return Path(str(midspan_apps.__file__)).parent


def _edit(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = yaml.safe_load(file.read_text())
    change(content)
    file.write_text(yaml.safe_dump(content, sort_keys=False))


def test_the_release_after_this_one(
    upgraded: tuple[Instance, dict[str, Any]], next_release: Path
) -> None:
    """A new version, column, table and record arrive; what is untouched changes, the rest stays."""
    instance, expected = upgraded
    with instance.records.write(SYSTEM, enforce=False) as records:
        mine = records.first("sys_security_acl", "name=core_company^operation=read")
        assert mine is not None
        gone = records.first("sys_security_acl", "name=oauth_entity.user^operation=write")
        assert gone is not None
        other = records.first("sys_security_acl", "name=cmn_department^operation=read")
        assert other is not None
        records.apply(delete("sys_security_acl", gone.sys_id))
        records.apply(update("sys_security_acl", other.sys_id, {"condition": "name=x"}))
    keys: dict[tuple[str, str], str] = {}
    apps = [load_app(next_release / name, keys) for name in BUILT_IN]
    assert upgrade(instance.records, apps) == ["platform"]
    with instance.records.write(SYSTEM, enforce=False) as records:
        place = records.apply(insert("cmn_location", {"name": "x", "what3words": "a.b.c"})).sys_id
        assert records.require("cmn_location", place).get("what3words") == "a.b.c"
        news = records.find("platform_news", "")
        assert [row.get("name") for row in news] == ["Read all about it"]
        company = records.require("sys_security_acl", mine.sys_id)
        assert company.get("description").startswith("Now companies")
        noted = records.first("sys_installed_record", f"record_id={mine.sys_id}")
        assert noted is not None
        assert (noted.get("version"), noted.get("app")) == ("99.0.0", "platform")
        for table, sys_id, values in expected["customized"]:
            record = records.require(table, sys_id)
            assert {name: record.get(name) for name in values} == values
        assert records.get("sys_security_acl", gone.sys_id) is None, "deleted is changed, too"
        assert records.require("sys_security_acl", other.sys_id).get("condition") == "name=x"
    assert upgrade(instance.records, apps) == []
