"""Script includes: names that scripts use and did not define, in scopes, live; classes; modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from midspan.instance import Instance
from midspan.records import ChangeOptions, delete, insert, update
from midspan.sandbox import Script, ScriptError, ScriptSyntaxError
from midspan.scripting import PerWrite, ScriptRunner
from midspan.security import SYSTEM

ACME = "ac" * 16
COUNTER = "c0" * 16

WHERE = (
    "[gs.getCurrentScopeName(), gs.getCurrentApplicationId() == 'global', gs.getCallerScopeName()]"
)
TEXTS = {
    "Tool": (
        "global",
        "public",
        "var Tool = Class.create();\nTool.prototype = {\n"
        "  initialize: function (n) { this.n = n || 1; },\n  twice: function () {"
        " return this.n * 2; },\n  broken: function () {\n    return nowhere;\n  },\n"
        "  type: 'Tool'\n};",
    ),
    "Base": (
        "global",
        "public",
        "var Base = Class.create();\nBase.prototype = {"
        " hello: function () { return 'base ' + this.type; }, type: 'Base' };",
    ),
    "Child": (
        "global",
        "public",
        "var Child = Class.create();\nChild.prototype = "
        "Object.extendsObject(Base, { type: 'Child' });",
    ),
    "onDemand": ("global", "public", "function onDemand(a) { return 'made ' + a; }"),
    "Modern": (
        "global",
        "public",
        "class Modern { static one() { return 1; } two() { return 2; } }",
    ),
    "Fields": (
        "global",
        "public",
        "var Fields = {first: function (gr) {"
        " return gr.close_notes || 'empty'; }, sees: function () { return shared; }};",
    ),
    "Where": ("global", "public", f"var Where = {{tell: function () {{ return {WHERE}; }}}};"),
    "There": (
        "acme",
        "public",
        f"var There = {{tell: function () {{ return {WHERE}; }}, far: function () {{"
        " return Where.tell(); }};",
    ),
    "Private": ("global", "package_private", "var Private = {v: 1};"),
    "Empty": ("global", "public", "var Other = 1;"),
    "Wrong": ("global", "public", "var Wrong = {};\n\nvar 1b;"),
    "Loop": ("global", "public", "var Loop = {v: LoopBack.v};"),
    "LoopBack": ("global", "public", "var LoopBack = {v: Loop.v};"),
    "Leaky": (
        "global",
        "public",
        "var Leaky = {}; leaked = (typeof leaked == 'undefined' ? 0 : leaked) + 1;",
    ),
    "Quote": (
        "global",
        "public",
        "var Quote = Class.create();\nQuote.prototype = Object.extendsObject("
        "AbstractAjaxProcessor, { quote: function () { return 'for ' + this.getParameter("
        "'sysparm_item'); }, type: 'Quote' });",
    ),
    "AcmeTool": (
        "acme",
        "public",
        "var AcmeTool = {v: 'acme', inner: function () { return Hidden.v; }};",
    ),
    "Hidden": ("acme", "package_private", "var Hidden = {v: 'hidden'};"),
    "Twin": ("global", "public", "var Twin = {v: 'global'};"),
    "Off": ("global", "public", "var Off = 1;"),
}


@pytest.fixture(scope="module", autouse=True)
def includes(instance: Instance) -> None:
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        scope = {"name": "Acme", "scope": "x_acme"}
        transaction.apply(insert("sys_scope", scope, sys_id=ACME))
        for name, (where, access, text) in TEXTS.items():
            values = {"name": name, "api_name": f"{where}.{name}", "script": text, "access": access}
            values["active"] = "false" if name == "Off" else "true"
            values["sys_scope"] = ACME if where == "acme" else "global"
            # As one that an older release stored: it would be refused today.
            change = insert("sys_script_include", values)
            transaction.apply(structs.replace(change, options=ChangeOptions(rules=name != "Wrong")))
        twin = {"name": "Twin", "script": "var Twin = {v: 'acme'};", "access": "public"}
        transaction.apply(insert("sys_script_include", {**twin, "sys_scope": ACME}))


def fails(run: Callable[[str], Any], text: str) -> ScriptError:
    with pytest.raises(ScriptError) as caught:
        run(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("new Tool(4).twice()", 8),
        ("new global.Tool().twice()", 2),
        ("new Child().hello()", "base Child"),
        ("new Child() instanceof Base", True),
        ("onDemand('x')", "made x"),
        ("[Modern.one(), new Modern().two()]", [1, 2]),
        ("var shared = 5; Fields.sees()", 5),
        ("Fields.first(new GlideRecord('incident'))", "empty"),
        ("typeof Tool", "function"),
        ("typeof NoSuchTool", "undefined"),
        ("typeof Off", "undefined"),
        ("Leaky; Leaky; global.Leaky; leaked", 1),
        ("var Tool = {v: 9}; Tool.v", 9),
        ("function use() { return new Tool(2).twice() } use()", 4),
        ("eval('new Tool(3).twice()')", 6),
        ("new Function('return new Tool(3).twice()')()", 6),
        ("x_acme.AcmeTool.v", "acme"),
        ("x_acme.AcmeTool.inner()", "hidden"),
        ("[Twin.v, x_acme.Twin.v, Twin.v, global.Twin.v]", ["global", "acme", "global", "global"]),
        ("typeof AcmeTool", "undefined"),
        ("x_acme.Nothing === undefined", True),
        ("gs.include('Tool') && new Tool(5).twice()", 10),
        ("gs.include('x_acme.AcmeTool')", True),
        ("gs.include('NoSuchTool')", False),
        ("gs.include('x_acme.NoSuchTool')", False),
        ("gs.include('Leaky'); gs.include('Leaky'); leaked", 1),
        ("Private.v", 1),
        ("global.GlideRecord === GlideRecord && 'gs' in global", True),
        ("global.made = 4; made", 4),
        ("new Quote({sysparm_name: 'quote', sysparm_item: 'tea'}).process()", "for tea"),
        ("var q = new Quote({sysparm_name: 'setAnswer'}); q.process() === undefined", True),
        ("'' + function () { var q = new Quote({sysparm_name: 'quote'}); q.process();"
         " q.newItem('a').setAttribute('b', '<'); return q.responseXML; }()",
         '<xml answer="for null"><a b="&lt;"/></xml>'),
        ("var A = Class.create(); A.prototype = {n: 1}; new A().n", 1),
        ("Object.extendsObject({a: 1}, {b: 2}).a", 1),
        ("'abc'.contains('b')", True),
        ("try { null.x } catch (e) { e.getMessage() }", "cannot read property 'x' of null"),
        ("'' + new Packages.java.lang.StringBuilder('a').append(1)", "a1"),
        ("java.util.TimeZone.getTimeZone('Europe/Berlin').getID()", "Europe/Berlin"),
        ("typeof Packages.com.glide.Something", "function"),
        ("j2js([1, 2]).length", 2),
    ],
)  # fmt: skip
def test_a_name_means_its_include(run: Callable[[str], Any], text: str, result: object) -> None:
    assert run(text) == result


def test_an_error_inside_an_include_names_it_with_its_line(
    instance: Instance, run: Callable[[str], Any]
) -> None:
    with instance.records.read(SYSTEM) as transaction:
        ids = {
            name: transaction.find("sys_script_include", f"name={name}")[0].sys_id
            for name in ("Tool", "Wrong")
        }
    error = fails(run, "\nnew Tool().broken()")
    assert (error.script, error.line) == (f"sys_script_include.{ids['Tool']}.script", 6)
    assert error.stack.splitlines()[-1] == "at <eval> (test:2:12)"
    wrong = fails(run, "\nWrong.v")
    assert type(wrong) is ScriptSyntaxError
    assert wrong.detail == f"sys_script_include.{ids['Wrong']}.script; line 3"
    assert str(wrong).endswith("line 3: var 1b;)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Empty", "ReferenceError: the script include global.Empty does not define Empty"),
        ("Loop", "TypeError: cannot read property 'v' of undefined"),
        ("x_acme.Hidden", "is private to its scope and cannot be used from scope global"),
        (
            "new GlideRecrod('x')",
            "ReferenceError: GlideRecrod is not defined; did you mean GlideRecord?",
        ),
        ("new Toool()", "ReferenceError: Toool is not defined; did you mean Tool?"),
        ("xyz()", "ReferenceError: xyz is not defined"),
        ("\nsn_hr_core.x()", "not available: sn_hr_core (used at line 2)"),
        (
            "\n\nnew Packages.com.glide.Thing()",
            "Error: not available: com.glide.Thing (used at line 3)",
        ),
        ("java.io.File('x')", "Error: not available: java.io.File (used at line 1)"),
        ("Object.extendsObject(undefined, {})", "Object.extendsObject needs a class or an object"),
    ],
)
def test_what_is_not_there_says_what_to_do(
    run: Callable[[str], Any], text: str, message: str
) -> None:
    error = fails(run, text)
    assert message in error.message
    assert text != "xyz()" or error.message == message


def test_a_failed_include_fails_again_and_does_not_become_undefined(
    run: Callable[[str], Any],
) -> None:
    text = """var seen = [];
    for (var i = 0; i < 2; i++) try { Empty } catch (e) { seen.push('' + e) }
    seen"""
    assert (
        run(text) == ["ReferenceError: the script include global.Empty does not define Empty"] * 2
    )


def test_a_change_of_an_include_is_live_after_its_commit(
    instance: Instance, run: Callable[[str], Any]
) -> None:
    assert run("typeof Counter") == "undefined"
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        values = {"name": "Counter", "script": "var Counter = {v: 1};", "active": "true"}
        transaction.apply(insert("sys_script_include", values, sys_id=COUNTER))
    assert run("Counter.v") == 1
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        text = {"script": "var Counter = {v: 2};"}
        transaction.apply(update("sys_script_include", COUNTER, text))
    assert run("Counter.v") == 2
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        transaction.apply(delete("sys_script_include", COUNTER))
    assert run("typeof Counter") == "undefined"


def test_the_scope_of_a_script_is_that_of_its_record(
    instance: Instance, runner: ScriptRunner
) -> None:
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        rule = {"name": "r", "collection": "incident", "active": "false", "sys_scope": ACME}
        transaction.apply(insert("sys_script", rule, sys_id="5c" * 16))
    unit = PerWrite(instance.records, SYSTEM)
    script = Script(f"sys_script.{'5c' * 16}.script", "[Hidden.v, Twin.v, typeof Tool]")
    assert runner.run(script, unit=unit) == ["hidden", "acme", "function"]
    for text, expected in {
        "[Twin.v, global.Twin.v, Twin.v, x_acme.Twin.v]": ["acme", "global", "acme", "acme"],
        "[global.Twin.v, Twin.v, global.Twin.v]": ["global", "acme", "global"],
        "var Twin = {v: 'own'}; [Twin.v, global.Twin.v]": ["own", "own"],
    }.items():
        assert runner.run(Script(script.name, text), unit=unit) == expected
    private = Script(f"sys_script.{'5c' * 16}.script", "Private.v")
    with pytest.raises(ScriptError, match="private to its scope"):
        runner.run(private, unit=unit)


def test_a_script_knows_its_scope_and_who_called_it(
    instance: Instance, runner: ScriptRunner
) -> None:
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        rule = {"name": "w", "collection": "incident", "active": "false", "sys_scope": ACME}
        transaction.apply(insert("sys_script", rule, sys_id="5b" * 16))
    unit = PerWrite(instance.records, SYSTEM)
    text = f"[{WHERE}, Where.tell(), x_acme.There.tell(), x_acme.There.far()]"
    own, plain = ["x_acme", False], ["rhino.global", True]
    found = runner.run(Script(f"sys_script.{'5b' * 16}.script", text), unit=unit)
    assert found == [[*own, None], [*plain, "x_acme"], [*own, "x_acme"], [*plain, "x_acme"]]
    id_text = "gs.getCurrentApplicationId()"
    assert runner.run(Script(f"sys_script.{'5b' * 16}.script", id_text), unit=unit) == ACME
    found = runner.run(Script("test", text), unit=unit)
    shown = [[*plain, None], [*plain, "rhino.global"], [*own, "rhino.global"], [*plain, "x_acme"]]
    assert found == shown


def test_the_mode_of_a_script_is_that_of_its_record(
    instance: Instance, runner: ScriptRunner
) -> None:
    sys_id = "5d" * 16
    script = Script(f"sys_script.{sys_id}.script", "let a = 1; a")
    unit = PerWrite(instance.records, SYSTEM)
    assert runner.run(script, unit=unit) == 1
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        values = {"table": "sys_script", "id": sys_id, "use_es_latest": "false"}
        transaction.apply(insert("sys_es_latest_script", values, sys_id=sys_id))
    with pytest.raises(ScriptSyntaxError, match="use_es_latest"):
        runner.run(script, unit=unit)
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        transaction.apply(update("sys_es_latest_script", sys_id, {"use_es_latest": "true"}))
    assert runner.run(script, unit=unit) == 1


def test_rules_of_no_table_give_their_functions_to_every_script(
    instance: Instance, run: Callable[[str], Any]
) -> None:
    text = (
        "function addTax(n) { return n + taxOf(n); }\n"
        "function taxOf(n) { var inner = n * RATE; return inner; }\n"
        "var RATE = 0.5;\n"
        "function Twin() { return 'not this'; }\n"
        "function broken() {\n  return nowhere;\n}"
    )
    rule = {"name": "Taxes", "collection": "global", "advanced": "true", "script": text}
    assert run("typeof addTax") == "undefined"
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        made = transaction.apply(insert("sys_script", rule)).sys_id
    assert run("[addTax(10), taxOf(2), RATE, typeof inner]") == [15, 1, 0.5, "undefined"]
    assert run("Twin.v") == "global"  # a script include of the name goes first
    assert run("var addTax = 1; addTax") == 1
    error = fails(run, "broken()")
    assert (error.script, error.line) == (f"sys_script.{made}.script", 6)
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        transaction.apply(update("sys_script", made, {"active": "false"}))
    assert run("typeof addTax") == "undefined"
