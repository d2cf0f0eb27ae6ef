"""Records that clients find in the instance under test: users, an OAuth client, work, servers."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

PASSWORD = "chosen for this test"
READER_PASSWORD = "reads its own only"
CLIENT_SECRET = "its own secret"
SERVERS = 520
"""More than five pages of a hundred: one live test breaks a sweep off after the fifth."""
INCIDENTS = 30
FEW = 5
PART = 100
"""Requests in one batch."""


def fill(url: str, authority: Path) -> dict[str, str]:
    """Make the records and return the environment variables that tell scripts about them."""
    trust = ssl.create_default_context(cafile=authority)
    with httpx.Client(base_url=url, auth=("admin", PASSWORD), verify=trust, timeout=120) as client:
        _send(client, "/api/midspan/v1/users", user_name="reader", password=READER_PASSWORD)
        _make(
            client,
            "oauth_entity",
            [{"name": "Clients", "client_id": "clients", "client_secret": CLIENT_SECRET,
              "user": "admin"}],
        )  # fmt: skip
        _records(client)
    return {
        "CLIENT_USER": "admin",
        "CLIENT_PASSWORD": PASSWORD,
        "CLIENT_READER": "reader",
        "CLIENT_READER_PASSWORD": READER_PASSWORD,
        "CLIENT_ID": "clients",
        "CLIENT_SECRET": CLIENT_SECRET,
    }


def _records(client: httpx.Client) -> None:
    (user,) = _make(client, "sys_user", [{"user_name": "ada", "first_name": "Ada"}])
    (group,) = _make(client, "sys_user_group", [{"name": "Network"}])
    servers = _make(
        client,
        "cmdb_ci_linux_server",
        [
            {"name": f"linux{place:03}", "ip_address": f"10.0.{place // 250}.{place % 250}"}
            for place in range(SERVERS)
        ],
    )
    (kind,) = _make(client, "cmdb_rel_type", [{"name": "Depends on::Used by"}])
    pairs = pairwise(servers[: INCIDENTS + 1])
    relations = [{"parent": one, "child": other, "type": kind} for one, other in pairs]
    _make(client, "cmdb_rel_ci", relations)
    work = {"assigned_to": user, "assignment_group": group, "description": "In many words"}
    incidents = _make(
        client,
        "incident",
        [
            {**work, "short_description": f"Incident {place}", "caller_id": user,
             "cmdb_ci": servers[place], "impact": "2", "work_notes": f"Looked {place}"}
            for place in range(INCIDENTS)
        ],
    )  # fmt: skip
    for table, values in {
        "change_request": {**work, "type": "normal", "start_date": "2026-01-01 10:00:00"},
        "problem": {**work, "known_error": "true"},
        "sc_cat_item": {"name": "Laptop", "active": "true"},
        "kb_knowledge": {"text": "<p>Hello <b>you</b> &amp; me</p>", "workflow_state": "published"},
    }.items():
        rows = [{**values, "short_description": f"{table} {place}"} for place in range(FEW)]
        _make(client, table, rows)
    query = {"table_name": "incident", "table_sys_id": incidents[0], "file_name": "first.txt"}
    client.post(
        "/api/now/attachment/file",
        params=query,
        content=b"kept as it is",
        headers={"Content-Type": "text/plain"},
    ).raise_for_status()


def _make(client: httpx.Client, table: str, rows: Iterable[dict[str, str]]) -> list[str]:
    """Make records in batches and return their sys_ids, in order."""
    made: list[str] = []
    parts = [
        {
            "id": str(place),
            "method": "POST",
            "url": f"/api/now/table/{table}?sysparm_fields=sys_id",
            "headers": [{"name": "Content-Type", "value": "application/json"}],
            "body": base64.b64encode(json.dumps(values).encode()).decode(),
        }
        for place, values in enumerate(rows)
    ]
    for start in range(0, len(parts), PART):
        batch = {"batch_request_id": "1", "rest_requests": parts[start : start + PART]}
        answer = _send(client, "/api/now/v1/batch", **batch)
        assert not answer["unserviced_requests"], answer
        for part in answer["serviced_requests"]:
            body = base64.b64decode(part["body"])
            assert part["status_code"] == 201, body
            made.append(json.loads(body)["result"]["sys_id"])
    return made


def _send(client: httpx.Client, path: str, **values: Any) -> Any:
    answer = client.post(path, json=values)
    assert answer.status_code < 300, answer.text
    return answer.json()
