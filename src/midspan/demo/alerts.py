"""Scenario 1, inbound in real time: a monitoring tool raises an alert, an incident opens."""

from __future__ import annotations

import time
from typing import Any

from midspan.demo import chat
from midspan.demo.scenario import Evidence, Say, Scenario, Shown, Stage, expect

SERVICE = "/api/midspan/alertmanager/alerts"
FINGERPRINT = "d4f1c0de5a11ab1e"
PLAIN = {"short_description": "Disk of db01 is 95 % full", "impact": "1", "urgency": "1"}


def alert(status: str, fingerprint: str = FINGERPRINT) -> dict[str, Any]:
    """Return what Alertmanager posts for one alert, version 4 of its webhook format."""
    labels = {"alertname": "DiskAlmostFull", "instance": "db01:9100", "severity": "critical"}
    notes = {"summary": "Disk of db01 is 95 % full", "description": "/var has 2 GB left."}
    ends = "2026-01-31T09:12:00.000Z" if status == "resolved" else "0001-01-01T00:00:00Z"
    return {
        "version": "4",
        "groupKey": '{}:{alertname="DiskAlmostFull"}',
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "midspan",
        "groupLabels": {"alertname": "DiskAlmostFull"},
        "commonLabels": labels,
        "commonAnnotations": notes,
        "externalURL": "http://alertmanager.example.com:9093",
        "alerts": [
            {
                "status": status,
                "labels": labels,
                "annotations": notes,
                "startsAt": "2026-01-31T09:00:00.000Z",
                "endsAt": ends,
                "generatorURL": "http://prometheus.example.com:9090/graph",
                "fingerprint": fingerprint,
            }
        ],
    }


def run(stage: Stage, say: Say) -> Shown:
    """Fire, repeat, list and resolve an alert; make the same incident by a plain POST, too."""
    admin, monitoring = stage.admin, stage.monitoring
    shown = monitoring.send("GET", f"{SERVICE}/critical")["result"]
    expect(shown["count"] == 0, f"there are critical incidents already: {shown}")
    say("Alertmanager posts a firing alert")
    started = time.perf_counter()
    opened = monitoring.send("POST", SERVICE, 201, json=alert("firing"))["result"]["opened"]
    seconds = time.perf_counter() - started
    expect(len(opened) == 1, f"expected one new incident, got {opened}")
    say(f"{opened[0]} is open; the same alert again changes nothing")
    again = monitoring.send("POST", SERVICE, 200, json=alert("firing"))["result"]
    expect(again["unchanged"] == 1, f"the repeated alert did something: {again}")
    shown = monitoring.send("GET", f"{SERVICE}/critical")["result"]
    numbers = [row["number"] for row in shown["incidents"]]
    expect(numbers == opened, f"the list of critical incidents is {shown}")
    incident = admin.the("incident", f"number={opened[0]}", "sys_id,number,priority")
    expect(incident["priority"] == "1", f"its priority is {incident['priority']}, not 1")
    say("A flow tells the chat about an incident of priority 1")
    told = chat.message_about(stage, incident["number"], incident["sys_id"])
    run_id = chat.run_of(stage, incident["sys_id"])["sys_id"]
    say("The alert resolves")
    resolved = monitoring.send("POST", SERVICE, 200, json=alert("resolved"))["result"]["resolved"]
    expect(resolved == opened, f"resolved {resolved}, expected {opened}")
    state = admin.the("incident", f"number={opened[0]}", "state")["state"]
    expect(state == "6", f"the incident's state is {state}, not Resolved")
    texts = chat.messages(stage.chat, incident["number"])
    expect(texts == [told], f"the chat heard of it {len(texts)} times: {texts}")
    say("The same incident by a plain Table API call")
    made = admin.make("incident", PLAIN)
    expect(made["number"].startswith("INC"), f"the new record is {made}")
    return Shown(
        went_in="1 alert: firing, firing again, resolved",
        came_out=f"{opened[0]} opened once, told in chat, resolved; {made['number']} by plain POST",
        seconds=seconds,
        evidence=(
            Evidence("The incident of the alert", "incident", incident["sys_id"]),
            Evidence("The same by a plain POST", "incident", made["sys_id"]),
            Evidence(
                "The service that took the alert",
                "sys_ws_definition",
                admin.the("sys_ws_definition", "service_id=alertmanager")["sys_id"],
            ),
            Evidence("The flow's run for priority 1", "sys_flow_context", run_id),
        ),
    )


SCENARIO = Scenario(
    title="Alert to incident",
    direction="inbound",
    opened_by="Alertmanager connects to the instance",
    run=run,
)
