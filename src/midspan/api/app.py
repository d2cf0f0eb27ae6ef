"""The ASGI application: reads a request, admits it, runs its handler in a thread, answers.

Order: path → route → who → body → token of the form → handler. Nothing is read from the body of
somebody who may not send it, and no database connection is taken for a path that does not exist.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Hashable
from functools import lru_cache, partial
from typing import Any, TypeVar, cast
from urllib.parse import quote

from starlette.types import Receive, Scope, Send

from midspan.api.authentication import Authenticator, check_csrf, cookie_of
from midspan.api.batch import BatchApi
from midspan.api.bodies import body_limit, chunks, read_body
from midspan.api.clientcerts import ClientCertificates
from midspan.api.compression import LEAST_ANSWER, packed, unpacked
from midspan.api.crossorigin import preflight, shared_headers, sharing
from midspan.api.errors import (
    MethodNotSupported,
    UnknownPage,
    UnknownPath,
    error_response,
    limit_headers,
    unexpected,
)
from midspan.api.inbound import Inbound
from midspan.api.lane import Lane, WriteLane
from midspan.api.negotiation import error_form
from midspan.api.openapiroute import OpenApi
from midspan.api.parts import ApiParts
from midspan.api.request import (
    NOBODY,
    SHORT,
    KnownHeaders,
    Request,
    base_url,
    client_address,
    query_pairs,
)
from midspan.api.response import Response, redirect
from midspan.api.router import Access, PromptHandler, Route, Router, SignedIn, normal_path
from midspan.api.sessions import PASS_SCHEME, Sessions, session_cookie
from midspan.api.soap.turns import SoapTurns
from midspan.api.surfaces import routes
from midspan.api.tinyurl import expanded
from midspan.api.tokens import Tokens
from midspan.api.waiting import Disconnected, in_thread
from midspan.kernel.errors import (
    MidspanError,
    NotAuthenticated,
)
from midspan.kernel.telemetry import request_id

__all__ = ["Application", "Disconnected", "Lane", "create_app", "in_thread"]

log = logging.getLogger(__name__)

_Result = TypeVar("_Result")
_OVERRIDES = frozenset({"GET", "PUT", "PATCH", "DELETE"})
_BODILESS = frozenset({"GET", "HEAD", "DELETE"})
_FIXED_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"pragma", b"no-store,no-cache"),
    (b"cache-control", b"no-cache,no-store,must-revalidate,max-age=-1"),
    (b"expires", b"0"),
)
_NOT_IN_HEADER = re.compile(r"[^\x20-\x7e]")
WRITE_PATIENCE = 30.0
"""Seconds that a write waits for those before it; as long as for the database's lock."""
LARGE_BODY = 1024 * 1024
_LARGE_AT_ONCE, _LARGE_WAITING = 2, 32
"""A body is held several times while it is read, so that few large ones are at the same time."""


def _stay() -> None:
    """Nobody waits for it."""


