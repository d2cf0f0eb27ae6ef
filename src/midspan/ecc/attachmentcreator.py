"""Messages of the queue that carry a file: what integrations without another way attach with.

``topic`` is AttachmentCreator, ``name`` ``<file>:<type>``, ``source`` ``<table>:<sys_id>`` and
``payload`` the file in base64. The file is attached in the transaction of the message, with the
rights of its sender; the message says what became of it. Source: ``spec/clients.md`` 34.
"""

from __future__ import annotations

import binascii

from midspan.attachments import AttachmentStore, NewFile
from midspan.attachments.file import UNKNOWN_TYPE
from midspan.dictionary import Table
from midspan.dictionary.values import datetime_text
from midspan.ecc.ending import TABLE
from midspan.kernel.errors import InvalidRequest, MidspanError
from midspan.query import Query
from midspan.records import Draft, Operation, RecordTransaction, update

TOPIC = "AttachmentCreator"


class AttachmentCreator:
    """A ``RecordHook`` of the queue."""

    def __init__(self, files: AttachmentStore) -> None:
        self._files = files

    def wants(self, table: Table, operation: Operation, transaction: RecordTransaction) -> bool:
        """Take inserts into the queue."""
        return table.name == TABLE and operation is Operation.INSERT

    def before(self, draft: Draft, transaction: RecordTransaction, *, late: bool) -> None:
        """Note that such a message comes in, whatever its sender left out."""
        if not late and draft.get("topic") == TOPIC and not draft.get("queue"):
            draft.set("queue", "input")

    def after(self, draft: Draft, transaction: RecordTransaction) -> None:
        """Attach the file and say so, or say why not."""
        if draft.get("topic") != TOPIC or draft.get("state") != "ready":
            return
        values = {"state": "processed", "processed": datetime_text(transaction.now)}
        try:
            with transaction.database.savepoint():
                self._attach(draft, transaction)
        except MidspanError as error:
            values = {"state": "error", "error_string": error.explain()[:4000]}
        with transaction.unrestricted():
            transaction.apply(update(TABLE, draft.sys_id, values))

    def before_query(self, table: Table, query: Query, transaction: RecordTransaction) -> Query:
        """Leave queries as they are."""
        return query

    def _attach(self, draft: Draft, transaction: RecordTransaction) -> None:
        table, _, record = draft.get("source").partition(":")
        if not table or not record:
            raise InvalidRequest("The source names no record", hint="Send <table>:<sys_id>.")
        name, _, kind = draft.get("name").rpartition(":")
        if not name:
            name, kind = kind, ""
        new = NewFile(
            table=table.strip(),
            record=record.strip(),
            name=name.strip(),
            content_type=kind.strip() or UNKNOWN_TYPE,
        )
        self._files.add(transaction, new, _content(draft.get("payload")))


def _content(payload: str) -> bytes:
    try:
        return binascii.a2b_base64("".join(payload.split()), strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(f"The payload is not base64: {error}") from error
