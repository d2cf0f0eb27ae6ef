"""Sends the calls of scripts: credentials opened, tokens got, failures turned into answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from typing import TypeVar
from urllib.parse import urlsplit

import httpx
from msgspec import Struct, structs

from midspan.kernel.errors import InvalidRequest
from midspan.outbound import proof
from midspan.outbound.call import CallSource
from midspan.outbound.calldetail import BASIC, LEVELS, shown_text
from midspan.outbound.clientkey import ClientKey, address_with, client_key, profile_named
from midspan.outbound.connection import Connection
from midspan.outbound.message import Asked, Replied
from midspan.outbound.oauthclient import Tokens
from midspan.outbound.outbound import Outbound
from midspan.outbound.proof import Proof
from midspan.outbound.transport import OutboundTransport
from midspan.records import PROPERTIES, RecordTransaction
from midspan_link.errors import LinkError
from midspan_link.http import HttpCall, HttpClient, HttpLimits, HttpReply
from midspan_sdk import SdkError
from midspan_sdk.version import __version__

T = TypeVar("T")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")
AGENT = "glide.http.user.agent"
"""System property: what calls of scripts say they come from."""
TIMEOUT = "glide.http.timeout"
"""System property: milliseconds after which a call is given up, 175,000 when it is not set."""
OVERRIDE = "glide.outbound_http_log.override"
"""System property: the next one's log level counts for all calls of scripts."""
OVERRIDE_LEVEL = "glide.outbound_http_log.override.level"
"""System property: basic, elevated or all."""
LARGEST_TEXT = 10 * 1024 * 1024
LARGEST_FILE = 64 * 1024 * 1024
_DEFAULT_TIMEOUT = timedelta(seconds=175)
_TIMED_OUT, _UNREACHABLE, _REFUSED, _OTHER = 1, 2, 3, 4
_UNAUTHORIZED, _ERROR = 401, 400


class Prepared(Struct, frozen=True):
    """A call ready to leave: nothing of it needs the database any more."""

    call: HttpCall
    proof: Proof
    source: CallSource
    level: str
    name: str
    key: ClientKey | None = None
    """The certificate that is shown to the endpoint."""

    def __repr__(self) -> str:
        """Show the name alone."""
        return f"Prepared({self.name!r})"