class _Exchange:
    """What is known of a request so far; each stage adds to it."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.route: Route | None = None
        self.leave: Callable[[], None] = _stay
        """Called at the end, or as soon as a reset need not wait for it."""

    def go(self) -> None:
        """Leave the door, once."""
        leave, self.leave = self.leave, _stay
        leave()

    @property
    def page(self) -> bool:
        """Whether people are meant to see the answer."""
        return self.route is not None and self.route.page

    def take(self, **changes: Any) -> None:
        """Note what another stage found."""
        self.request = self.request.replace(**changes)


class Application:
    """The HTTP surface of one instance, as an ASGI application."""

    def __init__(self, parts: ApiParts) -> None:
        self.parts = parts
        self.sessions = Sessions(parts.records, parts.clock, parts.ids)
        self.tokens = Tokens(parts.records, parts.clock, parts.ids)
        own = (
            *routes(self.sessions, self.tokens, SoapTurns(self.sessions, parts)),
            *BatchApi(self).routes(),
            *OpenApi(lambda: self.router.routes()).routes(),
        )
        self.router = Router((*own, *parts.extra_routes))
        self._certificates = ClientCertificates(parts)
        self._authenticator = Authenticator(parts, self.sessions, self.tokens, self._certificates)
        self._inbound = Inbound(parts)
        self._lane = Lane(parts.threads, parts.waiting)
        self._large = Lane(_LARGE_AT_ONCE, _LARGE_WAITING)
        self._writes = self._lane
        if parts.records.database.single_writer:
            self._writes = WriteLane(
                parts.records.database, parts.waiting, parts.clock, WRITE_PATIENCE, _kind_of_write
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event as ASGI defines it."""
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "lifespan":
                await self._lifespan(receive, send)
            case "websocket":
                await send({"type": "websocket.close", "code": 1003})

    def close(self) -> None:
        """Stop the threads; for those who do not run the lifespan protocol."""
        self._writes.close()
        self._lane.close()
        self._large.close()
        try:
            self._inbound.close()
        except MidspanError as error:
            log.warning("requests of the last seconds are not counted: %s", error.explain())

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                for callback in self.parts.on_startup:
                    await self._lane.run(callback)
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                for callback in self.parts.on_shutdown:
                    await self._lane.run(callback)
                self.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        transaction = self.parts.ids.sys_id()[:12]
        token = request_id.set(transaction)
        exchange = _Exchange(self._request(scope, transaction))
        lives = self.parts.records.database.lives
        if lives.begun is None:  # a part of a batch is inside already
            if not self.parts.door.enter_at_once():
                await self.parts.door.enter()
            exchange.leave = self.parts.door.leave
        try:
            with lives.work():
                response = await self._answer(exchange, scope, receive)
                finished = self._finished(exchange.request, response)
                if isinstance(finished.body, bytes) and len(finished.body) >= LEAST_ANSWER:
                    finished = await packed(exchange.request, finished)
                await _send(send, finished, bodyless=scope["method"] == "HEAD")
        except Disconnected:
            log.info("client went away")
        finally:
            exchange.go()
            request_id.reset(token)

    async def _answer(self, exchange: _Exchange, scope: Scope, receive: Receive) -> Response:
        try:
            sent = scope.get("query_string", b"")
            exchange.take(
                query=query_pairs(sent),
                query_text=sent.decode("utf-8", "replace"),
                path=normal_path(_raw_path(scope)),
                brief=len(sent) <= SHORT,
            )
            if "origin" in exchange.request.headers:
                permitted = await self._without_waiting(self._shared, exchange)
                if permitted is not None:
                    return permitted
            return await self._routed(exchange, receive)
        except NotAuthenticated as error:
            challenge = await self._without_waiting(self._challenge, exchange)
            return self._refused(exchange, error).with_headers(challenge)
        except MidspanError as error:
            return self._refused(exchange, error)
        except Disconnected:
            raise
        except Exception:
            log.exception("unexpected error", extra={"path": exchange.request.path})
            defect = unexpected(exchange.request.id)
            return error_response(defect, error_form(exchange.request, page=exchange.page))

    async def _without_waiting(
        self, function: Callable[[_Exchange], _Result], exchange: _Exchange
    ) -> _Result:
        """Call what looks at the configuration; in a thread where that may ask the database."""
        if self.parts.records.prompt:
            return function(exchange)
        return await self._lane.run(function, exchange)

    def _shared(self, exchange: _Exchange) -> Response | None:
        """Note whether a page of another site may see the answer; answer what only asks that."""
        request = exchange.request
        if request.sent_method == "OPTIONS":
            return preflight(request)
        exchange.take(shared=sharing(request))
        return None

    async def _routed(self, exchange: _Exchange, receive: Receive) -> Response:
        try:
            found = self.router.find(exchange.request.method, exchange.request.path)
        except (UnknownPath, MethodNotSupported) as error:
            await self._admit_stranger(exchange, error)
            raise
        exchange.route = found.route
        exchange.take(arguments=found.arguments)
        if self.parts.script_turns is not None and not found.route.is_async:
            self.parts.script_turns.note_plain()
        if found.route.cut_off or found.route.stream_body:
            exchange.go()
        if found.route.at_once and exchange.request.sent_method == "GET":
            answered = self._prompt(exchange, found.route, found.route.at_once)
            if answered is not None:
                return answered
        bodiless = exchange.request.sent_method in _BODILESS and not found.route.is_async
        if bodiless and not found.route.one_write and found.route.lane is None:
            return await self._lane.run(self._at_once, exchange, found.route)
        await self._admit_promptly(exchange, found.route.access)
        if bodiless:
            check_csrf(exchange.request, page=found.route.page or found.route.form_token)
            return await self._handled(exchange, found.route)
        return await self._with_body(exchange, found.route, receive)

    def _prompt(self, exchange: _Exchange, route: Route, handler: PromptHandler) -> Response | None:
        """Answer on the event loop, or not at all: a thread costs more than a short request."""
        if not self._admitted_at_once(exchange, route.access):
            return None
        return handler(exchange.request)

    def _admitted_at_once(self, exchange: _Exchange, access: Access) -> bool:
        request = self._authenticator.admit_at_once(exchange.request, access)
        if request is None:
            return False
        self._inbound.judge(request)
        exchange.request = request
        passed = self._inbound.pass_at_once(request)
        exchange.request = passed or request
        return passed is not None

    async def _admit_promptly(self, exchange: _Exchange, access: Access) -> None:
        """Admit without a thread whoever is remembered."""
        if not self._admitted_at_once(exchange, access):
            await self._lane.run(self._admit, exchange, access)

    async def _admit_stranger(self, exchange: _Exchange, error: MidspanError) -> None:
        """Below /api only somebody signed in learns which paths and methods exist."""
        if exchange.request.path.startswith("/api/"):
            await self._lane.run(self._admit, exchange, SignedIn())
        elif isinstance(error, UnknownPath):
            raise UnknownPage from error

    async def _with_body(self, exchange: _Exchange, route: Route, receive: Receive) -> Response:
        if route.stream_body:
            request = exchange.request
            exchange.take(stream=lambda: unpacked(request, chunks(receive)))
        else:
            limit = body_limit(exchange.request, route)
            exchange.take(body=await read_body(exchange.request, receive, limit))
        check_csrf(exchange.request, page=route.page or route.form_token)
        if route.turnstile is not None:
            handled = partial(self._handled, exchange, route)
            return await route.turnstile.take(exchange.request, route.at_once, handled)
        if route.at_once and (answered := route.at_once(exchange.request)) is not None:
            return answered
        if route.is_async:
            return await cast(Awaitable[Response], route.handler(exchange.request))
        return await self._handled(exchange, route)

    async def _handled(self, exchange: _Exchange, route: Route) -> Response:
        """Run the handler in a thread."""
        lane = self._writes if route.one_write else self._lane
        if len(exchange.request.body) > LARGE_BODY:
            lane = self._large
        if route.lane is not None:
            choose, usual = route.lane, lane
            lane = await self._without_waiting(lambda one: choose(one.request) or usual, exchange)
        return cast(Response, await lane.run(route.handler, exchange.request))

    def _admit(self, exchange: _Exchange, access: Access) -> None:
        request = self._authenticator.admit(exchange.request, access)
        self._inbound.judge(request)
        exchange.request = request
        exchange.request = expanded(self._inbound.let_pass(exchange.request))

    def _at_once(self, exchange: _Exchange, route: Route) -> Response:
        """Do everything in one thread, for requests without a body."""
        self._admit(exchange, route.access)
        check_csrf(exchange.request, page=route.page or route.form_token)
        return cast(Response, route.handler(exchange.request))

    def _challenge(self, exchange: _Exchange) -> dict[str, str]:
        return self._inbound.challenge(exchange.request)

    def _refused(self, exchange: _Exchange, error: MidspanError) -> Response:
        log.info("refused", extra={"code": error.code, "reason": error.explain()})
        request = exchange.request
        form = error_form(request, page=exchange.page)
        stranger = form == "html" and type(error) is NotAuthenticated
        if stranger and exchange.page and request.sent_method == "GET":
            return redirect(f"/login?to={quote(_target(request), safe='')}")
        return error_response(error, form)

    def _request(self, scope: Scope, transaction: str) -> Request:
        peer = (scope.get("client") or ("",))[0]
        headers = self._certificates.cleaned(KnownHeaders(scope), peer)
        method = sent = scope["method"]
        if sent == "POST":
            wanted = headers.get("x-http-method-override", "").strip().upper()
            method = wanted if wanted in _OVERRIDES else sent
        host, port = scope.get("server") or ("localhost", None)
        return Request(
            parts=self.parts,
            id=transaction,
            method=method,
            sent_method=sent,
            path="",
            query=(),
            headers=headers,
            address=client_address(self.parts, headers, peer),
            base_url=base_url(
                self.parts,
                headers,
                f"{host}:{port}" if port else str(host),
            ),
        )

    def _finished(self, request: Request, response: Response) -> Response:
        """Add what every answer has, and a session for those who brought credentials."""
        known = request.identity is not NOBODY
        extra = {
            "X-Is-Logged-In": "true" if known else "false",
            "X-Transaction-ID": request.id,
        }
        if "X-UserToken-Response" in response.headers:
            extra["X-Is-Logged-In"] = "true"
        if request.by_https:
            extra["Strict-Transport-Security"] = "max-age=63072000; includeSubDomains"
        if request.shared is not None:
            extra |= shared_headers(request.shared, request.headers["origin"])
        if request.limit is not None:
            extra |= limit_headers(request.limit)
        # A token or key that ends must not leave a session behind; a password may.
        cookies = response.cookies
        if (
            known
            and request.identity.scheme == PASS_SCHEME
            and not cookies
            and not cookie_of(request)
        ):
            token = self.sessions.pass_for(request.actor)
            cookies = (*cookies, session_cookie(token, secure=request.by_https))
        return Response(
            response.status,
            response.body,
            response.content_type,
            {**response.headers, **extra},
            cookies,
        )


