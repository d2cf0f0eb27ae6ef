"""CSV to records: load, map, coalesce, look-ups, refusals and totals; on both databases."""

from __future__ import annotations

import io

import pytest
from tests.unit.importsets.people import People

from midspan.instance import Instance
from midspan.kernel.errors import InvalidDefinition, OperationAborted
from midspan.records import insert
from midspan.security import SYSTEM, Actor


@pytest.fixture
def people(instance: Instance) -> People:
    made = People(instance)
    made.field("user_name", "u_login", coalesce="true")
    made.field("last_name", "u_name")
    return made


def test_rows_are_inserted_updated_and_left_alone(people: People) -> None:
    key = people.number
    first = people.run(f"Login,Name\na{key},One\nb{key},Two\n")
    assert (first.totals.inserts, first.totals.total) == (2, 2)
    second = people.run(f"Login,Name\na{key},One\nB{key},Three\nc{key},Four\n")
    totals = second.totals
    assert (totals.ignored, totals.updates, totals.inserts, totals.total) == (1, 1, 1, 3)
    (changed,) = people.users(f"user_name=b{key}")
    assert changed["last_name"] == "Three"
    (untouched,) = people.users(f"user_name=a{key}")
    assert untouched["sys_mod_count"] == "0"


def test_a_key_that_comes_twice_in_one_file_updates_its_first_row(people: People) -> None:
    key = people.number
    run = people.run(f"Login,Name\nd{key},One\nd{key},Two\nd{key},Three\n")
    assert (run.totals.inserts, run.totals.updates) == (1, 2)
    assert [user["last_name"] for user in people.users(f"user_name=d{key}")] == ["Three"]


def test_every_broken_row_is_counted_and_told_with_line_and_reason(instance: Instance) -> None:
    people = People(instance)
    people.field("user_name", "u_login", coalesce="true")
    people.field("department", "u_department", choice_action="reject")
    people.field("last_login_time", "u_seen", date_format="dd/MM/yyyy HH:mm:ss")
    key = people.number
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        transaction.apply(insert("cmn_department", {"name": f"Sales {key}"}))
    good = f"Sales {key},31/01/2026 08:00:00"
    lines = [
        b"Login,Department,Seen",
        f"ok{key},{good}".encode(),
        f"short{key}".encode(),
        f"bad{key},Nowhere,31/01/2026 08:00:00".encode(),
        f"date{key},Sales {key},2026-01-31".encode(),
        f",{good}".encode(),
        b"\xff\xfe,x,y",
        f"last{key},{good}".encode(),
    ]
    run = people.run(b"\n".join(lines) + b"\n")
    totals = run.totals
    assert (totals.inserts, totals.errors, totals.skipped, totals.total) == (2, 4, 1, 7)
    told = people.errors(run)
    assert [(row, code) for row, code, _ in told] == [
        ("3", "10"),
        ("4", "100"),
        ("5", "800"),
        ("6", "20"),
        ("7", "10"),
    ]
    assert "3" in told[0][2]
    assert "Nowhere" in told[1][2]
    assert "dd/MM/yyyy" in told[2][2]
    (user,) = people.users(f"user_name=ok{key}")
    assert user["last_login_time"] == "2026-01-31 08:00:00"
    with instance.records.read(SYSTEM) as transaction:
        (stored,) = transaction.find("sys_import_set_run", f"sys_id={run.sys_id}")
        skipped = transaction.find(people.staging, "sys_import_state=skipped")
    assert (stored.get("total"), stored.get("errors"), stored.get("state")) == (
        "7",
        "4",
        "complete_with_errors",
    )
    assert [row.get("sys_import_row") for row in skipped] == ["6"]


