"""Post one message to a Slack channel with the app's token."""

from __future__ import annotations

from typing import Annotated, Any

from midspan_sdk import ActionContext, Meta, OutcomeUnknown, Struct, action
from midspan_spokes.slack.client import (
    MAX_BLOCKS,
    MAX_TEXT,
    decoded,
    error_for,
    require_auth,
    worded,
)


class Inputs(Struct, frozen=True):
    """The message and where it goes."""

    channel: Annotated[
        str, Meta(title="Channel", description="Channel ID, e.g. C024BE91L", min_length=1)
    ]
    text: Annotated[
        str,
        Meta(
            title="Text",
            description="The message; with blocks, the text of its notification",
            min_length=1,
            max_length=MAX_TEXT,
        ),
    ]
    thread_ts: Annotated[
        str, Meta(title="Thread", description="Timestamp of the message to reply to")
    ] = ""
    blocks: Annotated[
        Annotated[list[dict[str, Any]], Meta(max_length=MAX_BLOCKS)] | None,
        Meta(title="Blocks", description="Block Kit layout as a JSON array, at most 50 blocks"),
    ] = None
    escape: Annotated[
        bool,
        Meta(title="Escape", description="Show &, < and > of the text as they are: no mentions"),
    ] = False


class Outputs(Struct, frozen=True):
    """Slack's identification of the message."""

    ts: Annotated[str, Meta(title="Timestamp", description="Slack's ID of the message")]
    channel: Annotated[str, Meta(title="Channel", description="ID of the channel it is in")]


@action("Post message", repeat="never")  # Slack's API takes no idempotency key
async def post_message(inputs: Inputs, ctx: ActionContext) -> Outputs:
    """Post one message to a channel, optionally into a thread."""
    require_auth(ctx, "webhook", "Post message needs a bearer connection with a bot token")
    message: dict[str, Any] = {
        "channel": inputs.channel,
        "text": worded(inputs.text, escape=inputs.escape),
    }
    if inputs.thread_ts:
        message["thread_ts"] = inputs.thread_ts
    if inputs.blocks:
        message["blocks"] = inputs.blocks
    reply = await ctx.http.post("/chat.postMessage", json=message)
    match decoded(reply.check()):
        case {"ok": True, "ts": str(ts), "channel": str(channel)}:
            ctx.log.info("Posted to Slack", channel=channel, ts=ts)
            return Outputs(ts=ts, channel=channel)
        case {"ok": False, "error": str(word)}:
            raise error_for(word, reply)
    raise OutcomeUnknown("Slack's answer is not the documented one", detail=reply.text[:500])
