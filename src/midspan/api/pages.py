"""Readable pages of any table and record, under the same access controls as the Table API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from html import escape
from urllib.parse import urlencode

import msgspec
import orjson

from midspan.api import html
from midspan.api.description import Description, page, segment
from midspan.api.forms import as_displayed
from midspan.api.related import lists_of, related
from midspan.api.request import Request
from midspan.api.response import Response
from midspan.api.router import Route, SignedIn
from midspan.api.table import PAGE, SYS_ID
from midspan.api.tableread import open_table, read_page, read_record
from midspan.api.tablerequest import Display, ListRequest, RowShape, read_list
from midspan.api.tableview import Column, View, view_of
from midspan.api.uiviews import columns_of_list, form_shown
from midspan.api.viewer import Viewer
from midspan.dictionary import Table
from midspan.kernel.errors import NotAuthorized
from midspan.query import Unknown, parse
from midspan.records.layouts import Section

ROWS = 50


def page_routes() -> tuple[Route, ...]:
    """Return the routes of the list and of the record page."""
    return (
        Route(
            name="page.list",
            methods=("GET",),
            path="/nav/{table}",
            handler=show_list,
            access=SignedIn(),
            page=True,
            description=_LIST,
        ),
        Route(
            name="page.record",
            methods=("GET",),
            path="/nav/{table}/{sys_id}",
            handler=show_record,
            access=SignedIn(),
            page=True,
            description=_RECORD,
        ),
    )


_TABLE = segment("table", "Name of a table.")
_LIST = Description(
    summary="Page of a table",
    tag="Pages",
    parameters=(_TABLE, *PAGE),
    answers={200: page("Its most telling columns, 50 rows.")},
    refuses=(400, 403, 404),
)


def show_list(request: Request) -> Response:
    """Show a page of a table: its most telling columns, 50 rows."""
    table = open_table(request.snapshot, request.arguments["table"])
    wanted = read_list(request, request.snapshot.dictionary, table.name)
    wanted = msgspec.structs.replace(wanted, limit=ROWS)
    rows, total, warnings = _rows(request, table, wanted)
    return html.page(
        request,
        table.plural,
        "".join(html.paragraph(warning, problem=True) for warning in warnings),
        html.paragraph(f"{total:,} in all", soft=True),
        rows,
        _turning(request, wanted, total),
    )


def _rows(request: Request, table: Table, wanted: ListRequest) -> tuple[str, int, tuple[str, ...]]:
    """Return a page of rows as an HTML table, how many there are in all, and warnings."""
    view = request.parameter("sysparm_view").strip()
    names = columns_of_list(request.snapshot, table, view, request.actor.sys_id)
    shape = RowShape(fields=("sys_id", *names), display=Display.BOTH)
    page = read_page(request, table.name, msgspec.structs.replace(wanted, count=True, shape=shape))
    rows = []
    for row in page.rows:
        cells = [html.long_text(_shown(row.get(name))) for name in names]
        key = _stored(row.get("sys_id"))
        if key:
            first = _shown(row.get(names[0])) or key
            cells[0] = html.link(html.nav_path(table.name, key), first)
        rows.append(cells)
    dictionary = request.snapshot.dictionary
    heads = [dictionary.path(table.name, name).field.label for name in names]
    return (html.table(heads, rows) if rows else ""), page.total or 0, page.warnings


def _belonging(request: Request, name: str, query: str, limit: int) -> tuple[str, str, int]:
    """Return title, rows and number of what belongs to a record; nothing the actor may not see."""
    table = request.snapshot.dictionary.tables.get(name)
    if table is None or not table.ws_access:
        return "", "", 0
    wanted = ListRequest(
        query=parse(query),
        unknown=Unknown.NOTHING,
        limit=limit,
        offset=0,
        count=True,
        pagination=False,
        shape=RowShape(),
    )
    try:
        rows, total, _ = _rows(request, table, wanted)
    except NotAuthorized:
        return "", "", 0
    return table.plural, rows, total


_RECORD = Description(
    summary="Page of a record",
    tag="Pages",
    parameters=(_TABLE, SYS_ID),
    answers={200: page("Every readable field.")},
    refuses=(400, 403, 404),
)


def show_record(request: Request) -> Response:
    """Show every readable field of a record with its label and display value.

    It is the form of a record here, so display rules run before it is shown. What they leave in
    ``g_scratchpad`` is the JSON of the element with this id.
    """
    table = open_table(request.snapshot, request.arguments["table"])
    sys_id = request.arguments["sys_id"]
    with request.parts.records.read(request.actor) as transaction:
        shape = RowShape(display=Display.BOTH)
        row = read_record(
            request, transaction, view_of(transaction.dictionary, table.name, shape), sys_id
        )
        cls = open_table(transaction.snapshot, _stored(row.get("sys_class_name")) or table.name)
        form = form_shown(transaction.snapshot, cls.name, request.parameter("sysparm_view").strip())
        walks = (name for part in form for name in part.elements if name not in cls.fields)
        shape = RowShape(fields=(*cls.fields, *walks), display=Display.BOTH)
        view = view_of(transaction.dictionary, cls.name, shape)
        if cls is not table or len(view.columns) > len(cls.fields):
            row = read_record(request, transaction, view, sys_id)
        viewer = Viewer(request, transaction)
        displayed = as_displayed(request.parts.display_rules, viewer, cls.name, row)
        row = dict(displayed.row)
        title = viewer.title(cls, {name: _shown(cell) for name, cell in row.items()})
        body = _form(form, view, lambda column: _cell(viewer, cls, column, row), row)
    return html.page(
        request,
        title if title.startswith(cls.label) else f"{cls.label} {title}",
        "".join(map(html.paragraph, displayed.messages)),
        f"<p>{html.link(html.nav_path(cls.name), f'All {cls.plural.lower()}')}</p>",
        body,
        related(
            lists_of(request.snapshot, cls.name, request.parameter("sysparm_view").strip()),
            sys_id,
            partial(_belonging, request),
        ),
        html.data("g_scratchpad", displayed.scratchpad) if displayed.scratchpad else "",
    )


def _form(
    form: tuple[Section, ...],
    view: View,
    cell: Callable[[Column], str],
    row: Mapping[str, object],
) -> str:
    """Return the sections of a form, empty fields too; without one every field that says something.

    What may not be read is not in the row, whatever the form says.
    """
    if not form:
        filled = (column for column in view.columns if _shown(row.get(column.name)))
        return html.facts((each.field.label, cell(each)) for each in sorted(filled, key=_place))
    columns = {column.name: column for column in view.columns if column.name in row}
    parts = []
    for section in form:
        known = [columns[name] for name in section.elements if name in columns]
        facts = html.facts((each.field.label, cell(each)) for each in known) if known else ""
        parts.append(html.section(section.caption, facts) if facts and section.caption else facts)
    return "".join(parts)


def _place(column: Column) -> tuple[bool, str]:
    """Sort fields by their labels, what the system keeps for itself at the end."""
    return column.name.startswith("sys_"), column.field.label.lower()


def _cell(viewer: Viewer, table: Table, column: Column, row: Mapping[str, object]) -> str:
    """Return a value; a reference as a link, JSON in lines."""
    cell = row[column.name]
    stored, shown = _stored(cell), _shown(cell)
    if column.field.kind.reference and column.target and stored:
        return html.link(html.nav_path(column.target, stored), shown or stored)
    if column.field.type == "document_id":
        target = _table_of_document(table, row)
        found = viewer.shown(target, stored) if target else None
        return html.link(html.nav_path(target, stored), found[0]) if found else escape(shown)
    return html.long_text(_in_lines(shown) if column.field.type == "json" else shown)


def _table_of_document(table: Table, row: Mapping[str, object]) -> str:
    """Return the table that the one field for it names; nothing when there are several or none."""
    names = [field.name for field in table.fields.values() if field.type == "table_name"]
    return _stored(row.get(names[0])) if len(names) == 1 else ""


def _in_lines(text: str) -> str:
    try:
        return orjson.dumps(orjson.loads(text), option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONDecodeError:
        return text


def _turning(request: Request, wanted: ListRequest, total: int) -> str:
    parts = []
    if wanted.offset > 0:
        parts.append(_page_link(request, max(0, wanted.offset - ROWS), "Previous"))
    if wanted.offset + ROWS < total:
        parts.append(_page_link(request, wanted.offset + ROWS, "Next"))
    return f"<p>{' · '.join(parts)}</p>" if parts else ""


def _page_link(request: Request, offset: int, text: str) -> str:
    kept = [pair for pair in request.query if pair[0] != "sysparm_offset"]
    return html.link(f"{request.path}?{urlencode([*kept, ('sysparm_offset', offset)])}", text)


def _shown(cell: object) -> str:
    return str(cell.get("display_value", "")) if isinstance(cell, dict) else str(cell or "")


def _stored(cell: object) -> str:
    return str(cell.get("value", "")) if isinstance(cell, dict) else str(cell or "")
