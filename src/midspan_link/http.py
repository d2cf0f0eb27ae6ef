"""The one HTTP transport of both ends: every connection passes the egress rules.

Names are resolved here, each address is checked, and the checked address is connected to, so an
answer that changes between check and use has no effect; TLS still verifies the name. Redirects are
followed by hand: each hop is checked again and credentials never leave the first origin.
"""

from __future__ import annotations

import asyncio
import ssl
import typing
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpcore
import httpx
from msgspec import Struct, field

from midspan_link.authentication import Authentication
from midspan_link.egress import EgressRules, Resolver, checked_addresses, system_resolver
from midspan_link.errors import (
    EgressRefused,
    LinkError,
    PeerUnavailable,
    RedirectRefused,
    ResponseTooLarge,
)

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})
_BODY_HEADERS = frozenset(
    {"content-length", "content-type", "content-encoding", "transfer-encoding"}
)

SocketOption = (
    tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]
)


class HttpLimits(Struct, frozen=True):
    """Bounds of one call: its time, its connection, its reply (unpacked) and its redirects."""

    total: timedelta = timedelta(seconds=60)
    connect: timedelta = timedelta(seconds=10)
    response_bytes: int = 10 * 1024 * 1024
    redirects: int = 5


class HttpCall(Struct, frozen=True):
    """One request. ``authentication`` is kept apart so that it can be dropped on a redirect."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    authentication: Authentication | None = None
    limits: HttpLimits = HttpLimits()
    redirects_to: tuple[str, ...] | None = None
    """Beginnings of the addresses that a redirect may lead to; None: any that the rules allow.

    A redirect to another one is not followed but is the answer."""


class HttpReply(Struct, frozen=True):
    """The whole answer; header names are lower case, ``url`` is where it came from in the end.

    ``pairs`` are the header fields as they came, repeated ones apart.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    url: str
    pairs: tuple[tuple[str, str], ...] = ()


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Opens TCP connections to checked addresses only."""

    def __init__(self, rules: EgressRules, resolver: Resolver) -> None:
        self._rules = rules
        self._resolver = resolver
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve, check and connect; the addresses are tried in order."""
        addresses = await checked_addresses(self._rules, host, port, self._resolver)
        failure: Exception = httpcore.ConnectError(f"no address for {host}")
        for address in addresses:
            try:
                return await self._inner.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Refuse: no rule speaks about sockets in the file system."""
        raise EgressRefused(f"A connection to the socket {path} is not allowed")

    async def sleep(self, seconds: float) -> None:
        """Wait between the pool's connection attempts."""
        await asyncio.sleep(seconds)


