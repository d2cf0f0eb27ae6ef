"""``midspan reset`` and ``midspan snapshot`` against instances as a user starts them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from msgspec import Struct
from tests.guard import GUARD

Start = Callable[..., Any]
PASSWORD = "first password"
SECRET = {"MIDSPAN_ADMIN_PASSWORD": PASSWORD}


class Outcome(Struct):
    status: int
    out: str
    err: str


class Desk:
    """Runs commands against one instance."""

    def __init__(self, url: str) -> None:
        self.url = url

    def run(self, *arguments: str, password: str = PASSWORD) -> Outcome:
        done = subprocess.run(
            [sys.executable, "-m", "midspan", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "MIDSPAN_URL": self.url, "MIDSPAN_PASSWORD": password},
            timeout=GUARD,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def add(self) -> str:
        answer = httpx.post(
            f"{self.url}/api/now/table/incident", json={}, auth=("admin", PASSWORD), timeout=GUARD
        )
        return str(answer.json()["result"]["number"])

    def count(self) -> int:
        answer = httpx.get(
            f"{self.url}/api/now/table/incident", auth=("admin", PASSWORD), timeout=GUARD
        )
        assert answer.status_code == 200
        return len(answer.json()["result"])


def test_the_commands(start: Start) -> None:
    desk = Desk(start("--ephemeral", "--port", "0", **SECRET).ready()["url"])
    desk.add()
    assert desk.run("snapshot", "one").out == "Saved one.\n"
    again = desk.run("snapshot", "save", "one")
    assert again.status == 3
    assert "There is a snapshot one already" in again.err
    back = desk.run("reset")
    assert re.fullmatch(r"Back at the start, in \d+ ms\.\n", back.out), back.err
    assert desk.count() == 0
    assert json.loads(desk.run("snapshot", "restore", "one", "--json").out)["name"] == "one"
    assert desk.count() == 1
    shown = json.loads(desk.run("snapshot", "list", "--json").out)
    assert [each["name"] for each in shown] == ["start", "one"]
    unknown = desk.run("snapshot", "restore", "onee")
    assert (unknown.status, "Did you mean 'one'?" in unknown.err) == (3, True), unknown.err
    assert desk.run("snapshot", "delete", "one").out == "Deleted one.\n"
    assert desk.run("reset", password="wrong").status == 3
    assert desk.count() == 1


def test_an_instance_that_keeps_its_data(start: Start, tmp_path: Path) -> None:
    data = ["--data", str(tmp_path / "data"), "--port", "0"]
    node = start(*data, **SECRET)
    desk = Desk(node.ready()["url"])
    assert desk.add() == "INC0010001"
    refused = desk.run("reset")
    assert refused.status == 3
    assert "--allow-reset" in refused.err
    assert node.stop() == 0
    node = start(*data, "--allow-reset")
    desk = Desk(node.ready()["url"])
    desk.add()
    assert desk.run("snapshot", "two").status == 0
    assert desk.run("reset").status == 0
    assert desk.count() == 1, "as it was when this process started"
    assert node.stop() == 0
    node = start(*data, "--allow-reset")
    desk = Desk(node.ready()["url"])
    assert desk.count() == 1
    assert desk.run("snapshot", "restore", "two").status == 0
    assert desk.count() == 2
    assert node.stop() == 0


def test_postgresql_has_no_way_back(start: Start, postgres_database: str) -> None:
    node = start("--ephemeral", "--allow-reset", "--port", "0", "--database", postgres_database)
    assert node.process.wait(GUARD) == 3
    assert "on PostgreSQL there is no way back" in node.errors.read_text()
