"""What scripts may expect, as data: every case of ``cases/*.yaml``, on both databases.

A file is a list of cases about one class. The keys of a case:

- ``about``: one line, different from all others of the file.
- ``class``, ``method``: the class as scripts name it and the list of its methods that this case
  holds; ``docs/reference/script-coverage.md`` is counted from them.
- ``partial``: by the name of a method what the original does besides, where that is missing.
- ``source``: where the expectation comes from: ``docs``, ``use`` (seen in public scripts) or
  ``ours``; ``confidence``: ``certain``, ``likely``, ``guess`` or ``decided``.
- ``setup``: a list of records, ``{table, values, sys_id}``, or the text of a script.
- ``properties``: system properties, by name, while the case runs.
- ``user``: who the script acts for, by user name; the system when it is left out.
- ``views``: records that the script sees under a name, ``{current: {table, before, changed,
  operation}}``.
- ``script`` and ``answer``: the text, and the JSON of its completion value; or ``error``: a part of
  the message with which it ends.
- ``logs``: the lines that it logs.
- ``shows``: instead of a script, a record whose display rules run; the answer is the scratchpad.
- ``answers``: what another system says, by path, ``{status, headers, body}``; ``sent``: what it was
  asked, in order, ``{method, path, headers, body}`` with the members that matter. ``<url>`` in the
  case is its address.
- ``durable``: the script is part of no transaction, and what it or the setup wrote stays: such a
  case uses tables of its own. The jobs of the instance work meanwhile.
- ``refused``: the case shows that its methods are answered with ``not available`` and their name.

Everything else that a case writes is rolled back at its end, so cases do not see one another.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.scripting.peer import Call, Peer

from midspan.instance import Instance
from midspan.jobs import ManualJobs
from midspan.records import RIGHTS, RecordTransaction, delete, insert
from midspan.sandbox import Script, ScriptError
from midspan.scripting import Enclosed, PerWrite, RecordView, ScriptRunner, recordcalls_rows
from midspan.scripting.mentioned import Mentioned
from midspan.security import SYSTEM, Actor

CASES = Path(__file__).with_name("cases")
KEYS = {
    "about", "class", "method", "source", "confidence", "setup", "properties", "user", "views",
    "script", "answer", "error", "logs", "partial", "answers", "sent", "refused", "durable",
    "shows",
}  # fmt: skip
SOURCES = ("docs", "use", "ours")
Store = Callable[[RecordTransaction, list[dict[str, Any]]], None]
CONFIDENCE = ("certain", "likely", "guess", "decided")


def load() -> list[tuple[str, dict[str, Any]]]:
    """Return every case with its name."""
    found: list[tuple[str, dict[str, Any]]] = []
    for path in sorted(CASES.glob("*.yaml")):
        cases = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader) or []
        found += [(f"{path.stem}: {case.get('about')}", case) for case in cases]
    return found


ALL = load()
BY_PAGES = [(name, case) for name, case in ALL if name.startswith(("GlideRecord", "GlideFilter"))]


class Undone(Exception):
    """Raised to roll a case back."""


def actor(instance: Instance, name: str | None) -> Actor:
    if name is None:
        return SYSTEM
    sys_id = instance.identities.find(name)
    assert sys_id is not None, f"the fixture has no user {name}"
    return instance.identities.actor(sys_id, instance.holder.current().part(RIGHTS))


@contextmanager
def properties(instance: Instance, values: dict[str, str]) -> Iterator[None]:
    """Give system properties a value for the time of a case; they need a commit of their own."""
    made = []
    if values:
        with instance.records.write(SYSTEM, enforce=False) as transaction:
            for name, value in values.items():
                assert transaction.first("sys_properties", f"name={name}") is None
                change = insert("sys_properties", {"name": name, "value": value})
                made.append(transaction.apply(change).sys_id)
    try:
        yield
    finally:
        if made:
            with instance.records.write(SYSTEM, enforce=False) as transaction:
                for sys_id in made:
                    transaction.apply(delete("sys_properties", sys_id))


def at(url: str, value: Any) -> Any:
    """Return a part of a case with the address of the other system put in."""
    if isinstance(value, str):
        return value.replace("<url>", url)
    if isinstance(value, dict):
        return {name: at(url, member) for name, member in value.items()}
    return [at(url, member) for member in value] if isinstance(value, list) else value


def shown(call: Call, expected: dict[str, Any]) -> dict[str, Any]:
    """Return of a request what a case expects something of."""
    found: dict[str, Any] = {
        "method": call.method, "path": call.path, "body": call.body.decode()
    }  # fmt: skip
    wanted = expected.get("headers") or {}
    found["headers"] = {name: call.headers.get(name.lower()) for name in wanted}
    return {name: found[name] for name in expected}


def answer(
    case: dict[str, Any], runner: ScriptRunner, transaction: RecordTransaction, store: Store
) -> Any:
    unit = Enclosed(transaction)
    setup = case.get("setup") or []
    if isinstance(setup, str):
        runner.run(Script("setup", f"{setup}\n;null"), unit=unit)
    else:
        store(transaction, setup)
    views = {
        name: _view(view["table"], view.get("before"), view.get("changed"), view.get("operation"))
        for name, view in (case.get("views") or {}).items()
    }
    return runner.run(Script("case", case["script"]), unit=unit, views=views)


def _view(table: str, before: Any, changed: Any, operation: Any) -> RecordView:
    view = RecordView(table, before or {}, operation=operation)
    for name, text in (changed or {}).items():
        view.put(name, text)
    return view


@pytest.mark.parametrize("case", [case for _, case in ALL], ids=[name for name, _ in ALL])
def test_case(
    case: dict[str, Any],
    instance: Instance,
    runner: ScriptRunner,
    store: Store,
    peer: Peer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "midspan.script")
    case = at(peer.url, case)
    peer.answers = {
        path: (said.get("status", 200), [*said.get("headers", {}).items()], said["body"].encode())
        for path, said in (case.get("answers") or {}).items()
    }
    peer.calls.clear()
    found: list[Any] = []
    who = actor(instance, case.get("user"))
    if case.get("durable"):
        found.append(_durable(case, instance, runner, store))
        assert found == [case.get("error", case.get("answer"))]
        return
    with properties(instance, case.get("properties") or {}):
        try:
            with instance.records.write(who, enforce=False) as transaction:
                if "shows" in case:
                    found.append(_scratchpad(instance, transaction, **case["shows"]))
                else:
                    found.append(_outcome(case, runner, transaction, store))
                raise Undone
        except Undone:
            pass
    assert found == [case.get("error", case.get("answer"))]
    if "logs" in case:
        lines = [r.getMessage() for r in caplog.records if r.name == "midspan.script"]
        assert lines == case["logs"]
    if "sent" in case:
        assert len(peer.calls) == len(case["sent"])
        assert [shown(*pair) for pair in zip(peer.calls, case["sent"], strict=True)] == case["sent"]


@pytest.mark.parametrize("case", [each for _, each in BY_PAGES], ids=[name for name, _ in BY_PAGES])
def test_a_case_holds_whatever_its_pages_bring(
    case: dict[str, Any],
    instance: Instance,
    runner: ScriptRunner,
    store: Store,
    peer: Peer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Mentioned, "among", lambda *_: ["sys_id"])
    monkeypatch.setattr(recordcalls_rows, "FEW", 0)
    test_case(case, instance, runner, store, peer, caplog)


@contextmanager
def working(instance: Instance) -> Iterator[None]:
    """Let the jobs of an instance work beside the script."""
    ended = threading.Event()
    jobs = instance.jobs
    assert isinstance(jobs, ManualJobs)

    def work() -> None:
        while not ended.wait(0.02):
            jobs.run_due()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _durable(case: dict[str, Any], instance: Instance, runner: ScriptRunner, store: Store) -> Any:
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        store(transaction, case.get("setup") or [])
    unit = PerWrite(instance.records, actor(instance, case.get("user")))
    with working(instance):
        return runner.run(Script("case", case["script"]), unit=unit)


def _scratchpad(instance: Instance, transaction: RecordTransaction, table: str, sys_id: str) -> Any:
    return instance.rules.display(transaction.require(table, sys_id), transaction)[1]


def _outcome(
    case: dict[str, Any], runner: ScriptRunner, transaction: RecordTransaction, store: Store
) -> Any:
    if "error" not in case:
        return answer(case, runner, transaction, store)
    with pytest.raises(ScriptError) as caught:
        answer(case, runner, transaction, store)
    shown = str(caught.value)
    return case["error"] if case["error"] in shown else shown


def test_cases_are_written_as_they_should_be() -> None:
    wrong = []
    for name, case in ALL:
        unknown = set(case) - KEYS
        if unknown:
            wrong.append(f"{name}: unknown keys {sorted(unknown)}")
        for key, allowed in (("source", SOURCES), ("confidence", CONFIDENCE)):
            if str(case.get(key, "")).split(":")[0] not in allowed:
                wrong.append(f"{name}: {key} has to begin with one of {allowed}")
        if not (case.get("class") and case.get("method") and isinstance(case["method"], list)):
            wrong.append(f"{name}: class and a list of methods are needed")
        if ("answer" in case) == ("error" in case):
            wrong.append(f"{name}: give either answer or error")
    assert wrong == []


def test_cases_have_names_of_their_own() -> None:
    names = [name for name, _ in ALL]
    assert sorted(set(names)) == sorted(names)
