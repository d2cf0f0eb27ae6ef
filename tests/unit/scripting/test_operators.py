"""Operators on fields of records: spec of the platform, not of the language."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from midspan.instance import Instance
from midspan.records import insert
from midspan.sandbox import ScriptError
from midspan.security import SYSTEM

INCIDENT = "d" * 32
GET = f"var gr = new GlideRecord('incident'); gr.get('{INCIDENT}');"


@pytest.fixture(scope="module", autouse=True)
def record(instance: Instance) -> None:
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        values = {"short_description": "a text", "impact": "2", "urgency": "2", "active": "true"}
        transaction.apply(insert("incident", values, sys_id=INCIDENT))
        users = {"user_name": "off", "active": "false", "locked_out": "true"}
        transaction.apply(insert("sys_user", users, sys_id="e" * 32))


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("gr.close_notes ? 1 : 2", 2),
        ("gr.short_description ? 1 : 2", 1),
        ("!gr.close_notes", True),
        (
            "[Boolean(gr.close_notes), Boolean(gr.impact), Boolean(gr.knowledge)]",
            [False, True, False],
        ),
        (
            "[Boolean(), Boolean('a'), Boolean({}), new Boolean(0) instanceof Boolean]",
            [False, True, True, True],
        ),
        ("[true.constructor === Boolean, [0, 1, ''].filter(Boolean).length]", [True, 1]),
        ("gr.close_notes || 'none'", "none"),
        ("'' + (gr.short_description || 'none')", "a text"),
        ("gr.close_notes && gr.close_notes.toString()", ""),
        ("var v = gr.close_notes; v ||= 'set'; v", "set"),
        ("gr.impact == gr.urgency", True),
        ("gr.impact != gr.urgency", False),
        ("gr.impact == gr.short_description", False),
        ("gr.close_notes == null", True),
        ("gr.close_notes == undefined", True),
        ("gr.short_description != null", True),
        ("gr.close_notes == ''", True),
        ("gr.impact == 2", True),
        ("gr.impact == '2'", True),
        ("gr.active == true", True),
        ("gr.active == false", False),
        ("gr.active ? 1 : 2", 1),
        ("true == gr.active", True),
        ("gr.impact === 2", False),
        ("gr.impact === gr.urgency", False),
        ("typeof gr.close_notes", "object"),
        ("switch (gr.impact) { case '2': 1; break; default: 2 }", 2),
        ("gr.close_notes ?? 'kept'", ""),
        ("gr.short_description == new String('a text')", True),
        ("if (gr.caller_id.manager) 1; else 2", 2),
        ("gr.close_notes = 'x'; gr.close_notes ? 1 : 2", 1),
        ("eval('gr.close_notes ? 1 : 2')", 2),
        ("new Function('g', 'return g.close_notes || 3')(gr)", 3),
        ("var u = new GlideRecord('sys_user'); u.get('user_name', 'off'); u.active ? 1 : 2", 2),
        ("var u = new GlideRecord('sys_user'); u.get('user_name', 'off'); u.active == false", True),
        ("var u = new GlideRecord('sys_user'); u.get('user_name', 'off'); !u.locked_out", False),
    ],
)
def test_a_field_counts_as_what_it_holds(
    run: Callable[[str], Any], text: str, result: object
) -> None:
    assert run(f"{GET} {text}") == result


def test_a_field_that_was_kept_shows_the_row_its_record_is_on(run: Callable[[str], Any]) -> None:
    text = (
        f"{GET} var f = gr.close_notes; var seen = [!f]; gr.close_notes = 'x'; seen.push(!f); seen"
    )
    assert run(text) == [True, False]


def test_scripts_cannot_replace_or_see_through_the_operators(run: Callable[[str], Any]) -> None:
    text = """__ms_true = function () { return true; };
    delete globalThis.__ms_eq;
    WeakMap.prototype.get = Object.keys = String = null;
    var seen = [], spy = new Proxy({}, {get: function (t, k) { seen.push(k); }});
    var kept = spy ? 1 : 2, same = spy == spy;
    [kept, same, seen.length, '' ? 1 : 2, 1 == '1']"""
    assert run(text) == [1, True, 0, 2, True]


def test_an_error_in_a_rewritten_line_has_its_line_and_column(run: Callable[[str], Any]) -> None:
    with pytest.raises(ScriptError) as caught:
        run(f"{GET}\nif (gr.close_notes || gr.impact == gr.urgency && missing)\n  1;")
    assert (caught.value.line, caught.value.column) == (2, 50)
