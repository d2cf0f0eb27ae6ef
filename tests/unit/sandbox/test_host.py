"""Calls from scripts into the instance: values, errors, runs inside runs."""

from __future__ import annotations

import pytest

from midspan.kernel.errors import InvalidTable, MidspanError
from midspan.sandbox import (
    JsonValue,
    Limits,
    SandboxPool,
    SandboxSession,
    Script,
    ScriptCallsExceeded,
    ScriptError,
)


def refuse(name: str, arguments: list[JsonValue]) -> JsonValue:
    """Raise as a record store would."""
    raise InvalidTable(str(arguments[0]), ["incident"])


def run(session: SandboxSession, text: str) -> JsonValue:
    return session.run(Script("test.script", text))


def test_an_exception_of_the_host_can_be_caught(pool: SandboxPool) -> None:
    text = """
        try { call('get', 'incidnet'); } catch (e) {
            [e instanceof Error, e.message, e.getMessage(), e.code, e + '', Object.keys(e)];
        }"""
    with pool.session(refuse) as session:
        message = "Invalid table incidnet"
        expected = [True, message, message, "MS201", f"Error: {message}", []]
        assert run(session, text) == expected


def test_an_uncaught_exception_of_the_host_is_the_cause(pool: SandboxPool) -> None:
    with pool.session(refuse) as session:
        with pytest.raises(ScriptError) as caught:
            run(session, "\n\ncall('get', 'x')")
        assert isinstance(caught.value.__cause__, InvalidTable)
        assert caught.value.line == 3
        assert caught.value.message == "Error: Invalid table x"
        with pytest.raises(ScriptError) as caught:
            run(session, "try { call('get', 'y') } catch (e) { throw new Error('w', {cause: e}) }")
        assert isinstance(caught.value.__cause__, InvalidTable)
        with pytest.raises(ScriptError) as caught:
            run(session, "try { call('get', 'z') } catch (e) {} throw new Error('own')")
        assert caught.value.__cause__ is None


def test_exceptions_of_other_kinds_have_the_name_of_their_class_as_code(pool: SandboxPool) -> None:
    def fail(name: str, arguments: list[JsonValue]) -> JsonValue:
        raise KeyError("k")

    with pool.session(fail) as session:
        assert run(session, "try { call('x') } catch (e) { e.code }") == "KeyError"


def test_an_answer_that_is_not_json_is_an_error_of_the_call(pool: SandboxPool) -> None:
    with pool.session(lambda name, arguments: object()) as session:  # type: ignore[arg-type, return-value]
        assert "JSON" in str(run(session, "try { call('x') } catch (e) { e.message }"))


def test_an_interrupt_of_the_host_ends_the_worker_and_goes_through(pool: SandboxPool) -> None:
    def interrupt(name: str, arguments: list[JsonValue]) -> JsonValue:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), pool.session(interrupt) as session:
        run(session, "call('x')")


def test_a_run_may_have_its_own_host(session: SandboxSession) -> None:
    own = session.run(Script("test.script", "call('x')"), host=lambda name, arguments: "mine")
    assert own == "mine"
    assert run(session, "call('x')") == ["x", []]


def nesting(pool: SandboxPool, limits: Limits | None, text: str) -> JsonValue:
    """Run ``text`` in a session whose host runs its argument as a script."""
    with pool.session(lambda name, arguments: None, limits=limits) as session:

        def host(name: str, arguments: list[JsonValue]) -> JsonValue:
            variables: dict[str, JsonValue] = {"n": arguments[1]}
            return session.run(Script("inner.script", str(arguments[0])), variables, host=host)

        return session.run(Script("outer.script", text), host=host)


def test_a_nested_run_has_its_own_scope_in_the_same_worker(pool: SandboxPool) -> None:
    assert nesting(pool, None, "x = 1; [call('run', 'x = 2; typeof y + x', 0), x]") == [
        "undefined2",
        1,
    ]
    pids: set[int] = set()
    with pool.session(lambda name, arguments: None) as session:

        def host(name: str, arguments: list[JsonValue]) -> JsonValue:
            pids.add(session.worker_pid)
            return session.run(Script("inner.script", "call('x')"), host=lambda n, a: 1)

        assert session.run(Script("outer.script", "call('a') + call('b')"), host=host) == 2
        assert pids == {session.worker_pid}


def test_runs_nest_as_deeply_as_the_limit_and_no_deeper(pool: SandboxPool) -> None:
    quine = "var self = '(' + f + ')(n)'; return n == 0 ? 'bottom' : call('run', self, n - 1);"
    start = "(function f(n) { %s })(%d)"
    assert nesting(pool, None, start % (quine, 19)) == "bottom"
    with pytest.raises(ScriptError) as caught:
        nesting(pool, None, start % (quine, 20))
    cause: BaseException | None = caught.value
    while cause is not None and not isinstance(cause, ScriptCallsExceeded):
        cause = cause.__cause__
    assert isinstance(cause, ScriptCallsExceeded)


def test_deep_recursion_at_every_level_of_nesting(pool: SandboxPool) -> None:
    text = """(function f(n) {
        var self = '(' + f + ')(n)';
        function next() { return n == 0 ? 'bottom' : call('run', self, n - 1); }
        function deep(k) { return k == 0 ? next() : deep(k - 1); }
        return deep(1500);
    })(19)"""
    assert nesting(pool, None, text) == "bottom"


def test_an_error_of_a_nested_run_can_be_caught_outside(pool: SandboxPool) -> None:
    text = "try { call('run', '\\n\\nnull.x', 0) } catch (e) { e.message }"
    assert "null" in str(nesting(pool, None, text))
    with pytest.raises(ScriptError) as caught:
        nesting(pool, None, "call('run', '\\n\\nnull.x', 0)")
    inner = caught.value.__cause__
    assert isinstance(inner, ScriptError)
    assert (caught.value.script, inner.script, inner.line) == ("outer.script", "inner.script", 3)


def test_too_many_calls_end_the_run_even_when_caught(pool: SandboxPool) -> None:
    made: list[str] = []
    limits = Limits(host_calls=50)
    with pool.session(lambda name, arguments: made.append(name), limits=limits) as session:
        with pytest.raises(ScriptCallsExceeded) as caught:
            run(session, "\nfor (;;) { try {\n call('x') } catch (e) {} }")
        assert (len(made), caught.value.line) == (50, 3)


def test_a_host_call_without_an_array_is_an_error() -> None:
    prelude = Script("prelude", "globalThis.odd = function () { return __host('x', 5); };")
    with (
        SandboxPool(size=1, prelude=[prelude]) as pool,
        pool.session(lambda name, arguments: 1) as session,
        pytest.raises(ScriptError, match="an array of arguments"),
    ):
        run(session, "odd()")


def test_details_of_an_error_of_ours_are_readable(pool: SandboxPool) -> None:
    def fail(name: str, arguments: list[JsonValue]) -> JsonValue:
        raise MidspanError("short", detail="long")

    with pool.session(fail) as session:
        assert run(session, "try { call('x') } catch (e) { e.detail }") == "long"
