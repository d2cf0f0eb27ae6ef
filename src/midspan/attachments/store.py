"""Files in and out; the rows of sys_attachment themselves are read like any other records."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from datetime import timedelta

from msgspec import structs

from midspan.attachments.errors import FileTooLarge
from midspan.attachments.file import (
    PIECE,
    PIECES,
    TABLE,
    NewFile,
    StoredFile,
    check_extension,
    largest_size,
    safe_name,
    safe_type,
    unpack,
)
from midspan.attachments.guard import check_role, writable_parent
from midspan.attachments.upload import Upload
from midspan.dictionary import Storage
from midspan.dictionary.values import datetime_text
from midspan.kernel.errors import NotAuthorized, RecordNotFound
from midspan.query import NEVER
from midspan.records import PROPERTIES, RecordStore, RecordTransaction
from midspan.security import SYSTEM, Actor
from midspan.storage import Statements

FORGOTTEN_AFTER = timedelta(hours=1)
"""How long an upload may stay without a new piece."""
_READ = ("file_name", "content_type", "size_bytes", "hash")


class AttachmentStore:
    """The files of one record store; safe to use from many threads."""

    def __init__(self, records: RecordStore) -> None:
        self.records = records
        self.sql = Statements("midspan.attachments", "attachments", records.database.dialect)
        self.dropped = threading.Event()
        """Set when there is something to sweep at once."""

    def open(self, actor: Actor, new: NewFile, *, announced: int | None = None) -> Upload:
        """Return an upload, if the actor may attach such a file of ``announced`` bytes.

        Raises:
            FileRefused: a name, type or extension that it may not have.
            FileTooLarge: more bytes than allowed.
            InvalidTable, RecordNotFound, NotAuthorized: the record cannot get it from this actor.
        """
        with self.records.read(actor) as transaction:
            return self._admitted(transaction, new, announced)

    def write(self, actor: Actor, new: NewFile, pieces: Iterable[bytes]) -> str:
        """Attach a file that is at hand; return the attachment's id. Raises as ``open`` does."""
        upload = self.open(actor, new)
        try:
            for piece in pieces:
                if upload.add(piece):
                    upload.store()
            return upload.finish()
        except BaseException:
            upload.abandon()
            raise

    def add(self, transaction: RecordTransaction, new: NewFile, content: bytes) -> str:
        """Attach a file that is in memory, as part of the caller's transaction."""
        upload = self._admitted(transaction, new, len(content))
        upload.add(content)
        upload.finish_in(transaction)
        return upload.sys_id

    def find(self, transaction: RecordTransaction, sys_id: str) -> StoredFile:
        """Return what is needed to read a file.

        Raises:
            RecordNotFound: there is none, or the actor may not read it.
        """
        record = transaction.require(TABLE, sys_id)
        name, content_type, size, digest = (record.get(field) for field in _READ)
        return StoredFile(
            sys_id=record.sys_id,
            name=name,
            content_type=content_type,
            size=int(size or 0),
            digest=digest,
        )

    def pieces(self, file: StoredFile, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from ``start`` up to ``end`` (not included), in order.

        Each piece is read by itself: no transaction stays open while its receiver takes it.

        Raises:
            RecordNotFound: the file was deleted meanwhile.
        """
        end = file.size if end is None else min(end, file.size)
        for number in range(start // PIECE, -(-end // PIECE)):
            with self.records.read(SYSTEM) as transaction:
                row = transaction.database.row(self.sql["piece"], (file.sys_id, number))
            if row is None:
                raise RecordNotFound(TABLE, file.sys_id)
            first = number * PIECE
            yield unpack(str(row[0]))[max(start - first, 0) : end - first]

    def drop(self, sys_id: str) -> None:
        """Take away the pieces of a file that has no attachment, a few at a time, its row last."""
        with self.records.write(SYSTEM) as transaction:
            more = transaction.database.execute(self.sql["drop"], (sys_id,)) == 1
        while more:
            with self.records.write(SYSTEM) as transaction:
                database = transaction.database
                found = database.rows(self.sql["pieces"], (sys_id,))
                for row in found:
                    transaction.engine_delete(PIECES, str(row[0]))
                more = bool(found)
                if not more:
                    database.execute(self.sql["forget"], (sys_id,))

    def sweep(self) -> int:
        """Take away what deleted files and lost uploads left; return how many there were."""
        oldest = datetime_text(self.records.clock.now() - FORGOTTEN_AFTER)
        with self.records.read(SYSTEM) as transaction:
            bound = transaction.database.dialect.bind(Storage.DATETIME, oldest)
            found = transaction.database.rows(self.sql["dropped"], (bound,))
        for row in found:
            self.drop(str(row[0]))
        return len(found)

    def _admitted(
        self, transaction: RecordTransaction, new: NewFile, announced: int | None
    ) -> Upload:
        part = transaction.snapshot.part(PROPERTIES)

        def setting(name: str) -> str:
            return part.get(name) or ""

        new = structs.replace(
            new, name=safe_name(new.name), content_type=safe_type(new.content_type)
        )
        check_role(transaction)
        if transaction.enforce and transaction.access.rows(TABLE, "create") == NEVER:
            raise NotAuthorized("Operation Failed", detail="ACL Exception Insert Failed")
        writable_parent(transaction, new.table, new.record)
        check_extension(new.name, setting)
        limit = largest_size(setting)
        if announced is not None and announced > limit:
            raise FileTooLarge(limit)
        return Upload(self, transaction.actor, new, limit)
