"""Scripted field maps: the value, the error of one row, and everything else that goes on."""

from __future__ import annotations

import doctest
from collections.abc import Iterator

import pytest
from tests.unit.importsets.people import People

import midspan.importsets.scripts
import midspan.importsets.sourcetypes
from midspan.importsets import ImportRunner, SandboxFieldScripts
from midspan.instance import Instance
from midspan.scripting import ScriptRunner, open_pool

SCRIPT = """answer = (function transformEntry(source) {
    if (source.u_name == 'Trouble') {
        return missing_function();
    }
    return source.u_name.toString().toUpperCase();
})(source);
"""


@pytest.fixture(scope="module")
def runner() -> Iterator[ScriptRunner]:
    pool = open_pool(1)
    try:
        yield ScriptRunner(pool)
    finally:
        pool.close()


def test_a_script_gives_the_value_and_its_error_stays_with_its_row(
    instance: Instance, runner: ScriptRunner
) -> None:
    people = People(instance)
    people.runner = ImportRunner(instance.records, instance.clock, SandboxFieldScripts(runner))
    people.field("user_name", "u_login", coalesce="true")
    people.field("last_name", "", use_source_script="true", source_script=SCRIPT)
    key = people.number
    run = people.run(f"Login,Name\ng{key},Ann\nh{key},Trouble\ni{key},Ben\n")
    assert (run.totals.inserts, run.totals.errors) == (2, 1)
    names = [
        user["last_name"] for user in people.users(f"user_nameINg{key},i{key}^ORDERBYuser_name")
    ]
    assert names == ["ANN", "BEN"]
    ((row, code, message),) = people.errors(run)
    assert (row, code) == ("3", "900")
    assert "missing_function" in message


def test_without_a_sandbox_a_scripted_row_is_refused(instance: Instance) -> None:
    people = People(instance)
    people.field("user_name", "u_login", coalesce="true")
    people.field("last_name", "", use_source_script="true", source_script=SCRIPT)
    run = people.run(f"Login,Name\nk{people.number},Ann\n")
    assert (run.totals.inserts, run.totals.errors) == (0, 1)


def test_examples_in_docstrings() -> None:
    for module, examples in ((midspan.importsets.scripts, 1), (midspan.importsets.sourcetypes, 2)):
        result = doctest.testmod(module)
        assert (result.attempted, result.failed) == (examples, 0)
