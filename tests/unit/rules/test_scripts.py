"""Rules with scripts at work: what they see, set and refuse, on both databases."""

from __future__ import annotations

import pytest

from midspan.instance import Instance
from midspan.kernel.errors import OperationAborted
from midspan.records import delete, insert, update
from midspan.rules import MESSAGES
from midspan.sandbox import ScriptCallsExceeded

from .worlds import ANN, find, logged, rules, write

WRAPPED = (
    "(function executeRule(current, previous /*null when async*/) {{\n{}\n}})(current, previous);"
)


def test_a_before_rule_sets_fields_and_sees_what_was(instance: Instance) -> None:
    script = WRAPPED.format(
        "current.description = [current.operation(), current.isNewRecord(),"
        " previous.short_description + '>' + current.short_description,"
        " current.short_description.changes(), current.state.changes(),"
        " current.short_description.changesFrom('one'), gs.getUserName()].join();\n"
        "current.state = current.state == '1' ? 2 : current.state;"
    )
    with rules(instance, {"script": script}):
        made = write(instance, insert("incident", {"short_description": "one"}), ANN)
        assert made.values["description"] == "insert,true,>one,true,true,false,ann"
        assert made.values["state"] == "2"
        changed = write(instance, update("incident", made.sys_id, {"short_description": "two"}))
        assert changed.values["description"] == "update,false,one>two,true,false,true,system"
        again = update("incident", made.sys_id, {"close_notes": "x"})
        assert ",two>two,false,false,false," in write(instance, again).values["description"]


def test_rules_with_and_without_scripts_run_in_one_order(instance: Instance) -> None:
    with rules(
        instance,
        {"order": "10", "script": "current.description = 'a'"},
        {"order": "20", "template": "close_notesSAMEASdescription", "advanced": "false"},
        {"order": "30", "script": "current.description += current.close_notes + 'b'"},
        {"order": "1000", "script": "current.close_notes = current.priority + current.number"},
        {"order": "25", "collection": "task", "script": "current.description += 'p'"},
    ):
        made = write(instance, insert("incident", {"impact": "1", "urgency": "1"}))
    assert made.values["description"] == "apab"
    assert made.values["close_notes"] == f"1{made.values['number']}"


def test_script_and_actions_of_one_rule_act_together(instance: Instance) -> None:
    rule = {
        "template": "description=set",
        "add_message": "true",
        "message": "told",
        "script": "current.description += ' and scripted'; gs.addInfoMessage('said')",
    }
    with rules(instance, rule), instance.records.write(ANN, enforce=False) as transaction:
        made = transaction.apply(insert("incident", {}))
        assert transaction.locals[MESSAGES] == ["told", "said"]
    assert made.values["description"] == "set and scripted"


def test_conditions_in_javascript_decide(instance: Instance) -> None:
    with rules(
        instance,
        {"condition": "current.caller_id", "script": "current.description += 'caller '"},
        {"condition": "!current.caller_id;", "script": "current.description += 'nobody '"},
        {"condition": "previous.state == ''", "script": "current.description += 'new '"},
        {"condition": "nothing.here", "script": "current.description += 'broken '"},
        {"condition": "current.number.indexOf('INC') == 0", "template": "close_notes=ours"},
        {"role_conditions": "admin", "script": "current.description += 'admin '"},
        {"condition": "current.active; // yes", "script": "current.description += 'noted '"},
        {
            "condition": "var own = current.caller_id; own && yes();\nfunction yes() { return 1; }",
            "script": "current.description += 'statements '",
        },
        {"condition": "if (current.active) false; else true;", "template": "close_notes=not"},
        {"condition": "answer = f();\nfunction f() {return true;}", "template": "urgency=1"},
    ):
        made = write(instance, insert("incident", {"caller_id": "b" * 32}), ANN)
        assert made.values["description"] == "caller new noted statements "
        assert made.values["urgency"] == "1"
        assert made.values["close_notes"] == "ours"
        assert logged(instance) == [
            ("2", "Business rule 'rule 3': ReferenceError: nothing is not defined")
        ]


