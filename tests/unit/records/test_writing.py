"""Writing records: defaults, numbers, stamps, journal, audit, refusal; on both databases."""

from __future__ import annotations

import pytest

from midspan.instance import Instance
from midspan.kernel.errors import (
    DuplicateKey,
    InvalidField,
    InvalidTable,
    InvalidValue,
    NotAuthorized,
    OperationAborted,
    RecordNotFound,
)
from midspan.records import (
    Applied,
    Change,
    ChangeOptions,
    Draft,
    Operation,
    RecordTransaction,
    Refused,
    delete,
    insert,
    update,
)
from midspan.security import SYSTEM


def write(instance: Instance, *changes: Change) -> list[Applied]:
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        return [transaction.apply(change) for change in changes]


def write_and_fail(instance: Instance, change: Change, error: Exception) -> None:
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        transaction.apply(change)
        raise error


BAD = insert("problem", {"impact": "x"})


def test_insert_fills_defaults_number_and_stamp(instance: Instance) -> None:
    (made,) = write(instance, insert("incident", {"short_description": "VPN drops"}))
    values = made.values
    assert values["number"].startswith("INC00")
    assert (values["state"], values["impact"], values["active"]) == ("1", "3", "true")
    assert values["sys_class_name"] == "incident"
    assert values["sys_created_on"] == "2026-01-31 08:00:00"
    assert values["sys_mod_count"] == "0"
    assert values["opened_at"] == "2026-01-31 08:00:00"


def test_numbers_are_never_given_twice_even_after_a_rollback(instance: Instance) -> None:
    first = write(instance, insert("problem", {}))[0].values["number"]
    with pytest.raises(RuntimeError):
        write_and_fail(instance, insert("problem", {}), RuntimeError())
    numbers = [write(instance, insert("problem", {}))[0].values["number"] for _ in range(60)]
    assert len({first, *numbers}) == 61


def test_update_through_the_parent_reaches_the_child(instance: Instance) -> None:
    (made,) = write(instance, insert("incident", {"short_description": "a"}))
    (changed,) = write(instance, update("task", made.sys_id, {"state": "2", "category": "network"}))
    assert changed.table == "incident"
    with instance.records.read(SYSTEM) as transaction:
        record = transaction.require("task", made.sys_id)
    assert (record.table, record.get("state"), record.get("category")) == (
        "incident",
        "2",
        "network",
    )
    assert record.get("sys_mod_count") == "1"


def test_update_without_a_change_writes_nothing(instance: Instance) -> None:
    (made,) = write(instance, insert("incident", {"short_description": "same"}))
    (again,) = write(instance, update("incident", made.sys_id, {"short_description": "same"}))
    assert again.written is False
    assert again.values["sys_mod_count"] == "0"


def test_journal_and_audit_rows_stand_beside_the_record(instance: Instance) -> None:
    (made,) = write(instance, insert("incident", {}))
    write(instance, update("incident", made.sys_id, {"comments": "Hello", "category": "network"}))
    with instance.records.read(SYSTEM) as transaction:
        journal = transaction.find("sys_journal_field", f"element_id={made.sys_id}")
        audit = transaction.find("sys_audit", f"documentkey={made.sys_id}")
    assert [(row.get("element"), row.get("value")) for row in journal] == [("comments", "Hello")]
    assert [(r.get("fieldname"), r.get("oldvalue"), r.get("newvalue")) for r in audit] == [
        ("category", "inquiry", "network")
    ]


