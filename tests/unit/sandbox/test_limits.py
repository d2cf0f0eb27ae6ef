"""Time and memory: whatever a script does, it ends and the instance goes on."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from midspan.kernel.errors import LimitExceeded
from midspan.sandbox import (
    JsonValue,
    Limits,
    PoolOptions,
    SandboxPool,
    SandboxSession,
    Script,
    ScriptCrashed,
    ScriptError,
    ScriptMemoryExceeded,
    ScriptTimeout,
)

SHORT = Limits(wall=timedelta(seconds=0.3))


def run(session: SandboxSession, text: str) -> JsonValue:
    return session.run(Script("test.script", text))


def failure(pool: SandboxPool, text: str, limits: Limits | None = None) -> ScriptError:
    with (
        pool.session(lambda name, arguments: 1, limits=limits) as session,
        pytest.raises(ScriptError) as caught,
    ):
        run(session, text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            "function turn() {\n  return 1;\n}\nvar n = 0;\nwhile (true) {\n  n += turn();\n}",
            {5, 6},
        ),
        ("// while\nvar a = 'for';\n\nfor (;;) {\n}", {4}),
        ("(function process(request) {\n  var x = 1;\n  while (true) {\n    x++;\n  }\n})()", {3}),
        ("var f = function () {\n  do {\n  } while (true);\n};\nf();", {2}),
        ("\nwhile (true) {\n  call('x');\n}\nfor (;;) {}", {2, 3}),
        ("\neval('for (;;);')", {2}),
    ],
)
def test_an_endless_loop_ends_and_names_the_line(
    pool: SandboxPool, text: str, lines: set[int]
) -> None:
    error = failure(pool, text, SHORT)
    assert isinstance(error, ScriptTimeout)
    assert isinstance(error, LimitExceeded)
    assert error.message == "Script ran longer than 0.3 s"
    assert error.line in lines


@pytest.mark.parametrize(
    "text",
    [
        "while (true);",
        "while (true) { try { while (true); } catch (e) {} }",
        "for (;;) { try { for (;;); } finally { continue; } }",
        "for (;;) { try { call('x'); } catch (e) {} }",
        "(async function () { for (;;) { await 1; } })()",
        "function again() { Promise.resolve().then(again); } again()",
        "/(a+)+$/.test('a'.repeat(60) + 'b')",
        "[3, 2, 1].sort(function () { for (;;); })",
        "({toJSON: function () { for (;;); }})",
        "throw {toString: function () { for (;;); }}",
        "new Proxy({}, {ownKeys: function () { for (;;); }})",
        "eval('for (;;);')",
        "JSON.parse('[1]', function () { for (;;); })",
    ],
)
def test_endless_work_of_every_kind_ends(pool: SandboxPool, text: str) -> None:
    started = time.monotonic()
    error = failure(pool, text, SHORT)
    assert isinstance(error, ScriptTimeout)
    assert error.script == "test.script"
    assert time.monotonic() - started < 5


def test_a_loop_inside_the_engine_is_killed_and_says_that_no_line_is_known() -> None:
    options = PoolOptions(grace=timedelta(seconds=0.2))
    with SandboxPool(size=1, limits=SHORT, options=options) as pool:
        error = failure(pool, "new Array(4e9).join('')")
        assert isinstance(error, ScriptTimeout)
        assert "killed" in error.message
        assert error.detail == "test.script; line unknown"
        with pool.session(lambda name, arguments: 1) as session:
            assert run(session, "1 + 1") == 2
        assert pool.stats().killed == 1


def test_after_a_kill_the_session_is_over_with_a_clear_error() -> None:
    options = PoolOptions(grace=timedelta(seconds=0.2))
    with (
        SandboxPool(size=1, limits=SHORT, options=options) as pool,
        pool.session(lambda name, arguments: 1) as session,
    ):
        with pytest.raises(ScriptTimeout):
            run(session, "new Array(4e9).join('')")
        with pytest.raises(ScriptError, match="has ended"):
            run(session, "1")


def test_processor_time_has_its_own_limit(pool: SandboxPool) -> None:
    error = failure(pool, "for (;;);", Limits(cpu=timedelta(seconds=0.2)))
    assert isinstance(error, ScriptTimeout)
    assert error.message == "Script used more than 0.2 s of processor time"


def test_a_slow_host_call_counts_and_ends_the_run_with_its_line(pool: SandboxPool) -> None:
    def slow(name: str, arguments: list[JsonValue]) -> JsonValue:
        until = time.monotonic() + 0.4
        while time.monotonic() < until:
            pass
        return 1

    with pool.session(slow, limits=SHORT) as session, pytest.raises(ScriptTimeout) as caught:
        run(session, "\n\ncall('slow'); 'not reached'")
    assert caught.value.line == 3


def test_a_nested_loop_ends_within_the_time_of_the_run_around_it(pool: SandboxPool) -> None:
    with pool.session(lambda name, arguments: 1, limits=SHORT) as session:

        def host(name: str, arguments: list[JsonValue]) -> JsonValue:
            return session.run(Script("inner.script", "\nfor (;;);"))

        started = time.monotonic()
        with pytest.raises(ScriptTimeout):
            session.run(
                Script("outer.script", "for (;;) try { call('x') } catch (e) {}"), host=host
            )
        assert time.monotonic() - started < 3


BOMBS = [
    "new Array(1e10).join('x')",
    "'x'.repeat(5e8)",
    "'x'.repeat(2e9)",
    "'x'.padEnd(1e9)",
    "new ArrayBuffer(10e9)",
    "new ArrayBuffer(1e9)",
    "new Uint8Array(5e8)",
    "new ArrayBuffer(1, {maxByteLength: 10e9})",
    "var a = []; while (true) a.push(new Array(1000).fill(1))",
    "(function () { var a = []; while (true) a.push({}); })()",
    "var s = 'x'; while (true) s += s",
    "var s = 'xy'; while (true) s = s + s + Math.random()",
    "var m = new Map(), i = 0; while (true) m.set(i++, {})",
    "new Array(4294967295).fill(0)",
    "(function f(a) { var b = new Array(100000).fill(a); return f(b) + 1; })([])",
    "2n ** 1000000000n",
    "var a = []; function f() { a.push(Array(999).fill()); return Promise.resolve().then(f); } f()",
]


@pytest.mark.parametrize("text", BOMBS)
def test_a_memory_bomb_ends_in_its_own_error(pool: SandboxPool, text: str) -> None:
    error = failure(pool, text)
    assert isinstance(error, ScriptMemoryExceeded)
    assert isinstance(error, LimitExceeded)
    assert error.script == "test.script"
    with pool.session(lambda name, arguments: 1) as session:
        assert run(session, "1 + 1") == 2


def test_a_bomb_in_each_of_many_nested_runs(pool: SandboxPool) -> None:
    fill = "var kept = 'x'.repeat(4e7) + Math.random(); call('down')"
    with pool.session(lambda name, arguments: 1) as session:

        def host(name: str, arguments: list[JsonValue]) -> JsonValue:
            return session.run(Script("inner.script", fill), host=host)

        with pytest.raises(ScriptError) as caught:
            session.run(Script("outer.script", fill), host=host)
        assert not isinstance(caught.value, ScriptCrashed)
        cause: BaseException | None = caught.value
        while cause is not None and not isinstance(cause, ScriptMemoryExceeded):
            cause = cause.__cause__
        assert isinstance(cause, ScriptMemoryExceeded)
    with pool.session(lambda name, arguments: 1) as session:
        assert run(session, "1 + 1") == 2


def test_arguments_answers_and_variables_are_bounded(pool: SandboxPool) -> None:
    limits = Limits(memory=8 * 1024 * 1024)
    big = "x" * (9 * 1024 * 1024)
    with pool.session(lambda name, arguments: big, limits=limits) as session:
        with pytest.raises(ScriptMemoryExceeded, match="variables"):
            session.run(Script("test.script", "1"), {"big": big})
        with pytest.raises(ScriptError, match="larger than"):
            run(session, "call('big')")
        assert run(session, "2") == 2


def test_a_value_nested_too_deeply_is_an_error(pool: SandboxPool) -> None:
    text = "var a = []; for (var i = 0; i < 500; i++) a = [a]; a"
    with pool.session(lambda name, arguments: 1) as session:
        assert isinstance(run(session, text), list)
        for depth in ("5000", "2e5"):
            with pytest.raises(ScriptError, match=r"deep|stack"):
                run(session, text.replace("500", depth))
        assert run(session, "1") == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"wall": timedelta(0)},
        {"cpu": timedelta(seconds=-1)},
        {"host_calls": -1},
        {"depth": 0},
        {"memory": 1},
        {"stack": 1},
    ],
)
def test_limits_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"have to be|has to be"):
        Limits(**wrong)  # type: ignore[arg-type]


def test_a_session_cannot_have_more_memory_than_its_pool(pool: SandboxPool) -> None:
    with (
        pytest.raises(ValueError, match="more memory"),
        pool.session(lambda name, arguments: 1, limits=Limits(memory=1 << 30)),
    ):
        pass
