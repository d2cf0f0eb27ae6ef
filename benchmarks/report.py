"""Figures of one run as a table for people. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

QUIET = 1.5
"""A figure counts as disturbed when its loop took so many times the quickest one."""


@dataclass(frozen=True)
class Figure:
    """One peer, one kind of request, one pass; times in milliseconds, ``rate`` per second."""

    database: str
    peer: str
    job: str
    rate: float
    p50: float
    p99: float
    cpu: float
    """CPU of server and database per request."""
    calibration: float
    """The slower of the loops just before and just after."""
    count: int
    size: int
    """Bytes of one answer."""


def summary(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """Return one row per database and job: medians of the passes of both peers, and ratios."""
    rows = []
    for database, job in dict.fromkeys((f.database, f.job) for f in figures):
        row: dict[str, Any] = {"database": database, "job": job}
        for peer in ("midspan", "limit"):
            own = [f for f in figures if (f.database, f.job, f.peer) == (database, job, peer)]
            for name in ("rate", "p50", "p99", "cpu", "calibration", "size"):
                row[f"{peer}_{name}"] = median(getattr(f, name) for f in own)
            row[f"{peer}_rates"] = [f.rate for f in own]
        pairs = zip(row["midspan_rates"], row["limit_rates"], strict=True)
        row["ratio"] = median(ours / bare for ours, bare in pairs)
        row["cpu_ratio"] = row["limit_cpu"] / row["midspan_cpu"] if row["midspan_cpu"] else 0.0
        rows.append(row)
    return rows


def table(figures: Sequence[Figure], quickest: float) -> str:
    """Return the comparison as a Markdown table; ``~`` marks a disturbed median."""
    lines = [
        "| database | request | peer | req/s median (min..max) | p50 / p99 ms | CPU ms | calib ms |"
        " of the limit | bytes |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in summary(figures):
        for peer in ("midspan", "limit"):
            rates = row[f"{peer}_rates"]
            spread = f"({min(rates):,.0f}..{max(rates):,.0f})"
            loop = row[f"{peer}_calibration"]
            noise = "~" if loop > quickest * QUIET else ""
            share = f"{row['ratio']:.2f} (CPU {row['cpu_ratio']:.2f})" if peer == "midspan" else "1"
            lines.append(
                f"| {row['database']} | {row['job']} | {peer} |"
                f" {row[f'{peer}_rate']:,.0f} {spread} |"
                f" {row[f'{peer}_p50']:.1f} / {row[f'{peer}_p99']:.1f} |"
                f" {row[f'{peer}_cpu']:.2f} | {loop:.0f}{noise} | {share} |"
                f" {row[f'{peer}_size']:,.0f} |"
            )
    return "\n".join(lines)
