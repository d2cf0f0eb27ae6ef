"""The list of tables for connectors: ``/api/now/doc/table/schema``.

Source: ``spec/rest-api.md`` 7.6, ``spec/clients.md`` 41.
"""

from __future__ import annotations

from midspan.api.description import (
    BOTH,
    FLAG,
    TEXT,
    Answer,
    Description,
    listed,
    members,
    result,
)
from midspan.api.negotiation import response_form
from midspan.api.request import Request
from midspan.api.response import Response
from midspan.api.router import Route, SignedIn, versioned
from midspan.api.table import answer
from midspan.dictionary import Table
from midspan.query import NEVER


def schema_routes() -> tuple[Route, ...]:
    """Return the route of the table list in all its versions."""
    return versioned(
        Route(
            name="schema",
            methods=("GET",),
            path="/api/now/doc/table/schema",
            handler=list_tables,
            access=SignedIn(),
            description=_LIST,
        )
    )


_ENTRY = members(
    ("label", "value"),
    label=TEXT,
    rawLabel=TEXT,
    value=TEXT,
    reference=FLAG,
    used=FLAG,
    selected=FLAG,
    missing=FLAG,
    image=TEXT,
    sequence={"type": "integer"},
)
_LIST = Description(
    summary="List the tables",
    tag="Small interfaces",
    answers={
        200: Answer("Tables of which you may read rows, by label.", result(listed(_ENTRY)), BOTH)
    },
    refuses=(400, 406),
)


def list_tables(request: Request) -> Response:
    """Answer the tables of which the caller may read some rows, by their labels."""
    form = response_form(request)
    access = request.parts.records.access(
        request.actor, request.snapshot, request.parts.clock.now()
    )
    readable = [
        table
        for table in request.snapshot.dictionary
        if table.ws_access and access.rows(table.name, "read") != NEVER
    ]
    readable.sort(key=lambda table: (table.label.lower(), table.name))
    return answer([_entry(table) for table in readable], form)


def _entry(table: Table) -> dict[str, object]:
    """Return a table as an entry of a list to choose from."""
    return {
        "label": table.label,
        "rawLabel": table.label,
        "value": table.name,
        "reference": False,
        "used": False,
        "selected": False,
        "missing": False,
        "image": "",
        "sequence": -1,
    }
