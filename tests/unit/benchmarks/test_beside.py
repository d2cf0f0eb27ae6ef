"""Small runs of what is measured over HTTP: both peers do the same, and every figure is there."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
Load = Callable[[str], ModuleType]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


@pytest.mark.slow
def test_scripts_behind_http_are_measured(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    services = load("services")
    for name, value in {"RECORDS": 20, "SCRIPTS": 4, "LEAD": 0.1}.items():
        monkeypatch.setattr(services, name, value)
    hello, get = services.measure(1, 0.2)
    assert (hello.unit, get.unit) == ("/s", "ms")
    assert min(*hello.ours, *hello.bare, *get.ours, *get.bare) > 0


@pytest.mark.slow
def test_soap_and_import_sets_are_measured(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    soap = load("soap")
    for name, value in {"RECORDS": 1000, "MANY": 20, "DISTINCT": 2000, "DESCRIPTIONS": 2}.items():
        monkeypatch.setattr(soap, name, value)
    found = soap.measure(1, 0.2)
    names = [figure.name for figure in found]
    assert names[:5] == [
        "SOAP get",
        "SOAP getRecords of 100",
        "WSDL, warm, p50",
        "Import Set API, insert",
        "SOAP insertMultiple of 20, rows",
    ]
    assert all(min(*figure.ours, *figure.bare) > 0 for figure in found)
