"""An OpenAPI 3.1 document of what one actor may do with this instance. Pure.

It is made of the descriptions of the routes, the dictionary, the access controls and the records
of Scripted REST, in an order that depends on nothing else. What the actor may not reach does not
occur in it: no route, no table, no field, no name of a table behind a reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import orjson
from msgspec import Struct

from midspan.api.description import (
    BOTH,
    HTML,
    JSON,
    TEXT,
    XML,
    Answer,
    Description,
    Each,
    Parameter,
    filled,
    members,
    ref,
)
from midspan.api.openapitables import VALUES, TableRights, TableSchemas, rights_of
from midspan.api.router import HandlerDecides, Public, Role, Route, api_version
from midspan.records import Snapshot
from midspan.scripting.services import SERVICES, Declared, Resource, is_admitted
from midspan.security import Access

_METHODS = ("GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE")
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_SEGMENT = re.compile(r"\{([^}/]+)\}")
_REFUSED = {
    303: "Sign in first; where people read the answer.",
    400: "The request cannot be read, or names something that does not exist.",
    401: "Nobody signed in, or the credentials are not valid.",
    403: "You may not do this.",
    404: "There is no such record, or you may not read it.",
    405: "The path has other methods.",
    406: "The Accept header names no form that there is.",
    409: "It contradicts the present state.",
    412: "It is not, or no more, what the condition of the request says.",
    413: "The body becomes too large when it is unpacked.",
    415: "The body has a form that is not read.",
    422: "The idempotency key came before, with another request.",
    429: "Too many attempts to sign in; Retry-After says how many seconds to wait.",
    503: "Busy; try again in a moment.",
}
_CATALOG = "/api/sn_sc/"
_ERROR = {
    "type": "object",
    "properties": {
        "error": members(("message", "detail"), message=TEXT, detail={"type": ["string", "null"]}),
        "status": {"const": "failure"},
    },
    "required": ["error", "status"],
}
_HEADERS = {
    "Content-Range": "Which bytes these are, and of how many.",
    "ETag": "Changes with the content.",
    "Idempotent-Replayed": "true: the effect was there already, and this is the first answer.",
    "Link": "Addresses of the first, previous, next and last page.",
    "Location": "Where it is.",
    "X-Attachment-Metadata": "The metadata as JSON.",
    "X-Midspan-Warning": "What was left out of the request.",
    "X-Total-Count": "Rows on all pages.",
}
SECURITY: Mapping[str, Mapping[str, object]] = {
    "basic": {"type": "http", "scheme": "basic"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "x-sn-apikey"},
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of /oauth_token.do, or of the pages that begin at /oauth_auth.do.",
    },
}
"""How somebody proves who he is."""
_TABLE = "\ue000"
"""Stands for the name of a table, so that what all tables have is made once."""
_ANY_OF_THEM: list[dict[str, list[str]]] = [{name: []} for name in SECURITY]


class Seen(Struct, frozen=True, kw_only=True):
    """Who asks for a document, under which configuration, and for what part of it."""

    snapshot: Snapshot
    access: Access
    version: str = ""
    """``v1``, ``v2`` or empty: the form of the paths below ``/api/now``."""
    tables: frozenset[str] | None = None
    """Names of the only tables that are wanted; None: all."""
    service: str = ""
    """The only API of Scripted REST that is wanted, like ``x_acme/orders``; empty: everything."""


def document(routes: Iterable[Route], seen: Seen, release: str) -> Iterator[bytes]:
    """Yield the document as JSON, piece by piece; ``release`` is the version of the product.

    As objects the whole of it would take thirty megabytes, as text it has five.
    """
    return _Maker(seen).document(
        sorted(routes, key=lambda route: (route.path, route.name)), release
    )


def admits(route: Route, access: Access) -> bool:
    """Tell whether the actor may use a route at all."""
    return not isinstance(route.access, Role) or access.actor.has_role(route.access.name)


class _Operation(NamedTuple):
    """What a method of a path does, as JSON, and the table whose name it wants."""

    text: bytes
    table: str = ""

    def named(self) -> bytes:
        """Return it with that name."""
        return self.text.replace(_TABLE.encode(), self.table.encode())


class _Maker:
    """Collects the paths and the components that they refer to."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._rights = self._all_rights()
        self._parameters: dict[str, Parameter] = {}
        self._responses: dict[str, Any] = {}
        self._paths: dict[str, dict[str, _Operation]] = {}

    def document(self, routes: Iterable[Route], release: str) -> Iterator[bytes]:
        for route in routes:
            described = route.description
            if described is None or not self._wants(route, described):
                continue
            match described.each:
                case Each.NOTHING:
                    self._add(route, self._operations(route, described, ""), "")
                case Each.TABLE:
                    made = self._operations(route, described, _TABLE)
                    for name, rights in self._wanted():
                        if rights.allows(described.right):
                            self._add(route, made, name)
                case Each.SERVICE:
                    self._services()
        head = {
            "openapi": "3.1.0",
            "info": {
                "title": self._title(),
                "version": release,
                "description": "What you may do with this instance: its interfaces, and the"
                " tables and fields that you may read or write.",
            },
            "servers": [{"url": "/"}],
            "security": _ANY_OF_THEM,
        }
        yield orjson.dumps(head)[:-1]
        yield b',"paths":'
        yield from _joined((path, _in_order(self._paths[path])) for path in sorted(self._paths))
        yield b',"components":{"schemas":'
        yield from _joined(self._schemas())
        yield b"," + orjson.dumps(self._components())[1:]
        yield b"}"

    def _wants(self, route: Route, described: Description) -> bool:
        version, wanted = api_version(route.path), self._seen.version
        other = route.path.startswith("/api/now/") and version != wanted
        if route.path.startswith(_CATALOG):  # which has no second version
            other = version != (wanted if wanted == "v1" else "")
        if self._seen.service and described.each is not Each.SERVICE:
            return False
        return not other and admits(route, self._seen.access)

    def _title(self) -> str:
        names = (each.api_name for _, each in services(self._seen)) if self._seen.service else ()
        return next(iter(names), "") or "Midspan"

    def _all_rights(self) -> dict[str, TableRights]:
        return {
            table.name: rights_of(self._seen.access, table)
            for table in sorted(self._seen.snapshot.dictionary, key=lambda table: table.name)
        }

    def _wanted(self) -> Iterator[tuple[str, TableRights]]:
        for name, rights in self._rights.items():
            if self._seen.tables is None or name in self._seen.tables:
                yield name, rights

    def _add(self, route: Route, made: Mapping[str, bytes], table: str) -> None:
        path = _SEGMENT.sub(lambda found: _segment(found, table), route.path)
        item = self._paths.setdefault(path, {})
        for method, text in made.items():
            item[method] = _Operation(text, table)

    def _operations(self, route: Route, described: Description, table: str) -> dict[str, bytes]:
        """Return what each method does, by its name in small letters."""
        made = {}
        for method in route.methods:
            operation: dict[str, Any] = {
                "operationId": _operation_id(route, method, table),
                "summary": f"{described.summary}{f': {table}' if table else ''}",
                "tags": [described.tag],
            }
            note = _note(route)
            if note:
                operation["description"] = note
            if isinstance(route.access, Public):
                operation["security"] = []
            elif isinstance(route.access, HandlerDecides):
                operation["security"] = [{}, *_ANY_OF_THEM]
            parameters = [self._parameter(each) for each in described.parameters]
            if parameters:
                operation["parameters"] = parameters
            if described.body is not None and method in _WITH_BODY:
                operation["requestBody"] = {
                    "required": described.body.required,
                    "content": _content(described.body.schema, described.body.media, table),
                }
            operation["responses"] = self._answers(route, described, table)
            made[method.lower()] = orjson.dumps(operation)
        return made

    def _parameter(self, parameter: Parameter) -> dict[str, Any]:
        """Return a reference where another route has the very same parameter."""
        known = self._parameters.setdefault(parameter.name, parameter)
        if known == parameter:
            return {"$ref": f"#/components/parameters/{parameter.name}"}
        return _as_parameter(parameter)

    def _answers(self, route: Route, described: Description, table: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for status, answer in described.answers.items():
            found[str(status)] = _answer(answer, table)
        for status in _refusals(route, described):
            if str(status) not in found:
                found[str(status)] = self._refusal(status, page=route.page)
        return {status: found[status] for status in sorted(found)}

    def _refusal(self, status: int, *, page: bool) -> dict[str, str]:
        name = f"{'Page' if page else 'Error'}{status}"
        media = (*BOTH, HTML) if page else BOTH
        answer: dict[str, Any] = {"description": _REFUSED[status]}
        if status >= 400:
            answer["content"] = {
                each: {"schema": ref("Error")} if each == JSON else {} for each in media
            }
        self._responses[name] = answer
        return {"$ref": f"#/components/responses/{name}"}

    def _services(self) -> None:
        found = sorted(
            services(self._seen), key=lambda pair: (pair[0], pair[1].method, pair[1].sys_id)
        )
        shapes: dict[str, str] = {}
        for written, resource in found:
            # Paths that differ in the names of their segments alone are one path.
            path = shapes.setdefault(_SEGMENT.sub("{}", written), _own_names(written))
            operation = _Operation(orjson.dumps(_service(path, resource)))
            self._paths.setdefault(path, {}).setdefault(resource.method.lower(), operation)

    def _schemas(self) -> Iterator[tuple[str, bytes]]:
        for name, schema in sorted({**VALUES, "Error": _ERROR}.items()):
            yield name, orjson.dumps(schema)
        readable = frozenset(name for name, rights in self._rights.items() if rights.read)
        schemas = TableSchemas(self._seen.snapshot.dictionary, self._seen.access, readable)
        for name, rights in self._wanted():
            if rights.read or rights.create:
                made = schemas.of(self._seen.snapshot.dictionary.table(name), rights)
                yield from ((each, orjson.dumps(schema)) for each, schema in made)

    def _components(self) -> dict[str, Any]:
        """Return all but the schemas."""
        return {
            "responses": {name: self._responses[name] for name in sorted(self._responses)},
            "parameters": {
                name: _as_parameter(self._parameters[name]) for name in sorted(self._parameters)
            },
            "headers": {
                name: {"description": text, "schema": TEXT} for name, text in _HEADERS.items()
            },
            "securitySchemes": SECURITY,
        }


def services(seen: Seen) -> Iterator[tuple[str, Resource]]:
    """Yield the resources of Scripted REST that the actor may ask, with their paths."""
    for path, resource in seen.snapshot.part(SERVICES).resources():
        if seen.service and seen.service != resource.api:
            continue
        if is_admitted(resource, seen.snapshot, seen.access):
            yield path, resource


def _service(path: str, resource: Resource) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"scripted.{resource.method}.{path}",
        "summary": resource.name or path,
        "tags": ["Scripted REST"],
    }
    if resource.summary:
        operation["description"] = resource.summary
    if resource.deprecated:
        operation["deprecated"] = True
    if not resource.signed_in:
        operation["security"] = []
    parameters = [
        _as_parameter(Parameter(name, "A value of the path.", TEXT, "path", True))
        for name in _SEGMENT.findall(path)
    ]
    parameters += [_told(each, "query") for each in resource.parameters]
    parameters += [_told(each, "header") for each in resource.headers if not _is_ours(each.name)]
    if parameters:
        operation["parameters"] = parameters
    if resource.method in _WITH_BODY:
        shown = {"example": resource.example} if resource.example else {}
        operation["requestBody"] = {"content": dict.fromkeys(resource.consumes, shown)}
    media = dict.fromkeys((*resource.produces, *BOTH))
    operation["responses"] = {
        "default": {"description": "What the script says.", "content": {each: {} for each in media}}
    }
    return operation


