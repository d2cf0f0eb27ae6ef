"""The reply as the HTTP actions hand it to a flow."""

from __future__ import annotations

from typing import Annotated, Any

from midspan_sdk import ActionError, HttpReply, Meta, Struct


class Outputs(Struct, frozen=True):
    """A reply as data pills."""

    status: Annotated[int, Meta(title="Status", description="HTTP status code")]
    headers: Annotated[
        dict[str, str], Meta(title="Headers", description="Reply headers, names in lower case")
    ]
    body: Annotated[str, Meta(title="Body", description="Reply body as text")]
    json: Annotated[
        Any, Meta(title="JSON", description="Reply body decoded; empty when it is not JSON")
    ] = None


def outputs_of(reply: HttpReply, *, fail_on_error: bool) -> Outputs:
    """Return ``reply`` for the flow; with ``fail_on_error`` other statuses than 2xx raise.

    Raises:
        SdkError: as ``HttpReply.failure`` maps the status.
    """
    if fail_on_error:
        reply.check()
    return Outputs(
        status=reply.status, headers=dict(reply.headers), body=reply.text, json=_decoded(reply)
    )


def _decoded(reply: HttpReply) -> Any:
    media = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not reply.content or not (media == "application/json" or media.endswith("+json")):
        return None
    try:
        return reply.json()
    except ActionError:  # announced as JSON and is none: the flow still gets the text
        return None