def test_an_abort_is_told_in_the_vendors_words_and_later_rules_still_run(
    instance: Instance,
) -> None:
    with rules(
        instance,
        {"name": "No", "script": "current.setAbortAction(true); gs.addErrorMessage('sorry')"},
        {"name": "Log", "script": "gs.info('aborted: {0}', current.isActionAborted())"},
    ) as (sys_id, _):
        before = len(find(instance, "incident"))
        with instance.records.write(ANN, enforce=False) as transaction:
            with pytest.raises(OperationAborted) as caught:
                transaction.apply(insert("incident", {}))
            assert transaction.locals[MESSAGES] == ["sorry"]
        assert caught.value.detail == (
            "Operation against file 'incident' was aborted by Business Rule "
            f"'No^{sys_id}'. Business Rule Stack:No"
        )
        assert logged(instance) == [("0", "aborted: true")]
        assert len(find(instance, "incident")) == before
    with rules(
        instance,
        {"order": "1", "script": "current.setAbortAction(true)"},
        {"order": "2", "script": "current.setAbortAction(false)"},
    ):
        assert write(instance, insert("incident", {})).written


def test_a_script_that_throws_is_logged_with_its_line_and_the_write_goes_on(
    instance: Instance,
) -> None:
    script = "current.description = 'kept';\n\nmissing.call();"
    with rules(instance, {"name": "Bad", "script": script}) as (sys_id,):
        made = write(instance, insert("incident", {}))
        assert made.values["description"] == "kept"
        instance.records.logbook.flush()
        (line,) = find(instance, "syslog", "level=2")
        assert line.get("message") == "Business rule 'Bad': ReferenceError: missing is not defined"
        assert line.get("source") == f"sys_script.{sys_id}.script"
        assert line.get("line") == "3"


def test_a_value_that_a_field_cannot_hold_is_left_out(instance: Instance) -> None:
    script = "current.state = 'open'; current.short_description = 'x'.repeat(500); current.nope = 1"
    with rules(instance, {"script": script}):
        made = write(instance, insert("incident", {}))
    assert made.values["state"] == "1"
    assert made.values["short_description"] == "x" * 160
    assert "nope" not in made.values


def test_saving_the_record_from_its_before_rule_does_nothing_more(instance: Instance) -> None:
    script = "current.description = 'once'; current.update(); current.insert();"
    with rules(instance, {"script": script}):
        before = len(find(instance, "incident"))
        made = write(instance, insert("incident", {}))
        assert made.values["description"] == "once"
        assert len(find(instance, "incident")) == before + 1
        assert [level for level, _ in logged(instance)] == ["1", "1"]


def test_an_after_rule_writes_again_and_does_not_run_for_that(instance: Instance) -> None:
    script = WRAPPED.format(
        "gs.info(current.operation() + previous.short_description + current.state.changes());\n"
        "current.description = current.number + '!';\ncurrent.update();"
    )
    with rules(instance, {"when": "after", "name": "Again", "script": script}):
        made = write(instance, insert("incident", {"short_description": "n"}))
        (stored,) = find(instance, "incident", f"sys_id={made.sys_id}")
        assert stored.get("description") == f"{stored.get('number')}!"
        write(instance, update("incident", made.sys_id, {"state": "2"}))
        said = logged(instance)
        assert [text for level, text in said if level == "0"] == ["inserttrue", "updatentrue"]
        assert all("'Again' changed the record" in text for level, text in said if level == "1")
        assert [level for level, _ in said].count("1") == 1


