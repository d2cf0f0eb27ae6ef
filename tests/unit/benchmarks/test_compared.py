"""Figures of two peers: compared the right way round, and held to their goals."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("compared")


def test_the_share_is_that_of_the_peers_speed(compared: ModuleType) -> None:
    assert compared.Compared("start", "ms", (4.0, 2.0, 3.0), (1.5, 1.5, 9.0)).share == 0.5
    assert compared.Compared("rows", "/s", (50.0,), (200.0,)).share == 0.25


@pytest.mark.parametrize(
    ("unit", "of", "bound", "held"),
    [
        ("/s", "own", 50, True),
        ("/s", "own", 51, False),
        ("ms", "own", 50, True),
        ("ms", "own", 49, False),
        ("/s", "share", 0.25, True),
        ("/s", "share", 0.26, False),
        ("ms", "share", 4, True),
        ("ms", "share", 4.1, False),
    ],
)
def test_a_goal_is_of_the_speed_or_of_the_peers(
    compared: ModuleType, unit: str, of: str, bound: float, held: bool
) -> None:
    goal = compared.Goal(of, bound)
    figure = compared.compared("one", unit, [(50.0, 200.0)], goal=goal)
    assert figure.held is held


def test_the_report_says_what_was_wanted_and_whether_it_was_reached(compared: ModuleType) -> None:
    goals = (compared.Goal("own", 3), compared.Goal("share", 0.5), None)
    units = ("ms", "/s", "/s")
    figures = [
        compared.compared("one", unit, [(50.0, 200.0), (40.0, 200.0), (60.0, 200.0)], goal=goal)
        for unit, goal in zip(units, goals, strict=True)
    ]
    rows = compared.report("scripts", figures).splitlines()[2:]
    assert rows == [
        "| one | 50.00 ms (40.00..60.00) | bare engine: 200.00 ms (200.00..200.00) | 4.00 |"
        " ≤ 3 ms | NO |",
        "| one | 50 /s (40..60) | bare engine: 200 /s (200..200) | 0.25 |"
        " ≥ 0.50 of the peer | NO |",
        "| one | 50 /s (40..60) | bare engine: 200 /s (200..200) | 0.25 |  |  |",
    ]
