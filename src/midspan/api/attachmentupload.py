"""The bytes of an attachment on their way in, from a plain body or from a form.

Whether the user may attach such a file is asked before the first byte is taken, and again when
the file is complete. In memory is one piece of it. A refused client that is still sending is read
a little further, because most look for an answer only when they have sent everything.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from midspan.api.attachmentshow import TABLE, description, file_url
from midspan.api.idempotency import REPLAYED, answered, digest_of, kept_digest, key_of
from midspan.api.keptanswers import KeptKey, KeyInFlight
from midspan.api.multipart import FieldRead, FileBegins, FileBytes, FormEvent, FormReader
from midspan.api.negotiation import response_form
from midspan.api.request import Request
from midspan.api.response import Response
from midspan.api.strict import refuse_in_strict_mode, unknown_parameters, warning_header
from midspan.api.table import answer
from midspan.api.tableread import open_table
from midspan.api.waiting import Disconnected, in_thread
from midspan.attachments import NewFile, Upload
from midspan.attachments.errors import FileTooLarge
from midspan.attachments.file import UNKNOWN_TYPE, largest_size
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
    async with _keyed(request) as came, _read_on(request) as stream:
        given = {name: request.parameter(name) for name in (*PLACE, "file_name")}
        kind = request.headers.get("content-type", "")
        warnings = _checked(request, {**given, "Content-Type": kind})
        new = _new(request, given, given["file_name"], kind)
        taker = await came.taker(new, request.announced)
        async with _taken_back(taker):
            async for piece in stream:
                await _take(taker, piece)
            return await in_thread(_created, request, form, taker, new, warnings, came.key)


async def create_from_form(request: Request) -> Response:
    """Attach the file of a form whose fields before it name table and record."""
    form = response_form(request)
    async with _keyed(request) as came, _read_on(request) as stream:
        taker = _FormTaker(request, came)
        async with _taken_back(taker):
            async for piece in stream:
                await taker.take(piece)
            file, new = taker.complete()
            return await in_thread(_created, request, form, file, new, taker.warnings, came.key)


class Measured:
    """Takes a file whose request came before: only its digest is wanted."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._digest = hashlib.sha256()

    @property
    def digest(self) -> str:
        """SHA-256 of what was taken, hexadecimal."""
        return self._digest.hexdigest()

    def add(self, data: bytes | memoryview) -> bool:
        """Take bytes; there is never anything to store.

        Raises:
            FileTooLarge: the file is longer than allowed.
        """
        self._size += len(data)
        if self._size > self._limit:
            raise FileTooLarge(self._limit)
        self._digest.update(data)
        return False

    def store(self) -> None:
        """Store nothing."""

    def abandon(self) -> None:
        """There is nothing to take away."""


Taker = Upload | Measured


class _Came:
    """Whether the key of an upload came before; without one there is nothing to know."""

    def __init__(self, request: Request, key: KeptKey | None, *, before: bool) -> None:
        self.key = key
        self._request = request
        self._before = before

    async def taker(self, new: NewFile, announced: int | None) -> Taker:
        """Return what takes the file, if the user may attach it."""
        if self._before:
            return Measured(largest_size(self._request.property))
        files = self._request.parts.attachments
        return await in_thread(files.open, self._request.actor, new, announced=announced)


@asynccontextmanager
async def _keyed(request: Request) -> AsyncIterator[_Came]:
    """Keep other requests with the key of this one off while its file is coming.

    Raises:
        KeyInFlight: there is one.
    """
    key = key_of(request)
    if key is None:
        yield _Came(request, None, before=False)
        return
    with request.parts.kept_answers.under_way(key):
        yield _Came(request, key, before=await in_thread(kept_digest, request, key) is not None)


class _FormTaker:
    """Takes a form: remembers its fields, begins the upload with its file."""

    def __init__(self, request: Request, came: _Came) -> None:
        self.warnings: list[str] = []
        self._request = request
        self._came = came
        self._reader = FormReader(request.headers.get("content-type", ""))
        self._fields: dict[str, str] = {}
        self._upload: Taker | None = None
        self._new: NewFile | None = None

    async def take(self, data: bytes) -> None:
        """Take bytes of the body."""
        for event in self._reader.feed(data):
            await self._follow(event)

    def complete(self) -> tuple[Taker, NewFile]:
        """Return the file, which is all there.

        Raises:
            MalformedBody: the form ended too early.
            InvalidRequest: it has no file.
        """
        if not self._reader.complete:
            raise MalformedBody("The form ends before its closing boundary")
        if self._upload is None or self._new is None:
            raise InvalidRequest(
                "The form has no file", hint="Its last part is the file and has a filename."
            )
        return self._upload, self._new

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

    async def _begin(self, file: FileBegins) -> Taker:
        if self._upload is not None:
            raise InvalidRequest("The form has more than one file", hint="Send one form per file.")
        given = {name: self._fields.get(name, "").strip() for name in PLACE}
        more = {name: self._fields.get(name, "") for name in ("encryption_context",)}
        self.warnings = _checked(self._request, {**given, "filename": file.name}, more)
        self._new = _new(self._request, given, file.name, file.content_type or UNKNOWN_TYPE)
        size = self._request.announced
        return await self._came.taker(self._new, None if size is None else max(size - FRAME, 0))


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


async def _take(upload: Taker, data: bytes) -> None:
    if upload.add(data):
        await in_thread(upload.store)


def _created(
    request: Request,
    form: str,
    file: Taker,
    new: NewFile,
    warnings: list[str],
    key: KeptKey | None,
) -> Response:
    """Make an attachment of a file that is all there; with a key, if it is not made yet."""

    def finished(request: Request) -> Response:
        if not isinstance(file, Upload):
            raise KeyInFlight  # the answer was too old when the file had come; it is asked for anew
        with request.writing() as transaction:
            file.finish_in(transaction)
            headers = {"Location": file_url(request, file.sys_id), **warning_header(warnings)}
            if request.header_flag("x-no-response-body"):
                return Response(201, headers=headers)
            row = description(request, transaction, file.sys_id)
        return answer(row, form, status=201, headers=headers)

    file.store()
    if key is None:
        return finished(request)
    place = (new.table, new.record, new.name, new.content_type)
    response = answered(request, key, digest_of(request, *place, file.digest), finished)
    if REPLAYED in response.headers:
        file.abandon()
    return response


@asynccontextmanager
async def _taken_back(taker: Taker | _FormTaker) -> AsyncIterator[None]:
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
