"""``midspan script`` against a served instance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from tests.guard import GUARD

Run = Callable[..., Any]


def test_a_script_runs_as_somebody_else(midspan: Run, tmp_path: Path, url: str) -> None:
    done = midspan("user", "add", "runner", MIDSPAN_NEW_PASSWORD="a long password")
    assert done.status == 0, done.err
    script = tmp_path / "make.js"
    script.write_text(
        "gs.info('I am {0}', gs.getUserName()); gs.warn('careful');\n"
        "var gr = new GlideRecord('incident'); gr.initialize();\n"
        "gr.short_description = 'made by script'; gr.insert();\n"
        "({made: gr.getValue('short_description')})"
    )
    done = midspan("script", "run", script, "--as", "runner")
    assert done.status == 0, done.err
    assert done.out.splitlines()[:2] == [
        "*** Script: I am runner",
        "*** Script: warning: careful",
    ]
    assert '"made": "made by script"' in done.out
    assert "1 writes, as runner" in done.err
    found = midspan("script", "run", script, "--as", "runner", "--json").json
    assert found["log"][1] == {"level": "warning", "text": "careful"}
    assert (found["value"], found["error"]) == ({"made": "made by script"}, None)
    query = "sysparm_query=short_description=made by script&sysparm_fields=sys_created_by"
    rows = midspan("api", "call", "GET", f"now/table/incident?{query}").json["result"]
    assert rows == [{"sys_created_by": "runner"}] * 2


def test_a_failing_script_shows_its_line(midspan: Run, tmp_path: Path) -> None:
    script = tmp_path / "broken.js"
    script.write_text("gs.info('first');\n\n   nothingLikeThis();\n")
    done = midspan("script", "run", script)
    assert done.status == 1
    assert done.out == "*** Script: first\n"
    assert "nothingLikeThis" in done.err
    assert "broken.js; line 3" in done.err
    assert done.err.splitlines()[2].strip() == "nothingLikeThis();"


def test_who_and_what_is_refused(midspan: Run, tmp_path: Path, url: str) -> None:
    script = tmp_path / "fine.js"
    script.write_text("1")
    assert midspan("script", "run", script, "--as", "admni").status != 0
    assert "admin" in midspan("script", "run", script, "--as", "admni").err
    missing = midspan("script", "run", tmp_path / "missing.js")
    assert "missing.js cannot be read" in missing.err
    midspan("user", "add", "plain", MIDSPAN_NEW_PASSWORD="a long password")
    address = f"{url}/api/midspan/v1/scripts/run"
    answer = httpx.post(
        address, json={"script": "1"}, auth=("plain", "a long password"), timeout=GUARD
    )
    assert answer.status_code == 403
    wrong = midspan("api", "call", "POST", "midspan/v1/scripts/run", "-d", '{"scrip": "1"}')
    assert wrong.json["error"]["message"] == "Unknown member 'scrip'"


def test_the_log_is_asked_with_its_level(midspan: Run) -> None:
    done = midspan("script", "log", "no script of this name", "--level", "error", "--json")
    assert (done.status, done.json) == (0, [])
    assert "debug, info" in midspan("script", "log", "--level", "loud").err
