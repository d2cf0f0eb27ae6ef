"""Rows of sys_script: what is read from them, and what is wrong with a bad one."""

from __future__ import annotations

import pytest

from midspan.apps.load import builtin_apps
from midspan.dictionary import Dictionary
from midspan.kernel.errors import InvalidDefinition
from midspan.records import Operation
from midspan.rules import build_index, check_rule, compile_rule
from midspan.rules.rule import Rule
from midspan.scripting.template import Copy, FieldValue, fields_set

DICTIONARY = Dictionary.build([spec for app in builtin_apps() for spec in app.tables])
ROW = {
    "sys_id": "a" * 32,
    "name": "Guard",
    "collection": "incident",
    "when": "before",
    "order": "100",
    "action_insert": "true",
    "action_update": "true",
    "filter_condition": "priority=1^EQ",
    "abort_action": "true",
}


def compiled(**values: str) -> Rule:
    rule = compile_rule(DICTIONARY, {**ROW, **values})
    assert rule is not None
    return rule


@pytest.mark.parametrize(
    ("values", "message", "hint"),
    [
        ({"collection": "incidnet"}, "Invalid table incidnet", "incident"),
        ({"filter_condition": "prioritty=1"}, "no field prioritty", "priority"),
        ({"filter_condition": "priority~1"}, "Cannot read the part 'priority~1'", ""),
        ({"filter_condition": "priority=high"}, "cannot hold 'high'", "whole number"),
        ({"filter_condition": "caller_id.vipp=true"}, "no field caller_id.vipp", ""),
        ({"filter_condition": "caller_id=javascript:gs.nobody()"}, "cannot evaluate", ""),
        ({"template": "shrot_description=x"}, "no field shrot_description", "short_description"),
        ({"template": "state=open"}, "cannot hold 'open'", "whole number"),
        ({"template": "state"}, "cannot read 'state'", "field=value"),
        ({"template": "sys_id=1"}, "sets sys_id", ""),
        ({"template": "description=javascript:eval(1)"}, "no known expression", "gs.getUserID"),
        ({"template": "description=javascript:current.nmber"}, "no field nmber", "number"),
        ({"when": "befor"}, "no known time", "before"),
    ],
)
def test_a_bad_rule_is_named_with_what_is_near(
    values: dict[str, str], message: str, hint: str
) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        check_rule(DICTIONARY, {**ROW, **values})
    assert "Business rule 'Guard'" in caught.value.message
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


def test_a_good_rule_passes_the_check() -> None:
    check_rule(DICTIONARY, {**ROW, "template": "state=2^work_notes=Seen^EQ"})
    assert compiled().operations == {Operation.INSERT, Operation.UPDATE}


@pytest.mark.parametrize(
    ("values", "alone"),
    [
        ({}, True),
        ({"filter_condition": "stateVALCHANGES^stateCHANGESTO6"}, True),
        ({"filter_condition": "caller_id.vip=true"}, False),
        ({"filter_condition": "caller_id=Abel Tuter"}, False),
        ({"filter_condition": "opened_by=javascript:gs.getUserID()"}, False),
        ({"template": "location=javascript:current.caller_id.location"}, False),
        ({"template": "assignment_group=Network"}, False),
        ({"template": f"assignment_group={'b' * 32}^descriptionSAMEASshort_description"}, True),
        ({"when": "after"}, False),
    ],
)
def test_only_rules_that_look_at_their_own_draft_leave_sets_whole(
    values: dict[str, str], alone: bool
) -> None:
    assert compiled(**values).alone is alone


@pytest.mark.parametrize(
    "values",
    [
        {"when": "async"},
        {"when": "before_display"},
        {"collection": "global"},
        {"action_insert": "false", "action_update": "false", "action_query": "true"},
        {"abort_action": "false"},
    ],
)
def test_a_rule_with_nothing_to_do_is_left_out(values: dict[str, str]) -> None:
    assert compile_rule(DICTIONARY, {**ROW, **values}) is None


@pytest.mark.parametrize(
    ("advanced", "script", "condition", "scripted"),
    [
        ("true", "gs.log('x')", "", True),
        ("true", "", "current.active", True),
        ("false", "gs.log('x')", "current.active", False),
        (
            "true",
            "(function executeRule(current, previous /*null when async*/) {\n"
            "\t// Add your code here\n})(current, previous);",
            "",
            False,
        ),
    ],
)
def test_a_script_counts_only_where_it_would_run(
    advanced: str, script: str, condition: str, scripted: bool
) -> None:
    row = {**ROW, "advanced": advanced, "script": script, "condition": condition}
    assert compiled(**row).scripted is scripted


def test_an_index_keeps_good_rules_and_lists_the_others() -> None:
    rows = [
        {**ROW, "name": "Second", "order": "200"},
        {**ROW, "name": "First", "order": "50", "collection": "task"},
        {**ROW, "name": "Late", "order": "1000"},
        {**ROW, "name": "Broken", "collection": "nowhere"},
        {**ROW, "name": "Scripted", "advanced": "true", "script": "current.x = 1", "order": "60"},
        {**ROW, "name": "Later", "advanced": "true", "script": "gs.info(1)", "when": "async"},
        {**ROW, "name": "Shared", "advanced": "true", "script": "f()", "collection": "global"},
        {**ROW, "name": "Functions", "advanced": "true", "script": "f()", "collection": ""},
    ]
    index = build_index(DICTIONARY, rows)
    found = index.find("incident", Operation.UPDATE)
    assert found is not None
    assert [rule.name for rule in found.early] == ["First", "Scripted", "Second"]
    assert [rule.name for rule in found.later] == ["Later"]
    assert [rule.name for rule in found.late] == ["Late"]
    assert [problem.name for problem in index.problems] == ["Broken", "Functions"]
    assert index.find("cmn_department", Operation.UPDATE) is None
    assert [r.name for r in (index.find("change_task", Operation.INSERT) or found).early] == [
        "First"
    ]


def test_the_built_in_rules_are_right() -> None:
    rows = [
        {**record.values, "sys_id": record.sys_id}
        for app in builtin_apps()
        for record in app.records
        if record.table == "sys_script"
    ]
    index = build_index(DICTIONARY, rows)
    assert len(rows) > 20
    assert index.problems == ()
    assert all(rules.alone for rules in index.tables.values())


def test_a_template_takes_the_last_value_of_a_field() -> None:
    assert fields_set("state=1^location=NULL^state=2^") == (
        FieldValue("location", ""),
        FieldValue("state", "2"),
    )
    assert fields_set("description=javascript: current.caller_id.name;") == (
        FieldValue("description", Copy("caller_id.name")),
    )
