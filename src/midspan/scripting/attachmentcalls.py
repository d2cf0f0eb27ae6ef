"""Host calls behind GlideSysAttachment: files in and out of a script, within its transaction.

Scripts attach and read without regard to access controls, as the vendor's do; size, name and
extension rules hold for them as for everybody.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from midspan.attachments import AttachmentStore, NewFile, StoredFile
from midspan.attachments.file import TABLE, UNKNOWN_TYPE
from midspan.kernel.errors import InvalidValue, LimitExceeded, RecordNotFound
from midspan.records import PROPERTIES, RecordTransaction
from midspan.sandbox import JsonValue
from midspan.scripting.streams import file_pieces, stream_pieces
from midspan.scripting.unit import Unit

MAX_GET = "com.glide.attachment.max_get_size"
"""System property: bytes of the largest file whose content a script may read."""
DEFAULT_GET = 5 * 1024 * 1024
MOST_COPIED = 64 * 1024 * 1024
"""Bytes of a file that a script may copy: it is in memory as a whole, inside a transaction."""
_ALGORITHMS = {"md5": hashlib.md5, "sha1": hashlib.sha1, "sha256": hashlib.sha256}


class AttachmentCalls:
    """Answers the ``attachment.`` calls; ``request`` is the body of the request being answered."""

    def __init__(self, unit: Unit, lend: Callable[[bool, bool], Any], request: bytes = b"") -> None:
        self._unit = unit
        self._lend = lend
        self._request = request

    def calls(self) -> Mapping[str, Callable[..., Any]]:
        """Return the functions by the name of their call."""
        return {
            "attachment.write": self.write,
            "attachment.read": self.read,
            "attachment.first": self.first,
            "attachment.copy": self.copy,
            "attachment.stream": self.stream,
            "attachment.digest": self.digest,
        }

    def write(self, place: list[str], name: str, kind: str, content: str, form: str) -> str:
        """Attach a file to the record of ``place`` (table, sys_id); return the attachment's id.

        ``form`` is ``text`` (UTF-8) or ``base64``.

        Raises:
            InvalidValue: the content is not base64.
            FileRefused, FileTooLarge: as for every file.
        """
        return self._add(place, (name, kind), _bytes(content, form))

    def read(self, sys_id: str, form: str) -> str | None:
        """Return the content of a file as ``text`` or ``base64``; None when there is none.

        Raises:
            LimitExceeded: it is longer than scripts may read.
        """
        store = AttachmentStore(self._unit.store)
        with self._lend(False, False) as transaction:
            file = _found(store, transaction, sys_id)
            if file is None:
                return None
            limit = _largest(transaction.snapshot.part(PROPERTIES))
            if file.size > limit:
                raise LimitExceeded(
                    f"The file {file.name} has {file.size} bytes; scripts read {limit} at most",
                    hint=f"Set the property {MAX_GET}, or pass the stream on.",
                )
            content = b"".join(file_pieces(store, transaction, file))
        if form == "base64":
            return base64.b64encode(content).decode()
        return content.decode("utf-8", "replace")

    def first(self, table: str, sys_id: str) -> str | None:
        """Return the id of a record's oldest file, or None."""
        with self._lend(False, False) as transaction:
            return next(iter(attached_ids(transaction, table, sys_id)), None)

    def copy(self, source: list[str], target: list[str]) -> list[JsonValue]:
        """Attach copies of all files of one record to another; return ``source id,new id`` pairs.

        Raises:
            LimitExceeded: a file is larger than scripts may copy; nothing of it was.
        """
        with self._lend(False, False) as transaction:
            found = attached_ids(transaction, source[0], source[1])
        return [f"{sys_id},{self.copy_one(sys_id, target, '', '')}" for sys_id in found]

    def copy_one(self, sys_id: str, target: list[str], name: str, kind: str) -> str:
        """Attach a copy of one file; an empty name or type is that of the file.

        Raises:
            RecordNotFound: there is no such file.
            LimitExceeded: it is larger than scripts may copy.
        """
        store = AttachmentStore(self._unit.store)
        with self._lend(False, False) as transaction:
            file = store.find(transaction, sys_id)
            if file.size > MOST_COPIED:
                raise LimitExceeded(
                    f"The file {file.name} has {file.size} bytes; copied are {MOST_COPIED} at most"
                )
            content = b"".join(file_pieces(store, transaction, file))
        return self._add(target, (name or file.name, kind or file.content_type), content)

    def stream(self, source: Mapping[str, Any], target: list[str], name: str, kind: str) -> str:
        """Attach what a stream stands for, such as the body of a request; return the id.

        Raises:
            LimitExceeded: it is larger than scripts may copy.
        """
        if source.get("kind") == "attachment":
            return self.copy_one(str(source.get("id", "")), target, name, kind)
        content = bytearray()
        for piece in stream_pieces(self._unit, source, self._request):
            content += piece
            if len(content) > MOST_COPIED:
                raise LimitExceeded(f"The stream for {name} has more than {MOST_COPIED} bytes")
        return self._add(target, (name, kind), bytes(content))

    def digest(self, sys_id: str, algorithm: str) -> str:
        """Return the digest of a file's bytes as base64; the file is never whole in memory.

        Raises:
            RecordNotFound: there is no such file.
        """
        found = _ALGORITHMS[algorithm](usedforsecurity=False)
        store = AttachmentStore(self._unit.store)
        with self._lend(False, False) as transaction:
            for piece in file_pieces(store, transaction, store.find(transaction, sys_id)):
                found.update(piece)
        return base64.b64encode(found.digest()).decode()

    def _add(self, place: list[str], named: tuple[str, str], content: bytes) -> str:
        name, kind = named
        new = NewFile(table=place[0], record=place[1], name=name, content_type=kind or UNKNOWN_TYPE)
        with self._lend(True, False) as transaction:
            return AttachmentStore(self._unit.store).add(transaction, new, content)


def content_of(store: AttachmentStore, transaction: RecordTransaction, file: StoredFile) -> bytes:
    """Return all bytes of a file, also of one that this transaction attached."""
    return b"".join(file_pieces(store, transaction, file))


def _found(
    store: AttachmentStore, transaction: RecordTransaction, sys_id: str
) -> StoredFile | None:
    try:
        return store.find(transaction, sys_id)
    except RecordNotFound:
        return None


def attached_ids(transaction: RecordTransaction, table: str, sys_id: str) -> list[str]:
    """Return the ids of a record's files, oldest first, 1,000 at most."""
    quoted = [text.replace("^", "^^") for text in (table, sys_id)]
    query = f"table_name={quoted[0]}^table_sys_id={quoted[1]}^ORDERBYsys_created_on^ORDERBYsys_id"
    return [record.sys_id for record in transaction.find(TABLE, query, limit=1000)]


def _bytes(content: str, form: str) -> bytes:
    if form != "base64":
        return content.encode("utf-8", "replace")
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidValue("The content of the file is not base64", detail=str(error)) from error


def _largest(properties: Mapping[str, str]) -> int:
    given = (properties.get(MAX_GET) or "").strip()
    return int(given[:12]) if given.isascii() and given.isdecimal() else DEFAULT_GET
