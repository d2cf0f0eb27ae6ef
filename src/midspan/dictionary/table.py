"""Tables: the specification that files or metadata rows give, and the resolved form."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from midspan.dictionary.field import Choice, Field


class Strategy(StrEnum):
    """How the rows of a hierarchy are stored; a property of its root."""

    SINGLE = "single"
    """One wide table for the whole hierarchy, told apart by ``sys_class_name``."""
    PER_CLASS = "per_class"
    """One table per class with all its columns; a parent is read as a UNION."""


class NumberFormat(Struct, frozen=True):
    """Automatic numbers: ``prefix`` and a counter padded to ``digits``; ``start`` comes first."""

    prefix: str
    digits: int = 7
    start: int = 10001

    def text(self, counter: int) -> str:
        """Return the number with this counter.

        >>> NumberFormat("INC").text(10001)
        'INC0010001'
        """
        return f"{self.prefix}{counter:0{self.digits}d}"


class FieldSpec(Struct, frozen=True, kw_only=True):
    """A field as defined on one table; None means "as the parent has it" or the type's default."""

    name: str
    label: str | None = None
    type: str | None = None
    reference: str | None = None
    max_length: int | None = None
    mandatory: bool | None = None
    read_only: bool | None = None
    unique: bool | None = None
    indexed: bool | None = None
    display: bool | None = None
    default: str | None = None
    choices: tuple[Choice, ...] | None = None
    audit: bool | None = None


class TableSpec(Struct, frozen=True, kw_only=True):
    """A table as a file, or the rows of sys_db_object and sys_dictionary, define it."""

    name: str
    label: str = ""
    plural: str = ""
    extends: str | None = None
    extendable: bool = False
    strategy: Strategy = Strategy.SINGLE
    number: NumberFormat | None = None
    engine: str | None = None
    """Package that owns the rows; anyone else may only read them."""
    audit: bool = True
    ws_access: bool = True
    fields: tuple[FieldSpec, ...] = ()
    indexes: tuple[tuple[str, ...], ...] = ()
    """Extra indexes: field names each; a name with a leading ``!`` as first makes it unique."""


class Table(Struct, frozen=True, kw_only=True):
    """A table resolved against its ancestors; part of an immutable snapshot."""

    name: str
    label: str
    plural: str
    parent: str | None
    root: str
    strategy: Strategy
    extendable: bool
    hierarchy: bool
    """Has ``sys_class_name``: it extends a table or may be extended."""
    number: NumberFormat | None
    engine: str | None
    audit: bool
    ws_access: bool
    fields: Mapping[str, Field]
    """Own and inherited fields by name; inherited ones are the parent's objects."""
    own: frozenset[str]
    display: str
    """Name of the display field; ``sys_id`` when the table has none."""
    classes: tuple[str, ...]
    """This table and all its descendants, in the order of their definition."""
    indexes: tuple[tuple[str, ...], ...] = ()

    @property
    def physical(self) -> str:
        """Name of the database table that holds the rows of exactly this class."""
        return self.root if self.strategy is Strategy.SINGLE else self.name
