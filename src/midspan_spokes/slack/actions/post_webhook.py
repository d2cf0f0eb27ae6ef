"""Post one message through a Slack incoming webhook."""

from __future__ import annotations

from typing import Annotated, Any

from midspan_sdk import ActionContext, Meta, OutcomeUnknown, Struct, action
from midspan_spokes.slack.client import (
    MAX_BLOCKS,
    MAX_TEXT,
    error_for,
    error_word,
    require_auth,
    worded,
)


class Inputs(Struct, frozen=True):
    """The message; the webhook decides the channel."""

    text: Annotated[
        str,
        Meta(
            title="Text",
            description="The message; with blocks, the text of its notification",
            min_length=1,
            max_length=MAX_TEXT,
        ),
    ]
    blocks: Annotated[
        Annotated[list[dict[str, Any]], Meta(max_length=MAX_BLOCKS)] | None,
        Meta(title="Blocks", description="Block Kit layout as a JSON array, at most 50 blocks"),
    ] = None
    escape: Annotated[
        bool,
        Meta(title="Escape", description="Show &, < and > of the text as they are: no mentions"),
    ] = False


class Outputs(Struct, frozen=True):
    """Slack tells nothing more of a message posted this way."""

    delivered: Annotated[bool, Meta(title="Delivered", description="Slack accepted the message")]


@action("Post message by webhook", repeat="never")  # a webhook takes no idempotency key
async def post_webhook(inputs: Inputs, ctx: ActionContext) -> Outputs:
    """Post one message to the channel that the connection's incoming webhook belongs to."""
    require_auth(ctx, "bearer", "Post message by webhook needs a webhook connection")
    message: dict[str, Any] = {"text": worded(inputs.text, escape=inputs.escape)}
    if inputs.blocks:
        message["blocks"] = inputs.blocks
    reply = await ctx.http.post(json=message)
    if reply.ok and reply.text.strip() == "ok":
        ctx.log.info("Posted to Slack by webhook")
        return Outputs(delivered=True)
    word = error_word(reply.text)
    if not reply.ok and (word is None or reply.status == 429 or reply.status >= 500):
        reply.check()
    if word is None or reply.ok:
        raise OutcomeUnknown("The webhook's answer is not 'ok'", detail=reply.text[:500])
    raise error_for(word, reply)
