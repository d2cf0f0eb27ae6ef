"""The columns of a table for clients that make forms: ``/api/now/ui/meta/{table}``.

``/api/now/doc/table/schema/{table}`` lists the same columns shortly.
Source: ``spec/rest-api.md`` 7.6.
"""

from __future__ import annotations

from collections.abc import Iterator

from midspan.api.description import (
    BOTH,
    FLAG,
    TEXT,
    Answer,
    Description,
    listed,
    mapped,
    members,
    result,
    segment,
)
from midspan.api.negotiation import response_form
from midspan.api.request import Request
from midspan.api.response import Response
from midspan.api.router import Route, SignedIn, versioned
from midspan.api.table import answer
from midspan.api.tableread import open_table
from midspan.dictionary import Choice, Dictionary, Field, Storage, Table
from midspan.kernel.errors import NotAuthorized
from midspan.query import NEVER

_BASES = {
    Storage.BOOLEAN: "boolean",
    Storage.INTEGER: "integer",
    Storage.DECIMAL: "decimal",
    Storage.DATETIME: "datetime",
    Storage.DATE: "date",
}
_LISTED = {"reference": False, "used": False, "selected": False, "missing": False, "image": ""}


def meta_routes() -> tuple[Route, ...]:
    """Return the routes of both, in all versions."""
    routes = (
        Route(
            name="meta",
            methods=("GET",),
            path="/api/now/ui/meta/{table}",
            handler=show_meta,
            access=SignedIn(),
            description=_META,
        ),
        Route(
            name="schema.columns",
            methods=("GET",),
            path="/api/now/doc/table/schema/{table}",
            handler=list_columns,
            access=SignedIn(),
            description=_COLUMNS,
        ),
    )
    return tuple(version for route in routes for version in versioned(route))


_TABLE = segment("table", "Name of the table.", {"type": "string", "minLength": 1})
_META = Description(
    summary="Describe the columns of a table",
    tag="Small interfaces",
    parameters=(_TABLE,),
    answers={
        200: Answer(
            "Columns that you may read, by name.",
            result(members(("columns",), columns=mapped({"type": "object"}))),
            (BOTH[0],),
        )
    },
    refuses=(400, 403, 404),
)
_COLUMNS = Description(
    summary="List the columns of a table",
    tag="Small interfaces",
    parameters=(_TABLE,),
    answers={
        200: Answer(
            "Columns that you may read, by label.",
            result(
                listed(
                    members(
                        ("label", "value"),
                        label=TEXT,
                        rawLabel=TEXT,
                        value=TEXT,
                        internal_type=TEXT,
                        reference=FLAG,
                    )
                )
            ),
            BOTH,
        )
    },
    refuses=(400, 403, 404, 406),
)


def show_meta(request: Request) -> Response:
    """Answer what a form needs to know of each column; booleans and numbers are such."""
    dictionary = request.snapshot.dictionary
    table, fields = _readable(request)
    columns = {field.name: _column(dictionary, table, field) for field in fields}
    return answer({"columns": columns}, "json")


def list_columns(request: Request) -> Response:
    """Answer the columns as entries of a list to choose from."""
    form = response_form(request)
    _, fields = _readable(request)
    entries = [
        {
            "label": field.label,
            "rawLabel": field.label,
            "value": field.name,
            "internal_type": field.type,
            **_LISTED,
            "reference": field.kind.reference,
            "sequence": -1,
        }
        for field in sorted(fields, key=lambda field: (field.label.lower(), field.name))
    ]
    return answer(entries, form)


def _readable(request: Request) -> tuple[Table, list[Field]]:
    """Return the table of a request and the fields that its sender may read.

    Raises:
        InvalidTable: there is no such table.
        NotAuthorized: the sender may read none of its rows.
    """
    table = open_table(request.snapshot, request.arguments["table"])
    now = request.parts.clock.now()
    access = request.parts.records.access(request.actor, request.snapshot, now)
    if access.rows(table.name, "read") == NEVER:
        raise NotAuthorized("User Not Authorized", detail="Failed API level ACL Validation")
    fields = table.fields.values()
    return table, [field for field in fields if access.field(table.name, field.name, "read")]


def _column(dictionary: Dictionary, table: Table, field: Field) -> dict[str, object]:
    stored = field.storage is not Storage.NONE
    shown: dict[str, object] = {
        "name": field.name,
        "label": field.label,
        "type": "choice" if field.choices else field.type,
        "internal_type": field.type,
        "base_type": "string" if field.choices else _BASES.get(field.storage, "string"),
        "column_type": "element",
        "max_length": field.max_length,
        "mandatory": field.mandatory,
        "read_only": field.read_only,
        "default": field.default,
        "hint": "",
        "attributes": "",
        "filterable": stored,
        "canmatch": stored,
        "cangroup": stored,
        "cansort": stored,
    }
    if field.choices:
        shown["choice_type"] = 1
        shown["choices"] = list(_choices(table, field.choices))
    if field.kind.reference and field.reference:
        shown["reference"] = field.reference
        if field.reference in dictionary:
            display = dictionary.table(field.reference).display
            shown["reference_display_field"] = display
            shown["reference_attributes"] = {"display_field": display, "ref_ac_columns": []}
    return shown


def _choices(table: Table, choices: tuple[Choice, ...]) -> Iterator[dict[str, object]]:
    for choice in choices:
        if not choice.inactive:
            yield {
                "value": choice.value,
                "label": choice.label,
                "rawLabel": choice.label,
                "parameters": {"name": table.name},
                **_LISTED,
            }