def test_delete_leaves_a_trace_and_takes_the_journal_along(instance: Instance) -> None:
    (made,) = write(instance, insert("incident", {"comments": "x"}))
    write(instance, delete("incident", made.sys_id))
    with instance.records.read(SYSTEM) as transaction:
        assert transaction.get("incident", made.sys_id) is None
        assert transaction.find("sys_journal_field", f"element_id={made.sys_id}") == []
        (trace,) = transaction.find("sys_audit_delete", f"documentkey={made.sys_id}")
    assert trace.get("display_value") == made.values["number"]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (insert("incidnet", {}), InvalidTable, "incident"),
        (insert("incident", {"shrt_description": "x"}), InvalidField, "short_description"),
        (insert("incident", {"impact": "high"}), InvalidValue, "whole number"),
        (insert("incident", {"opened_at": "yesterday"}), InvalidValue, "YYYY-MM-DD"),
        (update("incident", "0" * 32, {"state": "2"}), RecordNotFound, "0" * 32),
        (delete("incident", "0" * 32), RecordNotFound, "0" * 32),
        (insert("sys_audit", {"tablename": "x"}), NotAuthorized, "instance alone"),
    ],
)
def test_bad_changes_are_refused_with_what_to_do(
    instance: Instance, change: Change, error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as caught:
        write(instance, change)
    assert words in caught.value.explain()  # type: ignore[attr-defined]


def test_a_second_record_with_the_same_unique_value_is_refused(instance: Instance) -> None:
    write(instance, insert("sys_user", {"user_name": "twice"}))
    with pytest.raises(DuplicateKey):
        write(instance, insert("sys_user", {"user_name": "TWICE"}))


def test_one_refusal_in_a_set_leaves_the_others_written(instance: Instance) -> None:
    changes = [insert("sys_user", {"user_name": f"set{number % 40}"}) for number in range(45)]
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        results = transaction.apply_all(changes, collect=True)
    refused = [result for result in results if isinstance(result, Refused)]
    assert len(refused) == 5
    assert all(isinstance(result.error, DuplicateKey) for result in refused)
    with instance.records.read(SYSTEM) as transaction:
        assert len(transaction.find("sys_user", "user_nameSTARTSWITHset")) == 40


def test_a_failed_transaction_leaves_nothing(instance: Instance) -> None:
    with pytest.raises(InvalidValue):
        write(instance, insert("problem", {"short_description": "half written"}), BAD)
    with instance.records.read(SYSTEM) as transaction:
        assert transaction.find("problem", "short_description=half written") == []


def test_passwords_are_stored_as_hashes_and_never_read(instance: Instance) -> None:
    write(instance, insert("sys_user", {"user_name": "pw", "user_password": "correct horse"}))
    with instance.records.read(SYSTEM) as transaction:
        stored = transaction.first("sys_user", "user_name=pw")
        assert stored is not None
        assert stored.get("user_password").startswith("$argon2id$")
        assert not transaction.access.field("sys_user", "user_password", "read")


class Refusing:
    """A hook that closes nothing and refuses what it is told to."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bool]] = []

    def wants(self, table: object, operation: Operation, transaction: RecordTransaction) -> bool:
        return getattr(table, "name", "") == "change_task"

    def before(self, draft: Draft, transaction: RecordTransaction, *, late: bool) -> None:
        self.seen.append((draft.get("short_description"), late))
        if not late:
            draft.set("close_notes", "seen")
        if draft.get("short_description") == "bad":
            draft.refuse("not that")

    def after(self, draft: Draft, transaction: RecordTransaction) -> None:
        self.seen.append(("after " + draft.get("short_description"), True))

    def before_query(self, table: object, query: object, transaction: object) -> object:
        return query


def test_hooks_alter_refuse_and_see_the_stored_draft(instance: Instance) -> None:
    hook = Refusing()
    instance.records.hooks.append(hook)  # type: ignore[arg-type]
    try:
        (made,) = write(instance, insert("change_task", {"short_description": "good"}))
        assert made.values["close_notes"] == "seen"
        assert hook.seen == [("good", False), ("good", True), ("after good", True)]
        with pytest.raises(OperationAborted, match="Operation Failed"):
            write(instance, insert("change_task", {"short_description": "bad"}))
        quiet = Change(
            table="change_task",
            operation=Operation.INSERT,
            values={"short_description": "bad"},
            options=ChangeOptions(rules=False),
        )
        assert write(instance, quiet)[0].values["close_notes"] == ""
    finally:
        instance.records.hooks.remove(hook)  # type: ignore[arg-type]


def test_a_held_record_changes_as_if_it_had_been_loaded_again(instance: Instance) -> None:
    made, other = write(
        instance, insert("incident", {"short_description": "a"}), insert("incident", {})
    )
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        held = transaction.hold("task", made.sys_id)
        assert held.table == "incident"
        change = update("task", made.sys_id, {"short_description": "b"})
        applied = transaction.apply(change, alone=True, held=held)
        assert (applied.written, applied.values["sys_mod_count"]) == (True, "1")
        with pytest.raises(RecordNotFound):
            transaction.hold("problem", made.sys_id)
    with instance.records.read(SYSTEM) as transaction:
        assert transaction.require("incident", made.sys_id).get("short_description") == "b"
        assert transaction.require("incident", other.sys_id).get("short_description") == ""
