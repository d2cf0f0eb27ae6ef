"""The actions that read: get, getRecords and getKeys."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import orjson

from midspan.api.catalog.answers import answers_of, id_of
from midspan.api.exports.wanted import query_of, table_of, wished_number
from midspan.api.jsonv2.call import KNOWN, Call
from midspan.api.jsonv2.shown import shape_of, success
from midspan.api.request import Request
from midspan.api.response import JSON, Response
from midspan.api.strict import PREFIX, refuse_in_strict_mode, warning_header
from midspan.api.tablerequest import RowShape, unknown_of
from midspan.api.tablestream import Reading, Rows, Selection, body_of, open_reading

DEFAULT_LIMIT = 10_000
ROW_LIMIT = "glide.processor.json.row_limit"


def records(request: Request, call: Call) -> Response:
    """Answer the records that match, or the one with an id; none is an empty list."""
    shape, warnings = shape_of(request.snapshot, table_of(request).name, call.display, call.view)
    reading = _reading(request, call, shape)

    def members(rows: Rows) -> Iterator[object]:
        answers = answers_of(request, rows) if call.variables else None
        for row in rows:
            shown = success(reading.view, row)
            if answers is not None:
                shown["variables"] = answers.get(id_of(row), [])
            yield shown

    return _answer(request, call, reading, members, warnings)


def keys(request: Request, call: Call) -> Response:
    """Answer the ids of the records that match."""
    reading = _reading(request, call, RowShape(fields=("sys_id",), links=False))

    def members(rows: Rows) -> Iterator[object]:
        return (row["sys_id"] for row in rows if row.get("sys_id"))

    return _answer(request, call, reading, members)


def _reading(request: Request, call: Call, shape: RowShape) -> Reading:
    most = wished_number(request.property(ROW_LIMIT))
    most = DEFAULT_LIMIT if most is None else most
    name = f"{PREFIX}record_count"
    wish = wished_number(call.parameters.get(name) or request.parameter(name))
    selection = Selection(
        table=table_of(request),
        query=query_of(request, call.parameters),
        unknown=unknown_of(request),
        shape=shape,
        limit=most if wish is None else min(wish, most),
    )
    return open_reading(request, selection)


def _answer(
    request: Request,
    call: Call,
    reading: Reading,
    members: Callable[[Rows], Iterator[object]],
    warnings: tuple[str, ...] = (),
) -> Response:
    warnings = (*call.warnings, *warnings, *reading.warnings)
    refuse_in_strict_mode(request, warnings, KNOWN)
    return Response(200, body_of(_pieces(reading, members)), JSON, warning_header(warnings))


def _pieces(reading: Reading, members: Callable[[Rows], Iterator[object]]) -> Iterator[bytes]:
    yield b'{"records":['
    separator = b""
    for rows in reading.pages():
        page = b",".join(map(orjson.dumps, members(rows)))
        if page:
            yield separator + page
            separator = b","
    yield b"]}"