class GuardedTransport(httpx.AsyncBaseTransport):
    """An httpx transport over ``GuardedBackend``; usable wherever httpx takes a transport."""

    def __init__(
        self,
        rules: EgressRules,
        *,
        resolver: Resolver = system_resolver,
        verify: ssl.SSLContext | None = None,
    ) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=verify or ssl.create_default_context(),
            max_connections=100,
            max_keepalive_connections=20,
            keepalive_expiry=30,
            network_backend=GuardedBackend(rules, resolver),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; httpcore's errors become httpx's of the same name."""
        inner = httpcore.Request(
            method=request.method,
            url=httpcore.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=typing.cast(httpx.AsyncByteStream, request.stream),
            extensions=request.extensions,
        )
        with _mapped(request):
            response = await self._pool.handle_async_request(inner)
        stream = typing.cast(typing.AsyncIterable[bytes], response.stream)
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_ReplyStream(stream, request),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()


class _ReplyStream(httpx.AsyncByteStream):
    def __init__(self, stream: typing.AsyncIterable[bytes], request: httpx.Request) -> None:
        self._stream = stream
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _mapped(self._request):
            async for part in self._stream:
                yield part

    async def aclose(self) -> None:
        close = getattr(self._stream, "aclose", None)
        if close is not None:
            await close()


class _mapped:  # noqa: N801 - a context manager, used like a function
    """Turns httpcore's exceptions into httpx's of the same name."""

    def __init__(self, request: httpx.Request) -> None:
        self._request = request

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or not type(error).__module__.startswith("httpcore"):
            return
        mapped = getattr(httpx, type(error).__name__, httpx.TransportError)
        raise mapped(str(error), request=self._request) from error


class StreamedReply(Struct, frozen=True):
    """An answer whose body is still coming; ``parts`` obeys the size limit."""

    status: int
    headers: dict[str, str]
    url: str
    parts: AsyncIterator[bytes]
    pairs: tuple[tuple[str, str], ...] = ()


class HttpClient:
    """Sends calls to the world under egress rules. Close it with ``aclose``.

    ``transport`` replaces the network in tests; redirect rules and limits still hold.
    """

    def __init__(
        self,
        rules: EgressRules,
        *,
        resolver: Resolver = system_resolver,
        verify: ssl.SSLContext | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._client = httpx.AsyncClient(
            transport=transport or GuardedTransport(rules, resolver=resolver, verify=verify),
            follow_redirects=False,
            trust_env=False,
            # A cookie of one call must not speak for the next: that may be somebody else's.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        )

    async def send(self, call: HttpCall) -> HttpReply:
        """Send and read the whole answer, whatever its status.

        Raises:
            EgressRefused, RedirectRefused: nothing was sent to the refused address.
            PeerUnavailable: no connection, no answer in time, or a broken answer.
            ResponseTooLarge: the body is over ``limits.response_bytes``.
        """
        async with self.stream(call) as reply:
            body = b"".join([part async for part in reply.parts])
        return HttpReply(reply.status, reply.headers, body, reply.url, reply.pairs)

    @asynccontextmanager
    async def stream(self, call: HttpCall) -> AsyncIterator[StreamedReply]:
        """Send and hand out the answer's body in parts; raises as ``send``.

        The total time limit spans the whole ``async with`` block.
        """
        try:
            async with asyncio.timeout(call.limits.total.total_seconds()):
                response = await self._follow(call)
                try:
                    yield StreamedReply(
                        response.status_code,
                        {name.lower(): value for name, value in response.headers.items()},
                        str(response.url),
                        _limited(response, call.limits.response_bytes),
                        _pairs(response),
                    )
                finally:
                    await response.aclose()
        except TimeoutError:
            seconds = call.limits.total.total_seconds()
            raise PeerUnavailable(f"{_shown(call.url)} took longer than {seconds:g} s") from None
        # A peer that refuses the certificate, or its absence, may say so after the handshake.
        except (httpx.HTTPError, ssl.SSLError) as error:
            raise PeerUnavailable(
                f"{_shown(call.url)} cannot be reached: {type(error).__name__} {error}".rstrip()
            ) from None

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _follow(self, call: HttpCall) -> httpx.Response:
        request = self._first(call)
        cookies = httpx.Cookies()  # those set on the way, for the hops of this call
        for _ in range(call.limits.redirects + 1):
            response = await self._client.send(request, stream=True)
            target = _redirect(response)
            if target is None or not _may_follow(call, target):
                return response
            await response.aclose()
            cookies.extract_cookies(response)
            request = self._next(call, request, response.status_code, target)
            cookies.set_cookie_header(request)
        raise RedirectRefused(
            f"{_shown(call.url)} redirects more than {call.limits.redirects} times"
        )

    def _first(self, call: HttpCall) -> httpx.Request:
        url = _address(call.url)
        if call.params:
            url = url.copy_merge_params(dict(call.params))
        headers = {name.lower(): value for name, value in call.headers.items()}
        headers.update(call.authentication.headers if call.authentication else {})
        return self._build(call.method, url, headers, call)

    def _next(
        self, call: HttpCall, before: httpx.Request, status: int, target: httpx.URL
    ) -> httpx.Request:
        same = _origin(before.url) == _origin(target)
        if before.url.scheme == "https" and target.scheme != "https":
            raise RedirectRefused(f"{_shown(call.url)} redirects from https to {target.scheme}")
        keeps_body = status in (307, 308) or before.method in ("GET", "HEAD")
        if keeps_body and before.content and not same:
            raise RedirectRefused(
                f"{_shown(call.url)} asks to send the body to {target.host}",
                hint="Call that address directly if this is intended.",
            )
        own_cookie = any(name.lower() == "cookie" for name in call.headers)
        secret = set(_SECRET_HEADERS) | set(
            call.authentication.headers if call.authentication else ()
        )
        headers = {
            name: value
            for name, value in before.headers.items()
            if name != "host"
            and (name != "cookie" or own_cookie)
            and (same or name not in secret)
            and (keeps_body or name not in _BODY_HEADERS)
        }
        if keeps_body:
            return self._build(before.method, target, headers, call, before.content)
        return self._build("GET", target, headers, call, b"")

    def _build(
        self,
        method: str,
        url: httpx.URL,
        headers: Mapping[str, str],
        call: HttpCall,
        content: bytes | None = None,
    ) -> httpx.Request:
        body = call.content if content is None else content
        sent = {name: value for name, value in headers.items() if name != "content-length"}
        times = httpx.Timeout(
            call.limits.total.total_seconds(), connect=call.limits.connect.total_seconds()
        )
        return self._client.build_request(
            method, url, headers=sent, content=body or None, timeout=times
        )


def _address(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise LinkError(f"The address cannot be read: {error}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise LinkError(f"{_shown(text)} is no http or https address")
    if url.userinfo:
        raise LinkError("The address holds a user or password", hint="Use a credential instead.")
    return url


def _redirect(response: httpx.Response) -> httpx.URL | None:
    location = response.headers.get("location")
    if response.status_code not in _REDIRECTS or not location:
        return None
    return _address(str(response.url.join(location)))


def _may_follow(call: HttpCall, target: httpx.URL) -> bool:
    allowed = call.redirects_to
    return allowed is None or any(is_below(str(target), each) for each in allowed)


def is_below(url: str, allowed: str) -> bool:
    """Tell whether an address is an allowed one or below it; a longer host name is another one.

    >>> is_below("https://a.example/x", "https://a.example")
    True
    >>> is_below("https://a.example.evil/x", "https://a.example")
    False
    """
    return url == allowed or url.startswith(
        allowed if allowed.endswith("/") else (f"{allowed}/", f"{allowed}?")
    )


def _pairs(response: httpx.Response) -> tuple[tuple[str, str], ...]:
    """Return the header fields in the case in which they came."""
    encoding = response.headers.encoding
    return tuple(
        (name.decode(encoding, "replace"), value.decode(encoding, "replace"))
        for name, value in response.headers.raw
    )


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80)


async def _limited(response: httpx.Response, limit: int) -> AsyncIterator[bytes]:
    size = 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > limit:
            raise ResponseTooLarge(f"{_shown(str(response.url))} answers more than {limit} bytes")
        yield part


def _shown(url: str) -> str:
    return url.partition("?")[0].partition("#")[0]