def create_app(parts: ApiParts) -> Application:
    """Return the ASGI application of an instance."""
    return Application(parts)


def _raw_path(scope: Scope) -> bytes:
    raw = scope.get("raw_path")
    if raw:
        return bytes(raw).partition(b"?")[0]
    return quote(scope["path"], safe="/%;").encode()


def _kind_of_write(request: Request) -> Hashable:
    """Return what writes have in common that take about as long."""
    return request.method, request.arguments.get("table")


def _target(request: Request) -> str:
    query = "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in request.query)
    return f"{request.path}?{query}" if query else request.path


_wire_name = lru_cache(maxsize=256)(lambda name: name.lower().encode())


async def _send(send: Send, response: Response, *, bodyless: bool) -> None:
    headers = list(_FIXED_HEADERS)
    for name, value in response.headers.items():
        headers.append((_wire_name(name), _header_value(value)))
    if response.content_type:
        headers.append((b"content-type", response.content_type.encode()))
    headers += [(b"set-cookie", _header_value(cookie)) for cookie in response.cookies]
    body = response.body
    if isinstance(body, bytes) and response.status not in (204, 304):
        headers.append((b"content-length", str(len(body)).encode()))
    start: dict[str, Any] = {
        "type": "http.response.start",
        "status": response.status,
        "headers": headers,
    }
    await send(start)
    if isinstance(body, bytes):
        await send({"type": "http.response.body", "body": b"" if bodyless else body})
        return
    if not bodyless:
        async for chunk in body:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _header_value(value: str) -> bytes:
    """Headers are printable ASCII; anything else becomes a question mark."""
    if value.isascii() and value.isprintable():
        return value.encode()
    return _NOT_IN_HEADER.sub("?", value).encode()
