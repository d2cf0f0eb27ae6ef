"""Files of records: pieces, hash, limits, and that metadata and bytes come and go together."""

from __future__ import annotations

import base64
import gzip
import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from midspan.attachments import AttachmentSweeper, NewFile, Upload
from midspan.attachments.errors import (
    AttachmentProtected,
    FileRefused,
    FileTooLarge,
    UploadExpired,
)
from midspan.attachments.file import EXTENSIONS, MAX_SIZE, PIECE, ROLES
from midspan.attachments.store import FORGOTTEN_AFTER
from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.kernel.errors import InvalidTable, NotAuthorized, OperationAborted, RecordNotFound
from midspan.records import Change, ChangeOptions, Operation, Record, delete, insert, update
from midspan.security import SYSTEM, Actor

ITIL = Actor(sys_id="c" * 32, user_name="itil.user", roles=frozenset({"itil"}))
PLAIN = Actor(sys_id="d" * 32, user_name="plain.user")
RANDOM = random.Random(7)  # noqa: S311 - content that does not compress
LONG = RANDOM.randbytes(2 * PIECE) + b"the same again " * 70_000


def incident(instance: Instance, table: str = "incident") -> str:
    with instance.records.write(SYSTEM) as records:
        return records.apply(insert(table, {"short_description": "has files"})).sys_id


def attach(instance: Instance, record: str, content: bytes = b"hello", **changes: str) -> str:
    given = {"table": "incident", "record": record, "name": "a.txt", "content_type": "text/plain"}
    new = NewFile(**(given | changes))
    pieces = [content[at : at + 100_000] for at in range(0, len(content), 100_000)]
    return instance.attachments.write(SYSTEM, new, pieces)


def metadata(instance: Instance, sys_id: str, actor: Actor = SYSTEM) -> Record | None:
    with instance.records.read(actor) as records:
        return records.get("sys_attachment", sys_id)


def content(instance: Instance, sys_id: str, start: int = 0, end: int | None = None) -> bytes:
    with instance.records.read(SYSTEM) as records:
        file = instance.attachments.find(records, sys_id)
    return b"".join(instance.attachments.pieces(file, start, end))


def rows(instance: Instance, table: str, sys_id: str) -> int:
    column = {"sys_attachment_doc": "sys_attachment", "sys_attachment_upload": "sys_id"}[table]
    with instance.records.read(SYSTEM) as records:
        return len(records.find(table, f"{column}={sys_id}"))


