"""One field of a table, and its choices."""

from __future__ import annotations

from msgspec import Struct

from midspan.dictionary.fieldtype import FIELD_TYPES, FieldType, Storage, field_type


class Choice(Struct, frozen=True):
    """One entry of a choice list: what is stored and what people see."""

    value: str
    label: str
    sequence: int = 0
    inactive: bool = False
    language: str = "en"


class Field(Struct, frozen=True, kw_only=True):
    """A column as its table sees it; a child shares its parent's object unless it overrides it."""

    name: str
    label: str
    type: str = "string"
    table: str = ""
    """The table that defines the field."""
    column: str = ""
    """Name of the physical column; differs from ``name`` where sibling classes share a table."""
    reference: str | None = None
    max_length: int = 40
    mandatory: bool = False
    read_only: bool = False
    unique: bool = False
    indexed: bool = False
    display: bool = False
    default: str = ""
    """Wire text, or ``javascript:`` followed by one of the known default expressions."""
    choices: tuple[Choice, ...] = ()
    audit: bool = True

    @property
    def kind(self) -> FieldType:
        """The traits of the field's internal type."""
        return FIELD_TYPES.get(self.type) or field_type(self.type)

    @property
    def storage(self) -> Storage:
        """How the field's values are kept."""
        return (FIELD_TYPES.get(self.type) or field_type(self.type)).storage

    def label_of(self, value: str) -> str | None:
        """Return the label of a choice value, or None when ``value`` is not in the list."""
        return next((choice.label for choice in self.choices if choice.value == value), None)