def _told(declared: Declared, place: str) -> dict[str, Any]:
    """Return a documented parameter; the script decides whether it is needed, so none is required.

    A query parameter may come several times: the script gets a list.
    """
    text = declared.text or ("Wanted by the resource." if declared.required else "Optional.")
    found = _as_parameter(Parameter(declared.name, text, TEXT, place))
    if declared.example:
        found["example"] = declared.example
    return found


def _is_ours(header: str) -> bool:
    """OpenAPI says these headers elsewhere, and tools must ignore them as parameters."""
    return header.lower() in ("accept", "content-type", "authorization")


def _own_names(path: str) -> str:
    """Return a path whose segments have names that are not empty and differ."""
    used: set[str] = set()

    def named(found: re.Match[str]) -> str:
        name = found[1].strip() or "value"
        while name in used:
            name += "_"
        used.add(name)
        return f"{{{name}}}"

    return _SEGMENT.sub(named, path)


def _segment(found: re.Match[str], table: str) -> str:
    name = found[1].removesuffix(":path")
    return table if table and name == "table" else f"{{{name}}}"


def _operation_id(route: Route, method: str, table: str) -> str:
    parts = [route.name, method.lower() if len(route.methods) > 1 else "", table]
    return ".".join(part for part in parts if part)


def _note(route: Route) -> str:
    match route.access:
        case Role(name):
            return f"For holders of the role {name}."
        case Public(reason) | HandlerDecides(reason):
            return reason
    return ""


