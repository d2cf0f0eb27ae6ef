"""Scripts as files and back: what is brought where, and that nothing is overwritten unasked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.guard import GUARD

from midspan.cli.scriptfiles import KINDS, Kind, Known, ScriptFolder, Source
from midspan.kernel.errors import InvalidRequest

from .conftest import PASSWORD, environment

Run = Callable[..., Any]
INCLUDES = next(kind for kind in KINDS if kind.table == "sys_script_include")
ONE, TWO = "a1" * 16, "b2" * 16
FILE = "sys_script_include/one-a1a1a1a1.js"


class Instance:
    """The scripts of an instance, in memory."""

    def __init__(self) -> None:
        self.texts = {ONE: "one", TWO: "two"}
        self.names = {ONE: "One", TWO: "../Two"}

    def sources(self, kinds: Iterable[Kind], query: str) -> list[Source]:
        assert INCLUDES in kinds
        return [
            Source(INCLUDES, each, (self.names[each],), text) for each, text in self.texts.items()
        ]

    def read(self, known: Known) -> str | None:
        return self.texts.get(known.sys_id)

    def write(self, known: Known, text: str) -> None:
        self.texts[known.sys_id] = text


@pytest.fixture
def instance() -> Instance:
    return Instance()


@pytest.fixture
def files(tmp_path: Path, instance: Instance) -> Path:
    report = ScriptFolder(tmp_path).pull(instance)
    assert report.pulled == [FILE, "sys_script_include/two-b2b2b2b2.js"]
    return tmp_path


def test_changes_go_where_they_are_missing(files: Path, instance: Instance) -> None:
    (files / FILE).write_text("one, here")
    instance.texts[TWO] = "two, there"
    folder = ScriptFolder(files)
    assert folder.push(instance).pushed == [FILE]
    assert folder.pull(instance).pulled == ["sys_script_include/two-b2b2b2b2.js"]
    assert instance.texts == {ONE: "one, here", TWO: "two, there"}
    again = ScriptFolder(files)
    assert (again.push(instance).same, again.pull(instance).same) == (2, 2)


def test_what_changed_on_both_sides_is_left_alone(files: Path, instance: Instance) -> None:
    (files / FILE).write_text("here")
    instance.texts[ONE] = "there"
    folder = ScriptFolder(files)
    assert folder.push(instance).conflicts == [FILE]
    assert folder.pull(instance).conflicts == [FILE]
    assert ((files / FILE).read_text(), instance.texts[ONE]) == ("here", "there")
    assert folder.push(instance, folder.relative([str(files / FILE)])).pushed == [FILE]
    assert instance.texts[ONE] == "here"
    instance.texts[ONE] = "there"
    (files / FILE).write_text("mine")
    assert ScriptFolder(files).pull(instance, frozenset({FILE})).pulled == [FILE]
    assert (files / FILE).read_text() == "there"


def test_the_same_change_on_both_sides_is_none(files: Path, instance: Instance) -> None:
    (files / FILE).write_text("same")
    instance.texts[ONE] = "same"
    report = ScriptFolder(files).push(instance)
    assert (report.pushed, report.conflicts) == ([], [])
    instance.texts[ONE] = "newer"
    assert ScriptFolder(files).pull(instance).pulled == [FILE]


def test_a_local_change_survives_a_pull(files: Path, instance: Instance) -> None:
    (files / FILE).write_text("here")
    report = ScriptFolder(files).pull(instance)
    assert (report.pulled, report.conflicts) == ([], [])
    assert (files / FILE).read_text() == "here"
    assert ScriptFolder(files).push(instance).pushed == [FILE]


def test_nothing_is_deleted(files: Path, instance: Instance) -> None:
    (files / FILE).unlink()
    (files / "sys_script_include/two-b2b2b2b2.js").write_text("")
    folder = ScriptFolder(files)
    assert folder.push(instance).gone == [FILE, "sys_script_include/two-b2b2b2b2.js"]
    assert instance.texts == {ONE: "one", TWO: "two"}
    assert folder.pull(instance).gone == [FILE]
    assert folder.pull(instance, frozenset({FILE})).pulled == [FILE]
    del instance.texts[ONE]
    (files / FILE).write_text("changed")
    assert FILE in ScriptFolder(files).push(instance).gone
    assert (files / FILE).exists()


def test_a_renamed_record_keeps_its_file(files: Path, instance: Instance) -> None:
    instance.names[ONE], instance.texts[ONE] = "Renamed", "newer"
    assert ScriptFolder(files).pull(instance).pulled == [FILE]


def test_line_ends_are_kept_and_do_not_count(files: Path, instance: Instance) -> None:
    instance.texts[ONE] = "a\r\nb\r\n"
    ScriptFolder(files).pull(instance)
    assert (files / FILE).read_bytes() == b"a\r\nb\r\n"
    (files / FILE).write_bytes(b"a\nb\n")
    assert ScriptFolder(files).push(instance).pushed == []


def test_a_path_that_is_none_of_ours(files: Path) -> None:
    with pytest.raises(InvalidRequest, match="no script file"):
        ScriptFolder(files).relative(["elsewhere.js"])


def create(url: str, name: str, script: str) -> str:
    values = {"name": name, "api_name": f"global.{name}", "script": script}
    answer = httpx.post(
        f"{url}/api/now/table/sys_script_include",
        json=values,
        auth=("admin", PASSWORD),
        timeout=GUARD,
    )
    answer.raise_for_status()
    return str(answer.json()["result"]["sys_id"])


def text_of(url: str, sys_id: str) -> str:
    path = f"{url}/api/now/table/sys_script_include/{sys_id}?sysparm_fields=script"
    return str(httpx.get(path, auth=("admin", PASSWORD), timeout=GUARD).json()["result"]["script"])


def test_a_round_trip_over_http(midspan: Run, url: str, tmp_path: Path) -> None:
    sys_id = create(url, "RoundTrip", "var RoundTrip = 1;")
    choice = ("--table", "sys_script_include", "--query", "name=RoundTrip")
    done = midspan("api", "pull", tmp_path, *choice, "--json")
    assert done.status == 0, done.err
    (row,) = done.json
    file = tmp_path / row["file"]
    assert file.read_text() == "var RoundTrip = 1;"
    file.write_text("var RoundTrip = 2;")
    assert midspan("api", "push", tmp_path).out.splitlines()[-1].startswith("0 pulled, 1 pushed")
    assert text_of(url, sys_id) == "var RoundTrip = 2;"
    file.write_text("var RoundTrip = 'here';")
    path = f"{url}/api/now/table/sys_script_include/{sys_id}"
    httpx.patch(
        path, json={"script": "there"}, auth=("admin", PASSWORD), timeout=GUARD
    ).raise_for_status()
    refused = midspan("api", "push", tmp_path)
    assert (refused.status, text_of(url, sys_id)) == (1, "there")
    assert "--overwrite FILE" in refused.err
    assert midspan("api", "push", tmp_path, "--overwrite", row["file"]).status == 0
    assert text_of(url, sys_id) == "var RoundTrip = 'here';"
    assert "sys_script_include" in midspan("api", "pull", tmp_path, "--table", "sys_script_inc").err
    assert "api pull" in midspan("api", "push", tmp_path / "nothing").err


def test_watch_follows_an_editor(midspan: Run, url: str, tmp_path: Path) -> None:
    sys_id = create(url, "Watched", "var Watched = 1;")
    choice = ("--table", "sys_script_include", "--query", "name=Watched")
    (row,) = midspan("api", "pull", tmp_path, *choice, "--json").json
    file = tmp_path / row["file"]
    file.write_text("var Watched = 2;")
    process = subprocess.Popen(
        [sys.executable, "-m", "midspan", "api", "watch", str(tmp_path), "--every", "0.2"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(MIDSPAN_URL=url, MIDSPAN_PASSWORD=PASSWORD),
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == f"pushed {row['file']}\n"
        assert text_of(url, sys_id) == "var Watched = 2;"
        path = f"{url}/api/now/table/sys_script_include/{sys_id}"
        httpx.patch(
            path, json={"script": "var Watched = 3;"}, auth=("admin", PASSWORD), timeout=GUARD
        )
        assert process.stdout.readline() == f"pulled {row['file']}\n"
        assert file.read_text() == "var Watched = 3;"
        os.kill(process.pid, 2)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait(60)
        process.stdout.close()
