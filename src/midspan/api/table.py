"""The Table API: ``/api/now/table/{table}`` and ``/api/now/table/{table}/{sys_id}``."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode

import orjson
from msgspec import Struct

from midspan.api.description import (
    BOTH,
    FLAG,
    NUMBER,
    Answer,
    Body,
    Description,
    Each,
    header,
    listed,
    one_of,
    query,
    ref,
    result,
    segment,
)
from midspan.api.etag import READ_IF, WRITE_IF, check, etag, is_conditional, tagged
from midspan.api.idempotency import KEY, REPLAYED, once
from midspan.api.negotiation import form_of, response_form
from midspan.api.request import Pairs, Request
from midspan.api.response import JSON, XML, Response
from midspan.api.router import Route, SignedIn, api_version, versioned
from midspan.api.strict import refuse_in_strict_mode, unknown_in, unknown_parameters, warning_header
from midspan.api.tableread import (
    open_table,
    read_page,
    read_record,
    read_stored_at_once,
    shown_view,
)
from midspan.api.tablerequest import (
    ListRequest,
    RowShape,
    WriteRequest,
    read_list,
    read_shape,
    read_write,
    shape_of,
)
from midspan.api.tableview import View
from midspan.api.tablewrite import Incoming
from midspan.dictionary import Table
from midspan.formats import xml
from midspan.kernel.errors import RecordNotFound
from midspan.records import Change, ChangeOptions, Operation, RecordTransaction, Snapshot

_SHORT = 300
"""Characters of an Accept header up to which what a request wants is remembered."""


def table_routes() -> tuple[Route, ...]:
    """Return the routes of the Table API in all their versions."""
    path = "/api/now/table/{table}"
    routes = (
        Route(
            name="table.list",
            methods=("GET",),
            path=path,
            handler=list_records,
            access=SignedIn(),
            description=_LIST,
        ),
        Route(
            name="table.create",
            methods=("POST",),
            path=path,
            handler=once(create_record),
            one_write=True,
            access=SignedIn(),
            description=_CREATE,
        ),
        Route(
            name="table.get",
            methods=("GET",),
            path=f"{path}/{{sys_id}}",
            handler=get_record,
            at_once=get_record_at_once,
            access=SignedIn(),
            description=_GET,
        ),
        Route(
            name="table.update",
            methods=("PUT", "PATCH"),
            path=f"{path}/{{sys_id}}",
            handler=once(update_record),
            one_write=True,
            access=SignedIn(),
            description=_UPDATE,
        ),
        Route(
            name="table.delete",
            methods=("DELETE",),
            path=f"{path}/{{sys_id}}",
            handler=once(delete_record),
            one_write=True,
            access=SignedIn(),
            description=_DELETE,
        ),
    )
    return tuple(version for route in routes for version in versioned(route))


_QUERY = query(
    "sysparm_query",
    "Encoded query. Any other parameter that is the name of a field filters by its value, too.",
)
_DISPLAY = query(
    "sysparm_display_value",
    "Stored values, what people see, or both.",
    one_of("false", "true", "all"),
)
STRICT = header("X-Midspan-Strict", "Refuse what would be left out with a warning.", FLAG)
NO_BODY = header("X-no-response-body", "Answer without a body.", FLAG)
_TINY = query("sysparm_tiny", "Short address that stands for other parameters.")
_CATEGORY = query("sysparm_query_category", "Taken and not used.")
_SHAPE = (
    query("sysparm_fields", "Names of fields with commas between; may walk references."),
    _DISPLAY,
    query("sysparm_exclude_reference_link", "Leave out the links of references.", FLAG),
    query("sysparm_view", "View whose fields are shown; sysparm_fields wins."),
    query("sysparm_query_no_domain", "Taken and not used.", FLAG),
    STRICT,
)
_WRITE = (
    *_SHAPE,
    query("sysparm_input_display_value", "Values are what people see: labels, local times.", FLAG),
    query("sysparm_suppress_auto_sys_field", "Take sys_created_on and its like; admins.", FLAG),
    NO_BODY,
    KEY,
)
PAGE = (
    _QUERY,
    query("sysparm_limit", "Most rows of the answer.", NUMBER),
    query("sysparm_offset", "Rows to pass over first.", NUMBER),
    query("sysparm_no_count", "Do not count the rows of all pages.", FLAG),
    query("sysparm_suppress_pagination_header", "Send no Link header.", FLAG),
    _CATEGORY,
    _TINY,
)
STATS = (_QUERY, _DISPLAY, _CATEGORY, _TINY)
_TAG = "Table API"
SYS_ID = segment("sys_id", "Id of the record.", {"type": "string", "minLength": 1})
_RECORD = result(ref("{table}"))
_INPUT = Body(ref("{table}.input"), BOTH)
_WARNS = "X-Midspan-Warning"


_LIST = Description(
    summary="Read records",
    tag=_TAG,
    each=Each.TABLE,
    right="read",
    parameters=(*PAGE, *_SHAPE),
    answers={
        200: Answer(
            "A page of records; in version 1 none is 404.",
            result(listed(ref("{table}"))),
            BOTH,
            ("X-Total-Count", "Link", _WARNS),
        )
    },
    refuses=(400, 403, 404, 406),
)


def list_records(request: Request) -> Response:
    """Answer a page of rows; nothing found is an empty list, but 404 in version 1."""
    form = response_form(request)
    table = open_table(request.snapshot, request.arguments["table"])
    wanted = read_list(request, request.snapshot.dictionary, table.name)
    page = read_page(request, table.name, wanted, as_text=form == "json")
    refuse_in_strict_mode(request, page.warnings)
    if not page.found and wanted.offset == 0 and api_version(request.path) == "v1":
        raise RecordNotFound(table.name, "")
    headers = warning_header(page.warnings)
    if page.total is not None:
        headers["X-Total-Count"] = str(page.total)
        link = page_links(request, wanted, page.total) if wanted.pagination else ""
        if link:
            headers["Link"] = link
    return answer(page.rows if page.text is None else page.text, form, headers=headers)


_GET = Description(
    summary="Read one record",
    tag=_TAG,
    each=Each.TABLE,
    right="read",
    parameters=(SYS_ID, *_SHAPE, _TINY, READ_IF),
    answers={
        200: Answer("The record.", _RECORD, BOTH, ("ETag", _WARNS)),
        304: Answer("It is as the client knows it.", headers=("ETag",)),
    },
    refuses=(400, 403, 404, 406),
)


def get_record(request: Request) -> Response:
    """Answer one record, of its own class or a descendant of the table."""
    wanted = _wanted_record(request)
    with request.parts.records.read(request.actor) as transaction:
        row = read_record(request, transaction, wanted.view, request.arguments["sys_id"])
    return tagged(request, answer(row, wanted.form, headers=warning_header(wanted.warnings)))


def get_record_at_once(request: Request) -> Response | None:
    """Answer one record's stored values on the event loop, from a database in this process."""
    if not request.parts.records.prompt:
        return None
    wanted = _wanted_record(request)
    row = read_stored_at_once(request, wanted.view, request.arguments["sys_id"])
    if row is None:
        return None
    headers = warning_header(wanted.warnings) if wanted.warnings else {}
    return tagged(request, answer(row, wanted.form, headers=headers))