def _refusals(route: Route, described: Description) -> Iterator[int]:
    """Yield the statuses of errors, some more than once."""
    yield from described.refuses
    yield 503
    if isinstance(route.access, Public):
        return
    yield from (401, 429)
    if isinstance(route.access, Role):
        yield 403
    if route.page:
        yield 303


def _answer(answer: Answer, table: str) -> dict[str, Any]:
    found: dict[str, Any] = {"description": answer.text}
    if answer.headers:
        found["headers"] = {
            name: {"$ref": f"#/components/headers/{name}"} for name in answer.headers
        }
    if answer.schema is not None:
        found["content"] = _content(answer.schema, answer.media, table)
    elif answer.media and answer.media != (JSON,):
        found["content"] = {media: {} for media in answer.media}
    return found


def _content(schema: Any, media: Iterable[str], table: str) -> dict[str, Any]:
    """Return a body in its forms; XML has the same members as elements, which needs no schema."""
    made = filled(schema, table)
    return {each: {} if each == XML else {"schema": made} for each in media}


def _as_parameter(parameter: Parameter) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.text,
        "schema": parameter.schema,
    }
    if parameter.required:
        found["required"] = True
    return found


def _in_order(item: Mapping[str, _Operation]) -> bytes:
    methods = (method.lower() for method in _METHODS)
    return b"".join(_joined((name, item[name].named()) for name in methods if name in item))


def _joined(members: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
    """Yield a JSON object whose values are JSON already."""
    before = b"{"
    for name, value in members:
        yield before + orjson.dumps(name) + b":" + value
        before = b","
    yield b"{}" if before == b"{" else b"}"
