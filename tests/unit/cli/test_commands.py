"""The other commands against a served instance, and what needs none."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import zstandard
from tests.guard import GUARD

from midspan.cli.files import write_files
from midspan.cli.imports import source_of
from midspan.kernel.errors import InvalidRequest
from midspan.storage import SqliteDatabase

Run = Callable[..., Any]
PEOPLE = {
    "app.yaml": "name: people\nlabel: People\nversion: 0.1.0\n",
    "imports/people.yaml": (
        "source: {name: People, type: File, format: CSV}\n"
        "staging: u_people\n"
        "columns: [u_login, u_first_name, u_manager, u_seen]\n"
        "map:\n  name: People\n  target: sys_user\n  fields:\n"
        "    - {source: u_login, target: user_name, coalesce: true}\n"
        "    - {source: u_first_name, target: first_name}\n"
        "    - {source: u_manager, target: manager, choice_action: reject,"
        " reference_field: user_name}\n"
        '    - {source: u_seen, target: last_login_time, date_format: "dd/MM/yyyy HH:mm:ss"}\n'
    ),
    "files/people.csv": "login,first name,manager,seen\np1,Ada,,\n",
}
ROWS = (
    b"Login,First name,Manager,Seen\n"
    b"q1,Ann,,31/01/2026 08:00:00\n"
    b"q2,only two\n"
    b"q3,\xff\xfe,,31/01/2026 08:00:00\n"
    b"q4,Ben,,2026-31-01\n"
    b"q5,Cem,nobody,31/01/2026 08:00:00\n"
    b'q6,"Dan"x,,31/01/2026 08:00:00\n'
    b",Fay,,31/01/2026 08:00:00\n"
    b"q7,Eva,q1,31/01/2026 08:00:00\n"
)
BAD = {
    3: "expected 4 columns, found 2",
    4: r"\xff",
    5: "2026-31-01",
    6: "nobody",
    7: "closing quote",
    8: "coalesce",
}


@pytest.fixture(scope="module")
def people(url: str, password: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an app that is applied."""
    folder = tmp_path_factory.mktemp("people")
    write_files(folder, PEOPLE)
    answer = httpx.post(
        f"{url}/api/midspan/v1/apply",
        json={"files": PEOPLE},
        auth=("admin", password),
        timeout=GUARD,
    )
    assert answer.status_code == 200, answer.text
    return folder


def test_each_kind_of_bad_row_is_reported_and_the_others_come_in(
    midspan: Run, people: Path, tmp_path: Path
) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(ROWS)
    done = midspan("import", "run", file, "--source", "People", "--json")
    assert done.status == 0, done.err
    (found,) = done.json["runs"]
    assert found["state"] == "complete_with_errors"
    assert found["totals"] == {
        "total": 8, "inserts": 2, "updates": 0, "ignored": 0, "skipped": 1, "errors": 5,
    }  # fmt: skip
    reasons = {error["row"]: error["reason"] for error in found["errors"]}
    assert sorted(reasons) == sorted(BAD)
    for row, part in BAD.items():
        assert part in reasons[row], row
    shown = midspan("import", "run", file, "--source", "People")
    assert "expected 4 columns, found 2" in shown.out


def test_the_source_of_a_file_inside_an_app_is_known(midspan: Run, people: Path) -> None:
    done = midspan("import", "run", people / "files" / "people.csv")
    assert done.status == 0, done.err
    assert "People" in done.out


def test_a_file_outside_any_app_needs_a_source(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="Which data source"):
        source_of(tmp_path / "files" / "x.csv")


def test_an_unknown_source_names_the_nearest(midspan: Run, people: Path) -> None:
    file = people / "files" / "people.csv"
    refused = midspan("import", "run", file, "--source", "Peple")
    assert refused.status == 3
    assert "Did you mean 'People'?" in refused.err


def test_a_new_user_can_sign_in_and_has_the_roles(midspan: Run, url: str) -> None:
    done = midspan("user", "add", "bob", "--role", "itil", MIDSPAN_NEW_PASSWORD="password of bob")
    assert done.status == 0, done.err
    assert "password of bob" not in done.out
    own = httpx.get(f"{url}/api/now/table/incident", auth=("bob", "password of bob"), timeout=GUARD)
    assert own.status_code == 200
    refused = midspan("doctor", "--user", "bob", MIDSPAN_PASSWORD="password of bob")
    assert refused.status == 3
    assert "User Not Authorized" in refused.err
    again = midspan("user", "add", "bob", MIDSPAN_NEW_PASSWORD="password of bob")
    assert again.status == 3
    wrong = midspan("user", "add", "eve", "--role", "itli", MIDSPAN_NEW_PASSWORD="password of eve")
    assert wrong.status == 3
    assert "Did you mean 'itil'?" in wrong.err


def test_a_backup_opens_and_has_no_master_key(midspan: Run, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar.zst"
    done = midspan("backup", file)
    assert done.status == 0, done.err
    assert file.stat().st_mode & 0o077 == 0
    with _archive(file) as archive:
        archive.extractall(tmp_path / "out", filter="data")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"manifest.json", "records.db"}
    with (
        closing(SqliteDatabase(tmp_path / "out" / "records.db")) as database,
        database.read() as transaction,
    ):
        row = transaction.row("SELECT count(*) FROM sys_user WHERE user_name = 'admin'")
    assert row == (1,)
    again = midspan("backup", file)
    assert again.status == 3
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_doctor_examines(midspan: Run) -> None:
    done = midspan("doctor", "--json")
    assert done.status == 0, done.out
    found = {check["name"]: check["status"] for check in done.json}
    assert found["database"] == found["master key"] == found["outbox"] == "ok"


