"""One call through one connection: guarded, logged, its errors worded by consequence."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol
from urllib.parse import urlsplit

import httpx

from midspan.kernel.clock import Clock
from midspan.outbound.call import NOBODY, CallRecord, CallSource
from midspan.outbound.calldetail import BASIC, detail_of
from midspan.outbound.connection import Connection, origin_of
from midspan_link.errors import (
    EgressRefused,
    InvalidRule,
    LinkError,
    PeerUnavailable,
    RedirectRefused,
    ResponseTooLarge,
)
from midspan_link.http import HttpCall, HttpClient, HttpLimits
from midspan_link.http import HttpReply as LinkReply
from midspan_link.logs import redact
from midspan_sdk import ActionError, HttpReply, HttpRequest, OutcomeUnknown, RetryLater, SdkError

TOTAL = timedelta(seconds=60)
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, socket.gaierror)


class CallLog(Protocol):
    """Where calls are kept."""

    async def __call__(self, record: CallRecord) -> None:
        """Keep one; must not raise."""
        ...


class OutboundTransport:
    """Carries calls directly from the instance; an ``HttpTransport`` of the SDK."""

    def __init__(
        self,
        connection: Connection,
        client: Callable[[], HttpClient],
        log: CallLog,
        clock: Clock,
        source: CallSource = NOBODY,
    ) -> None:
        self._connection = connection
        self._client = client
        self._log = log
        self._clock = clock
        self._source = source

    async def send(self, request: HttpRequest) -> HttpReply:
        """Send a call; see ``HttpTransport.send`` for the errors."""
        reply = await self.exchange(self._call(request), request.key)
        return HttpReply(reply.status, reply.headers, reply.body)

    async def exchange(self, call: HttpCall, key: str, level: str = BASIC) -> LinkReply:
        """Send a call as it is and log it; raises as ``HttpTransport.send`` does.

        ``level`` says how much the log keeps: basic, elevated or all.
        """
        started = self._clock.monotonic()
        reply, failure = await self._sent(call)
        await self._log(
            CallRecord(
                connection=self._connection.name,
                source=self._source,
                key=key,
                method=call.method,
                host=urlsplit(call.url).hostname or "",
                path=self._shown_path(call),
                sent=len(call.content),
                status=reply.status if reply else None,
                received=len(reply.body) if reply else 0,
                milliseconds=round((self._clock.monotonic() - started) * 1000),
                outcome="answered" if failure is None else failure.code,
                error=redact(failure.message) if failure else "",
                detail=detail_of(level, call, reply),
            )
        )
        if failure is not None or reply is None:
            raise failure or RuntimeError("a call ended without reply and failure")
        return reply

    async def _sent(self, call: HttpCall) -> tuple[LinkReply | None, SdkError | None]:
        try:
            return await self._client().send(call), None
        except (LinkError, httpx.InvalidURL, ValueError) as error:
            meaning = self._meaning(error)
            meaning.__cause__ = error
            return None, meaning

    def _call(self, request: HttpRequest) -> HttpCall:
        url = target_of(self._connection.url, request.url)
        own = origin_of(url) == self._connection.origin
        timeout = request.timeout or self._connection.timeout or TOTAL
        return HttpCall(
            method=request.method,
            url=url,
            headers=request.headers,
            content=request.content,
            authentication=self._connection.authentication if own else None,
            limits=HttpLimits(total=timeout, connect=min(timeout, HttpLimits().connect)),
        )

    def _shown_path(self, call: HttpCall) -> str:
        return "***" if self._connection.auth == "webhook" else urlsplit(call.url).path

    def _meaning(self, error: Exception) -> SdkError:
        """Return what a failed call means for the step.

        The messages of the link name the URL; that of a webhook is secret.
        """
        text = getattr(error, "message", str(error))
        if self._connection.auth == "webhook":
            secret = self._connection.url.partition("?")[0]
            text = text.replace(secret, self._connection.origin)
        hint = getattr(error, "hint", None)
        match error:
            case EgressRefused() | RedirectRefused():
                return ActionError("outbound.not_allowed", text, detail=hint)
            case InvalidRule():
                return ActionError("outbound.invalid_rule", text, detail=hint)
            case ResponseTooLarge():
                return ActionError("outbound.response_too_large", text)
            case PeerUnavailable() if surely_not_sent(error):
                return RetryLater(text)
            case PeerUnavailable():
                return OutcomeUnknown(text)
            case _:
                return ActionError("outbound.invalid_call", text, detail=hint)


def surely_not_sent(error: PeerUnavailable) -> bool:
    """Tell whether a failure came before the first byte of the request left."""
    cause = error.__cause__ or error.__context__
    if cause is None:
        return True  # the name has no address
    return isinstance(cause, _NOT_SENT) or (
        isinstance(cause, OSError) and not isinstance(cause, TimeoutError | ConnectionError)
    )


def target_of(base: str, url: str) -> str:
    """Return the absolute URL of a call: itself, below the connection's, or the connection's own.

    >>> target_of("https://slack.com/api", "/chat.postMessage")
    'https://slack.com/api/chat.postMessage'
    >>> target_of("https://hooks.example.com/x", "")
    'https://hooks.example.com/x'
    >>> target_of("https://a.example", "https://b.example/y")
    'https://b.example/y'
    >>> target_of("https://a.example/search?tenant=1", "?q=2")
    'https://a.example/search?tenant=1&q=2'
    """
    if url.startswith(("http://", "https://")):
        return url
    path, mark, query = base.partition("?")
    own, own_mark, own_query = url.partition("?")
    if own:
        path = f"{path.rstrip('/')}/{own.lstrip('/')}"
    queries = "&".join(part for part in (query, own_query) if part)
    return f"{path}?{queries}" if mark or own_mark else path
