"""Send any request over HTTP, at most once."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from midspan_sdk import ActionContext, Meta, Struct, action, field
from midspan_spokes.http.client import Outputs, outputs_of


class Inputs(Struct, frozen=True):
    """What to send."""

    method: Annotated[
        Literal["POST", "PUT", "PATCH", "DELETE", "GET", "HEAD", "OPTIONS"],
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
    fail_on_error: Annotated[
        bool,
        Meta(title="Fail on error", description="Fail the step unless the status is 200 to 299"),
    ] = True


@action("Send request", repeat="never")
async def send_request(inputs: Inputs, ctx: ActionContext) -> Outputs:
    """Send any request; never repeated, since nothing is known of what a repeat does."""
    reply = await ctx.http.request(
        inputs.method,
        inputs.path,
        params=inputs.query,
        headers=inputs.headers,
        json=inputs.json,
        content=inputs.body or None,
    )
    return outputs_of(reply, fail_on_error=inputs.fail_on_error)
