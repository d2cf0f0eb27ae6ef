"""``apply`` and ``export`` against a served instance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from midspan.kernel.ids import derived_id

Run = Callable[..., Any]
SHOP = {
    "app.yaml": "name: shop\nlabel: Shop\nversion: 0.1.0\nrequires: [task]\n",
    "tables/u_order.yaml": (
        "table: u_order\nextends: task\nlabel: Order\nnumber: {prefix: ORD}\n"
        "fields:\n  u_size: {type: integer, choices: {1: Small, 2: Large}, default: 1}\n"
    ),
    "data/orders.yaml": (
        "- table: u_order\n  records:\n"
        "    - {key: first, short_description: First, u_size: 2}\n"
        "    - key: second\n      short_description: Second\n"
        "      description: |\n        Two lines,\n        and a: 'quote'\n"
    ),
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def renamed(name: str, files: dict[str, str] = SHOP) -> dict[str, str]:
    """Return the app under another name, so that tests do not meet."""
    return {
        path.replace("u_order", f"u_{name}"): text.replace("u_order", f"u_{name}").replace(
            "name: shop", f"name: {name}"
        )
        for path, text in files.items()
    }


def test_a_dry_run_shows_everything_and_writes_nothing(midspan: Run, tmp_path: Path) -> None:
    folder = write(tmp_path, renamed("dry"))
    shown = midspan("apply", folder, "--dry-run")
    assert shown.status == 0, shown.err
    assert "u_dry" in shown.out
    assert "First" in shown.out
    assert midspan("tables", "u_dry").status == 3
    assert midspan("apply", folder, "--dry-run", "--json").json["summary"]["insert"] > 5


def test_apply_is_live_at_once_and_the_second_time_changes_nothing(
    midspan: Run, tmp_path: Path
) -> None:
    folder = write(tmp_path, renamed("twice"))
    first = midspan("apply", folder, "--yes", "--json")
    assert first.status == 0, first.err
    count = first.json["summary"]["insert"]
    fields = midspan("tables", "u_twice", "--json").json
    assert {"number", "u_size"} <= {field["name"] for field in fields}
    second = midspan("apply", folder, "--yes", "--json").json
    assert second["summary"] == {"insert": 0, "update": 0, "same": count, "customized": 0}


def test_an_upgrade_keeps_what_a_user_changed(
    midspan: Run, tmp_path: Path, put: Callable[[str, dict[str, str]], None]
) -> None:
    files = renamed("kept")
    folder = write(tmp_path, files)
    assert midspan("apply", folder, "--yes").status == 0
    mine = derived_id("u_kept", "first")
    put(f"u_kept/{mine}", {"short_description": "Mine"})
    newer = files["data/orders.yaml"].replace(": First", ": Better").replace(": Second", ": Newer")
    write(folder, {"data/orders.yaml": newer})
    planned = midspan("apply", folder, "--dry-run")
    assert "customized" in planned.out
    assert "Mine → Better" in planned.out
    result = midspan("apply", folder, "--yes", "--json").json
    assert result["summary"]["customized"] == 1
    assert result["summary"]["update"] == 1
    files = midspan("export", "--table", "u_kept", "--json").json["files"]
    assert "short_description: Mine" in files["data/u_kept.yaml"]
    assert "short_description: Newer" in files["data/u_kept.yaml"]


def test_what_was_exported_applies_as_the_same_and_exports_as_the_same(
    midspan: Run, tmp_path: Path
) -> None:
    assert midspan("apply", write(tmp_path / "in", renamed("round")), "--yes").status == 0
    out = tmp_path / "out"
    assert midspan("export", "round", "--to", out).status == 0
    before = {path: path.read_text() for path in out.rglob("*.yaml")}
    assert {path.name for path in before} == {"app.yaml", "u_round.yaml"}
    applied = midspan("apply", out, "--yes", "--json").json["summary"]
    assert (applied["insert"], applied["update"], applied["customized"]) == (0, 0, 0)
    assert midspan("export", "round", "--to", out).status == 0
    assert {path: path.read_text() for path in out.rglob("*.yaml")} == before


def test_exported_records_can_be_selected(midspan: Run, tmp_path: Path) -> None:
    assert midspan("apply", write(tmp_path, renamed("some")), "--yes").status == 0
    found = midspan("export", "--table", "u_some", "--query", "short_description=Second")
    assert found.status == 0
    assert found.out.startswith("# data/u_some.yaml\n")
    assert "and a: 'quote'" in found.out
    assert "First" not in found.out


def test_a_mistake_is_named_and_nothing_is_written(midspan: Run, tmp_path: Path) -> None:
    files = renamed("wrong")
    files["data/orders.yaml"] = files["data/orders.yaml"].replace("u_size: 2", "u_sice: 2")
    refused = midspan("apply", write(tmp_path, files), "--yes")
    assert refused.status == 3
    assert "data/orders.yaml" in refused.err
    assert "Did you mean 'u_size'?" in refused.err
    assert midspan("tables", "u_wrong").status == 3


def test_an_app_cannot_take_over_a_record_of_another(midspan: Run, tmp_path: Path) -> None:
    thief = {
        "app.yaml": "name: thief\nlabel: Thief\nversion: 0.1.0\n",
        "roles.yaml": "itil: {description: Mine now, sys_id: 282bf1fac6112285017366cb5f867469}\n",
    }
    refused = midspan("apply", write(tmp_path, thief), "--yes")
    assert refused.status == 3
    assert "belongs to the app" in refused.err


def test_nobody_is_asked_where_nobody_is(midspan: Run, tmp_path: Path) -> None:
    refused = midspan("apply", write(tmp_path, renamed("asked")))
    assert refused.status == 3
    assert "--yes" in refused.err


def test_a_folder_without_an_app(midspan: Run, tmp_path: Path) -> None:
    refused = midspan("apply", tmp_path)
    assert refused.status == 3
    assert "has no app.yaml" in refused.err


RULE = "name: Close\ntable: u_order\nupdate: true\ncondition: u_size=1\nset: {state: 3}\n"


@pytest.mark.parametrize(
    ("right", "wrong", "hint"),
    [
        ("table: u_order", "table: u_ordr", "Did you mean 'u_order"),
        ("condition: u_size=1", "condition: u_sise=1", "Did you mean 'u_size'?"),
        ("{state: 3}", "{stat: 3}", "Did you mean 'state'?"),
        ("{state: 3}", "{sys_id: 3}", "sets sys_id, which no rule may set"),
        ("{state: 3}", '{state: "javascript:gs.nobody()"}', "gs.getUserID()"),
        ("{state: 3}", '{state: "javascript:current.u_sise"}', "Did you mean 'u_size'?"),
        ("update: true", "updat: true", "updat"),
    ],
)
def test_a_rule_that_cannot_run_is_refused(
    midspan: Run, tmp_path: Path, right: str, wrong: str, hint: str
) -> None:
    """It names the file and what is near, and neither the rule nor the rest of the app is there."""
    assert right in RULE
    files = renamed("ruled", {**SHOP, "rules/close.yaml": RULE.replace(right, wrong)})
    refused = midspan("apply", write(tmp_path, files), "--yes")
    assert refused.status == 3
    assert "rules/close.yaml" in refused.err
    assert hint.replace("u_order", "u_ruled") in refused.err
    assert midspan("tables", "u_ruled").status == 3
    rules = midspan("export", "--table", "sys_script", "--query", "name=Close", "--json")
    assert rules.json["files"] == {}


def test_a_rule_runs_once_it_is_applied(
    midspan: Run, tmp_path: Path, put: Callable[[str, dict[str, str]], None]
) -> None:
    """A caret in a value is no separator."""
    rule = RULE.replace("{state: 3}", '{state: 3, close_notes: "a^b"}')
    folder = write(tmp_path, renamed("running", {**SHOP, "rules/close.yaml": rule}))
    assert midspan("apply", folder, "--yes").status == 0
    put(f"u_running/{derived_id('u_running', 'second')}", {"description": "x"})
    files = midspan("export", "--table", "u_running", "--json").json["files"]
    assert "close_notes: a^b" in files["data/u_running.yaml"]
