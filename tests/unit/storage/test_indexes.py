"""Indexes: which of them a query uses, and what they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from midspan.dictionary.values import datetime_text
from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.query import ReadOptions, Unknown, parse, plan_read
from midspan.records import insert
from midspan.security import SYSTEM
from midspan.storage import compile_read
from midspan.testing import open_instance

CALLER = "c" * 32
ROWS = 5_000


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def instance(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> Iterator[Instance]:
    url = new_database() if request.param == "postgresql" else ""
    with open_instance(url, clock=ManualClock()) as opened:
        _fill(opened)
        yield opened


def _fill(instance: Instance) -> None:
    """Store so many incidents, spread over a year, that the choice of an index matters."""
    days = [datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=n % 365) for n in range(ROWS)]
    rows = [
        {
            "sys_class_name": "incident",
            "sys_id": f"{n:032}",
            "number": f"INC{n:07}",
            "caller_id": f"{n % 500:032}" if n else CALLER,
            "opened_at": datetime_text(day),
            "sys_created_on": datetime_text(day),
            "sys_updated_on": datetime_text(day),
        }
        for n, day in enumerate(days)
    ]
    known = instance.holder.current().dictionary.table("incident")
    with instance.database.write() as database:
        instance.records.insert_rows(database, known, rows)
        if database.dialect.name == "postgresql":
            database.execute("ANALYZE task")


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (f"caller_id={CALLER}", "ix_task_caller_id"),
        (f"caller_idIN{CALLER},{'d' * 32}", "ix_task_caller_id"),
        ("opened_atBETWEEN2025-03-01 00:00:00@2025-03-02 00:00:00", "ix_task_opened_at"),
        ("sys_updated_on>2025-12-28 00:00:00^ORDERBYsys_updated_on", "ix_task_sys_updated_on"),
        ("sys_created_on>2025-12-28 00:00:00^ORDERBYsys_created_on", "ix_task_sys_created_on"),
        ("ORDERBYDESCsys_created_on", "ix_task_sys_created_on"),
    ],
)
def test_the_class_of_a_row_does_not_take_the_place_of_a_better_index(
    instance: Instance, query: str, index: str
) -> None:
    assert index in explained(instance, query)


def test_pages_of_a_class_in_their_own_order_are_not_sorted(instance: Instance) -> None:
    found = explained(instance, "")
    assert "ix_task_sys_class_name_sys_i" in found or "task_pkey" in found
    assert "TEMP B-TREE" not in found


@pytest.mark.parametrize("query", ["ORDERBYnumber", "active!=true^ORDERBYnumber"])
def test_pages_of_a_class_by_number_are_not_sorted(instance: Instance, query: str) -> None:
    found = explained(instance, query)
    sqlite = instance.database.dialect.name == "sqlite"
    assert ("ix_task_sys_class_name_numb" if sqlite else "ix_task_number") in found
    assert "TEMP B-TREE" not in found


def test_what_is_read_in_the_order_it_was_made_is_not_sorted(instance: Instance) -> None:
    query = "sys_created_on>=2025-11-01 00:00:00^ORDERBYsys_created_on"
    found = explained(instance, query)
    if instance.database.dialect.name == "sqlite":
        assert "TEMP B-TREE" not in found
    else:  # sorts what was made in one second
        assert "Presorted Key: sys_created_on" in found


def explained(instance: Instance, query: str) -> str:
    """Return how the database would find a page of incidents."""
    dictionary, dialect = instance.holder.current().dictionary, instance.database.dialect
    options = ReadOptions(columns=("number",), limit=100, unknown=Unknown.REFUSE)
    statement = compile_read(
        plan_read(dictionary, "incident", parse(query), options), dictionary, dialect
    )
    explain = "EXPLAIN QUERY PLAN " if dialect.name == "sqlite" else "EXPLAIN "
    with instance.database.read() as database:
        return str(database.rows(explain + statement.sql, statement.params))


def test_what_is_sorted_by_keeps_empty_rows(instance: Instance) -> None:
    if instance.database.dialect.name == "sqlite":
        sql = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'task'"
    else:
        sql = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'task'"
    with instance.database.read() as database:
        indexes: dict[str, str] = dict(database.rows(sql))
    fields = instance.holder.current().dictionary.table("task").fields
    for name in ("opened_at", "due_date", "number", "assigned_to", "caller_id"):
        (found,) = (text for label, text in indexes.items() if label.startswith(f"ix_task_{name}_"))
        reference = name not in fields or fields[name].kind.reference
        assert ("IS NOT NULL" in found) is reference


def test_values_left_out_of_an_insert_are_empty(instance: Instance) -> None:
    rows = [{"short_description": "a"}, {"short_description": "", "impact": "2"}]
    with instance.records.write(SYSTEM, enforce=False) as records:
        ids = [f"{place:032x}" for place in (10**6, 10**6 + 1)]
        changes = [
            insert("incident", {"urgency": "3", **row}, sys_id=sys_id)
            for sys_id, row in zip(ids, rows, strict=True)
        ]
        records.apply_all(changes)
        first, second = (records.load("incident", ids)[sys_id] for sys_id in ids)
    assert (first.get("short_description"), second.get("short_description")) == ("a", "")
    assert second.get("impact") == "2"
    assert first.get("close_notes") == second.get("close_notes") == ""
