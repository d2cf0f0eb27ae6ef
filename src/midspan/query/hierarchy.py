"""Trees of records: what lies below a record, along a reference of its table to itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from midspan.dictionary import FieldPath
from midspan.query.condition import NEVER, Condition, Operator, Or, Test

if TYPE_CHECKING:
    from midspan.query.resolve import Resolver

DEEPEST = 10
"""Levels below the record at which a tree is cut off; each one is a join."""
_USUAL = ("parent", "manager")


def in_hierarchy(
    resolver: Resolver, path: FieldPath, operator: Operator, value: str
) -> Condition | None:
    """``hierarchy@start``: the record itself or one below it; DYNAMIC takes an option as start.

    Hierarchies are no records here: the first part may name the reference that leads up, as
    ``manager``; whatever else it says, ``parent`` is taken, or ``manager`` where there is none.
    """
    named, found, start = value.rpartition("@")
    if not found:
        return None
    if operator is Operator.IN_HIERARCHY_DYNAMIC:
        given = resolver.option(start, path.field)
        if given is None:
            return None
        starts = [text for text in given.split(",") if text]
    else:
        starts = [start] if start else []
    up = _steps(resolver, path, named)
    fitting = tuple(resolver.fit(path.field, starts))
    if up is None:
        return None
    return Or(tuple(Test(step, Operator.IN, fitting) for step in up)) if fitting else NEVER


def _steps(resolver: Resolver, path: FieldPath, named: str) -> Sequence[FieldPath] | None:
    """Return the field and the references that lead up from it, or None without any."""
    is_key = path.field.name == "sys_id"
    target = path.table if is_key else path.field.reference
    table = resolver.dictionary.tables.get(target or "")
    if table is None or not (is_key or path.field.kind.reference):
        return None
    for name in (named, *_USUAL):
        field = table.fields.get(name)
        if field is None or not field.kind.reference:
            continue
        if resolver.dictionary.is_a(table.name, field.reference or ""):
            break
    else:
        return None
    base = path.name.removesuffix("sys_id").removesuffix(".") if is_key else path.name
    steps = [path]
    for _ in range(DEEPEST):
        base = f"{base}.{name}" if base else name
        found = resolver.dictionary.find_path(resolver.table, base)
        if found is None:
            break
        steps.append(found)
    return steps
