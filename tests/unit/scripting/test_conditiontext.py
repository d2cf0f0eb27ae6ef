"""Conditions: which are one expression, and what the others run as."""

from __future__ import annotations

import doctest

import pytest

from midspan.scripting import conditiontext
from midspan.scripting.conditiontext import compiled_condition, condition_value


def test_examples_in_docstrings() -> None:
    result = doctest.testmod(conditiontext)
    assert (result.attempted, result.failed) == (3, 0)


@pytest.mark.parametrize(
    "text",
    [
        "current.active",
        "current.a == 'x; // y' && /* ; */ true;",
        "(function () { var a = 1; return a; })();",
        "[1, 2].some(function (x) { return x == 2; })",
        "current.a // why\n && current.b",
        "`a;${1}` == 'a;1'",
        "current.form == 'new' || current['if'];;",
    ],
)
def test_one_expression_stays_one(text: str) -> None:
    assert condition_value(text).startswith("(")
    assert compiled_condition(text).startswith("(")


@pytest.mark.parametrize(
    "text", ["var a = 1; a", "a(); b()", "if (a) true; else false", "a()\nfunction a() {}"]
)
def test_statements_are_evaluated(text: str) -> None:
    assert condition_value(text).startswith("eval(")
    assert compiled_condition(text) == text


def test_nothing_is_not_true() -> None:
    assert condition_value(" // nothing\n") == "(undefined\n)"