class Messages:
    """Sends what scripts ask for; one for an instance, safe to use from many threads."""

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound
        self._tokens = Tokens(outbound.clock)

    def prepare(
        self, transaction: RecordTransaction, asked: Asked, longest: timedelta | None = None
    ) -> Prepared:
        """Check a call and open its credentials; it takes no longer than ``longest``.

        Raises:
            InvalidRequest: method or endpoint are missing or wrong.
            NotFound, InvalidDefinition: its credentials cannot be used.
        """
        shown = None
        if asked.mutual:
            profile = profile_named(transaction, asked.mutual)
            asked = structs.replace(asked, url=address_with(profile, asked.url))
            shown = _shown(asked, client_key(transaction, profile))
        _check(asked)
        proven = _proof(transaction, asked)
        if shown is not None and proven.grant is not None:
            raise InvalidRequest(
                "Mutual authentication goes with basic authentication, not with OAuth",
                hint="Use a basic authentication profile, or clear use_mutual_auth.",
            )
        setting = transaction.snapshot.part(PROPERTIES).get
        total = asked.timeout or _configured(setting(TIMEOUT, ""))
        total = total if longest is None else min(total, longest)
        headers = dict(asked.headers)
        if not any(name.lower() == "user-agent" for name in headers):
            headers["User-Agent"] = setting(AGENT, "") or f"Midspan/{__version__}"
        call = HttpCall(
            method=asked.method,
            url=asked.url,
            headers=headers,
            content=asked.content,
            authentication=proven.headers,
            limits=HttpLimits(
                total=total,
                connect=min(total, HttpLimits().connect),
                response_bytes=LARGEST_FILE if asked.for_file else LARGEST_TEXT,
            ),
            # A certificate is shown to the endpoint alone.
            redirects_to=asked.redirects_to if shown is None else (),
        )
        level = asked.level if asked.level in LEVELS else BASIC
        if setting(OVERRIDE, "") == "true":
            level = setting(OVERRIDE_LEVEL, "") or BASIC
        return Prepared(call, proven, CallSource(*asked.message), level, asked.message[0], shown)

    def send(self, prepared: Prepared, *, inside: bool = False) -> Replied:
        """Send a call and wait for its end.

        With ``inside`` the caller holds a write transaction: the row of the log is then written
        once that has ended, whatever becomes of it.
        """
        return self._outbound.run(self._sent(prepared, inside=inside))

    def start(self, prepared: Prepared, finish: Callable[[Replied], T]) -> Future[T]:
        """Send a call and return at once; ``finish`` makes the result, in a thread of its own."""

        async def whole() -> T:
            replied = await self._sent(prepared, inside=False)
            return await asyncio.to_thread(finish, replied)

        return self._outbound.start(whole())

    async def _sent(self, prepared: Prepared, *, inside: bool) -> Replied:
        call, grant = prepared.call, prepared.proof.grant
        own = None
        if prepared.key is not None:
            context = await asyncio.to_thread(prepared.key.context)
            own = self._outbound.client_with(context)
        transport = self._transport(
            prepared.name, call.url, prepared.source, inside=inside, client=own
        )
        try:
            if grant is None:
                reply = await transport.exchange(call, "", prepared.level)
            else:
                reply = await self._with_token(transport, prepared, inside=inside)
        except SdkError as error:
            return Replied(error=error.message, code=_code(error), url=call.url)
        finally:
            if own is not None:
                await own.aclose()
        return Replied(
            status=reply.status,
            headers=reply.pairs,
            content=reply.body,
            error=_failure(call, reply),
            url=call.url,
        )

    async def _with_token(
        self, transport: OutboundTransport, prepared: Prepared, *, inside: bool
    ) -> HttpReply:
        """Send with a token; one that is refused is renewed once."""
        grant = prepared.proof.grant
        if grant is None:
            raise RuntimeError("a call without a grant needs no token")
        provider = self._transport("oauth", grant.url, prepared.source, inside=inside)

        async def ask(call: HttpCall) -> HttpReply:
            return await provider.exchange(call, "")

        for last in (False, True):
            bearer = await self._tokens.bearer(grant, ask)
            call = structs.replace(prepared.call, authentication=bearer)
            reply = await transport.exchange(call, "", prepared.level)
            if reply.status != _UNAUTHORIZED or last:
                return reply
            self._tokens.forget(grant)
        raise RuntimeError("unreachable")

    def _transport(
        self,
        name: str,
        url: str,
        source: CallSource,
        *,
        inside: bool,
        client: HttpClient | None = None,
    ) -> OutboundTransport:
        outbound = self._outbound
        keep = outbound.keep_later if inside else outbound.keep
        carrier = outbound.client if client is None else lambda: client
        return OutboundTransport(
            Connection(name=name, url=url), carrier, keep, outbound.clock, source
        )


def _check(asked: Asked) -> None:
    if asked.method not in METHODS:
        raise InvalidRequest(
            f"The HTTP method {asked.method!r} cannot be used"
            if asked.method
            else "The message has no HTTP method",
            hint=f"setHttpMethod() takes {', '.join(METHODS)}.",
        )
    parts = urlsplit(asked.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidRequest(
            f"The endpoint {shown_text(asked.url)!r} is no http or https address"
            if asked.url
            else "The message has no endpoint",
            hint="setEndpoint() takes a whole address such as https://example.com/orders.",
        )


def _shown(asked: Asked, key: ClientKey) -> ClientKey:
    """Return the key, for an endpoint that can be shown one.

    Raises:
        InvalidRequest: it has no TLS.
    """
    if urlsplit(asked.url).scheme != "https":
        raise InvalidRequest(
            f"Mutual authentication ({asked.mutual}) needs an https endpoint",
            hint=f"The endpoint is {shown_text(asked.url)!r}.",
        )
    return key


def _proof(transaction: RecordTransaction, asked: Asked) -> Proof:
    if asked.basic is not None:
        return Proof(proof.basic(*asked.basic))
    if asked.profile is not None:
        return proof.of_profile(transaction, *asked.profile)
    if asked.authority[1]:
        return proof.of_record(transaction, *asked.authority)
    return Proof()


def _configured(text: str) -> timedelta:
    return timedelta(milliseconds=int(text)) if text.isdigit() and int(text) else _DEFAULT_TIMEOUT


def _code(error: SdkError) -> int:
    cause = error.__cause__
    if error.code == "outbound.not_allowed":
        return _REFUSED
    if isinstance(cause, LinkError):
        inner = cause.__cause__ or cause.__context__
        timed_out = isinstance(inner, TimeoutError | httpx.TimeoutException)
        return _TIMED_OUT if timed_out else _UNREACHABLE
    return _OTHER


def _failure(call: HttpCall, reply: HttpReply) -> str:
    if reply.status < _ERROR:
        return ""
    path = urlsplit(call.url).path or "/"
    return f"Method failed: ({path}) with code: {reply.status}"