class _WantedRecord(Struct, frozen=True):
    """The form of an answer, what to show, and what was left out of the request."""

    form: str
    view: View
    warnings: tuple[str, ...]


def _wanted_record(request: Request) -> _WantedRecord:
    accept, table, pairs = (
        request.headers.get("accept", ""),
        request.arguments["table"],
        request.query,
    )
    snapshot = request.snapshot
    if request.brief and len(accept) <= _SHORT:
        wanted = snapshot.derive(_read_wanted, accept, table, pairs)
    else:
        wanted = _read_wanted(snapshot, accept, table, pairs)
    if wanted.warnings:
        refuse_in_strict_mode(request, wanted.warnings)
    return wanted


def _read_wanted(snapshot: Snapshot, accept: str, table: str, pairs: Pairs) -> _WantedRecord:
    form = form_of(accept)
    shape = shape_of(pairs)
    view = shown_view(snapshot, open_table(snapshot, table).name, shape)
    return _WantedRecord(form, view, (*unknown_in(pairs), *view.warnings))


_CREATE = Description(
    summary="Create a record",
    tag=_TAG,
    each=Each.TABLE,
    right="create",
    parameters=_WRITE,
    body=Body(ref("{table}.new"), BOTH),
    answers={
        201: Answer(
            "The record as it became.", _RECORD, BOTH, ("ETag", "Location", _WARNS, REPLAYED)
        )
    },
    refuses=(400, 403, 404, 406, 409, 415, 422),
)


