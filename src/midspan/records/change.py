"""What a caller asks for (a change), what rules work on (a draft), what came of it (a result)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from itertools import compress
from operator import eq, ne
from typing import TypeAlias

from msgspec import Struct

from midspan.dictionary import FieldPath, Table
from midspan.dictionary.values import canonical
from midspan.kernel.errors import MidspanError
from midspan.records.record import Record

ACL_DETAIL = "ACL Exception {} Failed due to security constraints"
"""What a refused write is told; the operation is put in."""


class Operation(StrEnum):
    """What a change does."""

    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"


class ChangeOptions(Struct, frozen=True, kw_only=True):
    """How a change is carried out."""

    rules: bool = True
    """Run hooks, write audit rows and events; False is the vendor's ``setWorkflow(false)``."""
    system_fields: bool = True
    """Set sys_updated_* and sys_mod_count; False keeps what is given or stored."""
    force: bool = False
    """Write even when nothing changed."""
    mandatory: bool = False
    """Refuse an insert or update that leaves a mandatory field empty."""


DEFAULT = ChangeOptions()


class Change(Struct, frozen=True, kw_only=True):
    """One intended write. ``values`` are wire texts by field name; ``''`` empties a field."""

    table: str
    operation: Operation
    sys_id: str = ""
    """The record to change; for an insert the id to give it, or empty for a new one."""
    values: Mapping[str, str] = {}
    options: ChangeOptions = DEFAULT
    authors: Mapping[str, str] = {}
    """User names of others than the actor, whose journal entries the values are, by field."""
    to_class: str = ""
    """Of an update: the class that the record is to have afterwards, where that is another one."""


def insert(table: str, values: Mapping[str, str], *, sys_id: str = "") -> Change:
    """Return a change that inserts a record."""
    return Change(table=table, operation=Operation.INSERT, sys_id=sys_id, values=values)


def update(table: str, sys_id: str, values: Mapping[str, str]) -> Change:
    """Return a change that updates a record."""
    return Change(table=table, operation=Operation.UPDATE, sys_id=sys_id, values=values)


def delete(table: str, sys_id: str) -> Change:
    """Return a change that deletes a record."""
    return Change(table=table, operation=Operation.DELETE, sys_id=sys_id)


class Draft:
    """A change under way: hooks read it, alter it, or refuse it."""

    def __init__(self, table: Table, change: Change, before: Record | None) -> None:
        self.table = table
        self.change = change
        self.operation = change.operation
        self.options = change.options
        self.before = before
        self.values: dict[str, str] = dict(before.values) if before else {}
        self.journal: dict[str, str] = {}
        """Journal entries to add, by field."""
        self.refused: str | None = None
        self.settled: dict[str, tuple[str, str]] | None = None
        """What ``changes`` returns while nothing alters the values: while they are stored."""

    @property
    def sys_id(self) -> str:
        """The identifier of the record."""
        return self.values.get("sys_id", "")

    def get(self, name: str) -> str:
        """Return the value a field will have; ``''`` when empty or unknown."""
        return self.journal.get(name) or self.values.get(name, "")

    def path(self, path: FieldPath) -> str:
        """Return a field's value for ``query.evaluate``; walks are not followed and read empty."""
        return self.get(path.name)

    def old(self, name: str) -> str:
        """Return the value a field had before; ``''`` on insert."""
        return self.before.get(name) if self.before else ""

    def set(self, name: str, text: str) -> None:
        """Give a field a value.

        Raises:
            InvalidValue: the text does not fit the field's type.
        """
        field = self.table.fields[name]
        if field.kind.journal:
            self.journal[name] = text
        else:
            self.values[name] = canonical(field, text)

    def changed(self, name: str) -> bool:
        """Tell whether a field will differ from what is stored."""
        return name in self.journal or self.get(name) != self.old(name)

    def changes(self) -> dict[str, tuple[str, str]]:
        """Return the fields that will differ, with their old and new texts."""
        if self.settled is not None:
            return self.settled
        stored = self.before.values if self.before else {}
        values = self.values
        if not stored:
            return {name: ("", new) for name, new in values.items() if new}
        if len(values) == len(stored) and all(map(eq, values, stored)):  # mostly, and faster
            differ = compress(values, map(ne, values.values(), stored.values()))
            return {name: (stored[name], values[name]) for name in differ}
        return {
            name: (old, new)
            for name, new in self.values.items()
            if (old := stored.get(name, "")) != new
        }

    def refuse(self, message: str) -> None:
        """Abort the write; other rules still run, the first message counts."""
        self.refused = self.refused or message


class Applied(Struct, frozen=True):
    """A change that was carried out; ``written`` is False when there was nothing to change.

    ``changed`` names the fields whose values an update altered; None for other operations, and
    where nobody compared.
    """

    table: str
    operation: Operation
    sys_id: str
    written: bool
    values: Mapping[str, str]
    changed: tuple[str, ...] | None = None


class Refused(Struct, frozen=True):
    """A change that was not carried out, and why."""

    change: Change
    error: MidspanError


Result: TypeAlias = Applied | Refused
