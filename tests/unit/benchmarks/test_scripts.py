"""The figures of scripts: real runs of both peers, compared the right way round."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("scripts")


def test_each_figure_compares_two_peers_that_did_the_same(
    scripts: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("ROWS", 1000), ("UPDATES", 10), ("STARTS", 3)):
        monkeypatch.setattr(scripts, name, value)
    monkeypatch.setattr(scripts, "WRITE", scripts.WRITE.replace("1000", "10"))
    found = scripts.measure(1)
    assert [figure.unit for figure in found] == ["ms", "ms", "/s", "/s"]
    assert all(min(*figure.ours, *figure.bare) > 0 for figure in found)
    assert len(scripts.report(found).splitlines()) == len(found) + 2


def test_the_share_is_that_of_the_bare_speed(scripts: ModuleType) -> None:
    assert scripts.ScriptFigure("start", "ms", (4.0, 2.0, 3.0), (1.5, 1.5, 9.0)).share == 0.5
    assert scripts.ScriptFigure("rows", "/s", (50.0,), (200.0,)).share == 0.25
    shown = scripts.report([scripts.ScriptFigure("rows", "/s", (50.0, 40.0, 60.0), (200.0,))])
    assert "| rows | 50 /s (40..60) | 200 /s (200..200) | 0.25 |" in shown
