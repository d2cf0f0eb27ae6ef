"""Scripted REST services as records define them, and the table that finds a path's resource."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from midspan.records import ACCESS, Snapshot, SnapshotPart
from midspan.sandbox import Script
from midspan.security import Access
from midspan.storage import Statements, Transaction

DEFAULT_FORMATS = ("application/json", "application/xml", "text/xml")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_NO_NAMESPACE = "global"


class Declared(Struct, frozen=True, kw_only=True):
    """A query parameter or header as a resource documents it; nothing checks what is sent."""

    name: str
    required: bool = False
    example: str = ""
    text: str = ""


class Resource(Struct, frozen=True, kw_only=True):
    """One active resource with what it inherits from its API."""

    sys_id: str
    name: str
    method: str
    text: str
    signed_in: bool
    """Only for users who proved who they are."""
    rules: tuple[str, ...] = ()
    """Ids of access controls of which one has to grant; none: none is needed."""
    consumes: tuple[str, ...] = DEFAULT_FORMATS
    produces: tuple[str, ...] = DEFAULT_FORMATS
    api: str = ""
    """Namespace and id of its API, ``x_acme/orders``."""
    api_name: str = ""
    summary: str = ""
    example: str = ""
    """A body as somebody may send it."""
    deprecated: bool = False
    """It belongs to a version that is on its way out."""
    parameters: tuple[Declared, ...] = ()
    headers: tuple[Declared, ...] = ()

    @property
    def script(self) -> Script:
        """The script under the name that errors report."""
        return Script(f"sys_ws_operation.{self.sys_id}.operation_script", self.text)


def is_admitted(resource: Resource, snapshot: Snapshot, access: Access) -> bool:
    """Tell whether a signed-in actor may ask a resource: one of its listed rules grants it."""
    if not resource.signed_in or not resource.rules:
        return True
    known = snapshot.part(ACCESS).by_id
    return access.grants(
        rule for rule in resource.rules if rule in known and known[rule].kind != "record"
    )


class Match(Struct, frozen=True):
    """What a path led to: the resource with its path values, or the methods that it has."""

    resource: Resource | None = None
    path_params: Mapping[str, str] = {}
    allowed: frozenset[str] = frozenset()


@dataclass
class _Node:
    fixed: dict[str, _Node] = field(default_factory=dict)
    any: _Node | None = None
    resources: dict[str, tuple[Resource, tuple[str, ...]]] = field(default_factory=dict)


class ServiceTable:
    """Finds resources by path; a fixed segment beats ``{name}``. Never changes once it is built.

    >>> table = ServiceTable()
    >>> one = Resource(sys_id="1", name="one", method="GET", text="", signed_in=True)
    >>> table.add("/api/x/orders/{id}", one)
    >>> table.find("GET", "/api/x/orders/7").path_params
    {'id': '7'}
    >>> table.find("PUT", "/api/x/orders/7").allowed
    frozenset({'GET'})
    """

    def __init__(self) -> None:
        self._root = _Node()
        self._resources: list[tuple[str, Resource]] = []

    def resources(self) -> tuple[tuple[str, Resource], ...]:
        """Return every resource with its path, in the order in which they were added."""
        return tuple(self._resources)

    def add(self, path: str, resource: Resource) -> None:
        """Put a resource at a path; the first one there stays."""
        node = self._root
        names: list[str] = []
        for segment in _segments(path):
            if segment.startswith("{") and segment.endswith("}"):
                names.append(segment[1:-1].strip())
                node.any = node.any or _Node()
                node = node.any
            else:
                node = node.fixed.setdefault(segment, _Node())
        if resource.method not in node.resources:
            node.resources[resource.method] = (resource, tuple(names))
            self._resources.append(("/" + "/".join(_segments(path)), resource))

    def find(self, method: str, path: str) -> Match:
        """Return what a decoded path leads to; no resource and no methods when it is unknown."""
        allowed: set[str] = set()
        for node, values in _reached(self._root, _segments(path), ()):
            if method in node.resources:
                resource, names = node.resources[method]
                return Match(resource, dict(zip(names, values, strict=True)))
            allowed |= node.resources.keys()
        return Match(allowed=frozenset(allowed))


def _segments(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


def _reached(
    node: _Node, segments: list[str], values: tuple[str, ...]
) -> Iterator[tuple[_Node, tuple[str, ...]]]:
    if not segments:
        if node.resources:
            yield node, values
        return
    head, *tail = segments
    if head in node.fixed:
        yield from _reached(node.fixed[head], tail, values)
    if node.any is not None:
        yield from _reached(node.any, tail, (*values, head))


class _Version(Struct, frozen=True):
    sys_id: str
    definition: str
    label: str
    number: int
    is_default: bool
    deprecated: bool


class _Definition(Struct, frozen=True, kw_only=True):
    base: str
    name: str
    rules: tuple[str, ...]
    consumes: tuple[str, ...]
    produces: tuple[str, ...]
    default: str
    """Id of the version that answers without a version segment; empty for an unversioned API."""


def load_services(transaction: Transaction) -> ServiceTable:
    """Read all active services."""
    sql = Statements("midspan.scripting", "services", transaction.dialect)
    active = (transaction.dialect.name != "sqlite" or 1,)
    versions = {row[0]: _version(row) for row in transaction.rows(sql["versions"], active)}
    code = transaction.row(sql["company_code"])
    namespace = (code[0] if code else None) or _NO_NAMESPACE
    definitions = {
        row[0]: _definition(row, versions.values(), namespace)
        for row in transaction.rows(sql["definitions"], active)
    }
    told = (_declared(transaction, sql["parameters"]), _declared(transaction, sql["headers"]))
    table = ServiceTable()
    for row in transaction.rows(sql["operations"], active):
        definition, version = definitions.get(row[2]), versions.get(row[3])
        if definition is None or (row[3] and version is None):
            continue
        resource = _resource(row, definition, version, told)
        for base in _bases(definition, version):
            table.add(f"{base}/{row[5] or ''}", resource)
    return table


SERVICES = SnapshotPart(
    "services",
    frozenset(
        {
            "sys_ws_definition",
            "sys_ws_version",
            "sys_ws_operation",
            "sys_ws_query_parameter",
            "sys_ws_query_parameter_map",
            "sys_ws_header",
            "sys_ws_header_map",
        }
    ),
    lambda transaction, _: load_services(transaction),
)
"""The Scripted REST services; registered with the ``SnapshotHolder`` of the instance."""


def _version(row: tuple[Any, ...]) -> _Version:
    sys_id, definition, label, number, is_default, deprecated = row
    number = int(number or 1)
    label = label or f"v{number}"
    return _Version(sys_id, definition or "", label, number, bool(is_default), bool(deprecated))


def _declared(transaction: Transaction, sql: str) -> dict[str, list[Declared]]:
    """Return what each resource documents, by the id of the resource."""
    found: dict[str, list[Declared]] = {}
    for resource, name, required, example, text in transaction.rows(sql):
        declared = Declared(
            name=name, required=bool(required), example=example or "", text=text or ""
        )
        found.setdefault(resource, []).append(declared)
    return found


def _definition(row: tuple[Any, ...], versions: Iterable[_Version], namespace: str) -> _Definition:
    sys_id, service_id, own_namespace, base_uri, rules, *formats, default, name = row
    base = base_uri or f"/api/{own_namespace or namespace}/{service_id or sys_id}"
    own = [version for version in versions if version.definition == sys_id]
    return _Definition(
        base=base.rstrip("/"),
        name=name or service_id or "",
        rules=_listed(rules),
        consumes=_formats(formats[0], formats[1], DEFAULT_FORMATS),
        produces=_formats(formats[2], formats[3], DEFAULT_FORMATS),
        default=_default_version(own, default),
    )


def _default_version(versions: list[_Version], named: str | None) -> str:
    """The one named by the API, else the one marked, else the latest."""
    if not versions:
        return ""
    best = max(versions, key=lambda v: (v.sys_id == named, v.is_default, v.number))
    return best.sys_id


def _bases(definition: _Definition, version: _Version | None) -> Iterator[str]:
    """Yield the paths of a version: with its segment before the API's id, and plain for one."""
    if version is None:
        yield definition.base
        return
    head, _, service = definition.base.rpartition("/")
    yield f"{head}/{version.label}/{service}"
    if version.sys_id == definition.default:
        yield definition.base


