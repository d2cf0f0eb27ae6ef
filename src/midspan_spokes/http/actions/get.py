"""Read something over HTTP; reading twice changes nothing."""

from __future__ import annotations

from typing import Annotated, Any

from midspan_sdk import ActionContext, Meta, Struct, action, field
from midspan_spokes.http.client import Outputs, outputs_of


class Inputs(Struct, frozen=True):
    """What to read."""

    path: Annotated[
        str, Meta(title="Path", description="Below the connection's URL, or an absolute URL")
    ] = ""
    query: Annotated[
        dict[str, Any], Meta(title="Query", description="Query parameters; a list repeats one")
    ] = field(default_factory=dict)
    headers: Annotated[
        dict[str, str], Meta(title="Headers", description="Headers beside the connection's own")
    ] = field(default_factory=dict)
    fail_on_error: Annotated[
        bool,
        Meta(title="Fail on error", description="Fail the step unless the status is 200 to 299"),
    ] = True


@action("Get", repeat="safe")
async def get(inputs: Inputs, ctx: ActionContext) -> Outputs:
    """Read something with GET; tried again when the peer fails."""
    reply = await ctx.http.get(inputs.path, params=inputs.query, headers=inputs.headers)
    return outputs_of(reply, fail_on_error=inputs.fail_on_error)
