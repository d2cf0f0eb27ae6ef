"""Keeps the results of the demo as records, so that the start page shows what is stored."""

from __future__ import annotations

from midspan.demo.scenario import Client, Result

RESULTS = "u_demo_result"
EVIDENCE = "u_demo_evidence"


def keep(admin: Client, order: int, result: Result) -> None:
    """Write a result and the records it points to."""
    values = {
        "name": result.scenario.title,
        "order": str(order),
        "held": str(result.held).lower(),
        "direction": result.scenario.direction,
        "opened_by": result.scenario.opened_by,
        "problem": result.problem[:4000],
    }
    shown = result.shown
    if shown is not None:
        values["went_in"], values["came_out"] = shown.went_in, shown.came_out
        values["milliseconds"] = f"{shown.seconds * 1000:.0f}"
    kept = admin.make(RESULTS, values)["sys_id"]
    for number, each in enumerate(shown.evidence if shown else (), 1):
        evidence = {
            "result": kept,
            "order": str(number),
            "name": each.label,
            "table": each.table,
            "record": each.record,
            "query": each.query,
        }
        admin.make(EVIDENCE, evidence)
