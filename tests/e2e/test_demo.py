"""The demonstration: all four integrations hold; when one does not, it says which and why."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest
from rich.console import Console
from tests.guard import GUARD

from midspan.demo import alerts, approval, assets, people
from midspan.demo.run import SCENARIOS, demo
from midspan.demo.scenario import Evidence, Say, Scenario, Shown, Stage

TITLES = [scenario.title for scenario in SCENARIOS]


@pytest.mark.slow
def test_all_four_integrations_hold(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "midspan", "demo", "--exit", "--data", str(tmp_path / "demo")],
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "200", "TERM": "dumb"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "All 4 integrations held." in run.stdout
    blocks, table = run.stdout.split("Results: 4 of 4 held")
    for title in TITLES:
        block = blocks.partition(f"✓ {title}")[2].partition("✓")[0]
        for said in ("direction", "went in", "came out", "cause to effect", "look at"):
            assert f"  {said} " in block, f"{title} says nothing of {said}: {block}"
        assert f"│ ✓ │ {title} " in table
    # The instance was never told where the private database is: nothing it wrote names it.
    written = b"".join(
        path.read_bytes() for path in (tmp_path / "demo" / "instance").glob("records.db*")
    )
    assert b"private-database" not in written
    assert b"asset_reader" not in written


class Look:
    """A scenario that only looks at what the ones before it left."""

    def __init__(self) -> None:
        self.page = ""
        self.results: list[Any] = []
        self.evidence: set[str] = set()
        self.flows: dict[str, str] = {}
        self.messages: list[str] = []

    def __call__(self, stage: Stage, say: Say) -> Shown:
        say("looking")
        self.page = httpx.get(f"{stage.url}/", auth=("admin", stage.password), timeout=GUARD).text
        self.results = stage.admin.rows("u_demo_result", "ORDERBYorder")
        found = stage.admin.rows("sys_hub_flow", "active=true", "name,definition")
        self.flows = {flow["name"]: flow["definition"] for flow in found}
        stored = httpx.get(f"{stage.chat}/messages", timeout=GUARD).json()["messages"]
        self.messages = [entry["text"] for entry in stored]
        found = stage.admin.rows("u_demo_evidence", "recordISNOTEMPTY", "table")
        self.evidence = {each["table"] for each in found}
        return Shown("", "", 0.0, (Evidence("The results", "u_demo_result"),))


def looking(look: Look) -> Scenario:
    return Scenario(title="A look", direction="inbound", opened_by="the test", run=look)


def played(folder: Path, *scenarios: Scenario) -> tuple[int, str]:
    out = io.StringIO()
    console = Console(file=out, width=200)
    status = demo(data=folder, exit_after=True, console=console, scenarios=scenarios)
    return status, out.getvalue()


def chat_refuses(stage: Stage, say: Say) -> Shown:
    fault = {"status": 404, "body": "no_service", "times": 100}
    httpx.post(f"{stage.chat}/faults", json=fault, timeout=GUARD).raise_for_status()
    return approval.run(stage, say)


def four_rows_change(stage: Stage, say: Say) -> Shown:
    def changed(line: str) -> None:
        say(line)
        if line.startswith("Three rows change"):
            with psycopg.connect(stage.private["admin"], autocommit=True) as connection:
                connection.execute("UPDATE assets SET os = 'BSD' WHERE serial_number = 'SN-00009'")

    return assets.run(stage, changed)


@pytest.mark.slow
def test_two_flows_use_one_action_and_the_start_page_shows_what_is_stored(tmp_path: Path) -> None:
    look = Look()
    status, said = played(tmp_path / "d", alerts.SCENARIO, approval.SCENARIO, looking(look))
    assert status == 0, said
    users = [name for name, text in look.flows.items() if "action: post_webhook" in text]
    assert len(users) == 2
    assert [text.partition(" ")[0] for text in look.messages if "INC0010001" in text] == [
        "Priority"
    ]
    assert sum(text.startswith("Change CHG") for text in look.messages) == 1
    assert [result["held"] for result in look.results] == ["true", "true"]
    for result in look.results:
        assert result["name"] in look.page
        assert result["came_out"].partition(";")[0] in look.page
    assert look.evidence > {"incident", "change_request", "sys_flow_context"}
    assert "2 of 2 held" in look.page
    assert "INC0010001" in look.page
    assert "slack.post_webhook" in look.page


@pytest.mark.slow
def test_a_broken_scenario_fails_the_demo_and_the_table_says_why(tmp_path: Path) -> None:
    look = Look()
    status, said = played(
        tmp_path / "d",
        alerts.SCENARIO,
        replace(approval.SCENARIO, run=chat_refuses),
        replace(assets.SCENARIO, run=four_rows_change),
        looking(look),
    )
    assert status == 1, said
    table = said.partition("Results: 2 of 4 held")[2]
    assert "integrations held." not in said
    assert f"│ ✓ │ {alerts.SCENARIO.title} " in table
    (refused,) = [line for line in table.splitlines() if approval.SCENARIO.title in line]
    assert "│ ✗ │" in refused
    assert "no_service" in " ".join(table.split())
    (changed,) = [line for line in table.splitlines() if assets.SCENARIO.title[:20] in line]
    assert "│ ✗ │" in changed
    assert "'updates': 4" in " ".join(table.split())
    assert [result["held"] for result in look.results] == ["true", "false", "false"]
    assert "no_service" in look.results[1]["problem"]
    assert "no_service" in look.page
    assert "1 of 3 held" in look.page


@pytest.mark.slow
def test_sigterm_ends_the_processes_of_the_demo_too(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "midspan", "demo", "--data", str(tmp_path / "d")],
        env={**os.environ, "PYTHONUNBUFFERED": "1", "TERM": "dumb"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert demo.stdout is not None
    said = []
    with demo.stdout:
        for line in demo.stdout:
            said.append(line)
            if b"Midspan runs at" in line:
                break
        started = psutil.Process(demo.pid).children(recursive=True)
        demo.terminate()
        assert demo.wait(120) == 130, said
    assert len(started) >= 4, said
    _, alive = psutil.wait_procs(started, timeout=60)
    assert alive == []


def test_an_earlier_demo_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "d" / "instance").mkdir(parents=True)
    status, said = played(tmp_path / "d", people.SCENARIO)
    assert status == 1
    assert "holds an earlier demo" in said
    assert not any((tmp_path / "d" / "instance").iterdir())
