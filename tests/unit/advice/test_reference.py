"""The advice page holds the rules as they are, and the docstrings' examples are true."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import midspan.advice
from midspan.advice import FACTS, LIMITS, RULES, Mechanism, reference

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "advice.md"
BEGIN = "<!-- advice:begin (made from midspan.advice; a test compares) -->\n\n"
END = "\n<!-- advice:end -->"
MODULES = [
    f"midspan.advice.{module.name}" for module in pkgutil.iter_modules(midspan.advice.__path__)
]


def test_the_page_holds_the_tables_of_this_release() -> None:
    _, _, rest = PAGE.read_text().partition(BEGIN)
    table, end, _ = rest.partition(END)
    assert end, f"{PAGE.name} has no markers"
    assert table == reference(), "replace the part between the markers by reference()"


def test_everything_is_in_the_tables() -> None:
    text = reference()
    for name in (
        *FACTS,
        *(rule.name for rule in RULES),
        *(mechanism.value for mechanism in Mechanism),
    ):
        assert f"`{name}`" in text
    assert all(limit.text in text for limit in LIMITS)


def test_tables_are_rectangular() -> None:
    for block in reference().split("\n\n"):
        if block.startswith("|"):
            widths = {line.replace("\\|", "").count("|") for line in block.splitlines() if line}
            assert len(widths) == 1


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
