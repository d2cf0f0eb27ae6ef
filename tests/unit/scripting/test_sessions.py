"""Sessions and units: what a script writes belongs to, views of records, scripts inside scripts."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from midspan.dictionary import Table
from midspan.instance import Instance
from midspan.query import Query
from midspan.records import Draft, Operation, RecordTransaction, insert
from midspan.sandbox import (
    JsonValue,
    Limits,
    SandboxPool,
    Script,
    ScriptError,
    ScriptTimeout,
)
from midspan.scripting import (
    DraftView,
    Enclosed,
    PerWrite,
    RecordView,
    ScriptRunner,
    prelude,
    recordcalls_plans,
    recordcalls_rows,
)
from midspan.security import SYSTEM, Actor

MAKE = """
var gr = new GlideRecord('incident'); gr.initialize();
gr.short_description = name; gr.insert();
"""


def count(instance: Instance, query: str) -> int:
    with instance.records.read(SYSTEM) as transaction:
        return len(transaction.find("incident", query))


class ScriptRule:
    """A business rule: runs a text before each write of incidents."""

    def __init__(self, runner: ScriptRunner, text: str) -> None:
        self._runner = runner
        self._text = text

    def wants(self, table: Table, operation: Operation, transaction: RecordTransaction) -> bool:
        return table.name == "incident" and operation is not Operation.DELETE

    def before(self, draft: Draft, transaction: RecordTransaction, *, late: bool) -> None:
        if late:
            return
        with self._runner.session(Enclosed(transaction)) as session:
            session.run(Script("rule", self._text), {"current": DraftView(draft)}, discard=True)

    def after(self, draft: Draft, transaction: RecordTransaction) -> None:
        pass

    def before_query(self, table: Table, query: Query, transaction: RecordTransaction) -> Query:
        return query


@contextmanager
def rule(instance: Instance, runner: ScriptRunner, text: str) -> Iterator[None]:
    hook = ScriptRule(runner, text)
    instance.records.hooks.append(hook)
    try:
        yield
    finally:
        instance.records.hooks.remove(hook)


def test_per_write_keeps_what_was_written_before_the_error(
    instance: Instance, runner: ScriptRunner
) -> None:
    unit = PerWrite(instance.records, SYSTEM)
    with pytest.raises(ScriptError, match="stop"):
        runner.run(
            Script("s", f"{MAKE}; throw new Error('stop')"), {"name": "per-write"}, unit=unit
        )
    assert count(instance, "short_description=per-write") == 1


def test_enclosed_goes_with_its_transaction(instance: Instance, runner: ScriptRunner) -> None:
    def write_and_undo() -> None:
        with instance.records.write(SYSTEM) as transaction:
            runner.run(Script("s", MAKE), {"name": "enclosed"}, unit=Enclosed(transaction))
            assert transaction.first("incident", "short_description=enclosed") is not None
            raise RuntimeError("undo")

    with pytest.raises(RuntimeError, match="undo"):
        write_and_undo()
    assert count(instance, "short_description=enclosed") == 0


def test_enclosed_leaves_the_transactions_own_access_alone(
    instance: Instance, runner: ScriptRunner
) -> None:
    nobody = Actor(sys_id="e" * 32, user_name="nobody")
    with instance.records.write(nobody, enforce=True) as transaction:
        runner.run(Script("s", MAKE), {"name": "ignores"}, unit=Enclosed(transaction))
        assert transaction.enforce is True
    assert count(instance, "short_description=ignores") == 1


def test_glide_record_secure_applies_access_controls(
    instance: Instance, runner: ScriptRunner
) -> None:
    with instance.records.write(SYSTEM) as transaction:
        transaction.apply(insert("sys_properties", {"name": "secret.one", "value": "x"}))
    nobody = Actor(sys_id="e" * 32, user_name="nobody")
    text = """
    [GlideRecord, GlideRecordSecure].map(function (Class) {
        var gr = new Class('sys_properties'); gr.addQuery('name', 'secret.one'); gr.query();
        return [gr.next(), gr.getValue('value'), gr.canRead()];
    })
    """
    found = runner.run(Script("s", text), unit=PerWrite(instance.records, nobody))
    assert found == [[True, "x", False], [False, None, False]]


def test_a_rule_inside_a_scripts_write_uses_the_same_worker(
    instance: Instance, runner: ScriptRunner, pool: SandboxPool
) -> None:
    text = "current.short_description = current.short_description + ' ruled'; var name = 'inner';"
    before = pool.stats().started
    with rule(instance, runner, text):
        unit = PerWrite(instance.records, SYSTEM)
        value = runner.run(
            Script("outer", f"{MAKE}; [name, '' + gr.short_description]"),
            {"name": "nested"},
            unit=unit,
        )
    assert value == ["nested", "nested ruled"]
    assert pool.stats().started - before <= 1


def test_a_rule_may_abort_and_the_script_learns_why(
    instance: Instance, runner: ScriptRunner
) -> None:
    with rule(instance, runner, "current.setAbortAction(true);"):
        unit = PerWrite(instance.records, SYSTEM)
        text = f"{MAKE}; [gr.insert(), gr.getLastErrorMessage()]"
        value = runner.run(Script("outer", text), {"name": "aborted"}, unit=unit)
    assert isinstance(value, list)
    assert value[0] is None
    assert value[1]
    assert count(instance, "short_description=aborted") == 0


def test_rules_that_start_each_other_without_end_are_stopped(
    instance: Instance, runner: ScriptRunner
) -> None:
    text = (
        "var gr = new GlideRecord('incident'); gr.initialize();"
        "gr.category = 'endless'; gr.insert();"
    )
    with (
        rule(instance, runner, text),
        pytest.raises(ScriptError, match="More than 20 scripts run inside one another"),
        instance.records.write(SYSTEM) as transaction,
    ):
        transaction.apply(insert("incident", {"category": "endless"}))
    assert count(instance, "category=endless") == 0


def test_field_scripts_of_an_import_share_one_session(
    instance: Instance, runner: ScriptRunner
) -> None:
    source, target = RecordView("incident", {}), RecordView("incident", {})
    views = {"source": source, "target": target}
    upper = Script("upper", "answer = source.short_description.toUpperCase();")
    decide = Script(
        "decide",
        "seen = (typeof seen === 'undefined' ? 0 : seen) + 1;"
        "target.category = 'row ' + seen; if (source.impact == 3) target.setAbortAction(true);"
        "target.changes() + ' ' + target.operation() + ' ' + target.impact",
    )
    found: list[tuple[JsonValue, JsonValue, str, bool]] = []
    with (
        instance.records.write(SYSTEM) as transaction,
        runner.session(Enclosed(transaction)) as session,
    ):
        for text, impact in (("one", "1"), ("two", "3")):
            source.replace({"short_description": text, "impact": impact})
            target.replace({}, operation="insert")
            answer = session.answer(upper, views)
            target.put("impact", impact)
            value = session.run(decide, views)
            found.append((answer, value, target.get("category"), target.aborted))
    assert found == [
        ("ONE", "true insert 1", "row 1", False),
        ("TWO", "true insert 3", "row 2", True),
    ]


def test_answer_is_empty_when_a_script_sets_none(instance: Instance, runner: ScriptRunner) -> None:
    with runner.session(PerWrite(instance.records, SYSTEM)) as session:
        assert session.answer(Script("a", "answer = 5")) == 5
        assert session.answer(Script("b", "1 + 1 // a comment")) is None


def test_lines_of_a_script_are_logged_with_its_name(
    instance: Instance, runner: ScriptRunner, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "midspan.script")
    text = "gs.info('{0} and {1}', 'a', ['b', 'c']); gs.warn('w'); gs.error('e'); gs.debug({});"
    runner.run(Script("the script", text), unit=PerWrite(instance.records, SYSTEM))
    lines = [(r.levelname, r.getMessage(), vars(r)["script"]) for r in caplog.records]
    assert lines == [
        ("INFO", "a and b,c", "the script"),
        ("WARNING", "w", "the script"),
        ("ERROR", "e", "the script"),
        ("DEBUG", "[object Object]", "the script"),
    ]


def test_limits_of_one_run(instance: Instance, runner: ScriptRunner) -> None:
    short = Limits(wall=timedelta(seconds=0.2), cpu=timedelta(seconds=0.2))
    unit = PerWrite(instance.records, SYSTEM)
    with pytest.raises(ScriptTimeout) as caught:
        runner.run(Script("loop", "var a = 1;\nwhile (true) {}"), unit=unit, limits=short)
    assert caught.value.script == "loop"
    assert caught.value.line == 2


def test_the_prelude_is_one_strict_text() -> None:
    assert prelude().text.count("'use strict'") == 1
    assert prelude().text.startswith("'use strict'")


@pytest.mark.parametrize(
    "text",
    [
        "GlideRecord.prototype.next = null; Object.prototype.x = 1; Array.prototype.push = null; 1",
        "JSON.stringify = null; Array.isArray = null; String.prototype.replace = null; 1",
    ],
)
def test_a_script_that_breaks_built_ins_breaks_only_itself(
    text: str, instance: Instance, runner: ScriptRunner
) -> None:
    unit = PerWrite(instance.records, SYSTEM)
    assert runner.run(Script("vandal", text), unit=unit) == 1
    again = "var gr = new GlideRecord('incident'); gr.query(); gr.next(); typeof gr.next"
    assert runner.run(Script("next", again), unit=unit) == "function"


def test_unknown_host_calls_are_refused(instance: Instance, runner: ScriptRunner) -> None:
    with (
        runner.session(PerWrite(instance.records, SYSTEM)) as session,
        pytest.raises(ScriptError, match="no field"),
    ):
        session.run(
            Script(
                "s",
                "var gr = new GlideRecord('incident'); gr.query(); gr.next();"
                "gr.addQuery('no', 1); gr.deleteMultiple();",
            )
        )


def test_pages_of_long_rows_are_short(instance: Instance, runner: ScriptRunner) -> None:
    with instance.records.write(SYSTEM) as transaction:
        for number in range(12):
            values = {"name": f"long {number}", "operation_script": str(number % 10) * 900_000}
            transaction.apply(insert("sys_ws_operation", values))
    text = """
    var gr = new GlideRecord('sys_ws_operation'), seen = 0, size = 0;
    gr.addQuery('name', 'STARTSWITH', 'long'); gr.query();
    while (gr.next()) { seen++; size += gr.operation_script.length; }
    [seen, size, gr.getRowCount()]
    """
    unit = PerWrite(instance.records, SYSTEM)
    assert runner.run(Script("s", text), unit=unit) == [12, 12 * 900_000, 12]


def test_results_not_used_for_longest_make_room(
    instance: Instance, runner: ScriptRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordcalls_rows, "PAGE", 2)
    monkeypatch.setattr(recordcalls_plans, "MOST_ROWS", 12)
    with instance.records.write(SYSTEM) as transaction:
        for _ in range(5):
            transaction.apply(insert("problem", {"category": "cursors"}))
    text = """
    function open() {
        var gr = new GlideRecord('problem'); gr.addQuery('category', 'cursors'); gr.query();
        return gr;
    }
    function drain(gr) { var n = 0; while (gr.next()) n++; return n; }
    var first = open(), second = open(), third = open(), closed;
    try { drain(first); } catch (error) { closed = error.message; }
    [drain(second), drain(third), closed]
    """
    unit = PerWrite(instance.records, SYSTEM)
    found = runner.run(Script("s", text), unit=unit)
    assert found == [5, 5, "The result of this query was closed"]


def test_secrets_are_clear_only_where_they_are_asked_for(
    instance: Instance, runner: ScriptRunner
) -> None:
    text = """
    var gr = new GlideRecord('discovery_credentials'), out = [];
    gr.initialize(); gr.name = 'check'; gr.password = 'open sesame'; var id = gr.insert();
    [GlideRecord, GlideRecordSecure].forEach(function (Class) {
        var found = new Class('discovery_credentials'); found.get(id);
        out.push(found.password.getDecryptedValue(), found.getDisplayValue('password'));
        out.push(('' + found.password).indexOf('sesame'));
    });
    out
    """
    unit = PerWrite(instance.records, SYSTEM)
    found = runner.run(Script("s", text), unit=unit)
    assert isinstance(found, list)
    clear, shown, place, *secure = found
    assert (clear, shown, place) == ("open sesame", "********", -1)
    assert secure[0] is None


def test_links_of_scripts_start_with_the_address_of_the_instance(instance: Instance) -> None:
    script = Script("s", "gs.getProperty('glide.servlet.uri')")
    name = Script("s", "gs.getProperty('instance_name')")
    unit = PerWrite(instance.records, SYSTEM)
    assert instance.scripts.run(script, unit=unit) is None
    instance.scripts.reachable_at("http://127.0.0.1:8080")
    assert instance.scripts.run(name, unit=unit) == "127.0.0.1"
    instance.scripts.reachable_at("https://midspan.example")
    assert instance.scripts.run(script, unit=unit) == "https://midspan.example/"
    assert instance.scripts.run(name, unit=unit) == "midspan"
    text = f"gs.setProperty('glide.servlet.uri', 'https://own.example/'); {script.text}"
    assert instance.scripts.run(Script("s", text), unit=unit) == "https://own.example/"


def test_a_line_of_the_log_has_the_source_that_the_script_names(instance: Instance) -> None:
    unit = PerWrite(instance.records, SYSTEM)
    text = (
        "gs.log('a-1', 'Counter'); gs.logError('a-2', 'Counter');gs.log('a-3'); gs.info('a-4', 'x')"
    )
    instance.scripts.run(Script("teller", text), unit=unit)
    instance.records.logbook.flush()
    with instance.records.read(SYSTEM) as transaction:
        found = transaction.find("syslog", "messageSTARTSWITHa-^ORDERBYmessage")
    shown = [(row.get("source"), row.get("level")) for row in found]
    assert shown == [("Counter", "0"), ("Counter", "2"), ("teller", "0"), ("teller", "0")]
