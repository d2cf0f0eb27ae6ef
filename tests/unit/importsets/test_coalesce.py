"""Which record a row meets, and what a refused row leaves behind; on both databases."""

from __future__ import annotations

import io
from contextlib import closing

import pytest
from tests.unit.importsets.people import People

from midspan.importsets import ImportRunner, SandboxFieldScripts
from midspan.instance import Instance
from midspan.kernel.errors import InvalidDefinition, OperationAborted
from midspan.records import insert
from midspan.scripting import ScriptRunner, open_pool
from midspan.security import SYSTEM


def counts(people: People, text: str) -> tuple[int, int, int, int, int]:
    totals = people.run(text).totals
    parts = (totals.inserts, totals.updates, totals.ignored, totals.skipped, totals.errors)
    assert totals.total == sum(parts)
    return parts


def test_all_keys_have_to_match(instance: Instance) -> None:
    people = People(instance)
    people.field("last_name", "u_name", coalesce="true").field("city", "u_city", coalesce="true")
    people.field("title", "u_title")
    name = f"Berg {people.number}"
    head = "Name,City,Title\n"
    assert counts(people, f"{head}{name},Ulm,a\n{name},Bonn,b\n") == (2, 0, 0, 0, 0)
    again = f"{head}{name.upper()},ulm,c\n{name},Rom,d\n{name},,e\n,,f\n"
    # Both keys of the first row match; Rom is new; an empty key among filled ones matches nothing.
    assert counts(people, again) == (2, 1, 0, 1, 0)
    found = {(user["city"], user["title"]) for user in people.users(f"last_name={name}")}
    assert found == {("ulm", "c"), ("Bonn", "b"), ("Rom", "d"), ("", "e")}


def test_empty_keys_match_empty_ones_only_when_asked(instance: Instance) -> None:
    people = People(instance)
    people.field("last_name", "u_name", coalesce="true")
    people.field("city", "u_city", coalesce="true", coalesce_empty_fields="true")
    people.field("title", "u_title")
    name, head = f"Tal {people.number}", "Name,City,Title\n"
    assert counts(people, f"{head}{name},,a\n{name},,b\n{name},Ulm,c\n") == (2, 1, 0, 0, 0)
    assert counts(people, f"{head}{name},,d\n") == (0, 1, 0, 0, 0)
    found = {(user["city"], user["title"]) for user in people.users(f"last_name={name}")}
    assert found == {("", "d"), ("Ulm", "c")}
    fresh = People(instance, create_new_record_on_empty_coalesce_fields="true")
    fresh.field("employee_number", "u_id", coalesce="true").field("last_name", "u_name")
    assert counts(fresh, f"Id,Name\n,Leer {name}\n,Leer {name}\n") == (2, 0, 0, 0, 0)


def test_letter_case_counts_only_when_asked(instance: Instance) -> None:
    people = People(instance)
    people.field("employee_number", "u_id", coalesce="true", coalesce_case_sensitive="true")
    people.field("title", "u_title")
    key = f"Case{people.number}"
    assert counts(people, f"Id,Title\n{key},a\n{key.upper()},b\n") == (2, 0, 0, 0, 0)
    assert counts(people, f"Id,Title\n{key.upper()},c\n") == (0, 1, 0, 0, 0)


@pytest.mark.parametrize(
    ("field", "first", "same"),
    [
        ("last_login_time", "2026-01-31 08:00:00", "2026-01-31T09:00:00+01:00"),
        ("failed_attempts", "41{n}", "041{n}.0"),
    ],
)
def test_keys_of_other_types_are_compared_as_values(
    instance: Instance, field: str, first: str, same: str
) -> None:
    people = People(instance)
    people.field(field, "u_key", coalesce="true").field("title", "u_title")
    first, same = (text.format(n=people.number) for text in (first, same))
    assert counts(people, f"Key,Title\n{first},a\n") == (1, 0, 0, 0, 0)
    assert counts(people, f"Key,Title\n{same},b\nnonsense,c\n") == (0, 1, 0, 0, 1)
    assert counts(people, f"Key,Title\n{first},b\n") == (0, 0, 1, 0, 0)


def test_a_refused_row_creates_nothing(instance: Instance) -> None:
    people = People(instance)
    people.field("user_name", "u_login", coalesce="true")
    people.field("department", "u_department").field("last_login_time", "u_seen")
    name = f"Junk {people.number}"
    assert counts(people, f"Login,Department,Seen\nj{people.number},{name},never\n")[4] == 1
    with instance.records.read(SYSTEM) as transaction:
        assert transaction.find("cmn_department", f"name={name}") == []


