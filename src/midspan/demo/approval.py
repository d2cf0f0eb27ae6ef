"""Scenario 2, outbound from a flow: a change is approved, the team reads it in chat."""

from __future__ import annotations

import time

from midspan.demo import chat
from midspan.demo.scenario import Evidence, Say, Scenario, Shown, Stage, expect

CHANGE = {"short_description": "Replace the core switch", "risk": "2", "type": "normal"}


def run(stage: Stage, say: Say) -> Shown:
    """Approve a change and wait for its message; approve it again and see that none comes."""
    admin = stage.admin
    made = admin.make("change_request", CHANGE)
    say(f"{made['number']} is approved")
    path = f"/api/now/table/change_request/{made['sys_id']}"
    started = time.perf_counter()
    admin.send("PATCH", path, 200, json={"approval": "approved"})
    message = chat.message_about(stage, made["number"], made["sys_id"])
    seconds = time.perf_counter() - started
    say("The message arrived; the run's steps are being kept")
    flow_run = chat.run_of(stage, made["sys_id"])
    steps = admin.rows("sys_flow_step_run", f"context={flow_run['sys_id']}", "path,state")
    expect(len(steps) >= 3, f"the run kept {len(steps)} steps: {steps}")
    admin.send("PATCH", path, 200, json={"approval": "requested"})
    admin.send("PATCH", path, 200, json={"approval": "approved"})
    runs = admin.count("sys_flow_context", f"source_record={made['sys_id']}")
    expect(runs == 1, f"the flow ran {runs} times for one change")
    return Shown(
        went_in=f"{made['number']} approved",
        came_out=f"“{message}”; {len(steps)} steps kept",
        seconds=seconds,
        evidence=(
            Evidence("The flow's run with its steps", "sys_flow_context", flow_run["sys_id"]),
            Evidence("The approved change", "change_request", made["sys_id"]),
            Evidence("The connection to chat", "http_connection", _connection(stage)),
            Evidence("Calls that went out", "sys_outbound_http_log", query=_CALLS),
        ),
    )


_CALLS = "ORDERBYDESCsys_created_on"


def _connection(stage: Stage) -> str:
    return stage.admin.the("http_connection", f"name={chat.CONNECTION}")["sys_id"]


SCENARIO = Scenario(
    title="Approved change to chat",
    direction="outbound",
    opened_by="The instance connects to the chat",
    run=run,
)
