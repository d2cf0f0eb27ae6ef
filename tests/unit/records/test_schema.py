"""Tables and columns made at run time by writing dictionary records; on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from midspan.dictionary import Dictionary, TableSpec
from midspan.dictionary.metadata import table_id
from midspan.instance import Instance
from midspan.kernel.errors import DuplicateKey, InvalidDefinition, InvalidValue
from midspan.records import delete, insert, update
from midspan.records.snapshot import load_dictionary
from midspan.security import SYSTEM


def test_a_table_with_a_column_is_there_at_once(instance: Instance) -> None:
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        transaction.apply(insert("sys_db_object", {"name": "u_gear", "label": "Gear"}))
        transaction.apply(
            insert(
                "sys_dictionary",
                {"name": "u_gear", "element": "u_size", "internal_type": "integer"},
            )
        )
        transaction.settle()
        made = transaction.apply(insert("u_gear", {"u_size": "7"}))
    assert made.values["u_size"] == "7"
    with instance.records.read(SYSTEM) as transaction:
        assert transaction.require("u_gear", made.sys_id).get("u_size") == "7"
        assert "u_size" in transaction.dictionary.table("u_gear").fields


def test_a_dictionary_is_made_once_for_each_state_of_its_rows(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change reads it three times, and whoever reads the same rows gets the same object."""
    made: list[Dictionary] = []

    def build(specs: list[TableSpec], former: Dictionary | None) -> Dictionary:
        made.append(build_of(specs, former))
        return made[-1]

    instance.holder.current()  # made before, whichever test is the first
    build_of = Dictionary.build
    monkeypatch.setattr(Dictionary, "build", build)
    column = {"name": "incident", "element": "u_once", "internal_type": "integer"}
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        sys_id = transaction.apply(insert("sys_dictionary", column)).sys_id
    with instance.database.read() as other:
        assert load_dictionary(other) is instance.holder.current().dictionary
    assert [found.table("incident").fields["u_once"].type for found in made] == ["integer"]
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        transaction.apply(update("sys_dictionary", sys_id, {"column_label": "Another"}))
    assert len(made) == 2
    assert instance.holder.current().dictionary.table("incident").fields["u_once"].label == (
        "Another"
    )


def test_a_child_table_is_read_through_its_parent(instance: Instance) -> None:
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        transaction.apply(
            insert("sys_db_object", {"name": "u_ticket", "super_class": table_id("task")})
        )
        transaction.apply(
            insert(
                "sys_dictionary",
                {"name": "u_ticket", "element": "u_extra", "internal_type": "string"},
            )
        )
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        made = transaction.apply(insert("u_ticket", {"u_extra": "x", "short_description": "y"}))
        through_task = transaction.require("task", made.sys_id)
    assert through_task.table == "u_ticket"
    assert through_task.get("u_extra") == "x"


def test_a_reference_may_name_its_table_by_name_or_by_id(instance: Instance) -> None:
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        transaction.apply(insert("sys_db_object", {"name": "u_link"}))
        for name, target in (("u_by_name", "sys_user"), ("u_by_id", table_id("sys_user"))):
            values = {"name": "u_link", "element": name, "internal_type": "reference"}
            transaction.apply(insert("sys_dictionary", {**values, "reference": target}))
    fields = instance.holder.current().dictionary.table("u_link").fields
    assert {fields[name].reference for name in ("u_by_name", "u_by_id")} == {"sys_user"}


def test_a_rolled_back_definition_leaves_no_table(instance: Instance) -> None:
    try:
        with instance.records.write(SYSTEM, enforce=False) as transaction:
            transaction.apply(insert("sys_db_object", {"name": "u_gone"}))
            transaction.settle()
            transaction.apply(insert("u_gone", {}))
            raise RuntimeError
    except RuntimeError:
        pass
    assert "u_gone" not in instance.holder.current().dictionary
    with instance.records.read(SYSTEM) as transaction:
        assert transaction.first("sys_db_object", "name=u_gone") is None


def test_metadata_rows_describe_the_built_in_tables_exactly(instance: Instance) -> None:
    dictionary = instance.holder.current().dictionary
    incident = dictionary.table("incident")
    assert incident.parent == "task"
    assert incident.fields["state"].label_of("2") == "In Progress"
    assert incident.fields["caller_id"].reference == "sys_user"
    assert incident.number is not None
    assert incident.number.prefix == "INC"
    assert dictionary.table("sys_user").display == "name"


def define(instance: Instance, table: str, element: str, kind: str) -> str:
    """Define a field in a transaction of its own, as one API request does."""
    values = {"name": table, "element": element, "internal_type": kind}
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        return transaction.apply(insert("sys_dictionary", values)).sys_id


