"""Attachments: one is readable where its record is.

An attachment names its record by table and sys_id. The condition is asked of the record behind
``table_sys_id``, as ``midspan.security.journal`` does for entries of the journal. Where a hierarchy
is one table of the database, the attachment may name any ancestor of the record's class, and the
condition of the whole hierarchy is asked; where each class has a table, it names the class itself
(``midspan.attachments.guard`` sees to that), because reading the root would join them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from msgspec import structs

from midspan.dictionary import Dictionary, Field, Strategy, Table
from midspan.query import ALWAYS, NEVER, Condition, Operator, Or, Test, both
from midspan.security.journal import behind

ATTACHMENT = "sys_attachment"
IMAGE_PREFIX = "ZZ_YY"
"""Before the table's name where the file is the value of an image field."""


class Grants(Protocol):
    """Who may read what; ``Access`` is one."""

    dictionary: Dictionary

    def rows(self, table: str, operation: str) -> Condition:
        """Return the condition for rows of a table and its children."""
        ...

    def class_rows(self, table: str, operation: str) -> Condition:
        """Return the condition for rows of this very class."""
        ...


def attachment_rows(grants: Grants) -> Condition:
    """Return the condition that an attachment must meet so that its record is readable.

    Attachments of tables that exist no more are nobody's but an unrestricted reader's.
    """
    plain: list[str] = []
    parts: list[Condition] = []
    everything = True
    for table, classes, condition in _kinds(grants):
        if condition == ALWAYS:
            plain += classes
            continue
        everything = False
        if condition != NEVER:
            exists = Test(grants.dictionary.path(table.name, "sys_id"), Operator.IS_NOT_EMPTY)
            record = behind(both(exists, condition), _reference(grants.dictionary, table))
            parts.append(both(_of(grants.dictionary, classes), record))
    if everything:
        return ALWAYS
    return Or((*parts, _of(grants.dictionary, plain)))


def _kinds(grants: Grants) -> Iterator[tuple[Table, tuple[str, ...], Condition]]:
    """Yield what is asked together: the table to ask, the names it answers for, the condition."""
    for table in grants.dictionary:
        if table.name == ATTACHMENT or table.engine is not None:
            continue
        if table.strategy is Strategy.PER_CLASS:
            yield table, (table.name,), grants.class_rows(table.name, "read")
        elif table.parent is None:
            yield table, table.classes, grants.rows(table.name, "read")


def _of(dictionary: Dictionary, tables: Iterable[str]) -> Condition:
    names = tuple(f"{prefix}{name}" for name in tables for prefix in ("", IMAGE_PREFIX))
    return Test(dictionary.path(ATTACHMENT, "table_name"), Operator.IN, names)


def _reference(dictionary: Dictionary, table: Table) -> Field:
    """Return ``table_sys_id`` as a reference to one table, under a name of its own for each."""
    field = dictionary.field(ATTACHMENT, "table_sys_id")
    name = f"table_sys_id:{table.name}"
    return structs.replace(field, name=name, type="reference", reference=table.name)