def create_record(request: Request) -> Response:
    """Insert a record and answer it with its address."""
    form = response_form(request)
    table = open_table(request.snapshot, request.arguments["table"])
    wanted = read_write(request)
    with request.writing() as transaction:
        cls = wanted_class(transaction, table, wanted)
        incoming = Incoming(transaction, cls, wanted)
        change = Change(
            table=table.name,
            operation=Operation.INSERT,
            sys_id=incoming.sys_id(),
            values=incoming.values(),
            options=_options(request, wanted, incoming),
        )
        refuse_in_strict_mode(request, (*wanted.warnings, *incoming.warnings))
        applied = transaction.apply(change, alone=True)
        row = _after_write(request, transaction, table, applied.sys_id, wanted)
    headers = warning_header((*wanted.warnings, *incoming.warnings))
    headers["Location"] = record_url(request, table.name, applied.sys_id)
    return _written(row, form, wanted, status=201, headers=headers)


_UPDATE = Description(
    summary="Change fields of a record",
    tag=_TAG,
    each=Each.TABLE,
    right="write",
    parameters=(SYS_ID, *_WRITE, WRITE_IF),
    body=_INPUT,
    answers={200: Answer("The record as it became.", _RECORD, BOTH, ("ETag", _WARNS, REPLAYED))},
    refuses=(400, 403, 404, 406, 409, 412, 415, 422),
)


def update_record(request: Request) -> Response:
    """Change the given fields of a record; PUT leaves the others alone, too."""
    form = response_form(request)
    table = open_table(request.snapshot, request.arguments["table"])
    wanted = read_write(request)
    sys_id = request.arguments["sys_id"]
    with request.writing() as transaction:
        record = transaction.hold(table.name, sys_id)
        _check_conditions(request, transaction, table, wanted.shape)
        cls = transaction.dictionary.table(record.table)
        incoming = Incoming(transaction, cls, wanted, record)
        change = Change(
            table=table.name,
            operation=Operation.UPDATE,
            sys_id=sys_id,
            values=incoming.values(),
            options=_options(request, wanted, incoming),
        )
        refuse_in_strict_mode(request, (*wanted.warnings, *incoming.warnings))
        transaction.apply(change, alone=True, held=record)
        row = _after_write(request, transaction, table, sys_id, wanted)
    headers = warning_header((*wanted.warnings, *incoming.warnings))
    return _written(row, form, wanted, status=200, headers=headers)


_DELETE = Description(
    summary="Delete a record",
    tag=_TAG,
    each=Each.TABLE,
    right="delete",
    parameters=(SYS_ID, query("sysparm_query_no_domain", "Taken and not used.", FLAG), STRICT, KEY),
    answers={204: Answer("It is gone.", headers=(_WARNS, REPLAYED))},
    refuses=(400, 403, 404, 409, 412, 422),
)


def delete_record(request: Request) -> Response:
    """Delete a record; the answer has no body."""
    table = open_table(request.snapshot, request.arguments["table"])
    warnings = unknown_parameters(request)
    refuse_in_strict_mode(request, warnings)
    with request.writing() as transaction:
        _check_conditions(request, transaction, table, read_shape(request))
        transaction.apply(
            Change(
                table=table.name,
                operation=Operation.DELETE,
                sys_id=request.arguments["sys_id"],
            ),
            alone=True,
        )
    return Response(204, headers=warning_header(warnings))


