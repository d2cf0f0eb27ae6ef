"""What a route takes and what it answers, said where its handler is; ``openapi`` reads it. Pure.

A schema is a JSON Schema (2020-12) as a mapping. In the schemas and names of a route with
``each`` a ``{table}`` stands for the table that the route is about.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

Schema: TypeAlias = Mapping[str, Any]

JSON = "application/json"
XML = "application/xml"
HTML = "text/html"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
BYTES = "application/octet-stream"
ANY_TYPE = "*/*"
BOTH = (JSON, XML)

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
NUMBER: Schema = {"type": "integer", "minimum": 0}
ANYTHING: Schema = {}
SYS_ID: Schema = {"type": "string", "minLength": 1, "maxLength": 255}
REF = "#/components/schemas/"
_STRUCT = "struct"


class Each(StrEnum):
    """What a route stands for in a document: itself, or one path for each of something."""

    NOTHING = ""
    TABLE = "table"
    SERVICE = "service"


class Parameter(Struct, frozen=True):
    """A parameter of the query, a header, or a segment of the path."""

    name: str
    text: str
    schema: Schema
    place: str = "query"
    required: bool = False


class Body(Struct, frozen=True):
    """What a request brings."""

    schema: Schema
    media: tuple[str, ...] = (JSON,)
    required: bool = True


class Answer(Struct, frozen=True):
    """One kind of answer; without a schema it has no body, or one of no particular form."""

    text: str
    schema: Schema | None = None
    media: tuple[str, ...] = (JSON,)
    headers: tuple[str, ...] = ()


class Description(Struct, frozen=True, kw_only=True):
    """All that a client has to know of one route.

    ``refuses`` are the statuses of errors beyond those that follow from the access rule.
    """

    summary: str
    tag: str
    answers: Mapping[int, Answer]
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    refuses: tuple[int, ...] = ()
    each: Each = Each.NOTHING
    right: str = ""
    """With ``Each.TABLE``: the operation on the table that somebody must be able to do."""


def query(name: str, text: str, schema: Schema = TEXT, *, required: bool = False) -> Parameter:
    """Return a parameter of the query."""
    return Parameter(name, text, schema, "query", required)


def header(name: str, text: str, schema: Schema = TEXT) -> Parameter:
    """Return a header that may be sent."""
    return Parameter(name, text, schema, "header")


def segment(name: str, text: str, schema: Schema = TEXT) -> Parameter:
    """Return a segment of the path."""
    return Parameter(name, text, schema, "path", required=True)


def one_of(*values: str) -> Schema:
    """Return the schema of a text that is one of a few."""
    return {"type": "string", "enum": list(values)}


def members(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    """Return the schema of an object; ``required`` members are always there.

    >>> members(("a",), a=TEXT)
    {'type': 'object', 'properties': {'a': {'type': 'string'}}, 'required': ['a']}
    """
    found: dict[str, Any] = {"type": "object", "properties": dict(properties)}
    if required:
        found["required"] = list(required)
    return found


def texts(*names: str) -> Schema:
    """Return the schema of an object whose members are all there, and texts."""
    return members(names, **dict.fromkeys(names, TEXT))


def listed(schema: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": schema}


def mapped(schema: Schema) -> Schema:
    """Return the schema of an object with members of any name."""
    return {"type": "object", "additionalProperties": schema}


def ref(name: str) -> Schema:
    """Return a reference to a schema of the document."""
    return {"$ref": REF + name}


def result(schema: Schema) -> Schema:
    """Return the schema of the vendor's envelope."""
    return members(("result",), result=schema)


def struct(kind: type[Struct]) -> Schema:
    """Return what stands for the schema of a struct until ``filled`` makes it."""
    return {_STRUCT: kind}


def filled(schema: Any, table: str = "") -> Any:
    """Return a schema with the name of its table in the references, and with those of structs.

    >>> filled(result(ref("{table}.input")), "incident")["properties"]
    {'result': {'$ref': '#/components/schemas/incident.input'}}
    """
    if isinstance(schema, list):
        return [filled(one, table) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    if _STRUCT in schema:
        return _whole(schema[_STRUCT])
    return {
        name: value.replace("{table}", table) if name == "$ref" else filled(value, table)
        for name, value in schema.items()
    }


def page(text: str) -> Answer:
    """Return the answer that is a page for people."""
    return Answer(text, TEXT, (HTML,))


def _whole(kind: type[Struct]) -> Any:
    """Return the schema of a struct, without references."""
    (top,), known = msgspec.json.schema_components((kind,), ref_template="{name}")
    return _inlined(top, known)


def _inlined(schema: Any, known: Mapping[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inlined(one, known) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(known[schema["$ref"]], known)
    return {
        name: _inlined(value, known)
        for name, value in schema.items()
        if name not in ("title", "description", "default")
    }
