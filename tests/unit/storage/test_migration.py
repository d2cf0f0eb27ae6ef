"""From one dictionary to the next, on a database of SQLite without anything around it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from midspan.dictionary import Dictionary, FieldSpec, Strategy, TableSpec
from midspan.storage import SQLITE, migration
from midspan.storage.functions import register_functions

Schema = dict[str, set[str]]
"""By table its columns, and the statements of all its indexes."""
NAMES = ("u_one", "u_two", "u_three")
PLAIN = TableSpec(name="u_plain", fields=(FieldSpec(name="u_one"),))


@st.composite
def fields(draw: st.DrawFn) -> tuple[FieldSpec, ...]:
    return tuple(
        FieldSpec(
            name=name,
            type="reference" if name == "u_three" else "string",
            reference="u_plain" if name == "u_three" else None,
            indexed=draw(st.booleans()) or None,
        )
        for name in draw(st.lists(st.sampled_from(NAMES), unique=True))
    )


@st.composite
def tables(draw: st.DrawFn, strategy: Strategy) -> list[TableSpec]:
    """Draw a table, up to two that extend it, one further down, and one that never changes."""
    made = [TableSpec(name="u_top", extendable=True, strategy=strategy, fields=draw(fields()))]
    for name, parent in (("u_left", "u_top"), ("u_right", "u_top"), ("u_deep", "u_left")):
        if draw(st.booleans()) and any(spec.name == parent for spec in made):
            indexes = draw(st.sampled_from([(), (("sys_created_on", "sys_id"),)]))
            made.append(
                TableSpec(name=name, extends=parent, fields=draw(fields()), indexes=indexes)
            )
    return [*draw(st.permutations(made)), PLAIN]


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
    before, after = (Dictionary.build(data.draw(tables(strategy))) for _ in range(2))
    first, second = schema_of([(None, before)]), schema_of([(None, after)])
    changed = schema_of([(None, before), (before, after)])
    assert changed.keys() == first.keys() | second.keys()
    for table, had in changed.items():
        assert had == first.get(table, set()) | second.get(table, set())


def test_nothing_is_done_where_nothing_changed() -> None:
    spec = TableSpec(name="u_top", extendable=True, fields=(FieldSpec(name="u_one", indexed=True),))
    before, after = (Dictionary.build([spec, PLAIN]) for _ in range(2))
    assert not list(migration(before, after, SQLITE))