def _check_conditions(
    request: Request, transaction: RecordTransaction, table: Table, shape: RowShape
) -> None:
    """Compare If-Match with what a read with the same parameters would answer now.

    Raises:
        PreconditionFailed: it is something else.
        RecordNotFound: there is none, or the actor may not read it.
    """
    if not is_conditional(request):
        return
    sys_id = request.arguments["sys_id"]
    transaction.store.lock_rows(transaction.database, table, (sys_id,))
    view = shown_view(transaction.snapshot, table.name, shape)
    row = read_record(request, transaction, view, sys_id)
    body = answer(row, response_form(request)).body
    check(request, etag(body) if isinstance(body, bytes) else "")


def record_url(request: Request, table: str, sys_id: str) -> str:
    """Return the absolute address of a record, in the version of the request."""
    version = api_version(request.path)
    root = f"/api/now/{f'{version}/' if version else ''}table"
    return f"{request.base_url}{root}/{table}/{quote(sys_id, safe='')}"


def page_links(request: Request, wanted: ListRequest, total: int) -> str:
    """Return the Link header of a list, ``''`` when one page holds everything."""
    if wanted.limit == 0 or total <= wanted.limit:
        return ""
    last = (total - 1) // wanted.limit * wanted.limit
    offsets = {"first": 0}
    if wanted.offset > 0:
        offsets["prev"] = max(0, wanted.offset - wanted.limit)
    if wanted.offset + wanted.limit < total:
        offsets["next"] = wanted.offset + wanted.limit
    offsets["last"] = last
    sent = request.sent_query or request.query
    kept = [pair for pair in sent if pair[0] not in ("sysparm_offset", "sysparm_limit")]
    return ",".join(
        f'<{_page_url(request, kept, offset, wanted.limit)}>;rel="{relation}"'
        for relation, offset in offsets.items()
    )


def answer(
    result: object, form: str, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return ``result`` in the vendor's envelope."""
    envelope = {"result": result}
    if form == "xml":
        body = xml.to_bytes(xml.from_object("response", envelope))
        return Response(status, body, XML, headers or {})
    return Response(status, orjson.dumps(envelope), JSON, headers or {})


def _page_url(request: Request, kept: list[tuple[str, str]], offset: int, limit: int) -> str:
    pairs = [*kept, ("sysparm_offset", str(offset)), ("sysparm_limit", str(limit))]
    return f"{request.base_url}{request.path}?{urlencode(pairs, quote_via=quote, safe='')}"


def wanted_class(transaction: RecordTransaction, table: Table, wanted: WriteRequest) -> Table:
    """An insert through a parent may name the class of the record."""
    name = wanted.values.get("sys_class_name")
    if isinstance(name, str) and transaction.dictionary.is_a(name, table.name):
        return transaction.dictionary.table(name)
    return table


def _options(request: Request, wanted: WriteRequest, incoming: Incoming) -> ChangeOptions:
    """Only an administrator may choose the values of the system's own fields."""
    if not wanted.keep_system_fields:
        return ChangeOptions()
    if not request.actor.is_admin:
        incoming.warnings.append("sysparm_suppress_auto_sys_field needs the role admin")
        return ChangeOptions()
    return ChangeOptions(system_fields=False)


def _after_write(
    request: Request,
    transaction: RecordTransaction,
    table: Table,
    sys_id: str,
    wanted: WriteRequest,
) -> dict[str, object]:
    """Return the record as its writer sees it, which may be not at all."""
    if not wanted.answer:
        return {}
    view = shown_view(transaction.snapshot, table.name, wanted.shape)
    try:
        return read_record(request, transaction, view, sys_id)
    except RecordNotFound:
        return {}


def _written(
    row: dict[str, object],
    form: str,
    wanted: WriteRequest,
    *,
    status: int,
    headers: Mapping[str, str],
) -> Response:
    if not wanted.answer:
        return Response(status, headers=headers)
    made = answer(row, form, status=status, headers=headers)
    return made.with_headers({"ETag": etag(made.body)}) if isinstance(made.body, bytes) else made
