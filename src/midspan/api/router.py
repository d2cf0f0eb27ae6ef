"""Routes and the table that finds them. How to add a surface to the instance:

1. Write a module in ``midspan.api`` with handlers. A handler is a plain function
   ``(request: Request) -> Response``; it runs in a worker thread, may use ``request.parts.records``
   and raises MidspanError, which becomes the vendor's error answer in JSON or XML. A handler that
   waits without working (long poll) or moves long bodies is an ``async def`` with the same
   signature; it runs on the event loop and must not touch the database there, but through
   ``await in_thread(function, …)`` of ``midspan.api.app``.
2. List its routes in a tuple of ``Route`` objects and pass them through
   ``ApiParts.extra_routes``. Every route names its access rule; there is no default:
   ``SignedIn()`` for any user, ``Role("mid_server")`` for holders of a role (admin included),
   ``Public(reason)`` where credentials are not even looked at, ``HandlerDecides(reason)`` where
   credentials are checked when sent and the handler refuses by itself.
3. Add the lines of the new routes to ``tests/architecture/public_routes.txt``; a test compares.
4. Run ``.venv/bin/python tests/architecture/test_role_matrix.py`` and review what it changed in
   ``role_matrix.txt``: what the new routes answer to each role.
5. Give each route a ``Description`` of what it takes and answers. A test wants one of every route;
   the OpenAPI document is made of them, and ``tests/conformance/test_schemathesis.py`` holds the
   route to it.

A path template has segments: fixed text, ``{name}``, ``{name}.do`` with a fixed ending, and as
its last segment ``{name:path}``, which takes all that is left. Fixed text wins over ``{name}.do``,
that over ``{name}``, that over ``{name:path}``. Arguments are in ``request.arguments``. Under
``/api/now`` a route also exists with ``/v1`` and ``/v2`` after ``now``: see ``versioned``.

Paths are decoded once. What is still encoded after that, empty segments, dots, semicolons,
backslashes and control characters never reach a route. One exception: clients that put a slash
behind the host and another before the path mean ``/api/…`` by ``//api/…``.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, Protocol, TypeAlias
from urllib.parse import unquote_to_bytes

from midspan.api.description import Description
from midspan.api.errors import MethodNotSupported, UnknownPath
from midspan.api.lane import Lane
from midspan.api.request import Identity, Request
from midspan.api.response import Response
from midspan.kernel.errors import InvalidDefinition

MAX_BODY = 10 * 1024 * 1024
_UNSAFE = re.compile(r"[\x00-\x1f\x7f;\\]|%[0-9A-Fa-f]{2}|//")
_PARAMETER = re.compile(r"\{([a-z_]+)(:path)?\}(\.[a-z]+)?")
_PLAIN = re.compile(rb"(?:/[A-Za-z0-9_-]+)+")
"""What nearly all paths are: nothing in them has to be decoded or looked at."""
_VERSIONED = re.compile(r"/api/(?P<namespace>[a-z0-9_]+)(?:/(?P<version>v[0-9]+))?/")


@dataclass(frozen=True)
class Public:
    """Anybody; credentials are not looked at."""

    reason: str


@dataclass(frozen=True)
class SignedIn:
    """Any user who proved who he is."""

    guest: Callable[[Request], Identity | None] | None = field(default=None, compare=False)
    """Names for whom somebody without credentials acts, where an administrator let that in."""


@dataclass(frozen=True)
class Role:
    """Holders of one of the comma-separated roles, and admin."""

    name: str


@dataclass(frozen=True)
class HandlerDecides:
    """Credentials are checked when they are sent; the handler refuses what it must."""

    reason: str


Access: TypeAlias = Public | SignedIn | Role | HandlerDecides
Handler: TypeAlias = Callable[[Request], Response | Awaitable[Response]]
PromptHandler: TypeAlias = Callable[[Request], Response | None]


class Turnstile(Protocol):
    """Lets requests of a route through, each when it may."""

    async def take(
        self,
        request: Request,
        prompt: PromptHandler | None,
        work: Callable[[], Awaitable[Response]],
    ) -> Response:
        """Answer by ``prompt``, on the event loop, or by ``work``, which goes into a thread.

        Raises:
            MidspanError: they do.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Route:
    """A path, what may be done with it, by whom, and who does it."""

    name: str
    methods: tuple[str, ...]
    path: str
    handler: Handler
    access: Access
    page: bool = False
    """For people: errors as HTML, and whoever is not signed in is sent to the form."""
    form_token: bool = False
    """The hidden field of a form stands for X-UserToken, as on a page."""
    max_body: int = MAX_BODY
    at_once: PromptHandler | None = None
    """Tried first, on the event loop, once a body is there. It must not wait for the network, a
    lock or another thread, nor work for long; where it would, it returns None and ``handler`` runs
    in a thread."""
    one_write: bool = False
    """All its work is one write transaction, and nothing is waited for outside of it. Where only
    one can write at a time, such requests queue for one thread instead of for the lock."""
    lane: Callable[[Request], Lane | None] | None = None
    """Names the threads that a request belongs to; None: the usual ones."""
    turnstile: Turnstile | None = None
    """For requests with a body: decides when one is carried out."""
    stream_body: bool = False
    """The handler is a coroutine function and reads ``request.stream()`` itself."""
    cut_off: bool = False
    """A reset of the instance does not wait for such a request; nor for one that streams its body.
    What it does after the reset is refused."""
    description: Description | None = field(default=None, compare=False)
    """What it takes and answers; every route of an instance has one."""

    @cached_property
    def is_async(self) -> bool:
        """Whether the handler waits by itself, and needs no thread."""
        return inspect.iscoroutinefunction(self.handler)


