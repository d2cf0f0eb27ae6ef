"""One file on its way in: piece after piece to the database, visible only when it is complete.

A file of one piece is written together with its metadata. The pieces of a longer one are written
as they come, each in a short transaction, so that neither memory nor the writers' lock is held
for as long as a slow client takes. Until ``finish`` they belong to a row of
``sys_attachment_upload``; whoever ends that row owns them: ``finish`` gives them to the attachment
in the transaction that inserts it, ``abandon`` and the sweeper take them away.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from midspan.attachments.errors import FileTooLarge, UploadExpired
from midspan.attachments.file import PIECE, PIECES, TABLE, UPLOADS, NewFile, pack
from midspan.attachments.guard import MAKING
from midspan.dictionary import Storage
from midspan.records import RecordTransaction, insert
from midspan.security import Actor

if TYPE_CHECKING:
    from midspan.attachments.store import AttachmentStore


class Upload:
    """Takes the bytes of one file in order; used by one thread at a time."""

    def __init__(self, store: AttachmentStore, actor: Actor, new: NewFile, limit: int) -> None:
        self.sys_id = store.records.ids.sys_id()
        self._store = store
        self._actor = actor
        self._new = new
        self._limit = limit
        self._buffer = bytearray()
        self._digest = hashlib.sha256()
        self._taken = 0
        self._size = 0
        self._packed = 0
        self._pieces = 0

    def add(self, data: bytes | memoryview) -> bool:
        """Take bytes into memory; True when ``store`` has to be called before more are added.

        Raises:
            FileTooLarge: the file is longer than allowed.
        """
        self._taken += len(data)
        if self._taken > self._limit:
            raise FileTooLarge(self._limit)
        self._buffer += data
        return len(self._buffer) > PIECE

    def store(self) -> None:
        """Write what is in memory but for the last piece, which may still grow; blocks.

        Raises:
            UploadExpired: the pieces before were taken away.
        """
        while len(self._buffer) > PIECE:
            with self._store.records.write(self._actor) as transaction:
                if self._pieces == 0:
                    row = {"sys_id": self.sys_id, "state": "receiving"}
                    transaction.engine_insert(UPLOADS, [row])
                else:
                    self._touch(transaction)
                self._put(transaction, bytes(self._buffer[:PIECE]))
            del self._buffer[:PIECE]

    def finish(self) -> str:
        """Write the last piece and the metadata in one transaction; return the attachment's id.

        Raises:
            UploadExpired: the pieces before were taken away.
            NotAuthorized, RecordNotFound, OperationAborted: the record went, or refuses it.
        """
        self.store()
        with self._store.records.write(self._actor) as transaction:
            self.finish_in(transaction)
        return self.sys_id

    @property
    def digest(self) -> str:
        """SHA-256 of what was taken so far, hexadecimal."""
        whole = self._digest.copy()
        whole.update(self._buffer)
        return whole.hexdigest()

    def finish_in(self, transaction: RecordTransaction) -> None:
        """Do what ``finish`` does in a transaction of the caller, after ``store``."""
        database = transaction.database
        if self._pieces and not database.execute(self._store.sql["take"], (self.sys_id,)):
            raise UploadExpired
        while self._buffer or not self._pieces:
            self._put(transaction, bytes(self._buffer[:PIECE]))
            del self._buffer[:PIECE]
        transaction.locals[MAKING] = self._values()
        given = {
            "table_name": self._new.table,
            "table_sys_id": self._new.record,
            "file_name": self._new.name,
            "content_type": self._new.content_type,
        }
        transaction.apply(insert(TABLE, given, sys_id=self.sys_id))

    def abandon(self) -> None:
        """Take the pieces away again."""
        if self._pieces:
            self._store.drop(self.sys_id)

    def _touch(self, transaction: RecordTransaction) -> None:
        now = transaction.database.dialect.bind(Storage.DATETIME, transaction.now_text)
        if not transaction.database.execute(self._store.sql["touch"], (now, self.sys_id)):
            raise UploadExpired

    def _put(self, transaction: RecordTransaction, piece: bytes) -> None:
        text, packed = pack(piece)
        row = {
            "sys_attachment": self.sys_id,
            "position": str(self._pieces),
            "length": str(packed),
            "data": text,
        }
        transaction.engine_insert(PIECES, [row])
        self._digest.update(piece)
        self._size += len(piece)
        self._packed += packed
        self._pieces += 1

    def _values(self) -> dict[str, str]:
        return {
            "sys_id": self.sys_id,
            "size_bytes": str(self._size),
            "size_compressed": str(self._packed),
            "compressed": "true",
            "chunk_size_bytes": str(PIECE),
            "hash": self._digest.hexdigest(),
            "state": "available",
        }
