"""Figures of two peers in one run, with what has to be reached. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal


@dataclass(frozen=True)
class Goal:
    """The least that has to be reached: of the speed itself, or of the peer's."""

    of: Literal["own", "share"]
    bound: float


@dataclass(frozen=True)
class Compared:
    """One measurement of both peers; ``unit`` is ``ms`` (less is better) or ``/s``."""

    name: str
    unit: str
    ours: tuple[float, ...]
    bare: tuple[float, ...]
    peer: str = "bare engine"
    goal: Goal | None = None

    @property
    def share(self) -> float:
        """How much of the peer's speed is left; 1 is all of it."""
        ours, bare = median(self.ours), median(self.bare)
        return bare / ours if self.unit == "ms" else ours / bare

    @property
    def wanted(self) -> str:
        """The goal as people read it; empty without one."""
        if self.goal is None:
            return ""
        if self.goal.of == "share":
            return f"≥ {self.goal.bound:.2f} of the peer"
        sign = "≤" if self.unit == "ms" else "≥"
        return f"{sign} {self.goal.bound:,.0f} {self.unit}"

    @property
    def held(self) -> bool | None:
        """Tell whether the goal was reached; None without one."""
        if self.goal is None:
            return None
        if self.goal.of == "share":
            return self.share >= self.goal.bound
        own = median(self.ours)
        return own <= self.goal.bound if self.unit == "ms" else own >= self.goal.bound


def compared(
    name: str,
    unit: str,
    pairs: Sequence[tuple[float, float]],
    *,
    peer: str = "bare engine",
    goal: Goal | None = None,
) -> Compared:
    """Return the figure of so many rounds, each of which measured both peers."""
    ours, bare = zip(*pairs, strict=True)
    return Compared(name, unit, ours, bare, peer, goal)


def report(title: str, figures: Sequence[Compared]) -> str:
    """Return the figures as a Markdown table."""
    lines = [
        f"| {title} | midspan, median (min..max) | peer | of the peer | wanted | held |",
        "|---|---|---|---|---|---|",
    ]
    for figure in figures:
        ours, bare = (_shown(values, figure.unit) for values in (figure.ours, figure.bare))
        held = {None: "", True: "yes", False: "NO"}[figure.held]
        lines.append(
            f"| {figure.name} | {ours} | {figure.peer}: {bare} | {figure.share:.2f} |"
            f" {figure.wanted} | {held} |"
        )
    return "\n".join(lines)


def _shown(values: Sequence[float], unit: str) -> str:
    digits = 2 if unit == "ms" else 0
    low, high = min(values), max(values)
    return f"{median(values):,.{digits}f} {unit} ({low:,.{digits}f}..{high:,.{digits}f})"
