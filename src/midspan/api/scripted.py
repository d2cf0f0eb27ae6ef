"""Scripted REST: services whose resources are scripts in records, live with the commit.

``ScriptedRest`` has one route that takes every path below ``/api`` which the instance itself does
not serve; the snapshot's service table decides what it is. Scripts run in threads of their own, so
that a slow one holds up nobody but other scripts.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from urllib.parse import quote, urlencode

from msgspec import Struct

from midspan.api.description import Answer, Description, Each, segment
from midspan.api.errors import (
    UNREADABLE,
    MethodNotSupported,
    NotAcceptable,
    UnknownPath,
    UnsupportedMediaType,
)
from midspan.api.request import NOBODY, SHORT, Request, form_pairs
from midspan.api.response import Response
from midspan.api.router import HandlerDecides, Route, Router
from midspan.api.scriptlane import ScriptLane, Turns
from midspan.formats import lenient_json, xml
from midspan.kernel.errors import MidspanError, NotAuthenticated, NotAuthorized
from midspan.sandbox import Limits, SandboxUnavailable, ScriptError, ScriptMemoryExceeded
from midspan.scripting import PerWrite, RestReply, RestRequest, ScriptRunner, serve
from midspan.scripting.services import METHODS, SERVICES, Match, Resource, is_admitted
from midspan_link.logs import redact

ROUTE = "scripted_rest"
_TOLD = (*METHODS, "OPTIONS", "TRACE")
"""Methods that the route takes: those no resource can have too, to say which it does have."""
_BODILESS = frozenset({204, 304})
_log = logging.getLogger("midspan.script")
_FORM = "application/x-www-form-urlencoded"
_LARGE = 1024 * 1024
_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OWN_HEADERS = frozenset(
    {"content-length", "content-type", "transfer-encoding", "connection", "date", "server"}
)


class Media(Struct, frozen=True):
    """A media type to answer with and the form that bodies then have."""

    name: str

    @property
    def form(self) -> str:
        """``xml`` for types with an XML subtype, else ``json``."""
        return "xml" if self.name.endswith(("/xml", "+xml")) else "json"

    @property
    def header(self) -> str:
        """The Content-Type of an answer."""
        return f"{self.name};charset=UTF-8"


JSON = Media("application/json")


_SERVICE = Description(
    summary="Scripted resource",
    tag="Scripted REST",
    each=Each.SERVICE,
    parameters=(segment("rest", "Path of a resource."),),
    answers={200: Answer("What the script says.")},
)


class ScriptedRest:
    """Serves the resources of all Scripted REST services.

    ``threads`` scripts run at the same time and ``waiting`` requests may queue for them; more are
    answered 503. ``turns`` are those that they take with other scripts. After the application was
    created its router has to be given to ``attach``, so that a wrong method on one of the
    instance's own paths is still told from an unknown path.
    """

    def __init__(
        self,
        runner: ScriptRunner,
        *,
        threads: int = 2,
        waiting: int = 256,
        turns: Turns | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._runner = runner
        self._limits = limits
        self._lane = ScriptLane(threads, waiting, turns)
        self._router: Router | None = None
        self.route = Route(
            name=ROUTE,
            methods=_TOLD,
            path="/api/{rest:path}",
            handler=self.handle,
            access=HandlerDecides("each scripted resource says whether it needs a user"),
            description=_SERVICE,
        )

    def attach(self, router: Router) -> None:
        """Learn the application's own routes."""
        self._router = router

    def close(self) -> None:
        """Finish what runs and stop the threads."""
        self._lane.close()

    async def handle(self, request: Request) -> Response:
        """Answer a request from the resource that its path leads to."""
        return await self._lane.run(self._answer, request)

    def _answer(self, request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        match = request.snapshot.part(SERVICES).find(method, request.path)
        resource = match.resource
        if resource is None:
            raise self._unknown(request, match)
        self._admit(request, resource)
        media = answer_media(request.headers.get("accept", ""), resource.produces)
        check_media(request, resource.consumes)
        unit = PerWrite(request.parts.records, request.actor)
        try:
            reply = serve(
                self._runner,
                resource.script,
                scripted_request(request, match.path_params),
                unit,
                limits=self._limits,
            )
            return _response(reply, media)
        except SandboxUnavailable:
            raise
        except ScriptError as error:
            return _failure(error, media, len(request.body))

    def _unknown(self, request: Request, match: Match) -> MidspanError:
        """Only somebody signed in learns what there is."""
        if request.identity is NOBODY:
            return NotAuthenticated("User Not Authenticated")
        allowed = set(match.allowed or self._own_methods(request.path))
        if "GET" in allowed:
            allowed.add("HEAD")
        return MethodNotSupported(tuple(sorted(allowed))) if allowed else UnknownPath()

    def _own_methods(self, path: str) -> set[str]:
        """Return the methods that the instance's own routes have for a path."""
        if self._router is None:
            return set()
        return {method for method in METHODS if self._router.find(method, path).route.name != ROUTE}

    def _admit(self, request: Request, resource: Resource) -> None:
        """Let everybody, any user, or those pass to whom one of the listed rules applies."""
        if not resource.signed_in:
            return
        if request.identity is NOBODY:
            raise NotAuthenticated("User Not Authenticated")
        snapshot = request.snapshot
        access = request.parts.records.access(request.actor, snapshot, request.parts.clock.now())
        if not is_admitted(resource, snapshot, access):
            raise NotAuthorized("User Not Authorized", detail="Failed API level ACL Validation")


def scripted_request(
    request: Request, path_params: Mapping[str, str], *, target: str | None = None
) -> RestRequest:
    """Return what the script may read of a request."""
    pairs = list(request.query)
    kind = _media_of(request.headers.get("content-type", ""))
    if kind == _FORM:
        text = request.body.decode("utf-8", "replace")
        pairs += form_pairs(text)
    params: dict[str, list[str]] = {}
    for name, value in pairs:
        params.setdefault(name, []).append(value)
    query = request.query_text
    if request.sent_query:  # a short address stood for this one
        query = urlencode(request.query, quote_via=quote)
    uri = quote(request.path, safe="/:@!$&'()*+,=~-._")
    return RestRequest(
        path_params=path_params,
        query_params=params,
        query_string=query,
        uri=uri,
        url=f"{request.base_url}{uri}" + (f"?{query}" if query else ""),
        headers=dict(request.headers.items()),
        accept=tuple(name for name, _ in _accepted(request.headers.get("accept", ""))),
        content_type=kind,
        body=request.body,
        method=request.sent_method or request.method,
        target=target,
        address=request.address,
    )


def answer_media(accept: str, produced: tuple[str, ...]) -> Media:
    """Return the media type to answer with; the resource's first where the caller has no wish.

    >>> answer_media("application/xml;q=0.5, application/vnd.x+json", ("*/*",)).name
    'application/vnd.x+json'

    Raises:
        NotAcceptable: the resource produces nothing that the caller accepts.
    """
    wanted = _accepted(accept) or (("*/*", 1.0),)
    for name, _ in sorted(wanted, key=lambda entry: -entry[1]):
        for pattern in produced:
            if matches(pattern, name):
                return Media(name)
            if "*" in name and matches(name, pattern):
                return JSON if "*" in pattern or "%" in pattern else Media(pattern)
            if name == "*/*":
                return JSON
    raise NotAcceptable("Not acceptable", hint=f"This resource produces {', '.join(produced)}.")


def check_media(request: Request, consumed: tuple[str, ...]) -> None:
    """Refuse a body of a type that the resource does not read; no type at all passes.

    Raises:
        UnsupportedMediaType: the resource does not consume the type.
    """
    name = _media_of(request.headers.get("content-type", ""))
    if not request.body or not name:
        return
    if not any(matches(pattern, name) for pattern in consumed):
        raise UnsupportedMediaType(
            "Unsupported media type", hint=f"This resource consumes {', '.join(consumed)}."
        )


def matches(pattern: str, name: str) -> bool:
    """Tell whether a media type fits: ``*`` stands for many characters, ``%`` for one.

    >>> matches("application/*", "application/json"), matches("text/xm%", "text/xml")
    (True, True)
    """
    escaped = pattern.replace("[", "[[]").replace("?", "[?]").replace("%", "?")
    return "*" not in name and fnmatchcase(name, escaped)


def _accepted(accept: str) -> tuple[tuple[str, float], ...]:
    return _remembered(accept) if len(accept) <= SHORT else _ranked(accept)


def _ranked(accept: str) -> tuple[tuple[str, float], ...]:
    found = []
    for entry in accept.split(","):
        name, *parameters = (part.strip().lower() for part in entry.split(";"))
        quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        try:
            rank = float(quality)
        except ValueError:
            rank = 0.0
        if name and rank > 0:
            found.append((name, rank))
    return tuple(found)


_remembered = lru_cache(maxsize=256)(_ranked)


def _media_of(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def reply_response(reply: RestReply, kind: str) -> Response:
    """Return what a script wrote, as it is; ``kind`` is its type where the script names none."""
    headers = _sent_headers(reply)
    if reply.error is not None:
        return _error(reply.status, *reply.error, JSON, headers)
    kind = _kind_of(reply) or kind
    if kind.startswith(("text/", "application/json")) and "charset" not in kind.lower():
        kind = f"{kind};charset=UTF-8"
    if not reply.stream or reply.status in _BODILESS:
        return Response(reply.status, b"", "", headers)
    return Response(reply.status, reply.stream, kind, headers)


def _sent_headers(reply: RestReply) -> dict[str, str]:
    return {
        name: value
        for name, value in reply.headers.items()
        if _HEADER.fullmatch(name) and name.lower() not in _OWN_HEADERS
    }


def _kind_of(reply: RestReply) -> str:
    """Return the content type that a script set, by the method for it or as a header."""
    return reply.content_type or next(
        (value for name, value in reply.headers.items() if name.lower() == "content-type"), ""
    )


def _response(reply: RestReply, media: Media) -> Response:
    headers = _sent_headers(reply)
    if reply.status in _BODILESS:
        return Response(reply.status, b"", "", headers)
    if reply.error is not None:
        return _error(reply.status, *reply.error, media, headers)
    kind = _kind_of(reply)
    if reply.stream is not None:
        if not kind and reply.stream:
            kind = media.header
        return Response(reply.status, reply.stream, kind, headers)
    if kind:
        name = _media_of(kind)
        media = Media(name) if _TYPE.fullmatch(name) else JSON
    if not reply.has_value:
        return Response(reply.status, b"", "", headers)
    return Response(reply.status, _encode({"result": reply.value}, media), media.header, headers)


def _failure(error: ScriptError, media: Media, size: int) -> Response:
    """A script that ended with an exception: its text, and the script with the line.

    Memory that ran out over a body of much ``size`` is the matter of whoever sent it.
    """
    _log.error("%s", error, extra={"script": error.script, "line": error.line})
    if isinstance(error, ScriptMemoryExceeded) and size > _LARGE:
        detail = (
            f"The script ran out of memory with a body of {size} bytes; send the data in several"
            " requests."
        )
        return _error(413, UNREADABLE, detail, media, {})
    return _error(500, redact(error.message), error.detail or "", media, {})


def _error(
    status: int, message: str, detail: str, media: Media, headers: Mapping[str, str]
) -> Response:
    document = {"error": {"message": message, "detail": detail}, "status": "failure"}
    return Response(status, _encode(document, media), media.header, headers)


def _encode(document: object, media: Media) -> bytes:
    if media.form == "xml":
        return xml.to_bytes(xml.from_object("response", document))
    return lenient_json.dumps(document)
