"""The benchmark measures what it says, and stays in step with the code that it measures."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("report")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.slow
def test_a_short_run_measures_both_peers_and_writes_every_figure(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    small = ["--seconds", "0.2", "--passes", "1", "--records", "300", "--starts", "1"]
    small += ["--events", "0", "--scripts", "0", "--soap", "0"]
    done = run(*small, "--connections", "4", "--database", "sqlite", "--json", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(file.read_text())
    measured = {(figure["job"], figure["peer"]) for figure in found["figures"]}
    jobs = (
        *("GET one", "list of 100", "list of 1,000", "100, row ACL", "100, all"),
        *("POST", "PATCH"),
    )
    assert measured == {(job, peer) for job in jobs for peer in ("midspan", "limit")}
    assert all(figure["rate"] > 0 and figure["calibration"] > 0 for figure in found["figures"])
    assert {row["peer"] for row in found["memory"] if row["after"] > 1} == {"midspan", "limit"}
    assert len(found["starts"]["all"]) == 1
    assert "| sqlite | list of 100 | midspan |" in done.stdout


def test_a_database_that_does_not_exist_is_refused() -> None:
    done = run("--database", "oracle")
    assert done.returncode == 2
    assert "invalid choice: 'oracle'" in done.stderr


def figure(report: ModuleType, peer: str, rate: float, calibration: float = 50.0) -> Any:
    return report.Figure("sqlite", peer, "POST", rate, 1.0, 2.0, 1000 / rate, calibration, 9, 700)


def test_the_ratio_is_the_median_of_the_ratios_of_each_pass(report: ModuleType) -> None:
    rates = {"midspan": (100.0, 300.0, 50.0), "limit": (200.0, 1000.0, 50.0)}
    figures = [figure(report, peer, rate) for peer, all_of in rates.items() for rate in all_of]
    (row,) = report.summary(figures)
    assert row["ratio"] == pytest.approx(0.5)
    assert (row["midspan_rate"], row["limit_rate"]) == (100.0, 200.0)
    assert row["cpu_ratio"] == pytest.approx(0.5)


def test_a_disturbed_figure_is_marked(report: ModuleType) -> None:
    figures = [figure(report, "midspan", 100.0, 90.0), figure(report, "limit", 200.0, 55.0)]
    ours, bare = report.table(figures, 50.0).splitlines()[2:]
    assert "| 90~ |" in ours
    assert "| 55 |" in bare
