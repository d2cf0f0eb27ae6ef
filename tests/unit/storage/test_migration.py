"""From one dictionary to the next, on a database of SQLite without anything around it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.dictionary.families import PLAIN, families

from midspan.dictionary import Dictionary, FieldSpec, Strategy, TableSpec
from midspan.storage import SQLITE, migration
from midspan.storage.functions import register_functions

Schema = dict[str, set[str]]
"""By table its columns, and the statements of all its indexes."""


def schema_of(steps: Iterable[tuple[Dictionary | None, Dictionary]]) -> Schema:
    """Return what is there after ``steps``, each run on what the one before left."""
    with sqlite3.connect(":memory:") as connection:
        register_functions(connection)
        for before, after in steps:
            for statement in list(migration(before, after, SQLITE)):
                connection.execute(statement)
        found: Schema = {}
        for kind, name, table, sql in connection.execute(
            "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL"
        ).fetchall():
            if kind == "table":
                columns = connection.execute(f"PRAGMA table_info({name})").fetchall()
                found.setdefault(name, set()).update(column[1] for column in columns)
            else:
                found.setdefault(table, set()).add(sql)
        return found


@given(st.data(), st.sampled_from(Strategy))
def test_a_change_adds_what_is_new_and_takes_nothing_away(
    data: st.DataObject, strategy: Strategy
) -> None:
    before, after = (Dictionary.build(data.draw(families(strategy))) for _ in range(2))
    first, second = schema_of([(None, before)]), schema_of([(None, after)])
    changed = schema_of([(None, before), (before, after)])
    assert changed.keys() == first.keys() | second.keys()
    for table, had in changed.items():
        assert had == first.get(table, set()) | second.get(table, set())


def test_nothing_is_done_where_nothing_changed() -> None:
    spec = TableSpec(name="u_top", extendable=True, fields=(FieldSpec(name="u_one", indexed=True),))
    before, after = (Dictionary.build([spec, PLAIN]) for _ in range(2))
    assert not list(migration(before, after, SQLITE))
