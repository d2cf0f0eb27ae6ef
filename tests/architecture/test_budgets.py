"""Size budgets of functions and files; the lists of exceptions may only shrink."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
MOST_LINES_OF_A_FILE = 500
LONG_FUNCTION = 45
LONGEST_FUNCTION = 80
SHORT_SHARE = 0.95
LONG_FILES: frozenset[str] = frozenset()
"""Files over 500 lines, each with its reason in the file's first lines; none passes 800."""


def functions(path: Path) -> list[tuple[str, int]]:
    """Return each function of a file with its length in lines."""
    tree = ast.parse(path.read_text())
    return [
        (f"{path.relative_to(ROOT)}:{node.name}", (node.end_lineno or 0) - node.lineno + 1)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def test_files_stay_short() -> None:
    long = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.read_text().count("\n") > MOST_LINES_OF_A_FILE
    }
    assert long == LONG_FILES


def test_nearly_all_functions_are_short_and_none_is_long() -> None:
    lengths = [found for path in SOURCES for found in functions(path)]
    short = sum(length <= LONG_FUNCTION for _, length in lengths)
    assert short / len(lengths) >= SHORT_SHARE
    assert [found for found in lengths if found[1] > LONGEST_FUNCTION] == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty = {"utils", "util", "common", "helpers", "core", "misc", "manager", "base"}
    assert [path.name for path in SOURCES if path.stem in empty or path.parent.name in empty] == []
