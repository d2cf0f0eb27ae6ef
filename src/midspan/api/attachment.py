"""The Attachment API: ``/api/now/attachment``, metadata; the bytes are in the modules beside it."""

from __future__ import annotations

import inspect

from msgspec import structs

from midspan.api.attachmentfile import read_file
from midspan.api.attachmentshow import described, description
from midspan.api.attachmentupload import create_from_body, create_from_form
from midspan.api.description import (
    ANY_TYPE,
    BOTH,
    MULTIPART,
    TEXT,
    Answer,
    Body,
    Description,
    header,
    listed,
    members,
    query,
    ref,
    result,
)
from midspan.api.etag import READ_IF, WRITE_IF, check, etag, is_conditional, tagged
from midspan.api.idempotency import KEY, REPLAYED, once
from midspan.api.negotiation import response_form
from midspan.api.request import Request
from midspan.api.response import Response
from midspan.api.router import Handler, Route, SignedIn, versioned
from midspan.api.strict import PREFIX, refuse_in_strict_mode, unknown_parameters, warning_header
from midspan.api.table import NO_BODY, PAGE, STRICT, SYS_ID, answer, page_links
from midspan.api.tableread import open_table, read_page
from midspan.api.tablerequest import (
    ListRequest,
    RowShape,
    read_list,
    read_write,
)
from midspan.kernel.errors import InvalidRequest
from midspan.records import RecordTransaction, delete, update

TABLE = "sys_attachment"
PATH = "/api/now/attachment"
DEFAULT_LIMIT = 1_000


def attachment_routes() -> tuple[Route, ...]:
    """Return the routes of the Attachment API in all their versions.

    Any signed-in user gets this far: what he may do follows from the record of each attachment.
    """
    routes = (
        _route("list", "GET", "", list_attachments, _LIST),
        _route("get", "GET", "/{sys_id}", get_attachment, _GET),
        _route("file", "GET", "/{sys_id}/file", read_file, _FILE),
        _route("create", "POST", "/file", create_from_body, _CREATE),
        _route("upload", "POST", "/upload", create_from_form, _UPLOAD),
        _route("rename", "PATCH", "/{sys_id}", once(rename_attachment), _RENAME),
        _route("delete", "DELETE", "/{sys_id}", once(delete_attachment), _DELETE),
    )
    return tuple(version for route in routes for version in versioned(route))


_TAG = "Attachment API"
_WARNS = "X-Midspan-Warning"
_SHOWN = {
    "allOf": [
        ref("Record"),
        members(
            ("download_link", "created_by_name", "updated_by_name"),
            download_link={"type": "string", "format": "uri"},
            created_by_name=TEXT,
            updated_by_name=TEXT,
        ),
    ]
}
_METADATA = result(_SHOWN)
_MADE = Answer("Its metadata.", _METADATA, BOTH, ("Location", _WARNS, REPLAYED))
_LIST = Description(
    summary="List attachments",
    tag=_TAG,
    parameters=(*PAGE, STRICT),
    answers={
        200: Answer(
            "A page of metadata.",
            result(listed(_SHOWN)),
            BOTH,
            ("X-Total-Count", "Link", _WARNS),
        )
    },
    refuses=(400, 403, 406),
)
_GET = Description(
    summary="Read the metadata of an attachment",
    tag=_TAG,
    parameters=(SYS_ID, STRICT, READ_IF),
    answers={
        200: Answer("Its metadata.", _METADATA, BOTH, ("ETag", _WARNS)),
        304: Answer("It is as the client knows it.", headers=("ETag",)),
    },
    refuses=(400, 403, 404, 406),
)
_FILE = Description(
    summary="Download a file",
    tag=_TAG,
    parameters=(
        SYS_ID,
        STRICT,
        READ_IF,
        header("Range", "Bytes that are wanted: bytes=0-99."),
        header("If-Range", "ETag of the file that the range is meant for."),
    ),
    answers={
        200: Answer("The file.", None, (ANY_TYPE,), ("ETag", "X-Attachment-Metadata")),
        206: Answer("A range of it.", None, (ANY_TYPE,), ("ETag", "Content-Range")),
        304: Answer("It is the one that the client has.", headers=("ETag",)),
        416: Answer("None of the wanted bytes exist.", None, (), ("Content-Range",)),
    },
    refuses=(400, 403, 404),
)
_PLACE = (
    query("table_name", "Table of the record that gets the file.", required=True),
    query("table_sys_id", "Id of that record.", required=True),
    query("file_name", "Name of the file.", required=True),
    query("creation_time", "Taken and left out."),
    query("encryption_context", "There are none; refused."),
)
_CREATE = Description(
    summary="Attach the body as a file",
    tag=_TAG,
    parameters=(*_PLACE, NO_BODY, STRICT, KEY),
    body=Body(TEXT, (ANY_TYPE,)),
    answers={201: _MADE},
    refuses=(400, 403, 404, 406, 409, 415, 422),
)
_UPLOAD = Description(
    summary="Attach a file of a form",
    tag=_TAG,
    parameters=(NO_BODY, STRICT, KEY),
    body=Body(
        members(
            ("table_name", "table_sys_id", "uploadFile"),
            table_name=TEXT,
            table_sys_id=TEXT,
            uploadFile={"type": "string", "format": "binary"},
        ),
        (MULTIPART,),
    ),
    answers={201: _MADE},
    refuses=(400, 403, 404, 406, 409, 415, 422),
)
_RENAME = Description(
    summary="Rename an attachment",
    tag=_TAG,
    parameters=(SYS_ID, STRICT, KEY, WRITE_IF),
    body=Body(members(("file_name",), file_name={"type": "string", "minLength": 1}), BOTH),
    answers={204: Answer("It has the new name.", headers=(_WARNS, REPLAYED))},
    refuses=(400, 403, 404, 409, 412, 415, 422),
)
_DELETE = Description(
    summary="Delete an attachment",
    tag=_TAG,
    parameters=(SYS_ID, STRICT, KEY, WRITE_IF),
    answers={204: Answer("Metadata and bytes are gone.", headers=(_WARNS, REPLAYED))},
    refuses=(400, 403, 404, 409, 412, 422),
)


