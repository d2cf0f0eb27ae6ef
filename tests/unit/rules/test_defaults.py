"""Default values that are scripts: when they run, what they see, and what stays out of them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from midspan.instance import Instance
from midspan.records import Applied, insert, update
from midspan.sandbox import Script
from midspan.scripting import PerWrite
from midspan.security import SYSTEM

from .worlds import ANN, find, logged, rules, write

DEFAULTS = {
    "u_plain": "javascript:new Date(0).getUTCFullYear() + 1",
    "u_seen": "javascript:current.short_description + '/' + current.number.indexOf('INC');",
    "u_steps": "javascript:var a = gs.getUserName(); a.toUpperCase()",
    "u_answer": "javascript:answer = 'answered';",
    "u_include": "javascript:new DefaultTool().value()",
    "u_known": "javascript:gs.getUserName()",
    "u_broken": "javascript:missing()",
    "u_number": "javascript:getNextObjNumberPadded();",
    "u_nothing": "javascript:null",
}
TOOL = (
    "var DefaultTool = Class.create(); DefaultTool.prototype = "
    "{ initialize: function () {}, value: function () { return 'tool'; }, type: 'DefaultTool' };"
)


@pytest.fixture(scope="module", autouse=True)
def fields(instance: Instance) -> None:
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        transaction.apply(insert("sys_script_include", {"name": "DefaultTool", "script": TOOL}))
        transaction.apply(insert("sys_db_object", {"name": "u_defaulted", "super_class": ""}))
        for table, names in (("u_defaulted", DEFAULTS), ("incident", ["u_plain", "u_seen"])):
            for name in names:
                values = {"name": table, "element": name, "internal_type": "string"}
                more = {"default_value": DEFAULTS[name], "max_length": "100", "active": "true"}
                transaction.apply(insert("sys_dictionary", {**values, **more}))
        more = {"element": "short_description", "internal_type": "string", "max_length": "100"}
        transaction.apply(insert("sys_dictionary", {"name": "u_defaulted", **more}))
        more = {"element": "number", "internal_type": "string", "default_value": "INC1"}
        transaction.apply(insert("sys_dictionary", {"name": "u_defaulted", **more}))


def test_a_new_record_has_what_the_scripts_say(instance: Instance) -> None:
    logged(instance)
    values = write(instance, insert("u_defaulted", {"short_description": "new"}), ANN).values
    assert {name: values[name] for name in DEFAULTS} == {
        "u_plain": "1971",
        "u_seen": "new/0",
        "u_steps": "ANN",
        "u_answer": "answered",
        "u_include": "tool",
        "u_known": "ann",
        "u_broken": "",
        "u_number": "",
        "u_nothing": "",
    }
    ((level, text),) = logged(instance)
    assert (level, text) == (
        "2",
        "Default value of u_broken: ReferenceError: missing is not defined",
    )


@pytest.mark.parametrize("given", [{"u_plain": "given"}, {"u_plain": ""}])
def test_a_field_that_was_given_keeps_its_value(
    instance: Instance, given: Mapping[str, str]
) -> None:
    made = write(instance, insert("u_defaulted", given))
    assert made.values["u_plain"] == given["u_plain"]
    write(instance, update("u_defaulted", made.sys_id, {"u_steps": ""}))
    assert find(instance, "u_defaulted", f"sys_id={made.sys_id}")[0].get("u_steps") == ""


def test_before_rules_and_scripts_see_the_value(instance: Instance) -> None:
    with rules(instance, {"script": "current.description = current.u_plain + 'r'"}):
        made = write(instance, insert("incident", {"short_description": "x"}))
    assert (made.values["description"], made.values["u_seen"]) == ("1971r", "x/0")
    text = "var gr = new GlideRecord('incident'); gr.insert(); gr.u_plain + ''"
    unit = PerWrite(instance.records, SYSTEM)
    assert instance.scripts.run(Script("test", text), unit=unit) == "1971"


def test_many_at_once_each_have_their_own(instance: Instance) -> None:
    changes = [insert("incident", {"short_description": f"s{at}"}) for at in range(3)]
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        ids = [
            result.sys_id
            for result in transaction.apply_all(changes)
            if isinstance(result, Applied)
        ]
        stored = transaction.load("incident", ids)
    assert [stored[one].get("u_seen") for one in ids] == ["s0/0", "s1/0", "s2/0"]
