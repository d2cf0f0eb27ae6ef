"""The measure of growth asks for what it says, in tables that are as large as it says."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def flat(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("flat")


def test_both_tables_are_asked_and_the_large_one_is_large(
    flat: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flat, "SMALL", 800)
    counted: list[int] = []
    requests = flat._requests

    def noted(client: object, rows: int) -> object:
        counted.append(rows)
        return requests(client, rows)

    monkeypatch.setattr(flat, "_requests", noted)
    costs = flat.measure("sqlite", 1_500, repeats=4)
    assert counted == [800, 1_500]
    assert [cost.request for cost in costs] == list(flat.REQUESTS)
    assert all(cost.small > 0 and cost.large > 0 for cost in costs)


def test_copies_have_ids_and_numbers_of_their_own(flat: ModuleType) -> None:
    with flat.databases.target("sqlite") as target:
        flat.dataset.fill(target.data, target.url, 40)
        flat.grow(target, 40, 120)
        of_incidents = "FROM task WHERE sys_class_name = 'incident'"
        present = target.statement(f"SELECT COUNT(*) {of_incidents}")
        assert present >= 120
        assert target.statement(f"SELECT COUNT(DISTINCT sys_id) {of_incidents}") == present
        assert target.statement(f"SELECT COUNT(DISTINCT number) {of_incidents}") == present


def test_the_report_gives_the_ratio(flat: ModuleType) -> None:
    costs = [
        flat.Cost("sqlite", "one", 0.5, 0.6),
        flat.Cost("sqlite", "by offset", 0.5, 50.0, (5_000, 500_000)),
    ]
    lines = flat.report(costs, 1_000_000).splitlines()
    head = "| database | request | ms at 10,000 | ms at 1,000,000 | ratio | µs a row passed over |"
    assert lines[0] == head
    assert lines[2] == "| sqlite | one | 0.50 | 0.60 | 1.20 |  |"
    assert lines[3] == "| sqlite | by offset | 0.50 | 50.00 | 100.00 | 0.10 / 0.10 |"
