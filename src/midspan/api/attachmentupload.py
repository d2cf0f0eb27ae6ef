"""The bytes of an attachment on their way in, from a plain body or from a form.

Whether the user may attach such a file is asked before the first byte is taken, and again when
the file is complete. In memory is one piece of it. A refused client that is still sending is read
a little further, because most look for an answer only when they have sent everything.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from midspan.api.attachmentshow import TABLE, description, file_url
from midspan.api.multipart import FieldRead, FileBegins, FileBytes, FormEvent, FormReader
from midspan.api.negotiation import response_form
from midspan.api.request import Request
from midspan.api.response import Response
from midspan.api.strict import refuse_in_strict_mode, unknown_parameters, warning_header
from midspan.api.table import answer
from midspan.api.tableread import open_table
from midspan.api.waiting import Disconnected, in_thread
from midspan.attachments import NewFile, Upload
from midspan.attachments.file import UNKNOWN_TYPE
from midspan.kernel.errors import InvalidDefinition, InvalidRequest, MalformedBody, MidspanError
from midspan.security.attachment import IMAGE_PREFIX

PLACE = ("table_name", "table_sys_id")
READ_ON = 8 * 1024 * 1024
"""Bytes that are read of a file that was refused."""
FRAME = 65_536
"""Bytes that a form may have beside its file."""

Stream = AsyncIterator[bytes]


async def create_from_body(request: Request) -> Response:
    """Attach the body; table, record and name are parameters."""
    form = response_form(request)
    async with _read_on(request) as stream:
        given = {name: request.parameter(name) for name in (*PLACE, "file_name")}
        kind = request.headers.get("content-type", "")
        warnings = _checked(request, {**given, "Content-Type": kind})
        new = _new(request, given, given["file_name"], kind)
        upload = await in_thread(
            request.parts.attachments.open, request.actor, new, announced=request.announced
        )
        async with _taken_back(upload):
            async for piece in stream:
                await _take(upload, piece)
            await in_thread(upload.finish)
    return await in_thread(_created, request, form, upload.sys_id, warnings)


async def create_from_form(request: Request) -> Response:
    """Attach the file of a form whose fields before it name table and record."""
    form = response_form(request)
    async with _read_on(request) as stream:
        taker = _FormTaker(request)
        async with _taken_back(taker):
            async for piece in stream:
                await taker.take(piece)
            sys_id = await taker.finish()
    return await in_thread(_created, request, form, sys_id, taker.warnings)


class _FormTaker:
    """Takes a form: remembers its fields, begins the upload with its file."""

    def __init__(self, request: Request) -> None:
        self.warnings: list[str] = []
        self._request = request
        self._reader = FormReader(request.headers.get("content-type", ""))
        self._fields: dict[str, str] = {}
        self._upload: Upload | None = None

    async def take(self, data: bytes) -> None:
        """Take bytes of the body."""
        for event in self._reader.feed(data):
            await self._follow(event)

    async def finish(self) -> str:
        """Return the attachment's id.

        Raises:
            MalformedBody: the form ended too early.
            InvalidRequest: it has no file.
        """
        if not self._reader.complete:
            raise MalformedBody("The form ends before its closing boundary")
        if self._upload is None:
            raise InvalidRequest(
                "The form has no file", hint="Its last part is the file and has a filename."
            )
        return await in_thread(self._upload.finish)

    def abandon(self) -> None:
        """Take away what was stored."""
        if self._upload is not None:
            self._upload.abandon()

    async def _follow(self, event: FormEvent) -> None:
        match event:
            case FieldRead():
                self._fields[event.name] = event.text
            case FileBegins():
                self._upload = await self._begin(event)
            case FileBytes() if self._upload is not None:
                await _take(self._upload, event.data)

    async def _begin(self, file: FileBegins) -> Upload:
        if self._upload is not None:
            raise InvalidRequest("The form has more than one file", hint="Send one form per file.")
        given = {name: self._fields.get(name, "").strip() for name in PLACE}
        more = {name: self._fields.get(name, "") for name in ("encryption_context",)}
        self.warnings = _checked(self._request, {**given, "filename": file.name}, more)
        new = _new(self._request, given, file.name, file.content_type or UNKNOWN_TYPE)
        size = self._request.announced
        return await in_thread(
            self._request.parts.attachments.open,
            self._request.actor,
            new,
            announced=None if size is None else max(size - FRAME, 0),
        )


def _checked(
    request: Request, mandatory: dict[str, str], more: dict[str, str] | None = None
) -> list[str]:
    """Return warnings about what is not supported and does no harm.

    Raises:
        InvalidRequest: something mandatory is missing, or encryption is asked for.
    """
    missing = [name for name, text in mandatory.items() if not text.strip()]
    if missing:
        raise InvalidRequest(
            f"Missing: {', '.join(missing)}",
            hint="An attachment needs table_name, table_sys_id, a file name and a content type.",
        )
    if request.parameter("encryption_context") or (more or {}).get("encryption_context"):
        raise InvalidRequest("There are no encryption contexts here; leave encryption_context out")
    warnings = list(unknown_parameters(request))
    if request.parameter("creation_time"):
        warnings.append("Parameter left out: creation_time")
    refuse_in_strict_mode(request, warnings)
    return warnings


def _new(request: Request, given: dict[str, str], name: str, kind: str) -> NewFile:
    open_table(request.snapshot, TABLE)
    open_table(request.snapshot, given["table_name"].removeprefix(IMAGE_PREFIX))
    return NewFile(
        table=given["table_name"], record=given["table_sys_id"], name=name, content_type=kind
    )


async def _take(upload: Upload, data: bytes) -> None:
    if upload.add(data):
        await in_thread(upload.store)


def _created(request: Request, form: str, sys_id: str, warnings: list[str]) -> Response:
    headers = {"Location": file_url(request, sys_id), **warning_header(warnings)}
    if request.header_flag("x-no-response-body"):
        return Response(201, headers=headers)
    with request.parts.records.read(request.actor) as transaction:
        row = description(request, transaction, sys_id)
    return answer(row, form, status=201, headers=headers)


@asynccontextmanager
async def _taken_back(taker: Upload | _FormTaker) -> AsyncIterator[None]:
    """Leave nothing of a file that did not become an attachment."""
    try:
        yield
    except BaseException:
        await in_thread(taker.abandon)
        raise


@asynccontextmanager
async def _read_on(request: Request) -> AsyncIterator[Stream]:
    """Give the body; read a little further of it when its request was refused."""
    if request.stream is None:
        raise InvalidDefinition("This route has to stream its body")
    stream = request.stream()
    try:
        yield stream
    except MidspanError:
        read = 0
        with suppress(Disconnected):
            async for piece in stream:
                read += len(piece)
                if read > READ_ON:
                    break
        raise
