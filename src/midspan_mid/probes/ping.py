"""Probe ``ping``: is a host reachable from the agent's network, and how fast?"""

from __future__ import annotations

from typing import Annotated

from midspan_sdk import Meta, ProbeContext, Struct, probe


class Request(Struct, frozen=True):
    """What to reach."""

    host: Annotated[str, Meta(description="Name or address as the agent sees it")]
    timeout: Annotated[float, Meta(gt=0, le=30, description="Seconds")] = 2.0


class Result(Struct, frozen=True):
    """What came back."""

    alive: bool
    rtt: Annotated[float | None, Meta(description="Seconds; None when not alive")]


@probe("ping", repeatable=True)
async def ping(request: Request, ctx: ProbeContext) -> Result:
    """Send one echo request."""
    rtt = await ctx.ping(request.host, timeout=request.timeout)
    return Result(alive=rtt is not None, rtt=rtt)
