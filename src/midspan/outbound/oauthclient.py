"""Tokens for outgoing calls, got with the client's own credentials and kept until they end."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from midspan.kernel.clock import Clock
from midspan.outbound.proof import Grant
from midspan_link.authentication import Authentication, authenticate
from midspan_link.errors import LinkError
from midspan_link.http import HttpCall, HttpReply
from midspan_link.protocol import Secret
from midspan_sdk import ActionError, SignInAgain

EARLY = timedelta(seconds=30)
"""How long before its end a token is not used any more."""
_LONGEST = 86_400.0
_DEFAULT = 300.0


class Tokens:
    """The tokens of all profiles; safe to use from many threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[Grant, tuple[str, float]] = {}

    async def bearer(
        self, grant: Grant, send: Callable[[HttpCall], Awaitable[HttpReply]]
    ) -> Authentication:
        """Return a bearer token, a kept one while it is good.

        Raises:
            SignInAgain: the provider refuses, or answers no token.
        """
        with self._lock:
            token, end = self._kept.get(grant, ("", 0.0))
        if not token or self._clock.monotonic() >= end:
            token, lifetime = _read(await send(_call(grant)), grant)
            end = self._clock.monotonic() + lifetime - EARLY.total_seconds()
            with self._lock:
                self._kept[grant] = (token, end)
        try:
            return authenticate("bearer", Secret(token=token))
        except LinkError as error:
            raise ActionError("outbound.token", error.message) from None

    def forget(self, grant: Grant) -> None:
        """Throw a token away that was not accepted."""
        with self._lock:
            self._kept.pop(grant, None)


def _call(grant: Grant) -> HttpCall:
    form = {"grant_type": "client_credentials"}
    authentication = None
    if grant.in_body:
        form |= {"client_id": grant.client, "client_secret": grant.secret}
    else:
        user = Secret(user=quote(grant.client, safe=""), password=quote(grant.secret, safe=""))
        authentication = authenticate("basic", user)
    return HttpCall(
        method="POST",
        url=grant.url,
        headers={
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        },
        content=urlencode(form).encode(),
        authentication=authentication,
        redirects_to=(),
    )


def _read(reply: HttpReply, grant: Grant) -> tuple[str, float]:
    """Return token and lifetime in seconds; what the provider says may hold a secret, so its error
    code alone is repeated."""
    try:
        answer: Any = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        answer = None
    if not isinstance(answer, dict) or not isinstance(answer.get("access_token"), str):
        code = answer.get("error") if isinstance(answer, dict) else None
        raise SignInAgain(
            f"The OAuth provider at {grant.url.partition('?')[0]} gave no token:"
            f" status {reply.status}{f', {code}' if isinstance(code, str) else ''}"
        )
    lifetime = answer.get("expires_in")
    seconds = float(lifetime) if isinstance(lifetime, int | float) else _DEFAULT
    return answer["access_token"], min(max(seconds, 0.0), _LONGEST)
