"""Errors of scripts: what was thrown, in which script, on which line."""

from __future__ import annotations

import pytest

from midspan.sandbox import Limits, SandboxSession, Script, ScriptError, ScriptSyntaxError
from midspan.sandbox.failures import from_worker
from midspan.sandbox.stacks import LineMap

NAME = "sys_ws_operation.1.operation_script"


def failure(session: SandboxSession, text: str) -> ScriptError:
    with pytest.raises(ScriptError) as caught:
        session.run(Script(NAME, text))
    return caught.value


def test_an_error_names_script_line_and_stack(session: SandboxSession) -> None:
    error = failure(session, "function f() {\n  undefined_name();\n}\n\nf();")
    assert type(error) is ScriptError
    assert (error.script, error.line, error.column) == (NAME, 2, 3)
    assert error.message == "ReferenceError: undefined_name is not defined"
    assert error.detail == f"{NAME}; line 2"
    assert error.stack == f"at f ({NAME}:2:3)\nat <eval> ({NAME}:5:1)"


def test_a_syntax_error_is_its_own_kind(session: SandboxSession) -> None:
    error = failure(session, "var a = 1;\nvar 1b = 2;")
    assert type(error) is ScriptSyntaxError
    assert (error.script, error.line) == (NAME, 2)
    trailing = "function process(request) { return 1; }(request, response)\n)"
    assert type(failure(session, trailing)) is ScriptSyntaxError


@pytest.mark.parametrize(
    "text", ["\nJSON.parse('{x')", "\neval('var 1b')", "\nthrow new SyntaxError('x')"]
)
def test_a_syntax_error_made_while_running_is_a_script_error(
    session: SandboxSession, text: str
) -> None:
    error = failure(session, text)
    assert (type(error), error.line) == (ScriptError, 2)


@pytest.mark.parametrize(
    ("text", "message", "thrown"),
    [
        ("throw 'plain'", "plain", "plain"),
        ("throw 7", "7", 7),
        ("throw null", "null", None),
        ("throw undefined", "undefined", None),
        ("throw {status: 404, message: 'm'}", '{"status":404,"message":"m"}', None),
        ("throw {toString: function () { return 'shown'; }}", "shown", {}),
        ("throw Object.create(null)", "a value without a text form", {}),
        ("throw {get message() { throw 1; }, toString: null}", "a value without a text form", None),
        ("throw Symbol('s')", "Symbol(s)", None),
        ("throw 10n", "10", None),
    ],
)
def test_values_that_are_thrown(
    session: SandboxSession, text: str, message: str, thrown: object
) -> None:
    error = failure(session, text)
    assert error.message == message
    expected = {"status": 404, "message": "m"} if "404" in text else thrown
    assert error.thrown == expected


def test_an_error_object_carries_its_own_properties(session: SandboxSession) -> None:
    text = "var e = new TypeError('bad'); e.status = 400; throw e"
    assert failure(session, text).thrown == {"name": "TypeError", "message": "bad", "status": 400}
    custom = "class E extends Error { toJSON() { return {status: 409}; } }; throw new E('c')"
    assert failure(session, custom).thrown == {"status": 409}


def test_a_hostile_error_object_does_not_break_the_report(session: SandboxSession) -> None:
    text = """var e = new Error('x');
        Object.defineProperty(e, 'message', {get: function () { throw e; }});
        e.toString = function () { throw e; }; throw e"""
    assert failure(session, text).message == "a value without a text form"
    forged = "var e = new Error('x'); e.stack = 'at <input>:99999999:1'; throw e"
    assert failure(session, forged).message == "Error: x"


def test_an_error_in_a_function_of_another_script_names_that_script(
    session: SandboxSession,
) -> None:
    session.run(Script("sys_script_include.2.script", "\n\nfunction broken() {\n null.x }"))
    error = failure(session, "broken()")
    assert (error.script, error.line) == ("sys_script_include.2.script", 4)
    assert error.stack.endswith(f"at <eval> ({NAME}:1:1)")


def test_lines_stay_right_over_many_scripts(session: SandboxSession) -> None:
    for number in range(200):
        session.run(Script(f"filler.{number}", "\n" * 20 + "1"))
    for _ in range(3):
        assert failure(session, "\n\n\nnull.x").line == 4


def test_deep_recursion_is_an_error_that_a_script_may_catch(session: SandboxSession) -> None:
    text = "var n = 0; function f() { n++; f(); }\ntry { f(); } catch (e) { e.name }"
    assert session.run(Script(NAME, text)) == "RangeError"
    assert int(str(session.run(Script(NAME, "n")))) > 1000
    error = failure(session, "function f() {\n return f() + 1; }\nf()")
    assert type(error) is ScriptError
    assert (error.line, error.message) == (2, "RangeError: Maximum call stack size exceeded")
    assert "stack" in failure(session, "[".join([""] * 100_000)).message


def test_the_same_text_keeps_its_lines_and_others_get_their_own() -> None:
    lines = LineMap()
    first = lines.place(Script("a", "1\n2\n3"))
    second = lines.place(Script("b", "1"))
    assert lines.place(Script("a", "1\n2\n3")) == first
    assert second > first + 2
    twin = lines.copy()
    assert twin.place(Script("c", "1")) == lines.place(Script("d", "1"))
    assert lines.read(f"    at f (<input>:{second}:7)").text == "at f (b:1:7)"


def test_code_given_to_eval_is_shown_as_such() -> None:
    lines = LineMap()
    start = lines.place(Script("a", "eval('x')"))
    trace = lines.read(f"    at <eval> (<input>:1:1)\n    at <eval> (<input>:{start}:3)\n")
    assert trace.text == "at <eval> (<eval>:1:1)\nat <eval> (a:1:3)"
    assert trace.position is not None
    assert trace.position.script == "a"


@pytest.mark.parametrize(
    "body", [b"t{", b"t[]", b"t{}", b"w", b"", b"x\xff", b't{"thrown": "{", "host": "a"}']
)
def test_an_account_that_no_worker_gives_is_an_error_and_nothing_else(body: bytes) -> None:
    script = Script(NAME, "1")
    try:
        error, number = from_worker(body, script, LineMap(), Limits(), "")
    except ValueError:
        return
    assert isinstance(error, ScriptError)
    assert number is None
