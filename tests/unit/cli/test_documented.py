"""Every command, option and exit status is in the reference."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from midspan.cli import status
from midspan.cli.commands import app

TEXT = (Path(__file__).parents[3] / "docs" / "reference" / "cli.md").read_text()


def verbs(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    for part, child in getattr(command, "commands", {}).items():
        yield from verbs(child, f"{name} {part}")
    if not hasattr(command, "commands"):
        yield name, command


VERBS = dict(verbs(get_command(app), "midspan"))


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_section_with_its_options(verb: str) -> None:
    assert f"\n## {verb}\n" in TEXT
    section = TEXT.partition(f"\n## {verb}\n")[2].partition("\n## ")[0]
    shared = {"--url", "--user", "--json", "--help"}
    options = {
        name for parameter in VERBS[verb].params for name in parameter.opts if name[:2] == "--"
    }
    assert {name for name in options - shared if f"`{name}" not in section} == set()


def test_no_section_is_about_a_verb_that_is_gone() -> None:
    sections = [line[3:] for line in TEXT.splitlines() if line.startswith("## midspan")]
    assert sorted(sections) == sorted(VERBS)


def test_every_exit_status_is_listed() -> None:
    known = {value for name, value in vars(status).items() if name.isupper()}
    assert {value for value in known if f"| {value} |" not in TEXT} == set()


def test_whatever_prints_a_table_prints_json_too() -> None:
    silent = {"midspan serve", "midspan demo", "midspan mid run", "midspan mid enrol"}
    silent |= {"midspan mid status", "midspan chat-receiver", "midspan openapi"}
    silent |= {"midspan api call", "midspan api watch"}
    without = {
        verb
        for verb, command in VERBS.items()
        if not any("--json" in parameter.opts for parameter in command.params)
    }
    assert without == silent
