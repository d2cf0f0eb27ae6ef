"""A transform that was broken off goes on in its run, whose totals add up; on both databases."""

from __future__ import annotations

import io

import pytest
from tests.unit.importsets.people import People

from midspan.importsets.load import LoadResult
from midspan.importsets.run import PAGE
from midspan.instance import Instance
from midspan.records import Record, insert
from midspan.security import SYSTEM

ROWS = 2 * PAGE + 100


class Crash(BaseException):
    """The process dies here."""


@pytest.fixture
def people(instance: Instance) -> People:
    made = People(instance)
    made.field("last_name", "u_name")  # without a key, a row done twice makes two users
    return made


def loaded(people: People) -> LoadResult:
    """Load a file whose second row cannot be read; the process ends before the transform."""
    lines = [f"a{number},Name {people.number}\n" for number in range(ROWS)]
    lines.insert(1, "too,many,cells\n")
    text = "Login,Name\n" + "".join(lines)
    source = people.runner.source(people.source)
    stream = io.BytesIO(text.encode())
    return people.runner.loader.load_csv(stream, people.staging, source=source.sys_id)


def runs(people: People, import_set: str) -> list[Record]:
    with people.instance.records.read(SYSTEM) as transaction:
        return transaction.find("sys_import_set_run", f"set={import_set}")


def check(people: People, rows: LoadResult) -> None:
    """Check that there is one run with every row counted once."""
    (run,) = runs(people, rows.import_set)
    names = ("state", "inserts", "updates", "ignored", "skipped", "errors", "total")
    assert [run.get(name) for name in names] == [
        "complete_with_errors", str(ROWS), "0", "0", "0", "1", str(ROWS + 1),
    ]  # fmt: skip
    assert len(people.users(f"last_name=Name {people.number}")) == ROWS
    with people.instance.records.read(SYSTEM) as transaction:
        staged = transaction.find(people.staging, f"import_set_run={run.sys_id}")
        errors = transaction.find("sys_import_set_row_error", f"import_set_run={run.sys_id}")
        state = transaction.require("sys_import_set", rows.import_set).get("state")
    assert (len(staged), [error.get("row") for error in errors], state) == (
        ROWS,
        ["3"],
        "processed",
    )


def test_a_crash_between_two_pages_leaves_one_run_with_all_rows(people: People) -> None:
    def crash(_: int) -> None:
        raise Crash

    rows = loaded(people)
    for pages in (1, 2):
        with pytest.raises(Crash):
            people.runner.transform(rows, progress=crash)
        (run,) = runs(people, rows.import_set)
        assert (run.get("state"), run.get("total")) == ("running", str(pages * PAGE + 1))
    people.runner.transform(LoadResult(rows.import_set, rows.staging, 0, ()))
    check(people, rows)


def test_a_crash_after_the_last_page_leaves_one_run(people: People) -> None:
    rows = loaded(people)
    done = 0

    def crash_at_the_end(count: int) -> None:
        nonlocal done
        done += count
        if done == ROWS:
            raise Crash

    with pytest.raises(Crash):
        people.runner.transform(rows, progress=crash_at_the_end)
    people.runner.transform(LoadResult(rows.import_set, rows.staging, 0, ()))
    check(people, rows)


def test_a_second_node_at_the_same_set_counts_no_row_twice(people: People) -> None:
    rows = loaded(people)

    def meanwhile(_: int) -> None:
        people.runner.transform(rows)

    (run,) = people.runner.transform(rows, progress=meanwhile)
    assert run.totals.total == ROWS + 1
    check(people, rows)


def test_every_map_gets_all_rows_also_after_a_crash(people: People) -> None:
    with people.instance.records.write(SYSTEM, enforce=False) as transaction:
        values = {"name": "Places", "source_table": people.staging, "order": "200"}
        second = transaction.apply(
            insert("sys_transform_map", {**values, "target_table": "cmn_location"})
        )
        entry = {"map": second.sys_id, "target_field": "name", "source_field": "u_name"}
        transaction.apply(insert("sys_transform_entry", entry))
    pages = 0

    def crash(_: int) -> None:
        nonlocal pages
        pages += 1
        if pages in (1, 5):  # in the rows of the first map, and in those of the second
            raise Crash

    rows = loaded(people)
    for _ in range(2):
        with pytest.raises(Crash):
            people.runner.transform(rows, progress=crash)
    done = people.runner.transform(rows)
    assert [(run.map, run.totals.inserts, run.totals.total) for run in done] == [
        (people.source, ROWS, ROWS + 1),
        ("Places", ROWS, ROWS + 1),
    ]
    assert len(people.users(f"last_name=Name {people.number}")) == ROWS
    with people.instance.records.read(SYSTEM) as transaction:
        staged = transaction.find(people.staging, f"sys_import_set={rows.import_set}")
        places = transaction.find("cmn_location", f"name=Name {people.number}")
    assert len(places) == ROWS
    assert {(row.get("sys_transform_map"), row.get("sys_import_state")) for row in staged} == {
        (people.map_id, "inserted"),
        (second.sys_id, "inserted"),
    }
    assert len(staged) == 2 * ROWS