def test_rules_that_change_each_others_records_come_to_an_end(instance: Instance) -> None:
    script = WRAPPED.format(
        "var other = new GlideRecord('incident');\n"
        "other.initialize(); other.short_description = current.short_description + '+';\n"
        "other.insert();"
    )
    rule = {"when": "after", "script": script, "action_update": "false"}
    with rules(instance, rule), pytest.raises(ScriptCallsExceeded):
        write(instance, insert("incident", {"short_description": "chain"}))
    assert find(instance, "incident", "short_descriptionSTARTSWITHchain") == []


def test_a_deletion_has_rules_too(instance: Instance) -> None:
    flags = {"action_insert": "false", "action_update": "false", "action_delete": "true"}
    with rules(
        instance,
        {**flags, "script": "if (current.state == 2) current.setAbortAction(true)"},
        {**flags, "when": "after", "script": "gs.info('gone: ' + current.short_description)"},
    ):
        kept = write(instance, insert("incident", {"state": "2"}))
        gone = write(instance, insert("incident", {"short_description": "old"}))
        with pytest.raises(OperationAborted):
            write(instance, delete("incident", kept.sys_id))
        write(instance, delete("incident", gone.sys_id))
        assert logged(instance) == [("0", "gone: old")]


@pytest.mark.parametrize("when", ["before", "after"])
def test_rules_see_that_a_password_is_there_and_nothing_of_it(
    instance: Instance, when: str
) -> None:
    script = "gs.info('{0} {1}', current.user_password, previous ? previous.user_password : '')"
    with rules(instance, {"collection": "sys_user", "when": when, "script": script}):
        made = write(
            instance, insert("sys_user", {"user_name": when, "user_password": "clear as day"})
        )
        write(instance, update("sys_user", made.sys_id, {"user_password": "other as night"}))
        told = [text for _, text in logged(instance)]
    assert [text.split(" ")[0] for text in told] == ["********", "********"]
    assert not [text for text in told if "clear" in text or "other" in text or "$" in text]


@pytest.mark.parametrize("count", [1, 3])
def test_lines_of_the_log_say_where_they_come_from(instance: Instance, count: int) -> None:
    include = {
        "name": "Teller",
        "api_name": "global.Teller",
        "access": "public",
        "script": "function Teller(text) {\n\n\n  gs.warn(text); gs.log('again'); }",
    }
    teller = write(instance, insert("sys_script_include", include)).sys_id
    script = "function tell() {\n  gs.info('from {0}', 'here');\n}\ntell();\n\nTeller('there');"
    with rules(instance, {"script": script}) as (rule,):
        with instance.records.write(ANN, enforce=False) as transaction:
            transaction.apply_all([insert("incident", {})] * count)
        instance.records.logbook.flush()
        lines = find(instance, "syslog", "level!=-1")
        assert logged(instance)
    write(instance, delete("sys_script_include", teller))
    found = [(each.get("message"), each.get("source"), each.get("line")) for each in lines]
    own, other = f"sys_script.{rule}.script", f"sys_script_include.{teller}.script"
    told = [("from here", own, "2"), ("there", other, "4"), ("again", other, "4")]
    assert sorted(found) == sorted(told * count)


def test_functions_that_older_rules_define_are_called(instance: Instance) -> None:
    script = "function onBefore(current, previous) { current.description = 'called'; }"
    with rules(instance, {"script": script, "execute_function": "true"}):
        assert write(instance, insert("incident", {})).values["description"] == "called"
    with rules(instance, {"script": script}):
        assert write(instance, insert("incident", {})).values["description"] == ""


def test_display_rules_fill_the_scratchpad_for_a_form(instance: Instance) -> None:
    rule = {
        "when": "before_display",
        "script": "g_scratchpad.open = current.state == 1; current.description = 'shown'",
    }
    with rules(instance, rule):
        made = write(instance, insert("incident", {}))
        with instance.records.read(ANN) as transaction:
            record = transaction.load("incident", (made.sys_id,))[made.sys_id]
            values, pad = instance.rules.display(record, transaction)
    assert values == {"description": "shown"}
    assert pad == {"open": True}
    assert find(instance, "incident", f"sys_id={made.sys_id}")[0].get("description") == ""


