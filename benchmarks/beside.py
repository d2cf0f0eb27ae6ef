"""``make bench ARGS=--beside``: scripts and SOAP, each beside a peer of its own, and goals."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import compared
import scripts
import services
import soap
from compared import Compared


@dataclass
class Beside:
    """What one run found."""

    scripts: list[Compared] = field(default_factory=list)
    soap: list[Compared] = field(default_factory=list)


def measure(script_rounds: int, soap_rounds: int, seconds: float) -> Beside:
    """Measure so many rounds of each, 0 for none, with so many seconds of load for each figure."""
    found = Beside()
    if script_rounds:
        _say(f"server-side scripts beside the bare engine, {script_rounds} rounds …")
        found.scripts = scripts.measure(script_rounds)
        found.scripts += services.measure(script_rounds, seconds)
    if soap_rounds:
        _say(f"SOAP and import sets beside the Table API, {soap_rounds} rounds …")
        found.soap = soap.measure(soap_rounds, seconds)
    return found


def report(found: Beside) -> str:
    """Return the figures as Markdown tables; empty when there are none."""
    parts = (("scripts", found.scripts), ("SOAP and import sets", found.soap))
    return "\n\n".join(compared.report(title, figures) for title, figures in parts if figures)


_say: Callable[[str], None] = print

if __name__ == "__main__":
    sys.stdout.write(report(measure(3, 3, 3.0)) + "\n")