def _resource(
    row: tuple[Any, ...],
    definition: _Definition,
    version: _Version | None,
    told: tuple[Mapping[str, list[Declared]], Mapping[str, list[Declared]]],
) -> Resource:
    (sys_id, name, _, _, method, _, text, signed_in, with_rules, rules, *more) = row
    *formats, summary, example = more
    needed = _listed(rules) or definition.rules
    return Resource(
        sys_id=sys_id,
        name=name or "",
        method=(method or "GET").upper(),
        text=text or "",
        signed_in=_on(signed_in),
        rules=needed if _on(with_rules) else (),
        consumes=_formats(formats[0], formats[1], definition.consumes),
        produces=_formats(formats[2], formats[3], definition.produces),
        api=definition.base.removeprefix("/api/"),
        api_name=definition.name,
        summary=summary or "",
        example=example or "",
        deprecated=version is not None and version.deprecated,
        parameters=tuple(told[0].get(sys_id, ())),
        headers=tuple(told[1].get(sys_id, ())),
    )


def _on(value: object) -> bool:
    """Both ``requires_…`` flags count as set unless they are false."""
    return value is None or bool(value)


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def _formats(text: str | None, customized: object, otherwise: tuple[str, ...]) -> tuple[str, ...]:
    """Return the listed media types, without parameters such as a charset: none has any here."""
    listed = _listed(text.lower()) if customized and text else ()
    return tuple(each.partition(";")[0].strip() for each in listed) or otherwise
