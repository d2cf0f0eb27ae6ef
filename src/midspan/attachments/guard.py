"""What holds of every attachment, whoever writes: a record it belongs to, and bytes that fit it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from midspan.attachments.errors import AttachmentProtected
from midspan.attachments.file import (
    PIECE,
    ROLES,
    TABLE,
    UPLOADS,
    check_extension,
    safe_name,
    safe_type,
)
from midspan.dictionary import Strategy, Table
from midspan.kernel.errors import NotAuthorized, NotFound, RecordNotFound
from midspan.query import ALWAYS, NEVER, Operator, ReadPlan, Test
from midspan.records import (
    PROPERTIES,
    Change,
    ChangeOptions,
    Draft,
    Operation,
    Record,
    RecordTransaction,
)
from midspan.security.attachment import IMAGE_PREFIX
from midspan.storage import Statements

MAKING = "attachments.making"
"""Local of a transaction: the values of the attachment that the store is about to insert."""
SHORT = 4 * PIECE
"""Bytes of a file whose pieces are deleted together with it."""
_BYTES = ("size_bytes", "size_compressed", "compressed", "chunk_size_bytes", "hash", "state")
_PLACE = ("table_name", "table_sys_id")


class AttachmentGuard:
    """A ``Guard`` of sys_attachment, and of every record that is deleted.

    Metadata is inserted by ``AttachmentStore`` alone, because only it has the bytes. Whoever
    writes an attachment needs the right to write its record.
    """

    def __init__(self, sql: Statements, wake: Callable[[], None]) -> None:
        """``wake`` is called when bytes of deleted files wait to be taken away."""
        self._sql = sql
        self._wake = wake

    def wants(self, table: Table, operation: Operation) -> bool:
        """Take every write of sys_attachment, and the deletion of anything."""
        return operation is Operation.DELETE or table.name == TABLE

    def before(self, draft: Draft, transaction: RecordTransaction) -> None:
        """Refuse what would break an attachment; complete a new one.

        Raises:
            AttachmentProtected: it would.
            FileRefused: a name or type that no file has.
            RecordNotFound, NotAuthorized: the record may not be read or written.
        """
        if draft.table.name != TABLE:
            return
        match draft.operation:
            case Operation.INSERT:
                self._complete(draft, transaction)
            case Operation.UPDATE:
                self._check_update(draft, transaction)
            case Operation.DELETE if transaction.enforce:
                _check_present_parent(draft, transaction)

    def after(self, drafts: Sequence[Draft], transaction: RecordTransaction) -> None:
        """Give up the bytes of deleted attachments; delete the attachments of deleted records."""
        table = drafts[0].table
        if drafts[0].operation is not Operation.DELETE:
            return
        if table.name == TABLE:
            self._give_up(drafts, transaction)
            return
        options = ChangeOptions(rules=drafts[0].options.rules)
        changes = [
            Change(table=TABLE, operation=Operation.DELETE, sys_id=sys_id, options=options)
            for sys_id in _attached(transaction, table, [draft.sys_id for draft in drafts])
        ]
        if changes:
            with transaction.unrestricted():
                transaction.apply_all(changes)

    def _give_up(self, drafts: Sequence[Draft], transaction: RecordTransaction) -> None:
        """Delete the bytes of short files now; long ones would keep other writers waiting."""
        long = [draft for draft in drafts if int(draft.old("size_bytes") or 0) > SHORT]
        short = [(draft.sys_id,) for draft in drafts if draft not in long]
        transaction.database.execute_many(self._sql["drop_pieces"], short)
        everyone = [(draft.sys_id,) for draft in drafts]
        transaction.database.execute_many(self._sql["drop_attributes"], everyone)
        if long:
            rows = [{"sys_id": draft.sys_id, "state": "dropped"} for draft in long]
            transaction.engine_insert(UPLOADS, rows)
            transaction.after_commit(self._wake)

    def _complete(self, draft: Draft, transaction: RecordTransaction) -> None:
        values = transaction.locals.get(MAKING)
        if values is None or values["sys_id"] != draft.sys_id:
            raise AttachmentProtected("An attachment is made by the Attachment API, with its file")
        for name, text in values.items():
            if name != "sys_id":
                draft.set(name, text)
        _settle(draft, transaction)

    def _check_update(self, draft: Draft, transaction: RecordTransaction) -> None:
        fixed = [name for name in _BYTES if draft.changed(name)]
        if fixed:
            raise AttachmentProtected(f"{', '.join(fixed)} of an attachment follow from its file")
        if draft.changed("file_name"):
            draft.set("file_name", safe_name(draft.get("file_name")))
            part = transaction.snapshot.part(PROPERTIES)
            check_extension(draft.get("file_name"), lambda name: part.get(name) or "")
        if draft.changed("content_type"):
            draft.set("content_type", safe_type(draft.get("content_type")))
        if transaction.enforce:
            _check_present_parent(draft, transaction)
        if any(draft.changed(name) for name in _PLACE):
            _settle(draft, transaction)


def _settle(draft: Draft, transaction: RecordTransaction) -> None:
    """Check the record that an attachment is to belong to, and keep it until the end.

    The caller's name of the table stays, unless each class of the hierarchy has a table of its
    own: then the record's class is what reading rights are asked by.
    """
    name = draft.get("table_name")
    parent = writable_parent(transaction, name, draft.get("table_sys_id"))
    if transaction.dictionary.table(parent.table).strategy is Strategy.PER_CLASS:
        prefix = IMAGE_PREFIX if name.startswith(IMAGE_PREFIX) else ""
        draft.set("table_name", f"{prefix}{parent.table}")
    keep_parent(transaction, parent)


def writable_parent(transaction: RecordTransaction, table_name: str, sys_id: str) -> Record:
    """Return the record that a file belongs to, if the actor may write it.

    Raises:
        InvalidTable: there is no such table.
        RecordNotFound: no such record, or the actor may not read it.
        NotAuthorized: he may not write it, or nobody may.
    """
    table = transaction.dictionary.table(table_name.removeprefix(IMAGE_PREFIX))
    if table.engine is not None or table.name == TABLE:
        raise AttachmentProtected(f"Records of {table.name} have no attachments")
    record = transaction.require(table.name, sys_id)
    if not transaction.enforce:
        return record
    condition = transaction.access.rows(record.table, "write")
    if condition != ALWAYS and (condition == NEVER or not transaction.matches(record, condition)):
        raise NotAuthorized(
            "Operation Failed",
            detail=f"ACL Exception: attachments of {record.table} need write access to the record",
        )
    return record


def check_role(transaction: RecordTransaction) -> None:
    """Refuse an actor without one of the roles that the property names.

    Raises:
        NotAuthorized: he has none of them.
    """
    text = transaction.snapshot.part(PROPERTIES).get(ROLES) or ""
    wanted = {part.strip() for part in text.split(",")} - {""}
    actor = transaction.actor
    if not wanted or "public" in wanted or actor.is_admin or actor.trusted:
        return
    if transaction.enforce and not wanted & actor.roles:
        raise NotAuthorized("Operation Failed", detail=f"{ROLES} asks for a role to attach files")


def keep_parent(transaction: RecordTransaction, parent: Record) -> None:
    """Keep the record until the end of the transaction, so that its deletion sees the attachment.

    Raises:
        RecordNotFound: it was deleted meanwhile.
    """
    table = transaction.dictionary.table(parent.table)
    transaction.store.lock_rows(transaction.database, table, [parent.sys_id])
    if not transaction.load(table.name, (parent.sys_id,)):
        raise RecordNotFound(table.name, parent.sys_id)


def _check_present_parent(draft: Draft, transaction: RecordTransaction) -> None:
    """Ask for the right to write the record; one that is gone leaves it to the administrator."""
    try:
        writable_parent(transaction, draft.old("table_name"), draft.old("table_sys_id"))
    except NotFound:
        if not transaction.actor.is_admin:
            raise


def _attached(transaction: RecordTransaction, table: Table, records: Sequence[str]) -> list[str]:
    """Return the attachments of records of one class."""
    dictionary = transaction.dictionary
    names = {
        f"{prefix}{name}"
        for name in dictionary.ancestors(table.name)
        for prefix in ("", IMAGE_PREFIX)
    }
    columns = tuple(dictionary.path(TABLE, name) for name in ("sys_id", "table_name"))
    test = Test(dictionary.path(TABLE, "table_sys_id"), Operator.IN, tuple(records))
    rows = transaction.run(ReadPlan(table=TABLE, columns=columns, condition=test))
    return sorted(str(row[0]) for row in rows if row[1] in names)
