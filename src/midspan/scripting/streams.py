"""What the stream objects of scripts stand for: the request's body, an attachment, text, bytes.

A script only hands a stream on, so its bytes never pass through the worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from midspan.attachments import AttachmentStore, StoredFile
from midspan.attachments.file import PIECE, TABLE, unpack
from midspan.kernel.errors import InvalidRequest, RecordNotFound
from midspan.records import RecordTransaction
from midspan.scripting.unit import Unit

LONGEST_TEXT = 16 * 1024 * 1024
"""Bytes of a stream that a script may read as one text."""


def stream_pieces(unit: Unit, source: Mapping[str, Any], request: bytes = b"") -> Iterator[bytes]:
    """Yield the bytes of a stream; ``request`` is the body of the request being answered.

    Raises:
        RecordNotFound: the attachment is gone.
        InvalidRequest: it is no stream.
    """
    match source.get("kind"):
        case "request":
            yield request
        case "text":
            yield str(source.get("text", "")).encode(errors="replace")
        case "bytes":
            yield bytes(int(byte) & 255 for byte in source.get("bytes", ()))
        case "attachment":
            store = AttachmentStore(unit.store)
            with unit.reading(enforce=False) as transaction:
                file = store.find(transaction, str(source.get("id", "")))
            if unit.enclosing is None:
                yield from store.pieces(file)
            else:  # it may be a file that nobody else sees before the commit
                yield from file_pieces(store, unit.enclosing, file)
        case kind:
            raise InvalidRequest(f"A stream of kind {kind!r} cannot be read")


def file_pieces(
    store: AttachmentStore, transaction: RecordTransaction, file: StoredFile
) -> Iterator[bytes]:
    """Yield the bytes of a file as a transaction sees it.

    Raises:
        RecordNotFound: the file is gone.
    """
    for number in range(-(-file.size // PIECE)):
        row = transaction.database.row(store.sql["piece"], (file.sys_id, number))
        if row is None:
            raise RecordNotFound(TABLE, file.sys_id)
        yield unpack(str(row[0]))


def stream_text(unit: Unit, source: Mapping[str, Any], request: bytes = b"") -> str:
    """Return a stream as text.

    Raises:
        InvalidRequest: it has more than 16 MiB.
    """
    found = bytearray()
    for piece in stream_pieces(unit, source, request):
        found += piece
        if len(found) > LONGEST_TEXT:
            raise InvalidRequest(
                f"A stream of more than {LONGEST_TEXT} bytes cannot be read as text",
                hint="Hand the stream on with writeStream().",
            )
    return found.decode(errors="replace")