def begun(instance: Instance, record: str, actor: Actor = SYSTEM) -> Upload:
    """Return an upload of which one piece is stored."""
    new = NewFile(table="incident", record=record, name="long.bin")
    upload = instance.attachments.open(actor, new)
    assert upload.add(LONG[: PIECE + 1])
    upload.store()
    return upload


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; a minute is only a guard against hanging."""
    given_up = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < given_up, "the condition never held"
        time.sleep(0.01)


@contextmanager
def set_property(instance: Instance, name: str, value: str) -> Iterator[None]:
    with instance.records.write(SYSTEM) as records:
        made = records.apply(insert("sys_properties", {"name": name, "value": value}))
    try:
        yield
    finally:
        with instance.records.write(SYSTEM) as records:
            records.apply(delete("sys_properties", made.sys_id))


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, len(LONG)])
def test_a_file_comes_back_as_it_was(instance: Instance, size: int) -> None:
    given = LONG[:size]
    sys_id = attach(instance, incident(instance), given)
    stored = metadata(instance, sys_id)
    assert stored is not None
    assert content(instance, sys_id) == given
    assert stored.get("hash") == hashlib.sha256(given).hexdigest()
    assert stored.get("size_bytes") == str(size)
    assert stored.get("state") == "available"
    assert rows(instance, "sys_attachment_upload", sys_id) == 0


def test_any_part_can_be_read_alone(instance: Instance) -> None:
    sys_id = attach(instance, incident(instance), LONG)
    for start, end in [(0, 1), (PIECE - 1, PIECE + 1), (PIECE, 2 * PIECE), (5, None)]:
        assert content(instance, sys_id, start, end) == LONG[start:end]


def test_the_pieces_together_are_one_gzip_stream(instance: Instance) -> None:
    sys_id = attach(instance, incident(instance), LONG)
    with instance.records.read(SYSTEM) as records:
        docs = records.find("sys_attachment_doc", f"sys_attachment={sys_id}^ORDERBYposition")
    packed = b"".join(base64.b64decode(doc.get("data")) for doc in docs)
    stored = metadata(instance, sys_id)
    assert stored is not None
    assert gzip.decompress(packed) == LONG
    assert stored.get("size_compressed") == str(len(packed))
    assert len(packed) < 0.7 * len(LONG)
    assert [doc.get("position") for doc in docs] == ["0", "1", "2", "3"]


def test_a_file_that_is_not_complete_is_not_there(instance: Instance) -> None:
    upload = begun(instance, incident(instance))
    assert metadata(instance, upload.sys_id) is None
    assert rows(instance, "sys_attachment_doc", upload.sys_id) == 1
    upload.abandon()
    assert rows(instance, "sys_attachment_doc", upload.sys_id) == 0
    assert rows(instance, "sys_attachment_upload", upload.sys_id) == 0


def test_what_a_dead_node_left_is_swept_and_nothing_else(instance: Instance) -> None:
    clock = instance.clock
    assert isinstance(clock, ManualClock)
    record = incident(instance)
    complete = attach(instance, record, LONG)
    left = begun(instance, record)
    clock.advance(FORGOTTEN_AFTER / 2)
    alive = begun(instance, record)
    clock.advance(FORGOTTEN_AFTER * 0.6)
    assert instance.attachments.sweep() == 1
    assert rows(instance, "sys_attachment_doc", left.sys_id) == 0
    assert rows(instance, "sys_attachment_upload", left.sys_id) == 0
    alive.add(LONG[PIECE + 1 :])
    assert content(instance, alive.finish()) == LONG
    assert content(instance, complete) == LONG
    assert instance.attachments.sweep() == 0


def test_a_swept_upload_cannot_go_on(instance: Instance) -> None:
    clock = instance.clock
    assert isinstance(clock, ManualClock)
    upload, other = begun(instance, incident(instance)), begun(instance, incident(instance))
    clock.advance(FORGOTTEN_AFTER * 2)
    assert instance.attachments.sweep() == 2
    with pytest.raises(UploadExpired):
        upload.finish()
    other.add(LONG)
    with pytest.raises(UploadExpired):
        other.store()
    assert metadata(instance, upload.sys_id) is None
    assert rows(instance, "sys_attachment_doc", other.sys_id) == 0


def test_abandoning_a_finished_upload_takes_nothing(instance: Instance) -> None:
    upload = begun(instance, incident(instance))
    sys_id = upload.finish()
    upload.abandon()
    assert content(instance, sys_id) == LONG[: PIECE + 1]


def test_limits(instance: Instance) -> None:
    record = incident(instance)
    new = NewFile(table="incident", record=record, name="a.exe")
    with set_property(instance, MAX_SIZE, "1"):
        with pytest.raises(FileTooLarge):
            instance.attachments.open(SYSTEM, new, announced=1024 * 1024 + 1)
        with pytest.raises(FileTooLarge):
            attach(instance, record, b"x" * (1024 * 1024 + 1))
        attach(instance, record, b"x" * (1024 * 1024))
    with set_property(instance, EXTENSIONS, "txt, .PDF"):
        for name in ("a.exe", "exe", "a.txt.exe"):
            with pytest.raises(FileRefused, match="may not be attached"):
                attach(instance, record, name=name)
        renamed = attach(instance, record, name="plan.pdf")
        with pytest.raises(FileRefused), instance.records.write(SYSTEM) as records:
            records.apply(update("sys_attachment", renamed, {"file_name": "plan.exe"}))
    with instance.records.read(SYSTEM) as records:
        assert len(records.find("sys_attachment", f"table_sys_id={record}")) == 2


@pytest.mark.parametrize("kind", ["", "text", "text/plain\r\nX-Evil: 1", "a/" + "b" * 200])
def test_a_content_type_that_no_header_carries_is_refused(instance: Instance, kind: str) -> None:
    with pytest.raises(FileRefused):
        attach(instance, incident(instance), content_type=kind)


def test_deleting_a_record_deletes_its_files_with_their_bytes(instance: Instance) -> None:
    record, other = incident(instance), incident(instance)
    through_parent = attach(instance, record, LONG, table="task")
    image = attach(instance, record, table="ZZ_YYincident")
    kept = attach(instance, other)
    with instance.records.write(SYSTEM) as records:
        records.apply(update("incident", record, {"work_notes": "seen"}))
        records.apply(delete("incident", record))
    with instance.records.read(SYSTEM) as records:
        gone = records.find("sys_audit_delete", f"documentkeyIN{record},{through_parent},{image}")
        assert records.find("sys_journal_field", f"element_id={record}") == []
    assert {row.get("tablename") for row in gone} == {"incident", "sys_attachment"}
    assert len(gone) == 3
    for sys_id in (through_parent, image):
        assert metadata(instance, sys_id) is None
        assert rows(instance, "sys_attachment_doc", sys_id) == 0
    assert content(instance, kept) == b"hello"


def test_the_bytes_of_a_long_file_go_soon_after_it(instance: Instance) -> None:
    """They go in short transactions, because other writers would wait for one long."""
    file = attach(instance, incident(instance), LONG + LONG)
    instance.attachments.dropped.clear()
    with instance.records.write(SYSTEM) as records:
        records.apply(delete("sys_attachment", file))
    assert metadata(instance, file) is None
    assert instance.attachments.dropped.is_set()
    sweeper = AttachmentSweeper(instance.attachments)
    sweeper.start()
    wait_until(lambda: rows(instance, "sys_attachment_upload", file) == 0)
    assert rows(instance, "sys_attachment_doc", file) == 0
    other = attach(instance, incident(instance), LONG + LONG)
    with instance.records.write(SYSTEM) as records:
        records.apply(delete("sys_attachment", other))
    wait_until(lambda: rows(instance, "sys_attachment_doc", other) == 0)
    sweeper.stop()


def test_files_go_with_a_set_and_without_rules_too(instance: Instance) -> None:
    silent = ChangeOptions(rules=False)
    ids = [incident(instance) for _ in range(3)]
    files = [attach(instance, record) for record in ids]
    with instance.records.write(SYSTEM) as records:
        records.apply_all(
            [
                Change(table="task", operation=Operation.DELETE, sys_id=each, options=silent)
                for each in ids
            ]
        )
    assert [metadata(instance, each) for each in files] == [None] * 3
    assert [rows(instance, "sys_attachment_doc", each) for each in files] == [0] * 3


def test_the_same_id_in_another_table_keeps_its_files(instance: Instance) -> None:
    record = incident(instance)
    with instance.records.write(SYSTEM) as records:
        records.apply(insert("core_company", {"name": "Twin"}, sys_id=record))
    file = attach(instance, record, table="core_company")
    with instance.records.write(SYSTEM) as records:
        records.apply(delete("incident", record))
    assert content(instance, file) == b"hello"


def test_a_refused_deletion_keeps_the_files(instance: Instance) -> None:
    record = incident(instance)
    file = attach(instance, record)
    with pytest.raises(RecordNotFound), instance.records.write(PLAIN) as records:
        records.apply(delete("incident", record))
    assert content(instance, file) == b"hello"


@pytest.mark.parametrize("field", ["size_bytes", "hash", "compressed", "state"])
def test_nobody_writes_what_follows_from_the_bytes(instance: Instance, field: str) -> None:
    file = attach(instance, incident(instance))
    value = {"compressed": "false"}.get(field, "7")
    for options in (ChangeOptions(), ChangeOptions(rules=False)):
        change = Change(
            table="sys_attachment",
            operation=Operation.UPDATE,
            sys_id=file,
            values={field: value},
            options=options,
        )
        with pytest.raises(AttachmentProtected), instance.records.write(SYSTEM) as records:
            records.apply(change)


def test_metadata_without_bytes_cannot_be_made(instance: Instance) -> None:
    values = {"table_name": "incident", "table_sys_id": incident(instance), "file_name": "a.txt"}
    with pytest.raises(AttachmentProtected), instance.records.write(SYSTEM) as records:
        records.apply(insert("sys_attachment", values))
    with pytest.raises(NotAuthorized), instance.records.write(SYSTEM) as records:
        records.apply(insert("sys_attachment_doc", {"data": "x"}))


def test_the_record_must_be_there_and_may_have_files(instance: Instance) -> None:
    record = incident(instance)
    with pytest.raises(RecordNotFound):
        attach(instance, "e" * 32)
    with pytest.raises(RecordNotFound):
        attach(instance, record, table="problem")
    with pytest.raises(InvalidTable):
        attach(instance, record, table="no_such")
    with pytest.raises(AttachmentProtected):
        attach(instance, record, table="sys_audit")


def test_a_record_deleted_during_the_upload_gets_no_file(instance: Instance) -> None:
    record = incident(instance)
    upload = begun(instance, record)
    with instance.records.write(SYSTEM) as records:
        records.apply(delete("incident", record))
    with pytest.raises(RecordNotFound):
        upload.finish()
    upload.abandon()
    assert metadata(instance, upload.sys_id) is None
    assert rows(instance, "sys_attachment_doc", upload.sys_id) == 0


def test_who_reads_and_writes_the_record_does_so_with_its_files(instance: Instance) -> None:
    record = incident(instance)
    file = attach(instance, record)
    assert metadata(instance, file, ITIL) is not None
    assert metadata(instance, file, PLAIN) is None
    new = NewFile(table="incident", record=record, name="b.txt")
    assert instance.attachments.write(ITIL, new, [b"mine"])
    with pytest.raises(RecordNotFound):
        instance.attachments.open(PLAIN, new)
    for change in (
        update("sys_attachment", file, {"file_name": "taken.txt"}),
        delete("sys_attachment", file),
    ):
        with pytest.raises(RecordNotFound), instance.records.write(PLAIN) as records:
            records.apply(change)
    with instance.records.write(ITIL) as records:
        records.apply(delete("sys_attachment", file))
    assert rows(instance, "sys_attachment_doc", file) == 0


def test_who_only_reads_the_record_only_reads_its_files(instance: Instance) -> None:
    with instance.records.write(SYSTEM) as records:
        company = records.apply(insert("core_company", {"name": "Read only"})).sys_id
    file = attach(instance, company, table="core_company")
    assert metadata(instance, file, ITIL) is not None
    new = NewFile(table="core_company", record=company, name="b.txt")
    with pytest.raises(NotAuthorized):
        instance.attachments.open(ITIL, new)
    for change in (
        update("sys_attachment", file, {"file_name": "b.txt"}),
        delete("sys_attachment", file),
    ):
        with pytest.raises(NotAuthorized), instance.records.write(ITIL) as records:
            records.apply(change)


def test_rows_are_read_by_the_rule_of_their_own_record(instance: Instance) -> None:
    """Everybody reads his own user record, so he sees that record's file and no other's."""
    with instance.records.write(SYSTEM) as records:
        for actor in (PLAIN, ITIL):
            if records.get("sys_user", actor.sys_id) is None:
                values = {"user_name": actor.user_name}
                records.apply(insert("sys_user", values, sys_id=actor.sys_id))
    own = attach(instance, PLAIN.sys_id, table="sys_user")
    other = attach(instance, ITIL.sys_id, table="sys_user", name="secret-name.txt")
    attach(instance, incident(instance))
    with instance.records.read(PLAIN) as records:
        assert [each.sys_id for each in records.find("sys_attachment", "")] == [own]
        assert records.find("sys_attachment", "file_nameSTARTSWITHsecret") == []
        assert records.get("sys_attachment", other) is None


def test_where_each_class_has_a_table_the_file_names_the_class(instance: Instance) -> None:
    """Reading the root would join the tables of all classes for each list of attachments."""
    with instance.records.write(SYSTEM) as records:
        role = records.apply(insert("sys_user_role", {"name": instance.ids.sys_id()})).sys_id
        script = records.apply(insert("sys_script", {"name": "has a file"})).sys_id
    shown = attach(instance, role, table="sys_metadata")
    hidden = attach(instance, script, table="sys_metadata")
    found = metadata(instance, shown, ITIL)
    assert found is not None
    assert found.get("table_name") == "sys_user_role"
    assert metadata(instance, hidden, ITIL) is None
    assert metadata(instance, shown, PLAIN) is None
    with instance.records.write(SYSTEM) as records:
        records.apply(delete("sys_metadata", script))
        records.apply(delete("sys_user_role", role))
    assert [metadata(instance, each) for each in (shown, hidden)] == [None, None]


def test_moving_a_file_needs_both_records(instance: Instance) -> None:
    with instance.records.write(SYSTEM) as records:
        company = records.apply(insert("core_company", {"name": "Elsewhere"})).sys_id
    record, other = incident(instance), incident(instance)
    file = attach(instance, record)
    move = update("sys_attachment", file, {"table_name": "core_company", "table_sys_id": company})
    with pytest.raises(NotAuthorized), instance.records.write(ITIL) as records:
        records.apply(move)
    with pytest.raises(RecordNotFound), instance.records.write(ITIL) as records:
        records.apply(update("sys_attachment", file, {"table_sys_id": "e" * 32}))
    with instance.records.write(ITIL) as records:
        records.apply(update("sys_attachment", file, {"table_sys_id": other}))
    with instance.records.write(SYSTEM) as records:
        records.apply(delete("incident", record))
    assert content(instance, file) == b"hello"


def test_the_property_asks_for_a_role_besides(instance: Instance) -> None:
    new = NewFile(table="incident", record=incident(instance), name="b.txt")
    with set_property(instance, ROLES, "file_clerk, archivist"):
        with pytest.raises(NotAuthorized):
            instance.attachments.open(ITIL, new)
        clerk = Actor(sys_id="f" * 32, user_name="clerk", roles=frozenset({"itil", "archivist"}))
        assert instance.attachments.write(clerk, new, [b"x"])


def test_a_record_and_its_new_files_go_together_at_the_same_moment(instance: Instance) -> None:
    """Whichever comes first, no attachment is left without its record."""

    def attach_one(record: str, start: threading.Barrier) -> str:
        start.wait()
        try:
            return attach(instance, record, LONG)
        except RecordNotFound:
            return ""

    def delete_it(record: str, start: threading.Barrier) -> None:
        start.wait()
        with instance.records.write(SYSTEM) as records:
            records.apply(delete("incident", record))

    with ThreadPoolExecutor(4) as threads:
        for _ in range(10):
            record, start = incident(instance), threading.Barrier(4)
            files = [threads.submit(attach_one, record, start) for _ in range(3)]
            threads.submit(delete_it, record, start).result()
            made = [found for file in files if (found := file.result())]
            assert [metadata(instance, each) for each in made] == [None] * len(made)
            assert [rows(instance, "sys_attachment_doc", each) for each in made] == [0] * len(made)
    with instance.records.read(SYSTEM) as records:
        assert records.find("sys_attachment_upload", "state=receiving") == []


def test_a_rule_that_refuses_leaves_nothing(instance: Instance) -> None:
    rule = {
        "name": "No secret files",
        "collection": "sys_attachment",
        "when": "before",
        "active": "true",
        "action_insert": "true",
        "abort_action": "true",
        "filter_condition": "file_nameSTARTSWITHlong^EQ",
    }
    with instance.records.write(SYSTEM) as records:
        made = records.apply(insert("sys_script", rule)).sys_id
    upload = begun(instance, incident(instance))
    with pytest.raises(OperationAborted):
        upload.finish()
    upload.abandon()
    assert metadata(instance, upload.sys_id) is None
    assert rows(instance, "sys_attachment_doc", upload.sys_id) == 0
    with instance.records.write(SYSTEM) as records:
        records.apply(delete("sys_script", made))


def test_a_file_in_the_callers_transaction_goes_with_it(instance: Instance) -> None:
    record = incident(instance)
    new = NewFile(table="incident", record=record, name="b.bin")
    with instance.records.write(SYSTEM) as records:
        kept = instance.attachments.add(records, new, LONG)
    assert content(instance, kept) == LONG
    lost: list[str] = []

    def add_and_fail() -> None:
        with instance.records.write(SYSTEM) as records:
            lost.append(instance.attachments.add(records, new, LONG))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        add_and_fail()
    assert metadata(instance, lost[0]) is None
    assert rows(instance, "sys_attachment_doc", lost[0]) == 0


def test_reading_a_file_that_is_deleted_meanwhile_fails(instance: Instance) -> None:
    sys_id = attach(instance, incident(instance), LONG)
    with instance.records.read(SYSTEM) as records:
        file = instance.attachments.find(records, sys_id)
    pieces = instance.attachments.pieces(file)
    assert next(pieces) == LONG[:PIECE]
    with instance.records.write(SYSTEM) as records:
        records.apply(delete("sys_attachment", sys_id))
    with pytest.raises(RecordNotFound):
        next(pieces)
