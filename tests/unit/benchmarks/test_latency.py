"""The times from cause to effect are those of real events, and a missed target is said."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def latency(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("latency")


@pytest.mark.slow
def test_every_event_of_the_demo_has_a_time(latency: ModuleType) -> None:
    found = latency.measure(3)
    assert [(each.what, each.way) for each in found] == [
        (latency.ALERT, "spaced"),
        (latency.MESSAGE, "spaced"),
        (latency.ALERT, "burst"),
        (latency.MESSAGE, "burst"),
    ]
    assert all(len(each.times) == 3 and min(each.times) > 0 for each in found)


@pytest.mark.parametrize(("share", "value"), [(50, 10.0), (95, 19.0), (100, 20.0), (1, 1.0)])
def test_percentiles_are_values_that_occurred(
    latency: ModuleType, share: int, value: float
) -> None:
    assert latency.percentile([float(number) for number in range(20, 0, -1)], share) == value


def test_the_report_says_which_target_was_missed(latency: ModuleType) -> None:
    slow = latency.Latency(latency.MESSAGE, "burst", [900.0] * 18 + [1200.0] * 2, 50.0)
    quick = latency.Latency(latency.ALERT, "spaced", [10.0] * 19 + [900.0], 50.0)
    lines = latency.report([slow, quick]).splitlines()
    assert "| 20 burst | 900 | 1200 | 1200 | 1000 | NO |" in lines[2]
    assert "| 20 spaced | 10 | 10 | 900 | 200 | yes |" in lines[3]
