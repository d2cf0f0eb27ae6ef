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
    sizes = {"ROWS": 1000, "UPDATES": 10, "STARTS": 3, "BULK": 500, "WIDE": 500}
    for name, value in sizes.items():
        monkeypatch.setattr(scripts, name, value)
    monkeypatch.setattr(scripts, "WRITE", scripts.WRITE.replace("1000", "10"))
    found = scripts.measure(1)
    assert [figure.unit for figure in found] == ["ms", "ms", "/s", "/s", "/s", "/s"]
    assert all(min(*figure.ours, *figure.bare) > 0 for figure in found)
