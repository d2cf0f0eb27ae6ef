"""The Import Set API: ``/api/now/import/{staging}`` takes a row in and answers what became of it.

Source: ``spec/rest-api.md`` 5, ``spec/clients.md`` 25.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import orjson

from midspan.api.description import (
    BOTH,
    TEXT,
    Answer,
    Body,
    Description,
    listed,
    mapped,
    members,
    segment,
)
from midspan.api.negotiation import response_form
from midspan.api.request import Request
from midspan.api.response import JSON, XML, Response
from midspan.api.router import Route, SignedIn, api_version, versioned
from midspan.api.strict import refuse_in_strict_mode, warning_header
from midspan.api.table import SYS_ID
from midspan.api.tableread import open_table
from midspan.api.tablerequest import read_write
from midspan.formats import JsonValue, xml
from midspan.importsets.load import ROOT
from midspan.importsets.pushed import Pushed, PushedRows, RowResult
from midspan.kernel.errors import Unavailable

_PATH = "/api/now/import/{staging_table}"
STAGING = segment("staging_table", "Name of the staging table.", {"type": "string", "minLength": 1})
_RESULT = members(
    ("transform_map", "status"),
    **dict.fromkeys(
        (
            "transform_map",
            "table",
            "display_name",
            "display_value",
            "record_link",
            "status",
            "sys_id",
            "status_message",
            "error_message",
        ),
        TEXT,
    ),
)
_PUSHED = members(
    ("import_set", "staging_table", "result"),
    import_set=TEXT,
    staging_table=TEXT,
    result=listed(_RESULT),
)


def importset_routes() -> tuple[Route, ...]:
    """Return the routes of the Import Set API in all their versions."""
    routes = (
        Route(
            name="import.push",
            methods=("POST",),
            path=_PATH,
            handler=push_row,
            one_write=True,
            access=SignedIn(),
            description=_PUSH,
        ),
        Route(
            name="import.row",
            methods=("GET",),
            path=f"{_PATH}/{{sys_id}}",
            handler=show_row,
            access=SignedIn(),
            description=_SHOW,
        ),
    )
    return tuple(version for route in routes for version in versioned(route))


_PUSH = Description(
    summary="Put a row into a staging table and transform it",
    tag="Import Set API",
    parameters=(STAGING,),
    body=Body(mapped({}), BOTH),
    answers={201: Answer("What each transform map made of it.", _PUSHED, BOTH, ("Location",))},
    refuses=(400, 403, 406, 415),
)
_SHOW = Description(
    summary="Read what became of a row of a staging table",
    tag="Import Set API",
    parameters=(STAGING, SYS_ID),
    answers={200: Answer("What its transform map made of it.", _PUSHED, BOTH)},
    refuses=(400, 403, 404, 406),
)


def push_row(request: Request) -> Response:
    """Stage one row, run the maps of its table and answer what each made of it."""
    form = response_form(request)
    staging = open_table(request.snapshot, request.arguments["staging_table"])
    wanted = read_write(request)
    unknown = [
        f"Field left out: table {staging.name} has no field {name[:80]}"
        for name in wanted.values
        if name not in staging.fields or name in request.snapshot.dictionary.table(ROOT).fields
    ]
    refuse_in_strict_mode(request, (*wanted.warnings, *unknown))
    row = {name: staged_text(value) for name, value in wanted.values.items()}
    pushed = rows_of(request).push(staging.name, [row], actor=request.actor)
    headers = warning_header((*wanted.warnings, *unknown))
    first = pushed.rows[0][0].staging_row
    headers["Location"] = f"{_root(request)}/import/{staging.name}/{first}"
    return _answer(request, pushed, form, status=201, headers=headers)


def show_row(request: Request) -> Response:
    """Answer what became of a staging row."""
    form = response_form(request)
    staging = open_table(request.snapshot, request.arguments["staging_table"])
    found = rows_of(request).find(staging.name, request.arguments["sys_id"], actor=request.actor)
    return _answer(request, found, form, status=200, headers={})


def rows_of(request: Request) -> PushedRows:
    """Return what takes rows in.

    Raises:
        Unavailable: this surface was built without it.
    """
    if request.parts.pushed is None:
        raise Unavailable("Import sets are not available here")
    return request.parts.pushed


def staged_text(value: JsonValue) -> str:
    """Return the text of a member; nested ones become the text of the vendor's maps and lists.

    >>> staged_text({"a": {"b": 1}, "c": [True, None]}), staged_text(1.5)
    ('{a={b=1}, c=[true, null]}', '1.5')
    """
    if value is None:
        return ""
    return _inner(value)


def _inner(value: JsonValue) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case dict():
            return f"{{{', '.join(f'{key}={_inner(each)}' for key, each in value.items())}}}"
        case list():
            return f"[{', '.join(map(_inner, value))}]"
    return str(value)


def _answer(
    request: Request, pushed: Pushed, form: str, *, status: int, headers: Mapping[str, str]
) -> Response:
    """Return the results of one row; this interface has no envelope around them."""
    results = [one for row in pushed.rows for one in row if one.map]
    shown = {
        "import_set": pushed.number,
        "staging_table": pushed.staging,
        "result": [_result(request, one) for one in results],
    }
    if form == "xml":
        return Response(status, xml.to_bytes(xml.from_object("response", shown)), XML, headers)
    return Response(status, orjson.dumps(shown), JSON, headers)


def _result(request: Request, one: RowResult) -> dict[str, Any]:
    shown = {"transform_map": one.map, "table": one.table}
    if one.sys_id:
        shown |= {
            "display_name": one.display_name,
            "display_value": one.display_value,
            "record_link": f"{_root(request)}/table/{one.table}/{quote(one.sys_id, safe='')}",
        }
    shown["status"] = one.status
    if one.sys_id:
        shown["sys_id"] = one.sys_id
    if one.status_message:
        shown["status_message"] = one.status_message
    if one.error_message:
        shown["error_message"] = one.error_message
    return {**one.told.fields, **shown}


def _root(request: Request) -> str:
    version = api_version(request.path)
    return f"{request.base_url}/api/now{f'/{version}' if version else ''}"