class Found(NamedTuple):
    """A route with the arguments of one path."""

    route: Route
    arguments: dict[str, str]


def versioned(route: Route) -> tuple[Route, ...]:
    """Return ``/api/now/x`` with its ``v1`` and ``v2`` forms."""
    head, tail = route.path[: len("/api/now")], route.path[len("/api/now") :]
    if head != "/api/now":
        raise InvalidDefinition(f"Route {route.name} is not below /api/now")
    return (
        route,
        *(replace(route, path=f"{head}/{version}{tail}") for version in ("v1", "v2")),
    )


def api_version(path: str) -> str:
    """Return the version segment of a path, or ``''``.

    >>> api_version("/api/now/v2/table/incident"), api_version("/api/now/table/incident")
    ('v2', '')
    """
    match = _VERSIONED.match(path)
    return (match["version"] or "") if match else ""


def normal_path(raw: bytes) -> str:
    """Return the path of a request, decoded once, without a slash at the end.

    >>> normal_path(b"/api/now/table/incident/")
    '/api/now/table/incident'
    >>> normal_path(b"//api/now/table/incident")
    '/api/now/table/incident'
    >>> normal_path(b"/public/..%2fapi")
    Traceback (most recent call last):
    ...
    midspan.api.errors.UnknownPath: Requested URI does not represent any resource

    Raises:
        UnknownPath: not UTF-8, or it holds what could mean another path to somebody else.
    """
    if _PLAIN.fullmatch(raw):
        return raw.decode()
    try:
        path = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise UnknownPath from error
    if path.startswith("//api/"):
        path = path[1:]
    segments = path.split("/")
    if not path.startswith("/") or _UNSAFE.search(path) or "." in segments or ".." in segments:
        raise UnknownPath
    if raw.lower().count(b"%2f"):
        raise UnknownPath
    return path.rstrip("/") or "/"


@dataclass
class _Node:
    """One segment of the table of routes."""

    fixed: dict[str, _Node] = field(default_factory=dict)
    endings: dict[str, _Node] = field(default_factory=dict)
    any: _Node | None = None
    rest: _Node | None = None
    routes: dict[str, tuple[Route, tuple[str, ...]]] = field(default_factory=dict)


class Router:
    """Finds the route of a path; built once."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        self._routes: list[Route] = []
        for route in routes:
            self._add(route)

    def routes(self) -> tuple[Route, ...]:
        """Return every route, for the reviewed list and the role matrix."""
        return tuple(self._routes)

    def find(self, method: str, path: str) -> Found:
        """Return the route for a normal path.

        Raises:
            UnknownPath: no route has this path.
            MethodNotSupported: none of those that do has this method.
        """
        segments = path.strip("/").split("/") if path != "/" else []
        straight = _straight(self._root, segments, method)
        if straight is not None:
            return straight
        allowed: set[str] = set()
        for node, values in _matches(self._root, segments, ()):
            if method in node.routes:
                route, names = node.routes[method]
                return Found(route, dict(zip(names, values, strict=True)))
            allowed.update(node.routes)
        if allowed:
            raise MethodNotSupported(tuple(sorted(allowed)))
        raise UnknownPath

    def _add(self, route: Route) -> None:
        node, names = self._root, []
        for segment in [part for part in route.path.split("/") if part]:
            node, name = _step(node, segment, route)
            if name:
                names.append(name)
        for method in route.methods:
            if method in node.routes:
                other = node.routes[method][0]
                raise InvalidDefinition(
                    f"Routes {other.name} and {route.name} both want {method} {route.path}"
                )
            node.routes[method] = (route, tuple(names))
        if "GET" in route.methods:
            node.routes.setdefault("HEAD", (route, tuple(names)))
        self._routes.append(route)


def _step(node: _Node, segment: str, route: Route) -> tuple[_Node, str]:
    match = _PARAMETER.fullmatch(segment)
    if match is None:
        if "{" in segment:
            raise InvalidDefinition(f"Route {route.name}: cannot read {segment!r} of {route.path}")
        return node.fixed.setdefault(segment, _Node()), ""
    name, rest, ending = match.groups()
    if rest:
        node.rest = node.rest or _Node()
        return node.rest, name
    if ending:
        return node.endings.setdefault(ending, _Node()), name
    node.any = node.any or _Node()
    return node.any, name


def _straight(node: _Node, segments: list[str], method: str) -> Found | None:
    """Return the first route that ``_matches`` would lead to, where no other has to be tried."""
    values = []
    for segment in segments:
        child = node.fixed.get(segment)
        if child is None:
            child = node.any
            if child is None or node.endings:
                return None
            values.append(segment)
        node = child
    if method not in node.routes:
        return None
    route, names = node.routes[method]
    return Found(route, dict(zip(names, values, strict=True)))


def _matches(
    node: _Node, segments: list[str], values: tuple[str, ...]
) -> Iterator[tuple[_Node, tuple[str, ...]]]:
    """Yield the nodes that a path reaches, the most specific first."""
    if not segments:
        if node.routes:
            yield node, values
        return
    head, *tail = segments
    if head in node.fixed:
        yield from _matches(node.fixed[head], tail, values)
    for ending, child in node.endings.items():
        if head not in node.fixed and head.endswith(ending) and len(head) > len(ending):
            yield from _matches(child, tail, (*values, head[: -len(ending)]))
    if node.any is not None:
        yield from _matches(node.any, tail, (*values, head))
    if node.rest is not None:
        yield node.rest, (*values, "/".join(segments))
