"""What of a table is shown: the columns of the answer and what has to be read for them. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from midspan.api.tablerequest import Display, RowShape
from midspan.dictionary import Dictionary, Field, FieldPath, Table
from midspan.query import display_path

MOST_JOINS = 20
"""References whose display value is read by a join; of further ones it is looked up by page."""
_DOMAIN = ("domain_id", "sys_user_group")


class Column(Struct, frozen=True):
    """One column of the answer."""

    name: str
    path: FieldPath
    target: str = ""
    """The table a reference or list points to; empty for other fields."""
    joined: FieldPath | None = None
    """Where the display value of the reference is read in the same statement."""
    per_class: bool = False
    """Its choices differ between the classes of the table."""

    @property
    def field(self) -> Field:
        """The field at the end of the walk."""
        return self.path.field


class View(Struct, frozen=True):
    """The columns of an answer, and the names of everything that must be read for them."""

    table: str
    columns: tuple[Column, ...]
    names: tuple[str, ...]
    shape: RowShape
    warnings: tuple[str, ...] = ()

    @property
    def display(self) -> Display:
        """The form of the values."""
        return self.shape.display

    @property
    def links(self) -> bool:
        """Whether references come with a link."""
        return self.shape.links

    @property
    def journals(self) -> tuple[Column, ...]:
        """The columns that show journal entries of the row itself."""
        return tuple(
            column
            for column in self.columns
            if len(column.path.steps) == 1 and is_journal(column.field)
        )


def is_journal(field: Field) -> bool:
    """Tell whether a field shows journal entries: its own, or those of several fields."""
    return field.kind.journal or field.type == "journal_list"


def view_of(dictionary: Dictionary, table: str, shape: RowShape) -> View:
    """Return the view of a table that exists; unknown names are left out with a warning."""
    known = dictionary.table(table)
    warnings: list[str] = []
    columns: list[Column] = []
    joins = 0
    for name in shape.fields if shape.fields is not None else known.fields:
        path = dictionary.find_path(table, name)
        if path is None:
            warnings.append(f"Column left out: table {table} has no field {name[:80]}")
            continue
        column = _column(dictionary, known, path, shape, join=joins < MOST_JOINS)
        joins += column.joined is not None
        columns.append(column)
    names = dict.fromkeys(_names(known, columns, shape))
    return View(table, tuple(columns), tuple(names), shape, tuple(warnings))


def _column(
    dictionary: Dictionary, table: Table, path: FieldPath, shape: RowShape, *, join: bool
) -> Column:
    field = path.field
    target = field.reference or ""
    if field.type == _DOMAIN[0]:
        return Column(path.name, path, target or _DOMAIN[1])
    if not field.kind.reference:
        per_class = (
            shape.display is not Display.VALUE
            and len(path.steps) == 1
            and _choices_differ(dictionary, table, field)
        )
        return Column(path.name, path, target if field.kind.multiple else "", None, per_class)
    shown = None
    if join and shape.display is not Display.VALUE and target in dictionary:
        shown = display_path(dictionary, table.name, path)
    return Column(path.name, path, target, shown)


def _choices_differ(dictionary: Dictionary, table: Table, field: Field) -> bool:
    return any(
        dictionary.table(cls).fields[field.name].choices != field.choices
        for cls in table.classes[1:]
    )


def _names(table: Table, columns: list[Column], shape: RowShape) -> Iterator[str]:
    """A secret field is never read: what is shown of it does not depend on its value."""
    for column in columns:
        if not column.field.kind.secret:
            yield column.name
        if column.joined is not None:
            yield column.joined.name
    if shape.display is Display.VALUE:
        return
    if any(column.per_class for column in columns):
        yield "sys_class_name"
    if any(is_journal(column.field) for column in columns):
        yield "sys_id"
        yield from (field.name for field in table.fields.values() if field.kind.journal)