def test_a_field_that_was_deleted_may_come_back_with_its_values(instance: Instance) -> None:
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        transaction.apply(insert("sys_db_object", {"name": "u_again"}))
    field = define(instance, "u_again", "u_size", "integer")
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        made = transaction.apply(insert("u_again", {"u_size": "7"}))
        transaction.apply(delete("sys_dictionary", field))
    define(instance, "u_again", "u_size", "integer")
    with instance.records.read(SYSTEM) as transaction:
        assert transaction.require("u_again", made.sys_id).get("u_size") == "7"


def test_a_table_that_was_deleted_may_come_back(instance: Instance) -> None:
    for _ in range(2):
        with instance.records.write(SYSTEM, enforce=False) as transaction:
            table = transaction.apply(insert("sys_db_object", {"name": "u_twice"}))
        define(instance, "u_twice", f"u_{table.sys_id[:8]}", "string")
        with instance.records.write(SYSTEM, enforce=False) as transaction:
            transaction.apply(insert("u_twice", {}))
            transaction.apply(delete("sys_db_object", table.sys_id))
    assert "u_twice" not in instance.holder.current().dictionary.tables


def test_a_column_keeps_its_storage(instance: Instance) -> None:
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        transaction.apply(insert("sys_db_object", {"name": "u_kept"}))
    field = define(instance, "u_kept", "u_text", "string")
    with (
        pytest.raises(InvalidDefinition, match="cannot change from string to integer"),
        instance.records.write(SYSTEM, enforce=False) as transaction,
    ):
        transaction.apply(update("sys_dictionary", field, {"internal_type": "integer"}))
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        transaction.apply(delete("sys_dictionary", field))
    with pytest.raises(InvalidDefinition, match="u_text of table u_kept cannot be integer"):
        define(instance, "u_kept", "u_text", "integer")
    assert "u_text" not in instance.holder.current().dictionary.table("u_kept").fields


def test_a_field_is_defined_once(instance: Instance) -> None:
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        transaction.apply(insert("sys_db_object", {"name": "u_once"}))
    define(instance, "u_once", "u_text", "string")
    with pytest.raises(DuplicateKey):
        define(instance, "u_once", "u_text", "string")


@pytest.mark.parametrize(
    "name", ["u bad", "U_T", "1t", "u.x", "", "é", "pg_class", "sqlite_x", "u_" + "z" * 62]
)
def test_what_no_table_can_be_called_is_refused(instance: Instance, name: str) -> None:
    with (
        pytest.raises(InvalidDefinition, match="A table cannot be called"),
        instance.records.write(SYSTEM, enforce=False) as transaction,
    ):
        transaction.apply(insert("sys_db_object", {"name": name}))
    assert name not in instance.holder.current().dictionary.tables


def test_a_table_of_the_platform_itself_is_not_taken_over(instance: Instance) -> None:
    with (
        pytest.raises(InvalidDefinition, match="keeps something else under this name"),
        instance.records.write(SYSTEM, enforce=False) as transaction,
    ):
        transaction.apply(insert("sys_db_object", {"name": "sys_version"}))


@pytest.mark.parametrize("name", ["u x", "U_X", "1x", "u.x", "u_a;b", "u_" + "y" * 62])
def test_what_no_field_can_be_called_is_refused(instance: Instance, name: str) -> None:
    with pytest.raises(InvalidDefinition, match="cannot have a field called"):
        define(instance, "incident", name, "string")


def test_the_key_of_a_table_is_not_redefined(instance: Instance) -> None:
    with pytest.raises(InvalidDefinition, match="sys_id of table task cannot change"):
        define(instance, "task", "sys_id", "string")


def test_definitions_made_at_the_same_time_all_hold(instance: Instance) -> None:
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        transaction.apply(insert("sys_db_object", {"name": "u_many"}))
    names = [f"u_c{n}" for n in range(8)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: define(instance, "u_many", name, "string"), names))
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        made = transaction.apply(insert("u_many", dict.fromkeys(names, "x")))
    with instance.records.read(SYSTEM) as transaction:
        record = transaction.require("u_many", made.sys_id)
        assert {record.get(name) for name in names} == {"x"}


def test_a_default_has_to_fit_its_field(instance: Instance) -> None:
    values = {"name": "incident", "element": "u_weight", "internal_type": "integer"}
    with (
        pytest.raises(InvalidValue, match=r"u_weight \(integer\) cannot hold 'heavy'"),
        instance.records.write(SYSTEM, enforce=False) as transaction,
    ):
        transaction.apply(insert("sys_dictionary", {**values, "default_value": "heavy"}))
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        transaction.apply(insert("incident", {}))


def test_a_computed_default_that_does_not_fit_names_its_field(instance: Instance) -> None:
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        transaction.apply(insert("sys_db_object", {"name": "u_computed"}))
        values = {"name": "u_computed", "element": "u_n", "internal_type": "integer"}
        default = {"default_value": "javascript:gs.getUserName()"}
        transaction.apply(insert("sys_dictionary", {**values, **default}))
    with (
        pytest.raises(InvalidValue, match="Field u_n "),
        instance.records.write(SYSTEM, enforce=False) as transaction,
    ):
        transaction.apply(insert("u_computed", {}))
