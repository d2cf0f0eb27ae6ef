"""The Attachment API: ``/api/now/attachment``, metadata; the bytes are in the modules beside it."""

from __future__ import annotations

from msgspec import structs

from midspan.api.attachmentfile import read_file
from midspan.api.attachmentshow import described, description
from midspan.api.attachmentupload import create_from_body, create_from_form
from midspan.api.negotiation import response_form
from midspan.api.request import Request
from midspan.api.response import Response
from midspan.api.router import Handler, Route, SignedIn, versioned
from midspan.api.table import answer, page_links, warning_header
from midspan.api.tableread import open_table, read_page
from midspan.api.tablerequest import (
    PREFIX,
    ListRequest,
    RowShape,
    read_list,
    read_write,
    refuse_in_strict_mode,
)
from midspan.kernel.errors import InvalidRequest
from midspan.records import delete, update

TABLE = "sys_attachment"
PATH = "/api/now/attachment"
DEFAULT_LIMIT = 1_000


def attachment_routes() -> tuple[Route, ...]:
    """Return the routes of the Attachment API in all their versions.

    Any signed-in user gets this far: what he may do follows from the record of each attachment.
    """
    routes = (
        _route("list", "GET", "", list_attachments),
        _route("get", "GET", "/{sys_id}", get_attachment),
        _route("file", "GET", "/{sys_id}/file", read_file),
        _route("create", "POST", "/file", create_from_body, stream=True),
        _route("upload", "POST", "/upload", create_from_form, stream=True),
        _route("rename", "PATCH", "/{sys_id}", rename_attachment),
        _route("delete", "DELETE", "/{sys_id}", delete_attachment),
    )
    return tuple(version for route in routes for version in versioned(route))


def _route(name: str, method: str, path: str, handler: Handler, *, stream: bool = False) -> Route:
    return Route(
        name=f"attachment.{name}",
        methods=(method,),
        path=f"{PATH}{path}",
        handler=handler,
        access=SignedIn(),
        stream_body=stream,
    )


def list_attachments(request: Request) -> Response:
    """Answer a page of metadata; no attachment is an empty list in every version."""
    form = response_form(request)
    open_table(request.snapshot, TABLE)
    wanted = _wanted(request)
    page = read_page(request, TABLE, wanted)
    refuse_in_strict_mode(request, page.warnings)
    headers = warning_header(page.warnings)
    if page.total is not None:
        headers["X-Total-Count"] = str(page.total)
        link = page_links(request, wanted, page.total) if wanted.pagination else ""
        if link:
            headers["Link"] = link
    with request.parts.records.read(request.actor) as transaction:
        rows = described(request, transaction, page.rows)
    return answer(rows, form, headers=headers)


def get_attachment(request: Request) -> Response:
    """Answer the metadata of one attachment."""
    form = response_form(request)
    open_table(request.snapshot, TABLE)
    with request.parts.records.read(request.actor) as transaction:
        row = description(request, transaction, request.arguments["sys_id"])
    return answer(row, form)


def rename_attachment(request: Request) -> Response:
    """Give the file another name; the answer has no body."""
    open_table(request.snapshot, TABLE)
    given = read_write(request).values
    name = given.pop("file_name", None)
    if not isinstance(name, str) or not name.strip():
        raise InvalidRequest("Expected the new name", hint='Send {"file_name": "plan.pdf"}.')
    warnings = [f"Field left out: only file_name can be changed, not {each[:80]}" for each in given]
    refuse_in_strict_mode(request, warnings)
    with request.parts.records.write(request.actor) as transaction:
        transaction.apply(update(TABLE, request.arguments["sys_id"], {"file_name": name}))
    return Response(204, headers=warning_header(warnings))


def delete_attachment(request: Request) -> Response:
    """Delete metadata and bytes; the answer has no body."""
    open_table(request.snapshot, TABLE)
    with request.parts.records.write(request.actor) as transaction:
        transaction.apply(delete(TABLE, request.arguments["sys_id"]))
    return Response(204)


def _wanted(request: Request) -> ListRequest:
    wanted = read_list(request, request.snapshot.dictionary, TABLE)
    given = request.parameter(f"{PREFIX}limit").strip()
    limit = wanted.limit if given.isdecimal() else DEFAULT_LIMIT
    # The form of a row is this API's own, whatever sysparm_fields or sysparm_display_value say.
    return structs.replace(wanted, limit=limit, shape=RowShape())