def test_a_scripted_reference_is_looked_up_like_any_other(instance: Instance) -> None:
    people = People(instance)
    people.field("user_name", "u_login", coalesce="true")
    script = {"use_source_script": "true", "source_script": "answer = 'Lab ' + source.u_no;"}
    people.field("department", "", **script)
    no = people.number
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        made = transaction.apply(insert("cmn_department", {"name": f"Lab {no}"})).sys_id
    with closing(open_pool(1)) as pool:
        scripts = SandboxFieldScripts(ScriptRunner(pool))
        people.runner = ImportRunner(instance.records, instance.clock, scripts)
        assert counts(people, f"Login,No\nl{no},{no}\nm{no},{no}\n") == (2, 0, 0, 0, 0)
    with instance.records.read(SYSTEM) as transaction:
        assert [row.sys_id for row in transaction.find("cmn_department", f"name=Lab {no}")] == [
            made
        ]
    assert {user["department"] for user in people.users(f"user_nameINl{no},m{no}")} == {made}


def test_mandatory_fields_count_when_mapped_or_always(instance: Instance) -> None:
    table = f"u_must_{People(instance).number}"
    columns = {"u_key": "false", "u_must": "true", "u_other": "true"}
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        transaction.apply(insert("sys_db_object", {"name": table, "label": table}))
        for name, mandatory in columns.items():
            field = {"name": table, "element": name, "internal_type": "string"}
            transaction.apply(insert("sys_dictionary", {**field, "mandatory": mandatory}))
    expected = {"No": (2, 0), "Only mapped": (1, 1), "All": (0, 2)}
    for mode, (inserted, refused) in expected.items():
        people = People(instance, target_table=table, enforce_mandatory_fields=mode)
        people.field("u_key", "u_key", coalesce="true").field("u_must", "u_must")
        totals = people.run(f"Key,Must\n{mode} 1,x\n{mode} 2,\n").totals
        assert (totals.inserts, totals.errors) == (inserted, refused), mode


def test_a_file_that_no_map_could_read_is_not_loaded(instance: Instance) -> None:
    people = People(instance)
    people.field("user_name", "u_login", coalesce="true").field("title", "u_title")
    people.run(f"Login,Title\ny{people.number},a\n")
    with pytest.raises(InvalidDefinition, match="u_login_title is read by a map") as caught:
        people.run(f"Login;Title\ny{people.number};b\n")
    assert "delimiter" in caught.value.explain()
    fields = instance.holder.current().dictionary.table(people.staging).fields
    assert "u_login_title" not in fields
    with instance.records.read(SYSTEM) as transaction:
        assert len(transaction.find("sys_import_set", f"table_name={people.staging}")) == 1


@pytest.mark.parametrize(
    ("table", "values", "told"),
    [
        ("sys_transform_map", {"target_table": "sys_usr"}, "sys_user"),
        ("sys_transform_entry", {"target_field": "user_nam"}, "user_name"),
        ("sys_transform_entry", {"target_field": "city", "choice_action": "rejct"}, "reject"),
        (
            "sys_transform_entry",
            {"target_field": "department", "reference_value_field": "nam"},
            "name",
        ),
    ],
)
def test_a_map_is_not_written_with_a_name_that_does_not_exist(
    instance: Instance, table: str, values: dict[str, str], told: str
) -> None:
    owner = {"map": People(instance).map_id} if table == "sys_transform_entry" else {}
    writing = instance.records.write(SYSTEM, enforce=False)
    with pytest.raises(OperationAborted) as caught, writing as transaction:
        transaction.apply(insert(table, {**owner, **values}))
    assert f"Did you mean '{told}'?" in caught.value.explain()


def test_a_wrong_map_leaves_no_set_and_no_staged_row(instance: Instance) -> None:
    people = People(instance)
    people.field("user_name", "u_logn", coalesce="true")
    content = io.BytesIO(f"Login\nz{people.number}\n".encode())
    with pytest.raises(InvalidDefinition) as caught:
        people.runner.import_csv(content, people.source)
    assert "Did you mean 'u_login'" in caught.value.explain()
    with instance.records.read(SYSTEM) as transaction:
        assert people.staging not in transaction.dictionary
        assert transaction.find("sys_import_set", f"table_name={people.staging}") == []
