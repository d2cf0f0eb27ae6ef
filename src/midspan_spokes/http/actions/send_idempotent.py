"""Send a request with an idempotency key: the peer acts on it once, however often it comes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from midspan_sdk import ActionContext, Meta, Struct, action, field
from midspan_spokes.http.client import Outputs, outputs_of


class Inputs(Struct, frozen=True):
    """What to send, and the header for the key."""

    method: Annotated[
        Literal["POST", "PUT", "PATCH", "DELETE"],
        Meta(title="Method", description="HTTP method"),
    ] = "POST"
    path: Annotated[
        str, Meta(title="Path", description="Below the connection's URL, or an absolute URL")
    ] = ""
    query: Annotated[
        dict[str, Any], Meta(title="Query", description="Query parameters; a list repeats one")
    ] = field(default_factory=dict)
    headers: Annotated[
        dict[str, str], Meta(title="Headers", description="Headers beside the connection's own")
    ] = field(default_factory=dict)
    json: Annotated[
        dict[str, Any] | list[Any] | None,
        Meta(title="JSON body", description="Sent as application/json; not with a text body"),
    ] = None
    body: Annotated[
        str,
        Meta(title="Text body", description="Sent as it is; its Content-Type goes into headers"),
    ] = ""
    key_header: Annotated[
        str,
        Meta(title="Key header", description="Header the peer reads the key from", min_length=1),
    ] = "Idempotency-Key"
    fail_on_error: Annotated[
        bool,
        Meta(title="Fail on error", description="Fail the step unless the status is 200 to 299"),
    ] = True


@action("Send idempotent request", repeat="keyed")
async def send_idempotent(inputs: Inputs, ctx: ActionContext) -> Outputs:
    """Send a request with a key that stays the same over retries; the peer has to honour it."""
    headers = {**inputs.headers, inputs.key_header: ctx.key}
    reply = await ctx.http.request(
        inputs.method,
        inputs.path,
        params=inputs.query,
        headers=headers,
        json=inputs.json,
        content=inputs.body or None,
    )
    return outputs_of(reply, fail_on_error=inputs.fail_on_error)
