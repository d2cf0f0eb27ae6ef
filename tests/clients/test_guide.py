"""The guide shows what the clients' scripts run, and the pins name no registry."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path

import pytest

HERE = Path(__file__).parent
GUIDE = HERE.parents[1] / "docs" / "how-to" / "point-your-client-here.md"
EXAMPLE = re.compile(
    r"^[ ]*(?:#|//) example\n(.*?)^[ ]*(?:#|//) end of example$", re.MULTILINE | re.DOTALL
)
SCRIPTS = [path for path in sorted((HERE / "scripts").iterdir()) if "_client." in path.name]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_the_guide_quotes_the_example_of_a_script(script: Path) -> None:
    examples = EXAMPLE.findall(script.read_text())
    expected = [] if script.name == "ansible_client.py" else ["one"]  # its playbook has it
    assert len(examples) == len(expected)
    blocks = [
        re.sub(r"^\$ ", "", block, flags=re.MULTILINE)
        for block in re.findall(r"^```\w+\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    ]
    for example in examples:
        assert textwrap.dedent(example) in blocks


def test_python_packages_are_pinned_with_hashes() -> None:
    for lock in (HERE / "locks").glob("*.lock"):
        text = re.sub(r"^#.*\n", "", lock.read_text(), flags=re.MULTILINE)
        packages = re.findall(r"^\S+==\S+ (?:.*\\\n|--hash)", text, re.MULTILINE)
        assert packages
        assert len(packages) == len(re.findall(r"^\S", text, re.MULTILINE))
        assert "://" not in text


def test_javascript_packages_are_pinned_with_hashes_and_name_no_registry() -> None:
    lock = json.loads((HERE / "node" / "package-lock.json").read_text())
    packages = {name: values for name, values in lock["packages"].items() if name}
    assert [name for name, values in packages.items() if not values.get("integrity")] == []
    assert [name for name, values in packages.items() if "resolved" in values] == []
    wanted = json.loads((HERE / "node" / "package.json").read_text())["dependencies"]
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted
