"""Entries of the journal: one is readable where its record is, and the field it was written to.

An entry names its record by table and sys_id. The condition of that table is therefore asked of
the record behind ``element_id``, as if that were a reference to the table; the database joins it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from msgspec import structs

from midspan.dictionary import Dictionary, Field, FieldPath, Table
from midspan.query import (
    ALWAYS,
    NEVER,
    And,
    Condition,
    Operator,
    Or,
    Related,
    RelatedTerm,
    Term,
    Test,
    Unread,
    both,
)
from midspan.query.functions import Computed, Constant

JOURNAL = "sys_journal_field"


class Grants(Protocol):
    """Who may read what; ``Access`` is one."""

    dictionary: Dictionary

    def class_rows(self, table: str, operation: str) -> Condition:
        """Return the condition for rows of this very class."""
        ...

    def field(self, table: str, field: str, operation: str) -> bool:
        """Tell whether a field is readable in rows that are."""
        ...


def journal_rows(grants: Grants) -> Condition:
    """Return the condition that an entry must meet so that record and field are readable.

    Entries of tables and fields that exist no more are nobody's but an unrestricted reader's.
    """
    parts: list[Condition] = []
    plain: dict[tuple[str, ...], list[str]] = {}
    everything = True
    for table, fields in _journaled(grants.dictionary):
        readable = tuple(name for name in fields if grants.field(table.name, name, "read"))
        condition = grants.class_rows(table.name, "read") if readable else NEVER
        everything = everything and condition == ALWAYS and readable == fields
        if condition == ALWAYS:
            plain.setdefault(readable, []).append(table.name)
        elif condition != NEVER:
            entry = _entries(grants.dictionary, (table.name,), readable)
            exists = Test(grants.dictionary.path(table.name, "sys_id"), Operator.IS_NOT_EMPTY)
            record = both(exists, condition)
            parts.append(both(entry, behind(record, _reference(grants.dictionary, table))))
    if everything:
        return ALWAYS
    parts += [_entries(grants.dictionary, tables, fields) for fields, tables in plain.items()]
    return Or(tuple(parts))


def _journaled(dictionary: Dictionary) -> Iterator[tuple[Table, tuple[str, ...]]]:
    for table in dictionary:
        fields = tuple(name for name, field in table.fields.items() if field.kind.journal)
        if fields:
            yield table, fields


def _entries(
    dictionary: Dictionary, tables: tuple[str, ...] | list[str], fields: tuple[str, ...]
) -> Condition:
    name, element = (dictionary.path(JOURNAL, each) for each in ("name", "element"))
    return And((Test(name, Operator.IN, tuple(tables)), Test(element, Operator.IN, fields)))


def _reference(dictionary: Dictionary, table: Table) -> Field:
    """Return ``element_id`` as a reference to one table, under a name of its own for each."""
    field = dictionary.field(JOURNAL, "element_id")
    name = f"element_id:{table.name}"
    return structs.replace(field, name=name, type="reference", reference=table.name)


def behind(condition: Condition, reference: Field) -> Condition:
    """Ask the condition of the record that the reference leads to."""
    match condition:
        case And():
            return And(tuple(behind(part, reference) for part in condition.parts))
        case Or():
            return Or(tuple(behind(part, reference) for part in condition.parts))
        case Test():
            other = condition.other and _longer(condition.other, reference)
            return structs.replace(condition, path=_longer(condition.path, reference), other=other)
        case Related():
            return structs.replace(condition, own=_longer(condition.own, reference))
        case Term() | RelatedTerm() | Unread():
            raise TypeError(f"not resolved: {condition}")


def _longer(path: FieldPath, reference: Field) -> FieldPath:
    name = f"{reference.name}.{path.name}"
    if isinstance(path, Computed):
        arguments = tuple(
            part if isinstance(part, Constant) else _longer(part, reference)
            for part in path.arguments
        )
        return structs.replace(path, name=name, tables=(reference.table,), arguments=arguments)
    return FieldPath(name, (reference, *path.steps), (reference.table, *path.tables))
