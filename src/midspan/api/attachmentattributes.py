"""Attributes of attachments: ``/api/now/attachment/{sys_id}/attributes``.

Source: ``spec/rest-api.md`` 4.
"""

from __future__ import annotations

from midspan.api.attachmentshow import TABLE
from midspan.api.description import (
    BOTH,
    TEXT,
    Answer,
    Body,
    Description,
    listed,
    members,
    result,
    segment,
    texts,
)
from midspan.api.idempotency import KEY, REPLAYED, once
from midspan.api.negotiation import response_form
from midspan.api.request import Request
from midspan.api.response import Response
from midspan.api.router import Handler, Route, SignedIn, versioned
from midspan.api.strict import refuse_in_strict_mode, warning_header
from midspan.api.table import STRICT, SYS_ID, answer
from midspan.api.tableread import open_table
from midspan.api.tablerequest import read_write
from midspan.api.tablewrite import as_text
from midspan.attachments import Attributes
from midspan.kernel.errors import DuplicateKey, InvalidRequest
from midspan.records import RecordTransaction

_PATH = "/api/now/attachment/{sys_id}/attributes"
_TAG = "Attachment API"
_WARNS = "X-Midspan-Warning"
_NAME = segment("key", "Key of the attribute.", {"type": "string", "minLength": 1})
_PAIR = texts("key", "value")
_WRITE = (STRICT, KEY)
_REFUSES = (400, 403, 404, 406)
_REFUSES_WRITE = (*_REFUSES, 409, 415, 422)


def attribute_routes() -> tuple[Route, ...]:
    """Return the routes of attributes in all their versions."""
    one = f"{_PATH}/{{key}}"
    routes = (
        _route("list", "GET", _PATH, list_attributes, _LIST),
        _route("add", "POST", _PATH, once(add_attribute), _ADD),
        _route("clear", "DELETE", _PATH, once(drop_attributes), _CLEAR),
        _route("get", "GET", one, get_attribute, _GET),
        _route("change", "PUT", one, once(change_attribute), _CHANGE),
        _route("drop", "DELETE", one, once(drop_attributes), _DROP),
    )
    return tuple(version for route in routes for version in versioned(route))


def _route(name: str, method: str, path: str, handler: Handler, description: Description) -> Route:
    return Route(
        name=f"attachment.attribute.{name}",
        methods=(method,),
        path=path,
        handler=handler,
        access=SignedIn(),
        description=description,
    )


_LIST = Description(
    summary="List the attributes of an attachment",
    tag=_TAG,
    parameters=(SYS_ID,),
    answers={200: Answer("Keys and values, by key.", result(listed(_PAIR)), BOTH)},
    refuses=_REFUSES,
)


def list_attributes(request: Request) -> Response:
    """Answer all attributes; none is an empty list."""
    form = response_form(request)
    with request.parts.records.read(request.actor) as transaction:
        found = _attributes(request, transaction).all()
    return answer([_pair(key, value) for key, value in found], form)


_GET = Description(
    summary="Read an attribute of an attachment",
    tag=_TAG,
    parameters=(SYS_ID, _NAME),
    answers={200: Answer("Key and value.", result(_PAIR), BOTH)},
    refuses=_REFUSES,
)


def get_attribute(request: Request) -> Response:
    """Answer one attribute."""
    form, key = response_form(request), request.arguments["key"]
    with request.parts.records.read(request.actor) as transaction:
        value = _attributes(request, transaction).get(key)
    return answer(_pair(key, value), form)


_ADD = Description(
    summary="Add an attribute to an attachment",
    tag=_TAG,
    parameters=(SYS_ID, *_WRITE),
    body=Body(_PAIR, BOTH),
    answers={201: Answer("Key and value.", result(_PAIR), BOTH, (_WARNS, REPLAYED))},
    refuses=_REFUSES_WRITE,
)


def add_attribute(request: Request) -> Response:
    """Add an attribute; a key that is there already is refused."""
    form = response_form(request)
    given, headers = _given(request, ("key", "value"))
    try:
        with request.writing() as transaction:
            _attributes(request, transaction).add(given["key"], given["value"])
    except DuplicateKey as error:
        raise InvalidRequest(
            f"The attachment has an attribute {given['key'][:80]}", hint="PUT changes its value."
        ) from error
    return answer(_pair(given["key"], given["value"]), form, status=201, headers=headers)


_CHANGE = Description(
    summary="Change an attribute of an attachment",
    tag=_TAG,
    parameters=(SYS_ID, _NAME, *_WRITE),
    body=Body(members(("value",), value=TEXT), BOTH),
    answers={200: Answer("Key and value.", result(_PAIR), BOTH, (_WARNS, REPLAYED))},
    refuses=_REFUSES_WRITE,
)


def change_attribute(request: Request) -> Response:
    """Give an attribute that is there another value."""
    form, key = response_form(request), request.arguments["key"]
    given, headers = _given(request, ("value",))
    with request.writing() as transaction:
        _attributes(request, transaction).change(key, given["value"])
    return answer(_pair(key, given["value"]), form, headers=headers)


_CLEAR = Description(
    summary="Delete all attributes of an attachment",
    tag=_TAG,
    parameters=(SYS_ID, KEY),
    answers={204: Answer("There is none left.", headers=(REPLAYED,))},
    refuses=(400, 403, 404, 409, 422),
)
_DROP = Description(
    summary="Delete an attribute of an attachment",
    tag=_TAG,
    parameters=(SYS_ID, _NAME, KEY),
    answers={204: Answer("It is gone.", headers=(REPLAYED,))},
    refuses=(400, 403, 404, 409, 422),
)


def drop_attributes(request: Request) -> Response:
    """Delete the attribute that the path names, or all of them; the answer has no body."""
    with request.writing() as transaction:
        _attributes(request, transaction).drop(request.arguments.get("key"))
    return Response(204)


def _attributes(request: Request, transaction: RecordTransaction) -> Attributes:
    open_table(request.snapshot, TABLE)
    sql = request.parts.attachments.sql
    return Attributes(sql, transaction, request.arguments["sys_id"])


def _given(request: Request, names: tuple[str, ...]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the mandatory members of the body, and what to say of the others.

    Raises:
        InvalidRequest: one is missing.
    """
    wanted = read_write(request)
    missing = [name for name in names if wanted.values.get(name) is None]
    if missing:
        raise InvalidRequest(f"Missing: {', '.join(missing)}")
    others = (f"Member {name[:80]} left out" for name in wanted.values if name not in names)
    warnings = (*wanted.warnings, *others)
    refuse_in_strict_mode(request, warnings)
    return {name: as_text(wanted.values[name]) for name in names}, warning_header(warnings)


def _pair(key: str, value: str) -> dict[str, str]:
    return {"key": key, "value": value}
