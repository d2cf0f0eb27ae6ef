"""Rows that others push: staged, transformed and answered at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.kernel.errors import InvalidRequest, InvalidTable, NotAuthorized, RecordNotFound
from midspan.records import RIGHTS, insert, update
from midspan.security import SYSTEM, Actor
from midspan.testing import open_instance


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def instance(request: pytest.FixtureRequest) -> Iterator[Instance]:
    url = request.getfixturevalue("new_database")() if request.param == "postgresql" else ""
    with open_instance(url, clock=ManualClock()) as opened:
        yield opened


def push(instance: Instance, *rows: dict[str, str], table: str = "imp_user") -> Any:
    return instance.pushed.push(table, rows, actor=SYSTEM)


def write(instance: Instance, table: str, **values: str) -> str:
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        return transaction.apply(insert(table, values)).sys_id


def actor(instance: Instance, user: str) -> Actor:
    return instance.identities.actor(user, instance.holder.current().part(RIGHTS))


def stored(instance: Instance) -> list[int]:
    with instance.records.read(SYSTEM) as transaction:
        return [len(transaction.find(table, "")) for table in ("imp_user", "sys_import_set")]


def test_rows_are_staged_transformed_and_told(instance: Instance) -> None:
    pushed = push(
        instance, {"user_id": "ann", "first_name": "Ann", "no_such": "x"}, {"first_name": "Bo"}
    )
    (ann,), (nobody,) = pushed.rows
    assert (ann.status, ann.table, ann.display_value) == ("inserted", "sys_user", "Ann")
    assert (nobody.status, nobody.sys_id) == ("skipped", "")
    with instance.records.read(SYSTEM) as transaction:
        user = transaction.require("sys_user", ann.sys_id)
        staged = transaction.require("imp_user", ann.staging_row)
        errors = transaction.find("sys_import_set_row_error", f"staging_row={nobody.staging_row}")
        opened = transaction.require("sys_import_set", pushed.import_set)
    assert user.get("first_name") == "Ann"
    assert staged.get("sys_import_state") == "inserted"
    assert staged.get("sys_target_sys_id") == ann.sys_id
    assert staged.get("sys_import_set") == pushed.import_set
    assert len(errors) == 1
    assert (opened.get("state"), opened.get("mode")) == ("loading", "synchronous")
    assert pushed.number == opened.get("number")
    found = instance.pushed.find("imp_user", ann.staging_row, actor=SYSTEM)
    assert (found.number, found.rows) == (pushed.number, ((ann,),))


def test_every_map_of_the_table_has_a_row_of_its_own(instance: Instance) -> None:
    other = write(
        instance,
        "sys_transform_map",
        name="Company",
        source_table="imp_user",
        target_table="core_company",
        order="200",
    )
    write(
        instance,
        "sys_transform_entry",
        map=other,
        source_table="imp_user",
        source_field="company",
        target_table="core_company",
        target_field="name",
    )
    try:
        (results,) = push(instance, {"user_id": "dora", "company": "Engines"}).rows
    finally:
        with instance.records.write(SYSTEM, enforce=False) as transaction:
            transaction.apply(update("sys_transform_map", other, {"active": "false"}))
    assert [(one.map, one.table, one.status) for one in results] == [
        ("User", "sys_user", "inserted"),
        ("Company", "core_company", "inserted"),
    ]
    assert results[0].staging_row != results[1].staging_row


def test_a_table_without_a_map_keeps_its_rows(instance: Instance) -> None:
    pushed = push(instance, {"message": "hello"}, table="imp_notification")
    ((row,),) = pushed.rows
    assert (row.map, row.status) == ("", "pending")
    with instance.records.read(SYSTEM) as transaction:
        assert transaction.require("imp_notification", row.staging_row).get("message") == "hello"


def test_a_set_is_for_one_day(instance: Instance) -> None:
    first = push(instance, {"user_id": "ann"})
    again = push(instance, {"user_id": "bo"})
    clock = instance.clock
    assert isinstance(clock, ManualClock)
    clock.advance(timedelta(days=1))
    later = push(instance, {"user_id": "cy"})
    assert first.import_set == again.import_set != later.import_set
    with instance.records.read(SYSTEM) as transaction:
        states = [
            transaction.require("sys_import_set", each.import_set).get("state")
            for each in (first, later)
        ]
    assert states == ["processed", "loading"]


def test_a_set_that_was_closed_takes_no_more_rows(instance: Instance) -> None:
    first = push(instance, {"user_id": "ann"})
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        transaction.apply(update("sys_import_set", first.import_set, {"state": "loaded"}))
    assert push(instance, {"user_id": "bo"}).import_set != first.import_set


def test_who_may_push_rows_may_do_what_the_maps_do(instance: Instance) -> None:
    """In his name, and nothing else: he may neither write users nor read the rows."""
    user = write(instance, "sys_user", user_name="pusher")
    with instance.records.read(SYSTEM) as transaction:
        role = transaction.first("sys_user_role", "name=import_set_loader")
    assert role is not None
    stranger = actor(instance, user)
    before = stored(instance)
    with pytest.raises(NotAuthorized, match="Operation Failed"):
        instance.pushed.push("imp_user", [{"user_id": "new"}], actor=stranger)
    assert stored(instance) == before
    write(instance, "sys_user_has_role", user=user, role=role.sys_id)
    loader = actor(instance, user)
    ((made,),) = instance.pushed.push("imp_user", [{"user_id": "new"}], actor=loader).rows
    with instance.records.read(SYSTEM) as transaction:
        assert transaction.require("sys_user", made.sys_id).get("sys_created_by") == "pusher"
    with pytest.raises(RecordNotFound):
        instance.pushed.find("imp_user", made.staging_row, actor=loader)


def test_a_row_tells_how_its_target_is_called_only_to_those_who_may_read_that(
    instance: Instance,
) -> None:
    user = write(instance, "sys_user", user_name="transformer")
    with instance.records.read(SYSTEM) as transaction:
        role = transaction.first("sys_user_role", "name=import_transformer")
    assert role is not None
    write(instance, "sys_user_has_role", user=user, role=role.sys_id)
    ((made,),) = push(instance, {"name": "secret-host"}, table="imp_computer").rows
    assert made.display_value == "secret-host"
    ((seen,),) = instance.pushed.find(
        "imp_computer", made.staging_row, actor=actor(instance, user)
    ).rows
    assert (seen.sys_id, seen.display_name, seen.display_value) == (made.sys_id, "", "")
    ((all_seen,),) = instance.pushed.find("imp_computer", made.staging_row, actor=SYSTEM).rows
    assert all_seen == made


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ("no_such", InvalidTable),
        ("incident", InvalidRequest),
        ("sys_import_set_row", InvalidRequest),
    ],
)
def test_only_staging_tables_take_rows(
    instance: Instance, table: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        push(instance, {}, table=table)
    with pytest.raises(error):
        instance.pushed.find(table, "x", actor=SYSTEM)


def test_a_key_that_comes_twice_at_once_makes_one_record(instance: Instance) -> None:
    push(instance, {"user_id": "first"})  # opens the set of the day
    together = threading.Barrier(4)
    statuses: list[str] = []

    def one() -> None:
        together.wait()
        ((result,),) = push(instance, {"user_id": "same", "title": "x"}).rows
        statuses.append(result.status)

    run_together([one] * 4)
    assert sorted(statuses) == ["ignored", "ignored", "ignored", "inserted"]


def run_together(functions: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
