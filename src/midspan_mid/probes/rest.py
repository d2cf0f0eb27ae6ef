"""Probe ``RESTProbe``: send one HTTP request to a system in the agent's network."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

from midspan_link.authentication import Authentication, basic
from midspan_link.egress import EgressRules
from midspan_link.errors import LinkError, PeerUnavailable
from midspan_link.http import HttpCall, HttpClient, HttpLimits
from midspan_link.protocol import Secret
from midspan_sdk import (
    ActionError,
    InvalidInputs,
    Meta,
    OutcomeUnknown,
    ProbeContext,
    Struct,
    probe,
)

LARGEST = 300 * 1024
"""Bytes of an answer: a result is one text of half a megabyte, and the body is base64 in it."""
_RULES = EgressRules.parse(["0.0.0.0/0", "[::]/0"])
"""The resolver below only gives addresses that the agent's own allow list has."""


class Request(Struct, frozen=True):
    """What to send and where."""

    url: Annotated[str, Meta(description="Whole address; a redirect is not followed")]
    method: Annotated[str, Meta(description="GET, POST, PUT, PATCH, DELETE or HEAD")] = "GET"
    headers: Annotated[str, Meta(description="JSON list of [name, value]")] = "[]"
    body: Annotated[str, Meta(description="Base64")] = ""
    credential: Annotated[str, Meta(description="Alias of the credential sealed with the job")] = ""
    timeout: Annotated[float, Meta(gt=0, le=600, description="Seconds")] = 60.0


class Result(Struct, frozen=True):
    """What was answered, whatever its status."""

    status: int
    headers: str
    body: str


@probe("RESTProbe", capability="REST")
async def rest(request: Request, ctx: ProbeContext) -> Result:
    """Send one request; the agent's own allow list says where to."""
    call = _call(request, ctx)
    parts = urlsplit(request.url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    await asyncio.to_thread(ctx.allowed, parts.hostname or "", port)

    async def resolve(host: str, port: int) -> list[str]:
        return await asyncio.to_thread(ctx.allowed, host, port)

    client = HttpClient(_RULES, resolver=resolve)
    try:
        reply = await client.send(call)
    except PeerUnavailable as error:
        raise OutcomeUnknown(error.message) from None
    except LinkError as error:
        raise ActionError("rest.refused", error.message, detail=error.hint) from None
    finally:
        await client.aclose()
    pairs = json.dumps([list(pair) for pair in reply.pairs])
    return Result(reply.status, pairs, base64.b64encode(reply.body).decode())


def _call(request: Request, ctx: ProbeContext) -> HttpCall:
    try:
        headers = {str(name): str(value) for name, value in json.loads(request.headers)}
        content = base64.b64decode(request.body, validate=True)
    except (ValueError, TypeError) as error:
        raise InvalidInputs(f"The request cannot be read: {error}") from None
    total = timedelta(seconds=request.timeout)
    return HttpCall(
        method=request.method,
        url=request.url,
        headers=headers,
        content=content,
        authentication=_proof(request, ctx),
        limits=HttpLimits(
            total=total, connect=min(total, HttpLimits().connect), response_bytes=LARGEST
        ),
        redirects_to=(),
    )


def _proof(request: Request, ctx: ProbeContext) -> Authentication | None:
    if not request.credential:
        return None
    sealed = ctx.secret(request.credential)
    try:
        return basic(Secret(user=sealed.get("user"), password=sealed.get("password")))
    except LinkError as error:
        raise InvalidInputs(error.message, field="credential") from None
