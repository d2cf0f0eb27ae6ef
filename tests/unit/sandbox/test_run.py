"""Values that go in and come out, and the global scope that scripts see."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midspan.sandbox import JsonValue, SandboxPool, SandboxSession, Script, ScriptError

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(-(2.0**53), 2.0**53)
    | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def run(session: SandboxSession, text: str, **variables: JsonValue) -> JsonValue:
    return session.run(Script("test.script", text), variables)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(value=JSON)
def test_any_json_value_goes_in_through_the_host_and_out(
    session: SandboxSession, value: JsonValue
) -> None:
    back = session.run(Script("test.script", "call('echo', value)[1][0]"), {"value": value})
    assert back == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 1", 2),
        ("undefined", None),
        ("null", None),
        ("", None),
        ("(function () {})", None),
        ("NaN", None),
        ("'a\\0b'", "a\0b"),
        ("'\\ud800'", "\ud800"),
        ("'\\u{1F600}'", "😀"),
        ("({a: undefined, b: [undefined]})", {"b": [None]}),
        ("new Date(0)", "1970-01-01T00:00:00.000Z"),
        ("(function (a) { return a; })(7)", 7),
        ("0.1 + 0.2", 0.30000000000000004),
        ("// only a remark", None),
        ("({__proto__: null, a: 1})", {"a": 1}),
    ],
)
def test_completion_values(session: SandboxSession, text: str, value: JsonValue) -> None:
    assert run(session, text) == value


def test_text_outside_ascii_and_unusual_characters_in_the_script(session: SandboxSession) -> None:
    assert run(session, "'Größe 😀\u2028'.length") == 9
    with pytest.raises(ScriptError):
        run(session, "1 \0 2")


def test_a_megabyte_goes_in_and_out(session: SandboxSession) -> None:
    big = "ä" * 1_000_000
    assert run(session, "call('echo', big)[1][0] + '!'", big=big) == big + "!"


def test_a_promise_counts_as_what_it_settles_to(session: SandboxSession) -> None:
    assert run(session, "(async function () { return await 7; })()") == 7
    assert run(session, "new Promise(function () {})") is None
    with pytest.raises(ScriptError, match="late"):
        run(session, "(async function () { await 1; throw new Error('late'); })()")


def test_microtasks_may_call_the_host(session: SandboxSession) -> None:
    run(session, "Promise.resolve(1).then(function () { answer = call('late')[0]; }); 1")
    assert run(session, "answer") == "late"


def test_a_result_that_is_not_json_is_an_error_unless_it_is_discarded(
    session: SandboxSession,
) -> None:
    loop = Script("test.script", "var a = {}; a.self = a")
    with pytest.raises(ScriptError, match="circular"):
        session.run(loop)
    assert session.run(loop, discard=True) is None
    with pytest.raises(ScriptError, match="BigInt"):
        run(session, "10n")


def test_a_variable_that_is_not_json_is_refused(session: SandboxSession) -> None:
    with pytest.raises(TypeError, match="JSON"):
        run(session, "1", odd={1, 2})  # type: ignore[arg-type]
    assert run(session, "2") == 2


def test_sloppy_mode(session: SandboxSession) -> None:
    assert run(session, "undeclared = 5; (function () { return this.undeclared; })()") == 5
    assert run(session, "this === globalThis") is True
    assert run(session, "with ({x: 3}) { x }") == 3
    assert run(session, "'use strict'; (function () { return this === undefined; })()") is True


def test_runs_of_one_session_share_the_global_scope(session: SandboxSession) -> None:
    run(session, "(function () { this.cache = {n: 1}; })(); function twice(x) { return 2 * x; }")
    run(session, "var ignore = true; let own = 1;")
    assert run(session, "cache.n + twice(2) + (ignore ? 10 : 0)") == 15
    assert run(session, "typeof own") == "undefined"
    assert run(session, "let own = 2; own") == 2


def test_a_fresh_run_and_the_next_session_see_nothing_of_it(pool: SandboxPool) -> None:
    with pool.session(lambda _name, _arguments: None) as session:
        run(session, "leak = 1; Array.prototype.map = null; JSON = null")
        look = Script("test.script", "typeof leak + typeof [].map + typeof JSON")
        assert session.run(look, fresh=True) == "undefinedfunctionobject"
        assert run(session, "leak") == 1
    for _ in range(3):
        with pool.session(lambda _name, _arguments: None) as session:
            assert session.run(look) == "undefinedfunctionobject"


def test_the_scope_outlives_an_error(session: SandboxSession) -> None:
    with pytest.raises(ScriptError):
        run(session, "kept = 1; throw new Error('x')")
    assert run(session, "kept") == 1


def test_variables_replace_former_ones_and_may_have_any_name(session: SandboxSession) -> None:
    assert run(session, "current.a", current={"a": 1}) == 1
    assert run(session, "current", current=None) is None
    assert run(session, "var current = current || 3; current") == 3
    assert run(session, "Object.keys(this).indexOf('__proto__') >= 0", __proto__=1) is True


def test_the_prelude_is_private_and_the_host_primitive_hidden(session: SandboxSession) -> None:
    assert run(session, "typeof secret + typeof __host + typeof raw + typeof stop") == (
        "undefined" * 4
    )
    assert run(session, "call('x', 1)") == ["x", [1]]


def test_there_is_nothing_but_the_language(session: SandboxSession) -> None:
    names = [
        *("std", "os", "console", "setTimeout", "setInterval", "require", "process", "fetch"),
        *("performance", "Atomics", "SharedArrayBuffer", "scriptArgs", "print", "Worker", "parts"),
    ]
    listed = ", ".join(f"typeof {name}" for name in names)
    assert run(session, f"[{listed}]") == ["undefined"] * len(names)
    imported = "import('os').then(function () { return 'in'; }, function () { return 'refused'; })"
    assert run(session, imported) == "refused"


def test_stacks_cannot_be_reshaped(session: SandboxSession) -> None:
    run(session, "Error.prepareStackTrace = function () { return 7; }; Error.stackTraceLimit = 0")
    with pytest.raises(ScriptError) as caught:
        run(session, "\nnull.x")
    assert caught.value.line == 2
