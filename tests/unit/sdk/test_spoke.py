"""A spoke's folder is loaded from anywhere and every mistake in it is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from midspan_sdk import ActionError, InvalidSpoke
from midspan_sdk.spoke import QUALITY_RULES, check_spoke, load_quality, load_spoke
from midspan_sdk.testing import ActionHarness

MANIFEST = """\
name: weather
title: Weather
version: "1.0"
description: Forecasts
connection: {auth: [api_key], base_url: "https://weather.example"}
"""
ACTION = '''\
"""Say something."""
from typing import Annotated
from midspan_sdk import ActionContext, Meta, Struct, action
from ..client import WORD

class Inputs(Struct, frozen=True):
    town: Annotated[str, Meta(description="Town")] = "Bern"

class Outputs(Struct, frozen=True):
    text: Annotated[str, Meta(description="Text")]

@action("Say", repeat="safe")
async def say(inputs: Inputs, ctx: ActionContext) -> Outputs:
    return Outputs(text=f"{inputs.town}: {WORD}")
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "weather"
    (root / "actions").mkdir(parents=True)
    (root / "tests").mkdir()
    (root / "spoke.yaml").write_text(MANIFEST)
    (root / "README.md").write_text("# Weather\n")
    (root / "client.py").write_text('WORD = "sun"\n')
    (root / "actions" / "say.py").write_text(ACTION)
    (root / "quality.yaml").write_text("".join(f"{rule}: done\n" for rule in QUALITY_RULES))
    return root


def test_load_from_a_folder(folder: Path) -> None:
    spoke = load_spoke(folder)
    assert (spoke.name, list(spoke.actions)) == ("weather", ["say"])
    assert spoke.manifest.connection.required
    assert ActionHarness([]).run(spoke.action("say")) == {"text": "Bern: sun"}
    assert check_spoke(folder) == []


def test_an_edited_folder_is_loaded_afresh(folder: Path) -> None:
    load_spoke(folder)
    (folder / "client.py").write_text('WORD = "rain, all day"\n')
    assert ActionHarness([]).run(load_spoke(folder).action("say")) == {
        "text": "Bern: rain, all day"
    }


def test_load_from_a_package() -> None:
    spoke = load_spoke("midspan_spokes.slack")
    assert list(spoke.actions) == ["post_message", "post_webhook"]
    with pytest.raises(ActionError, match="Did you mean 'post_message'") as caught:
        spoke.action("post_mesage")
    assert caught.value.code == "unknown_action"


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return change


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (edit("spoke.yaml", "title:", "titel:"), "unknown key titel. Did you mean 'title'?"),
        (
            edit("spoke.yaml", "{auth:", "{auht:"),
            "unknown key connection.auht. Did you mean 'auth'",
        ),
        (edit("spoke.yaml", "api_key", "magic"), "Invalid enum value 'magic'"),
        (edit("spoke.yaml", '"1.0"', "1.0"), "Expected str, got float - at $.version. Put it in"),
        (edit("spoke.yaml", "description: Forecasts\n", ""), "missing required field description"),
        (edit("spoke.yaml", "name: weather", "name: wind"), "expected the folder's name 'weather'"),
        (edit("spoke.yaml", "name: weather", "name: [weather"), "not YAML"),
        (lambda folder: (folder / "spoke.yaml").unlink(), "there is no such file"),
        (lambda folder: (folder / "actions" / "say.py").unlink(), "at least one action file"),
        (edit("spoke.yaml", "title:", "actions: [sai]\ntitle:"), "Did you mean 'say'?"),
        (edit("actions/say.py", "def say", "def tell"), "called 'say'; found tell"),
        (edit("actions/say.py", "WORD", "WORT"), "ImportError: cannot import name 'WORT'"),
        (edit("actions/say.py", "-> Outputs", "-> str"), "TypeError: @action"),
    ],
)
def test_mistakes_are_named(folder: Path, change: Callable[[Path], None], text: str) -> None:
    change(folder)
    with pytest.raises(InvalidSpoke) as caught:
        load_spoke(folder)
    assert text in caught.value.message
    assert str(folder) in caught.value.message
    assert caught.value.message in check_spoke(folder)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("readme: done", "readme: maybe", "readme: expected done, todo or"),
        ("readme: done", "readme: {exempt: ''}", "readme: expected done, todo or"),
        ("readme: done", "", "expected a mark for readme"),
        ("readme: done", "raedme: done", "unknown rule 'raedme'. Did you mean 'readme'?"),
    ],
)
def test_quality_marks_are_checked(folder: Path, old: str, new: str, text: str) -> None:
    edit("quality.yaml", old, new)(folder)
    with pytest.raises(InvalidSpoke) as caught:
        load_quality(folder)
    assert text in caught.value.message


def test_check_lists_what_is_missing(folder: Path) -> None:
    (folder / "README.md").unlink()
    edit("actions/say.py", 'Meta(description="Town")', 'Meta(title="Town")')(folder)
    assert check_spoke(folder) == [
        f"{folder.resolve()}: README.md is missing",
        "weather.say: town has no description",
    ]