def test_references_are_created_once_or_left_empty(instance: Instance) -> None:
    create, leave = People(instance), People(instance)
    for people, action in ((create, "create"), (leave, "ignore")):
        people.field("user_name", "u_login", coalesce="true")
        people.field("department", "u_department", choice_action=action)
    key = create.number
    create.run(f"Login,Department\nr{key},New {key}\ns{key},new {key}\n")
    with instance.records.read(SYSTEM) as transaction:
        (made,) = transaction.find("cmn_department", f"name=New {key}")
    assert {user["department"] for user in create.users(f"department={made.sys_id}")} == {
        made.sys_id
    }
    leave.run(f"Login,Department\nt{key},Unknown {key}\n")
    assert [user["department"] for user in leave.users(f"user_name=t{key}")] == [""]
    with instance.records.read(SYSTEM) as transaction:
        assert transaction.find("cmn_department", f"name=Unknown {key}") == []


def test_a_reference_may_name_a_row_of_the_same_file(instance: Instance) -> None:
    people = People(instance)
    people.field("user_name", "u_login", coalesce="true")
    people.field("manager", "u_boss", choice_action="reject", reference_value_field="user_name")
    key = people.number
    run = people.run(f"Login,Boss\nv{key},x{key}\nx{key},\nq{key},nobody\n")
    assert (run.totals.inserts, run.totals.errors) == (2, 1)
    (boss,) = people.users(f"user_name=x{key}")
    assert [user["manager"] for user in people.users(f"user_name=v{key}")] == [boss["sys_id"]]


def test_empty_values_are_copied_only_when_asked(instance: Instance) -> None:
    keep, copy = People(instance), People(instance, copy_empty_fields="true")
    for people in (keep, copy):
        people.field("user_name", "u_login", coalesce="true").field("title", "u_title")
        people.run(f"Login,Title\ne{people.number},Boss\n")
        people.run(f"Login,Title\ne{people.number},\n")
    assert keep.users(f"user_name=e{keep.number}")[0]["title"] == "Boss"
    assert copy.users(f"user_name=e{copy.number}")[0]["title"] == ""
    keep.run(f"Login,Title\ne{keep.number},NULL\n")
    assert keep.users(f"user_name=e{keep.number}")[0]["title"] == ""


def test_a_wider_column_appears_in_the_staging_table(people: People, instance: Instance) -> None:
    people.run(f"Login,Name\nw{people.number},One\n")
    people.run(f"Login,Name,Remark\nw{people.number},One,{'x' * 300}\n")
    fields = instance.holder.current().dictionary.table(people.staging).fields
    assert fields["u_remark"].max_length == 1000
    assert fields["u_login"].max_length == 40


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"target_field": "user_nam", "source_field": "u_login"}, "user_name"),
        ({"target_field": "user_name", "source_field": "u_logn"}, "u_login"),
        (
            {"target_field": "manager", "source_field": "u_login", "choice_action": "reject!"},
            "reject",
        ),
    ],
)
def test_a_map_with_an_unknown_name_is_refused_before_any_row(
    people: People, entry: dict[str, str], words: str
) -> None:
    people.run(f"Login,Name\nz{people.number},One\n")

    def attempt() -> None:  # a target is refused when it is written, a source when rows come
        with people.instance.records.write(SYSTEM, enforce=False) as transaction:
            transaction.apply(insert("sys_transform_entry", {"map": people.map_id, **entry}))
        people.run(f"Login,Name\ny{people.number},Two\n")

    with pytest.raises((InvalidDefinition, OperationAborted)) as caught:
        attempt()
    assert words in caught.value.explain()
    assert people.users(f"user_name=y{people.number}") == []


def test_an_import_has_the_rights_of_who_runs_it(people: People) -> None:
    loader = Actor(sys_id="c" * 32, user_name="loader", roles=frozenset({"import_admin"}))
    (run,) = people.runner.import_csv(
        io.BytesIO(f"Login,Name\nn{people.number},One\n".encode()), people.source, actor=loader
    )
    assert (run.totals.inserts, run.totals.errors) == (0, 1)
    assert "security constraints" in people.errors(run)[0][2]


def test_unknown_sources_and_tables_that_are_no_staging_tables(people: People) -> None:
    with pytest.raises(InvalidDefinition, match="no data source"):
        people.runner.import_csv(io.BytesIO(b"a\n1\n"), "Peple")
    with pytest.raises(InvalidDefinition, match="no staging table"):
        people.runner.loader.load_csv(io.BytesIO(b"a\n1\n"), "incident")
