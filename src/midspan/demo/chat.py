"""The chat side of the demo: telling the instance where it is, and what arrived there."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import httpx

from midspan.demo.scenario import Client, NotAsPromised, Stage, wait_for

CONNECTION = "team-chat"
_LOST = "ERROR,OUTCOME_UNKNOWN,CANCELLED"


def connect(admin: Client, webhook: str) -> None:
    """Tell the instance where chat is: one credential, one connection, one egress rule.

    For the real product only the webhook in the credential differs, and the egress rule is not
    needed; so the connection holds no address of its own, which would have to agree.
    """
    credential = {"name": CONNECTION, "type": "webhook", "api_key": webhook, "active": "true"}
    connection = {
        "name": CONNECTION,
        "credential": admin.make("api_key_credentials", credential)["sys_id"],
        "active": "true",
    }
    admin.make("http_connection", connection)
    allowed = urlsplit(webhook).netloc
    admin.make("sys_properties", {"name": "midspan.outbound.allow", "value": allowed})


def message_about(stage: Stage, number: str, record: str) -> str:
    """Wait for the message about a record and return its text.

    Raises:
        NotAsPromised: none came; says why the flow's run failed if it did.
    """

    def look() -> list[str]:
        found = messages(stage.chat, number)
        return found or _unless_lost(stage, record)

    return wait_for(look, f"no message about {number} reached the chat")[0]


def messages(chat: str, number: str) -> list[str]:
    """Return the texts that the receiver accepted and that name a record's number."""
    stored: list[dict[str, Any]] = httpx.get(f"{chat}/messages", timeout=10).json()["messages"]
    return [entry["text"] for entry in stored if number in entry["text"]]


def run_of(stage: Stage, record: str) -> dict[str, str]:
    """Wait until the flow's run for a record is complete; return it with ``sys_id, flow``."""

    def look() -> list[Any]:
        query = f"source_record={record}^state=COMPLETE"
        return stage.admin.rows("sys_flow_context", query, "sys_id,flow") or _unless_lost(
            stage, record
        )

    found: dict[str, str] = wait_for(look, "the flow's run did not complete")[0]
    return found


def _unless_lost(stage: Stage, record: str) -> list[str]:
    """Return nothing, as long as no run for the record came to a bad end."""
    query = f"source_record={record}^stateIN{_LOST}"
    lost = stage.admin.rows("sys_flow_context", query, "name,state,error")
    if lost:
        raise NotAsPromised(
            f"the run of “{lost[0]['name']}” ended as {lost[0]['state']}: {lost[0]['error']}"
        )
    return []
