"""Bytecode of our own texts: the same functions as from the source, and the source without it."""

from __future__ import annotations

import _quickjs  # type: ignore[import-not-found, unused-ignore]
import pytest

from midspan.sandbox import programs
from midspan.sandbox.programs import Programs

TEXTS = ["\n\n(function (n) { return n + 1; })", "(function () {\n  throw new Error('x');\n})"]


@pytest.mark.parametrize("with_bytecode", [True, False])
def test_a_text_gives_its_function_in_each_context(
    with_bytecode: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_bytecode:
        monkeypatch.setattr(programs, "_BYTECODE", 0)  # the engine refuses to write that
    made = Programs(TEXTS)
    assert (made._library is not None) == with_bytecode
    for _ in range(3):
        context = _quickjs.Context()
        assert made.function(context, 0)(41) == 42
        assert context.eval("typeof __made") == "undefined"
        context.set("made", made.function(context, 0))
        assert ("[native code]" in context.eval("String(made)")) == with_bytecode
        with pytest.raises(_quickjs.JSException, match=r"<input>:2:"):
            made.function(context, 1)()
    assert sorted(made._code) == ([0, 1] if with_bytecode else [])


@pytest.mark.parametrize("with_bytecode", [True, False])
def test_a_part_is_loaded_into_an_object_or_given_as_text(
    with_bytecode: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_bytecode:
        monkeypatch.setattr(programs, "_BYTECODE", 0)
    text = "\n\n(function () { throw new Error('in the part'); })"
    made = Programs([], {"a.part": text})
    for _ in range(3):
        context = _quickjs.Context()
        loader = made.loader(context)
        assert loader.load("a.part") == text, "there is no object yet"
        loader.deliver_to(context.eval("globalThis.kept = { __proto__: null, value: undefined }"))
        assert loader.load("a.part") == ("" if with_bytecode else text)
        if with_bytecode:
            with pytest.raises(_quickjs.JSException, match=r"<input>:3:"):
                context.eval("kept.value()")
        with pytest.raises(ValueError, match="no part"):
            loader.load("b.part")
    assert list(made._code) == (["a.part"] if with_bytecode else [])


def test_a_part_that_finds_no_memory_is_given_as_text() -> None:
    made = Programs([], {"large": f"[{'[1],' * 50_000}1]"})
    context = _quickjs.Context()
    loader = made.loader(context)
    loader.deliver_to(context.eval("globalThis.kept = { value: undefined }"))
    assert loader.load("large") == ""
    context.set_memory_limit(300_000)
    assert loader.load("large").startswith("[[1],")
    context.set_memory_limit(-1)
    assert context.eval("kept.value.length") == 50_001


def test_a_broken_text_says_what_is_wrong_with_it() -> None:
    made = Programs(["(function () {\n  var 1b;\n})"])
    with pytest.raises(_quickjs.JSException, match="SyntaxError"):
        made.function(_quickjs.Context(), 0)
