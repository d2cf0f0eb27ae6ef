"""Families of tables to draw: one on top, others that extend it, and one that never changes."""

from __future__ import annotations

from hypothesis import strategies as st

from midspan.dictionary import FieldSpec, Strategy, TableSpec

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
def families(draw: st.DrawFn, strategy: Strategy) -> list[TableSpec]:
    """Draw a table, up to two that extend it, one further down, and one that never changes."""
    made = [TableSpec(name="u_top", extendable=True, strategy=strategy, fields=draw(fields()))]
    for name, parent in (("u_left", "u_top"), ("u_right", "u_top"), ("u_deep", "u_left")):
        if draw(st.booleans()) and any(spec.name == parent for spec in made):
            indexes = draw(st.sampled_from([(), (("sys_created_on", "sys_id"),)]))
            made.append(
                TableSpec(name=name, extends=parent, fields=draw(fields()), indexes=indexes)
            )
    return [*draw(st.permutations(made)), PLAIN]
