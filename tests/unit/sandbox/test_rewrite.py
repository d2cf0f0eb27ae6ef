"""The rewrite of operators: the same program as before, line for line, but for field objects."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import midspan.sandbox
from midspan.sandbox import (
    JsonValue,
    Limits,
    SandboxPool,
    SandboxSession,
    Script,
    ScriptError,
    ScriptMemoryExceeded,
    ScriptSyntaxError,
)

# Operators that count how often they are asked, and call an object named "empty" false.
OPERATORS = Script(
    "prelude/operators.js",
    """
    let kept;
    const empty = (v) => typeof v === 'object' && v !== null && v.empty === true;
    const all = {
      __ms_true(v) { asked++; return !empty(v) && Boolean(v); },
      __ms_eq(a, b) { asked++; return empty(a) ? b == null || empty(b) : a == b; },
      __ms_test(v) { kept = v; return all.__ms_true(v); },
      __ms_kept() { return kept; },
    };
    let asked = 0;
    for (const name of Object.keys(all)) globalThis[name] = all[name];
    globalThis.asked = () => asked;
    globalThis.E = {empty: true};
    globalThis.load = () => __host('load', []);
    const met = [];
    __engine.onNames((names) => { met.push(...names); });
    globalThis.met = () => met;
    """,
)


@pytest.fixture(scope="module")
def rewriting() -> Iterator[SandboxPool]:
    with SandboxPool(size=1, prelude=[OPERATORS], operators=True) as pool:
        yield pool


@pytest.fixture(scope="module")
def plain() -> Iterator[SandboxPool]:
    with SandboxPool(size=1, prelude=[OPERATORS]) as pool:
        yield pool


def value(pool: SandboxPool, text: str, *, es5: bool = False) -> JsonValue:
    with pool.session(lambda name, arguments: None) as session:
        return session.run(Script("a.script", text, es5))


def failure(pool: SandboxPool, text: str, *, es5: bool = False) -> ScriptError:
    with pytest.raises(ScriptError) as caught:
        value(pool, text, es5=es5)
    return caught.value


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("if (E) 1; else 2", 2),
        ("E ? 1 : 2", 2),
        ("!E", True),
        ("!!E", False),
        ("var n = 0; while (E) n++; n", 0),
        ("var n = 0; do n++; while (E); n", 1),
        ("var n = 0; for (; E; ) n++; n", 0),
        ("E || 'none'", "none"),
        ("'x' && (E || 'none')", "none"),
        ("(E && 1) === E", True),
        ("(1 && E) === E", True),
        ("E == null", True),
        ("E != null", False),
        ("E == {empty: true}", True),
        ("null == E || 'x'", "x"),
        ("if (0, E) 1; else 2", 2),
        ("if (!(1 && E) && !(E || 0)) 1; else 2", 1),
        ("var a = E; a ||= 5; a", 5),
        ("var o = {p: E}; o.p ||= 5; o.p", 5),
        ("var o = {p: E}; o['p'] &&= 5; o.p === E", True),
        ("var f; (f = E) ? 1 : 2", 2),
        ("eval('E ? 1 : 2')", 2),
        ("(0, eval)('E ? 1 : 2')", 2),
        ("var run = eval; run('E ? 1 : 2')", 2),
        ("(function (x) { return eval('x || 3'); })(E)", 3),
        ("Function('x', 'return x || 3')(E)", 3),
        ("new Function('return E ? 1 : 2')()", 2),
        ("(function () {}).constructor('return E ? 1 : 2')()", 2),
        ("(function* () {}).constructor('yield E ? 1 : 2')().next().value", 2),
        ("(async function () {}).constructor('return E ? 1 : 2')()", 2),
        ("Object.getPrototypeOf((async () => 1).constructor)('return E ? 1 : 2')()", 2),
        ("(async () => E || await 4)()", 4),
        ("(async () => (await E) || 4)()", 4),
        ("[...(function* () { yield E || (yield 1); })()]", [1, None]),
        ("E ?? 1", {"empty": True}),
        ("switch (E) { case E: 1 }", 1),
        ("(x => x || 7)(E)", 7),
        ("((x = E || 8) => x)()", 8),
        ("class A { f = E || 9; static g = E ? 1 : 2 } [new A().f, A.g]", [9, 2]),
        ("`${E || 1}`", "1"),
        ("typeof (E || 'x')", "string"),
        ("var {a = E || 1} = {}; a", 1),
    ],
)
def test_an_empty_object_counts_as_nothing(
    rewriting: SandboxPool, text: str, result: JsonValue
) -> None:
    assert value(rewriting, text) == result


SAME = [
    "var a = 0 || 'x'\nvar b = a && 1\nb || a",
    "var x = 1\nvar y = x\nx || y\ny == x ? 'same' : 'other'",
    "var f = function () { return 1 }\nf || g",
    "var i = 3, n = 0; while (i--) n += i; n",
    "/[/]||x/.test('a||x') || 1 / 2 / 3",
    "var re = 4, g = 2; 8 /re/ g || 0",
    "a: for (var i = 0; i < 3; i++) { for (;;) { if (i == 1) continue a; break; } }",
    "if (0) 1\nelse 'x' || 2",
    "var let = 1, yield = 2, async = 3, of = 4; let || yield || async || of",
    "010 == 8 || 9",
    "<!-- an old comment || here\n1 == 1\n--> and its end",
    "var o = {get: 1, set: 2, if: 3}; o.if == 3 && o.get != o.set",
    "with ({p: 0}) p || 5",
    "return 5 || 6",
    "if (true) return 'early' || 1\n'late'",
    "var s = 0; for (var k in {a: 1, b: 2}) s += k == 'a' ? 1 : 10; s",
    "function f() { 'use strict'; return this == undefined || 1 } f()",
    "'use strict'; (function () { return this == undefined })()",
    "(a => a || 1)(0) /* || */ // ||\n|| (2)",
    "var q = 5; q == 5 /* = */ == true",
    "undeclared = 1 || 2; this.undeclared == 1 && undeclared",
    "[1, 0, 2].filter(function (x) { return x || !x })",
    "try { throw 0 } catch (e) { e || 'zero' }",
    "var t = `a${1 || `b${0 || 2}`}`; t",
    "var {p: {q: r} = {q: 0 || 4}} = {}; r",
    "new (function () { this.v = 0 || 3 })().v",
    "var z = null; z?.a?.b || 'none'",
    "(function () { return arguments.length || 'none' })(1, 2)",
    "do ; while (0) 5 || 6",
    "var n = 1\n;[0].forEach(function () { n = n == 1 ? 2 : 3 })\nn",
    "var n = 1\n++n\nn || 0",
    "!function () { return 0 || 1 }() == false",
    "eval('var inner = 0 || 7'); inner",
    "(function () { var x = 5; return eval('x == 5 && x') })()",
    "Function('a', 'b', 'return a || b')(0, 2)",
    "var F = Function; new F() instanceof Function && F.prototype == Function.prototype",
    "class Sub extends Function {} new Sub('return 4')() + (new Sub() instanceof Sub ? 1 : 0)",
    "'\\u0061' || '\u2028'",
    "var \\u0061b = 3; ab || 1",
    "void 0 || null || NaN || 0 || '' || 'end'",
    "1 ? 0 ? 'a' : 'b' : 'c'",
    "x = 1; x ||= 2; x &&= 3; y = null; y ??= 4; [x, y]",
    "var o = {get p() { return this.n = (this.n || 0) + 1 }}; o.p || 0; o.n",
    "typeof undeclared_name == 'undefined' || 1",
    "if (1) function g() { return 0 || 1 }\ng()",
    "(1, 2) || 3",
    "var a = [0 || 1, , 2 && 3]; a.length == 3 && a",
    "async function f() { return (await 1) == 1 && 2 } f()",
    "label: { if (1) break label; 2 } 'done' || 0",
]


def outcome(pool: SandboxPool, text: str) -> JsonValue:
    """Return the value of a text, or the kind of its error."""
    try:
        return value(pool, text)
    except ScriptError as error:
        return error.message.split(":")[0]


@pytest.mark.parametrize("text", SAME)
def test_what_has_no_field_objects_means_what_it_meant(
    rewriting: SandboxPool, plain: SandboxPool, text: str
) -> None:
    before = text
    if re.search(r"^return|\) return", text, re.MULTILINE):
        before = f"(function () {{{text}\n}}).call(this)"
    assert value(rewriting, text) == value(plain, before)
    strict = "'use strict';\n" + before
    assert outcome(rewriting, strict) == outcome(plain, strict)


@pytest.mark.parametrize(
    "text",
    [
        "1 + 2",
        "a = [1, 2]; a.length",
        "'a||b'",
        "x = 1 || 2",
        "if (1 < 2) 3",
        "typeof x == 'undefined'",
    ],
)
def test_what_cannot_meet_a_field_object_is_left_alone(rewriting: SandboxPool, text: str) -> None:
    assert value(rewriting, f"{text}; asked()") == 0


def test_each_operand_is_evaluated_once_and_only_when_it_has_to_be(rewriting: SandboxPool) -> None:
    text = """var log = [];
    function v(name, x) { log.push(name); return x; }
    v('a', 0) || v('b', 1) || v('c', 1);
    v('d', 1) && v('e', 0) && v('f', 1);
    v('g', 1) == v('h', 2);
    ({get o() { return v('o', {p: 0}); }}).o.p ||= v('i', 1);
    log.join('')"""
    assert value(rewriting, text) == "abdeghoi"


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("var a = 1;\nif (a || b.c == 2) missing();", 2, 20),
        ("if (1 == [1] && !missing()) 2;", 1, 18),
        ("var o = {};\n\no.p || o.q ||\n  (o.r == missing);", 4, 11),
        ("var o = null, p = 0;\nif (p || o.x) 1", 2, 10),
        ("return 1 == [2] || missing", 1, 20),
        ("/* | */ missing || 1", 1, 9),
    ],
)
def test_errors_have_the_line_and_column_of_the_script_itself(
    rewriting: SandboxPool, plain: SandboxPool, text: str, line: int, column: int
) -> None:
    error = failure(rewriting, text)
    assert error.line == line
    if not text.startswith("return"):
        same = failure(plain, text)
        assert (error.message, error.line) == (same.message, same.line)
        assert error.column == same.column == column


@pytest.mark.parametrize(
    ("text", "line", "column", "message", "source"),
    [
        ("var a = 1;\nvar 1b = 2;", 2, 6, "Identifier directly after number", "var 1b = 2;"),
        ("if (a) {\n  f();\n", 3, 1, "unexpected end of the script", ""),
        ("f(1,\n  2;", 2, 4, "unexpected ';'", "2;"),
        ("for each (var x in y) {}", 1, 5, '"for each" is not part of the language', "for each"),
        ("function p(a) { }(request, response)\n)", 2, 1, "unexpected ')'", ")"),
        ("var s = 'open;\n1", 1, 9, "Unterminated string constant", "var s"),
        ("<div>", 1, 1, "unexpected '<'", "<div>"),
        ("import x from 'y'", 1, 1, "'import' and 'export' may appear only", "import x"),
        ("let a; let a", 1, 12, "Identifier 'a' has already been declared", "let a"),
        ("(" * 30_000, 1, 1, "the script is nested too deeply", "(((("),
    ],
)
def test_a_syntax_error_shows_the_place_and_the_line(
    rewriting: SandboxPool, text: str, line: int, column: int, message: str, source: str
) -> None:
    error = failure(rewriting, text)
    assert type(error) is ScriptSyntaxError
    assert (error.script, error.line, error.column) == ("a.script", line, column)
    assert message in error.message
    assert error.detail == f"a.script; line {line}"
    assert error.hint is None  # callers see it, and they may not read the script
    if source:
        assert str(error).startswith(f"{error.message} (a.script; line {line}: {source}")
    assert len(str(error)) < 300


def test_a_syntax_error_of_a_text_made_while_running_can_be_caught(rewriting: SandboxPool) -> None:
    text = "try { eval('var 1b') } catch (e) { [e instanceof SyntaxError, e.message] }"
    assert value(rewriting, text) == [True, "Identifier directly after number"]
    for made in ("eval('1 +')", "new Function('}) + (function () {')", "Function('a b', '')"):
        error = failure(rewriting, f"\n{made}")
        assert (type(error), error.line) == (ScriptError, 2)


def test_the_older_mode_refuses_newer_syntax_and_says_how_to_have_it(
    rewriting: SandboxPool,
) -> None:
    assert value(rewriting, "var a = E || {class: 1}; a.class", es5=True) == 1
    for text in ("var a = 1;\nlet b = a;", "var a = 1;\nvar f = x => x;", "\nvar t = `x`;"):
        error = failure(rewriting, text, es5=True)
        assert (type(error), error.line) == (ScriptSyntaxError, 2)
        assert "this needs ECMAScript 2021" in error.message
        assert "use_es_latest" in error.message
    nonsense = failure(rewriting, "var = 1", es5=True)
    assert "2021" not in nonsense.message
    assert failure(rewriting, "\neval('let a')", es5=True).line == 2


def test_a_script_from_the_host_runs_in_the_scope_of_its_caller(rewriting: SandboxPool) -> None:
    given = [Script("lib.script", "var shared = E || 'lib';\nfunction broken() {\n  nope();\n}\n7")]
    with rewriting.session(lambda name, arguments: given[0]) as session:
        assert session.run(Script("a.script", "load() + shared")) == "7lib"
        with pytest.raises(ScriptError) as caught:
            session.run(Script("a.script", "\nbroken()"))
        assert (caught.value.script, caught.value.line) == ("lib.script", 3)
        given[0] = Script("bad.script", "\n\nvar 1b")
        with pytest.raises(ScriptSyntaxError) as refused:
            session.run(Script("a.script", "load()"))
        assert (refused.value.script, refused.value.line) == ("bad.script", 3)


def test_the_names_that_a_text_does_not_declare_are_known_before_it_runs(
    rewriting: SandboxPool,
) -> None:
    text = """var own = 1, list = [own];
    function f(p) { var v = p; function g(q) { return v + q + Outer; } return {Short, key: 1}; }
    try { x.member } catch (caught) { caught }
    for (let i = 0; i < 1; i++) { class K extends Base {} new K(i) }
    met()"""
    try_it = "try {" + text.replace("met()", "") + "} catch (e) {} met()"
    names = value(rewriting, try_it)
    assert isinstance(names, list)
    assert {"Outer", "Short", "x", "Base", "met"} <= {str(name) for name in names}
    assert {"own", "list", "v", "q", "member", "key", "i", "K", "caught"}.isdisjoint(names)


def test_a_text_larger_than_the_parser_can_hold_is_a_memory_error() -> None:
    limits = Limits(memory=8 * 1024 * 1024)
    with (
        SandboxPool(size=1, prelude=[OPERATORS], limits=limits, operators=True) as pool,
        pool.session(lambda name, arguments: None) as session,
    ):
        big = "[" + "{a: 1 || 2}," * 60_000 + "]; 1"
        with pytest.raises(ScriptMemoryExceeded):
            session.run(Script("big", big))
        assert session.run(Script("small", "E || 1")) == 1


def test_the_vendored_parser_is_the_published_file() -> None:
    folder = Path(midspan.sandbox.__file__).parent / "vendored"
    readme = (folder / "README.md").read_text()
    assert hashlib.sha256((folder / "acorn.js").read_bytes()).hexdigest() in readme
    assert "MIT License" in (folder / "acorn.LICENSE").read_text()


def test_without_operators_nothing_is_rewritten(
    plain: SandboxPool, session: SandboxSession
) -> None:
    assert value(plain, "[E || 1, asked()]") == [{"empty": True}, 0]
    assert session.run(Script("a", "typeof __ms_code")) == "undefined"