SCRIPTS = [
    ("sys_script", "script", "advanced"),
    ("sys_script", "condition", "advanced"),
    ("sys_security_acl", "script", "advanced"),
    ("sys_script_include", "script", ""),
    ("sysevent_script_action", "script", ""),
    ("sysevent_script_action", "condition_script", ""),
    ("sysauto_script", "script", ""),
    ("sysauto_script", "condition", ""),
    ("scheduled_import_set", "post_script", "post_script_enabled"),
    ("sys_ws_operation", "operation_script", ""),
    ("sys_transform_map", "script", "run_script"),
    ("sys_transform_entry", "source_script", "use_source_script"),
    ("sys_transform_script", "script", ""),
]


@pytest.mark.parametrize(("table", "field", "switch"), SCRIPTS)
def test_a_script_that_does_not_compile_is_refused_when_it_is_saved(
    instance: Instance, table: str, field: str, switch: str
) -> None:
    on = {switch: "true"} if switch else {}
    row = {"name": "Typo", "active": "true", "collection": "incident", "action_insert": "true"}
    fields = instance.holder.current().dictionary.table(table).fields
    row = {name: text for name, text in row.items() if name in fields}
    broken = "current.a &&\nif (current.b {"
    with pytest.raises(OperationAborted) as caught:
        write(instance, insert(table, {**row, **on, field: broken}))
    detail = caught.value.detail or ""
    assert detail.startswith(
        f"Could not save record because of a compile error in {field}: line 2: SyntaxError: "
    )
    assert detail.endswith(": if (current.b {")
    run = {**row, **on, "active": "true"} if "active" in fields else {**row, **on}
    loud = "missing.call()" if "condition" in field else "throw missing.call(); return 1;"
    made = [write(instance, insert(table, {**run, field: loud}))]  # it is compiled, not run
    if "active" in fields:
        made.append(write(instance, insert(table, {**row, **on, field: broken, "active": "false"})))
    if switch:
        made.append(write(instance, insert(table, {**row, switch: "false", field: broken})))
        with pytest.raises(OperationAborted):
            write(instance, update(table, made[-1].sys_id, on))
    for each in made:
        write(instance, delete(table, each.sys_id))


def test_an_after_rule_that_saves_the_record_is_seen_by_the_next(instance: Instance) -> None:
    save = "if (current.urgency != 1) { current.urgency = 1; current.update(); }"
    note = "gs.info([current.operation(), current.urgency, current.short_description].join());"
    with rules(
        instance,
        {"when": "after", "order": "10", "script": save},
        {"when": "after", "order": "20", "script": note},
    ):
        made = write(instance, insert("incident", {"urgency": "3", "short_description": "new"}))
        assert made.values["urgency"] == "1"
        write(instance, update("incident", made.sys_id, {"urgency": "2"}))
    expected = ["update,1,new", "insert,1,new", "update,1,new", "update,1,new"]
    said = [text for _, text in logged(instance) if "does not run for that" not in text]
    assert said == expected


def test_previous_is_the_record_before_the_first_write_of_all(instance: Instance) -> None:
    save = "if (current.impact != 1) { current.impact = 1; current.update(); }"
    note = "gs.info([previous.urgency + '>' + current.urgency, previous.impact].join());"
    made = write(instance, insert("incident", {"urgency": "3", "impact": "3"}))
    with rules(
        instance,
        {"when": "after", "order": "10", "script": save, "condition": "current.urgency != 3"},
        {"when": "after", "order": "20", "script": note},
    ):
        write(instance, update("incident", made.sys_id, {"urgency": "2"}))
        write(instance, update("incident", made.sys_id, {"urgency": "1"}))
    said = [text for _, text in logged(instance) if "does not run for that" not in text]
    assert said == ["3>2,3", "3>2,3", "2>1,1"]