def test_the_doctor_fails_with_what_failed(
    midspan: Run, url: str, password: str, put: Callable[[str, dict[str, str]], None]
) -> None:
    values = {"name": "Sick", "collection": "incident", "when": "before", "action_update": "true",
              "active": "true", "template": "stat=3"}  # fmt: skip
    answer = httpx.post(
        f"{url}/api/now/table/sys_script", json=values, auth=("admin", password), timeout=GUARD
    )
    assert answer.status_code == 201
    rule = answer.json()["result"]["sys_id"]
    sick = midspan("doctor")
    assert sick.status == 1
    assert "Sick" in sick.out
    assert rule in sick.out, "where to correct it"
    put(f"sys_script/{rule}", {"active": "false"})
    assert midspan("doctor").status == 0


def test_a_token_is_a_link_that_works_once(midspan: Run, url: str) -> None:
    made = midspan("token", "--json").json
    assert made["url"].startswith(f"{url}/setup?token=")
    assert httpx.get(made["url"], timeout=GUARD).status_code == 200
    refused = midspan("token", "bearer")
    assert refused.status == 3
    assert "The only purpose is 'setup'" in refused.err


def test_an_unknown_table_names_the_nearest(midspan: Run) -> None:
    assert "incident" in midspan("tables").out
    refused = midspan("tables", "incidnt")
    assert refused.status == 3
    assert "Did you mean 'incident'?" in refused.err
    assert midspan("export", "--table", "incidnt").status == 3


def test_access_is_explained_rule_by_rule(midspan: Run) -> None:
    refused = midspan("acl", "explain", "guest", "incident", "--operation", "write")
    assert refused.status == 1
    assert refused.out.startswith("refused: write of incident")
    assert "needs one of the roles itil" in refused.out
    allowed = midspan("acl", "explain", "admin", "incident", "--json")
    assert (allowed.status, json.loads(allowed.out)["decision"]) == (0, "allowed")
    unknown = midspan("acl", "explain", "admn", "incident")
    assert (unknown.status, "Did you mean 'admin'?" in unknown.err) == (3, True)


def test_what_goes_wrong_with_the_connection_is_told(midspan: Run) -> None:
    gone = midspan("tables", MIDSPAN_URL="http://127.0.0.1:1")
    assert gone.status == 4
    assert "midspan serve" in gone.err
    wrong = midspan("tables", MIDSPAN_PASSWORD="wrong")
    assert wrong.status == 3
    assert "MIDSPAN_PASSWORD" in wrong.err


def test_a_missing_password_is_told_where_nobody_can_be_asked(offline: Run) -> None:
    refused = offline("tables")
    assert refused.status == 3
    assert "MIDSPAN_PASSWORD" in refused.err


def test_an_unknown_command_is_wrong_usage(offline: Run) -> None:
    wrong = offline("tabels")
    assert wrong.status == 2
    assert "tables" in wrong.err


def test_advice_needs_no_instance_and_writes_a_skeleton(offline: Run, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    facts = ("direction=in", "trigger=once", "volume=10000")
    done = offline("advise", *facts, "--write", folder, "--json")
    assert done.status == 0, done.err
    assert done.json["mechanism"] == "import_set"
    assert (folder / "app.yaml").is_file()
    assert offline("advise", *facts, "--write", folder).status == 3, "never over existing files"
    wrong = offline("advise", "directon=in")
    assert wrong.status == 3
    assert "direction" in wrong.err


def test_a_skeleton_applies(midspan: Run, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    assert midspan("advise", "direction=in", "trigger=once", "volume=10000", "--write", folder)
    applied = midspan("apply", folder, "--yes")
    assert applied.status == 0, applied.err
    done = midspan("import", "run", folder / "files" / "example.csv", "--json")
    assert done.json["runs"][0]["totals"]["errors"] == 0, done.err


def test_flows_are_listed_and_unknown_ones_named(midspan: Run) -> None:
    assert midspan("flow", "list", "--json").json == []
    assert midspan("flow", "runs", "--json").json == []
    unknown = midspan("flow", "runs", "nothing")
    assert unknown.status == 3
    assert "midspan flow list" in unknown.err
    assert midspan("flow", "show", "0" * 32).status == 3
    assert midspan("flow", "test", "nothing", "CHG1").status == 3


def test_the_agent_answers_for_itself(offline: Run, tmp_path: Path) -> None:
    done = offline("mid", "status", "--home", tmp_path)
    assert done.status == 1
    assert "midspan-mid:" in done.err


def test_the_version_is_told_without_loading_anything(offline: Run) -> None:
    done = offline("--version", PYTHONPROFILEIMPORTTIME="1")
    assert re.fullmatch(r"midspan \d+\.\d+\.\d+\n", done.out)
    loaded = {line.rpartition("|")[2].strip() for line in done.err.splitlines()}
    assert "midspan.cli" in loaded
    assert loaded.isdisjoint({"typer", "rich", "httpx", "midspan.instance", "midspan.cli.commands"})


def test_files_stay_in_their_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="outside"):
        write_files(tmp_path / "in", {"../out.yaml": "x"})
    assert not (tmp_path / "out.yaml").exists()


@contextmanager
def _archive(file: Path) -> Iterator[tarfile.TarFile]:
    with (
        file.open("rb") as raw,
        zstandard.ZstdDecompressor().stream_reader(raw) as stream,
        tarfile.open(fileobj=stream, mode="r|") as archive,
    ):
        yield archive
