"""Published sandbox escapes against our own, and what a script may not use up; see escapes.yaml."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from midspan.instance import Instance
from midspan.kernel.errors import LimitExceeded
from midspan.sandbox import (
    Limits,
    SandboxPool,
    Script,
    ScriptError,
    ScriptMemoryExceeded,
    ScriptTimeout,
)
from midspan.scripting import Enclosed, PerWrite, ScriptRunner, open_pool
from midspan.security import SYSTEM
from midspan.testing import open_instance

CASES: list[dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("escapes.yaml").read_text(encoding="utf-8")
)
PATIENCE = timedelta(seconds=120)
"""A hang guard; how long neighbours wait is a matter of the benchmarks."""


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    with open_instance("") as opened:
        yield opened


def outcome(runner: ScriptRunner, instance: Instance, text: str) -> dict[str, Any]:
    """Return the value of a script under ``gives`` or its error's message under ``fails``."""
    try:
        value = runner.run(Script("attack", text), unit=PerWrite(instance.records, SYSTEM))
    except ScriptError as error:
        return {"fails": error.message}
    return {"gives": value}


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
def test_an_escape_does_not_lead_out(
    case: dict[str, Any], instance: Instance, runner: ScriptRunner, pool: SandboxPool
) -> None:
    crashed = pool.stats().killed
    found = outcome(runner, instance, case["script"])
    if "fails" in case:
        assert found.get("fails", "").startswith(case["fails"]), found
    else:
        assert found == {"gives": case["gives"]}
    assert pool.stats().killed == crashed
    after = "[1 + 1, gs.getUserName(), [3, 1].map(String).join(), JSON.stringify({a: 1})]"
    assert outcome(runner, instance, after) == {"gives": [2, "system", "3,1", '{"a":1}']}


def test_there_are_enough_escapes_each_with_a_source_of_its_kind() -> None:
    names = [case["name"] for case in CASES]
    assert len(set(names)) == len(names) >= 40
    assert all(case["source"].startswith("https://") for case in CASES)
    kinds = {name.split(",")[0] for name in names}
    assert {"vm2", "safe-eval", "notevil", "static-eval", "QuickJS", "Rhino", "Caja"} <= kinds


# Where time and memory race on a busy machine, either may be the one that ends it.
BOMBS = [
    ("for (;;);", ScriptTimeout),
    ("while (true) { try { while (true); } catch (e) {} }", ScriptTimeout),
    ("/(x+x+)+y/.test('x'.repeat(40))", ScriptTimeout),
    ("(function again() { Promise.resolve().then(again); })()", ScriptTimeout),
    ("for (;;) gs.getProperty('x');", LimitExceeded),
    ("(function deep() { deep(); })()", ScriptError),
    ("(function deep() { [1].forEach(deep); })()", ScriptError),
    ("var s = 'x'; for (;;) s += s;", LimitExceeded),
    ("'x'.padEnd(1e10)", ScriptMemoryExceeded),
    ("new ArrayBuffer(1e10)", ScriptMemoryExceeded),
    ("var a = []; for (;;) a.push(new ArrayBuffer(1e6));", LimitExceeded),
    ("var a = []; for (;;) a.push({});", LimitExceeded),
    ("for (;;) gs.info('x'.repeat(1e5));", LimitExceeded),
    ("eval('var a = [' + '1||'.repeat(2e6) + '1]')", ScriptError),
]


@pytest.mark.parametrize(("text", "kind"), BOMBS)
def test_what_a_bomb_wrote_is_rolled_back_and_the_next_script_works(
    instance: Instance, runner: ScriptRunner, text: str, kind: type[Exception]
) -> None:
    limits = Limits(wall=timedelta(seconds=0.5), memory=32 * 1024 * 1024, host_calls=2_000)
    before = "var g = new GlideRecord('incident'); g.short_description = 'bomb'; g.insert();\n"
    unit = PerWrite(instance.records, SYSTEM)
    with pytest.raises(kind), instance.records.write(SYSTEM, enforce=False) as transaction:
        runner.run(Script("bomb", before + text), unit=Enclosed(transaction), limits=limits)
    left = "var g = new GlideRecord('incident'); g.addQuery('short_description', 'bomb');"
    assert runner.run(Script("after", f"{left} g.query(); g.getRowCount()"), unit=unit) == 0


def test_a_script_has_no_child_processes_and_no_files(
    instance: Instance, pool: SandboxPool, runner: ScriptRunner
) -> None:
    tries = """['fork', 'exec', 'spawn', 'open', 'require', 'load', 'read', 'print', 'quit',
      'Deno', 'Bun', 'process', 'importScripts', 'XMLHttpRequest', 'fetch', 'WebSocket', 'os',
      'scriptArgs', 'std', 'bjson', 'navigator', 'document', 'window', 'self', 'frames',
      'parent', 'top'].filter(function (name) { return name in globalThis; })"""
    assert outcome(runner, instance, tries) == {"gives": []}
    with pool.session(lambda name, arguments: None) as session:
        assert psutil.Process(session.worker_pid).children(recursive=True) == []


def test_neighbours_work_while_a_hundred_scripts_run(instance: Instance) -> None:
    limits = Limits(wall=timedelta(seconds=0.2), memory=16 * 1024 * 1024)
    done: list[str] = []
    neighbours: list[object] = []
    with open_pool(2, limits=limits) as crowded:
        runner = ScriptRunner(crowded)

        def attack(number: int) -> None:
            text = ["for (;;);", "var s = 'x'; for (;;) s += s;", "throw 1", "1"][number % 4]
            unit = PerWrite(instance.records, SYSTEM)
            try:
                runner.run(Script(f"attack {number}", text), unit=unit)
            except Exception as error:
                done.append(type(error).__name__)
            else:
                done.append("value")

        threads = [threading.Thread(target=attack, args=(number,)) for number in range(100)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            with instance.records.read(SYSTEM) as transaction:
                neighbours.append(transaction.find("incident", "short_description=bomb"))
            threads[len(neighbours) % 100].join(0.05)
        for thread in threads:
            thread.join(PATIENCE.total_seconds())
        assert not any(thread.is_alive() for thread in threads)
        assert len(done) == 100
        assert len(neighbours) > 1
        assert runner.run(Script("after", "1 + 1"), unit=PerWrite(instance.records, SYSTEM)) == 2