def _route(name: str, method: str, path: str, handler: Handler, description: Description) -> Route:
    return Route(
        name=f"attachment.{name}",
        methods=(method,),
        path=f"{PATH}{path}",
        handler=handler,
        access=SignedIn(),
        stream_body=inspect.iscoroutinefunction(handler),
        description=description,
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
    warnings = unknown_parameters(request)
    refuse_in_strict_mode(request, warnings)
    with request.parts.records.read(request.actor) as transaction:
        row = description(request, transaction, request.arguments["sys_id"])
    return tagged(request, answer(row, form, headers=warning_header(warnings)))


def rename_attachment(request: Request) -> Response:
    """Give the file another name; the answer has no body."""
    open_table(request.snapshot, TABLE)
    wanted = read_write(request)
    given = wanted.values
    name = given.pop("file_name", None)
    if not isinstance(name, str) or not name.strip():
        raise InvalidRequest("Expected the new name", hint='Send {"file_name": "plan.pdf"}.')
    warnings = [
        *wanted.warnings,
        *(f"Field left out: only file_name can be changed, not {each[:80]}" for each in given),
    ]
    refuse_in_strict_mode(request, warnings)
    with request.writing() as transaction:
        _check_conditions(request, transaction)
        transaction.apply(update(TABLE, request.arguments["sys_id"], {"file_name": name}))
    return Response(204, headers=warning_header(warnings))


def delete_attachment(request: Request) -> Response:
    """Delete metadata and bytes; the answer has no body."""
    open_table(request.snapshot, TABLE)
    warnings = unknown_parameters(request)
    refuse_in_strict_mode(request, warnings)
    with request.writing() as transaction:
        _check_conditions(request, transaction)
        transaction.apply(delete(TABLE, request.arguments["sys_id"]))
    return Response(204, headers=warning_header(warnings))


def _check_conditions(request: Request, transaction: RecordTransaction) -> None:
    """Compare If-Match with the metadata of now, as they are read.

    Raises:
        PreconditionFailed: it is something else.
    """
    if not is_conditional(request):
        return
    sys_id = request.arguments["sys_id"]
    table = transaction.dictionary.table(TABLE)
    transaction.store.lock_rows(transaction.database, table, (sys_id,))
    row = description(request, transaction, sys_id)
    body = answer(row, response_form(request)).body
    check(request, etag(body) if isinstance(body, bytes) else "")


def _wanted(request: Request) -> ListRequest:
    wanted = read_list(request, request.snapshot.dictionary, TABLE)
    given = request.parameter(f"{PREFIX}limit").strip()
    limit = wanted.limit if given.isdecimal() else DEFAULT_LIMIT
    # The form of a row is this API's own, whatever sysparm_fields or sysparm_display_value say.
    return structs.replace(wanted, limit=limit, shape=RowShape())
