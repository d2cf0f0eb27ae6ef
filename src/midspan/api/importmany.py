"""The Import Set API for many rows: ``POST /api/now/import/{staging}/insertMultiple``.

Source: ``spec/rest-api.md`` 5.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from midspan.api.description import TEXT, Answer, Body, Description, listed, mapped, members, query
from midspan.api.errors import NotAcceptable, UnsupportedMediaType
from midspan.api.importset import STAGING, staged_text
from midspan.api.negotiation import body_form, preferred
from midspan.api.request import Request
from midspan.api.response import Response, json_response
from midspan.api.router import Route, SignedIn, versioned
from midspan.api.strict import refuse_in_strict_mode, unknown_parameters, warning_header
from midspan.api.tableread import open_table
from midspan.dictionary import Storage, Table
from midspan.formats import JsonValue, lenient_json
from midspan.importsets.load import ROOT
from midspan.importsets.pushedsets import Configuration, Grouping, PushedSets, Rows
from midspan.kernel.errors import MalformedBody, Unavailable

_ROWS = "records"
_IDS = members(
    ("import_set_id", "multi_import_set_id"), import_set_id=TEXT, multi_import_set_id=TEXT
)


def importmany_routes() -> tuple[Route, ...]:
    """Return the route that takes many rows, in all its versions."""
    route = Route(
        name="import.push_many",
        methods=("POST",),
        path="/api/now/import/{staging_table}/insertMultiple",
        handler=push_rows,
        access=SignedIn(),
        description=_PUSH,
    )
    return versioned(route)


_PUSH = Description(
    summary="Put many rows into a staging table as one import set",
    tag="Import Set API",
    parameters=(
        STAGING,
        query("multi_import_set_id", "The group of import sets that the new one goes into."),
        query("run_after", "The import set after which the new one is transformed."),
    ),
    body=Body(members((_ROWS,), records=listed(mapped({})))),
    answers={201: Answer("The ids of the import set and of its group.", _IDS)},
    refuses=(400, 403, 406, 415),
)


def push_rows(request: Request) -> Response:
    """Stage rows and have them transformed; answer the ids of their set and its group."""
    if preferred(request.headers.get("accept", ""), ("json",)) is None:
        raise NotAcceptable("Not acceptable", hint="Accept application/json.")
    if body_form(request) != "json":
        raise UnsupportedMediaType("Unsupported media type", hint="Send application/json.")
    staging = open_table(request.snapshot, request.arguments["staging_table"])
    sets = _sets_of(request)
    configuration = sets.configuration(staging.name)
    found = _found(lenient_json.parse(request.body), configuration)
    columns = _columns(request, staging, configuration.by_column_name)
    rows, unknown = _rows(found, columns)
    warnings = [
        *unknown_parameters(request),
        *(f"Field left out: table {staging.name} has no field {key}" for key in unknown),
    ]
    grouping = Grouping(
        multi_import_set=request.parameter("multi_import_set_id").strip(),
        run_after=request.parameter("run_after").strip(),
    )
    if grouping.run_after and configuration.synchronous:
        warnings.append(f"Parameter run_after left out: {staging.name} is transformed at once")
    refuse_in_strict_mode(request, warnings)
    pushed = sets.push(
        staging.name,
        rows,
        grouping,
        actor=request.actor,
        synchronous=configuration.synchronous,
    )
    shown = {
        "import_set_id": pushed.import_set,
        "multi_import_set_id": pushed.multi_import_set,
    }
    return json_response(shown, 201, warning_header(warnings))


def _sets_of(request: Request) -> PushedSets:
    if request.parts.pushed_sets is None:
        raise Unavailable("Import sets are not available here")
    return request.parts.pushed_sets


def _found(body: JsonValue, configuration: Configuration) -> list[dict[str, JsonValue]]:
    """Return the objects of a body, each of which is a row.

    Raises:
        MalformedBody: they are not where they belong, or are no objects.
    """
    path = [_ROWS]
    if configuration.source_format:
        path = [part for part in configuration.row_path.split("/") if part]
    found = body
    for part in path:
        found = found.get(part) if isinstance(found, dict) else None
    if isinstance(found, dict) and configuration.source_format:
        found = [found]
    if not isinstance(found, list):
        place = "/".join(path)
        raise MalformedBody(f"Expected a list of rows at {place}", hint=_shape(path))
    rows = [row for row in found if isinstance(row, dict)]
    if len(rows) < len(found):
        number = next(number for number, row in enumerate(found) if not isinstance(row, dict))
        raise MalformedBody(f"Row {number} is no object", hint=_shape(path))
    return rows


def _shape(path: Sequence[str]) -> str:
    start = "".join(f'{{"{part}": ' for part in path)
    return f'{start}[{{"Column": "value"}}]{"}" * len(path)}'


def _columns(request: Request, staging: Table, by_name: bool) -> Mapping[str, str]:
    """Return the data columns of a staging table by what keys may call them, in lower case.

    A label goes before a name; ``by_name`` leaves the labels out.
    """
    inherited = request.snapshot.dictionary.table(ROOT).fields
    fields = [
        field
        for name, field in staging.fields.items()
        if name not in inherited and field.storage is not Storage.NONE
    ]
    known = {field.name: field.name for field in fields}
    if not by_name:
        known |= {field.label.lower(): field.name for field in reversed(fields) if field.label}
    return known


def _rows(
    found: Sequence[Mapping[str, JsonValue]], known: Mapping[str, str]
) -> tuple[Rows, list[str]]:
    """Return the rows with texts for all columns that any of them names, and unknown keys."""
    names: dict[str, str | None] = {}
    for row in found:
        for key in row:
            if key not in names:
                names[key] = known.get(key.strip().lower())
    columns = list(dict.fromkeys(name for name in names.values() if name))
    places = {key: columns.index(name) for key, name in names.items() if name}
    rows = [_cells(row, places, len(columns)) for row in found]
    unknown = [key[:80] for key, name in names.items() if name is None]
    return Rows(columns=columns, rows=rows), unknown


def _cells(row: Mapping[str, JsonValue], places: Mapping[str, int], width: int) -> list[str | None]:
    cells: list[str | None] = [None] * width
    for key, value in row.items():
        place = places.get(key)
        if place is not None:
            cells[place] = value if isinstance(value, str) else staged_text(value)
    return cells
