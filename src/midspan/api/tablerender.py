"""Rows to the Table API's objects, column by column. Pure.

The shapes are those of the matrix in ``spec/rest-api.md`` 1.6: every value is a string, an empty
one ``""``; a reference is an object with a link unless that is not wanted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from midspan.api.displayvalue import (
    MASK,
    Locale,
    label_function,
    show_all,
    show_function,
)
from midspan.api.tablerequest import Display
from midspan.api.tableview import Column, View, is_journal
from midspan.dictionary import Dictionary, Storage
from midspan.query import ReadPlan
from midspan.records import HIDDEN
from midspan.storage import Row


class Page:
    """Rows of one plan, turned to columns."""

    def __init__(
        self,
        plan: ReadPlan,
        rows: Sequence[Row],
        dictionary: Dictionary,
        locale: Locale,
        links: str,
    ) -> None:
        self.rows = rows
        self.dictionary = dictionary
        self.locale = locale
        self.links = links
        """What the link of a reference starts with; the table's name follows."""
        self.hidden = _hideable(plan)
        self.positions = {path.name: place for place, path in enumerate(plan.columns)}
        self._columns = list(zip(*rows, strict=True))

    def texts(self, name: str) -> list[str]:
        """Return the stored texts of a column, ``''`` where it is empty or was not read."""
        place = self.positions.get(name)
        if place is None or not self._columns:
            return [""] * len(self.rows)
        return [text or "" for text in self._columns[place]]


class Shown(Struct, frozen=True):
    """What was looked up: names of records by table and id, histories by record and field."""

    names: Mapping[str, Mapping[str, str]]
    journals: Mapping[tuple[str, str], str]


class Layout(Struct, frozen=True):
    """Where the values of an answer without display values stand in a row of its plan."""

    names: tuple[str, ...]
    places: tuple[int, ...]
    """-1 where nothing is read and the value is always empty."""
    in_order: bool
    """The row as it is has the values in the order of the names."""
    references: tuple[tuple[str, str], ...]
    """Names that get a link, with the table it leads to."""
    hidden: tuple[tuple[str, int], ...] = ()
    """Names that are missing in rows that hide them, with their places."""


def layout_of(view: View, plan: ReadPlan) -> Layout:
    """Return the layout of stored values; a column that the plan does not read is missing."""
    positions = {path.name: place for place, path in enumerate(plan.columns)}
    columns = [
        column for column in view.columns if column.field.kind.secret or column.name in positions
    ]
    places = tuple(positions.get(column.name, -1) for column in columns)
    return Layout(
        names=tuple(column.name for column in columns),
        places=places,
        # Without any known column the plan still reads one, to find the rows.
        in_order=bool(places) and places == tuple(range(len(plan.columns))),
        references=tuple(
            (column.name, column.target)
            for column in columns
            if view.links and column.field.kind.reference and column.target
        ),
        hidden=_hideable(plan),
    )


def stored_values(layout: Layout, rows: Sequence[Row], links: str) -> list[dict[str, object]]:
    """Return one object per row with stored values; ``links`` is what a reference starts with."""
    names, places = layout.names, layout.places
    if layout.in_order:
        found = [dict(zip(names, [text or "" for text in row], strict=True)) for row in rows]
    else:
        found = [
            dict(zip(names, [(row[at] or "") if at >= 0 else "" for at in places], strict=True))
            for row in rows
        ]
    for name, target in layout.references:
        start = f"{links}{target}/"
        for one in found:
            if text := one[name]:
                one[name] = {"link": start + text, "value": text}
    return _without_hidden(found, rows, layout.hidden) if layout.hidden else found


def render(view: View, page: Page, shown: Shown) -> list[dict[str, object]]:
    """Return one object per row with what people see; an unreadable column is missing."""
    columns = [column for column in view.columns if _visible(column, page)]
    if not columns:
        return [{} for _ in page.rows]
    names = [column.name for column in columns]
    cells = [_cells(view, column, page, shown) for column in columns]
    found = [dict(zip(names, row, strict=True)) for row in zip(*cells, strict=True)]
    return _without_hidden(found, page.rows, page.hidden) if page.hidden else found


def _hideable(plan: ReadPlan) -> tuple[tuple[str, int], ...]:
    masked = {path for mask in plan.masks for path in mask.columns}
    return tuple((path.name, place) for place, path in enumerate(plan.columns) if path in masked)


def _without_hidden(
    found: list[dict[str, object]], rows: Sequence[Row], hidden: tuple[tuple[str, int], ...]
) -> list[dict[str, object]]:
    """Return the objects without the members that their rows hide."""
    for one, row in zip(found, rows, strict=True):
        for name, place in hidden:
            if row[place] is HIDDEN:
                one.pop(name, None)
    return found


def _visible(column: Column, page: Page) -> bool:
    return column.field.kind.secret or column.name in page.positions


def _cells(view: View, column: Column, page: Page, shown: Shown) -> Sequence[object]:
    texts = page.texts(column.name)
    seen_texts = _display_texts(column, page, shown, texts)
    if column.field.kind.reference and column.target:
        return _references(view, f"{page.links}{column.target}/", texts, seen_texts)
    if view.display is Display.SHOWN:
        return seen_texts
    return [
        {"display_value": seen, "value": text} for seen, text in zip(seen_texts, texts, strict=True)
    ]


def _references(
    view: View, start: str, texts: Sequence[str], seen_texts: Sequence[str]
) -> Sequence[object]:
    pairs = zip(texts, seen_texts, strict=True)
    if view.display is Display.SHOWN:
        if not view.links:
            return seen_texts
        return [
            {"display_value": seen, "link": start + text} if text else "" for text, seen in pairs
        ]
    if not view.links:
        return [{"display_value": seen, "value": text} for text, seen in pairs]
    return [
        {"display_value": seen, "link": start + text, "value": text}
        if text
        else {"display_value": "", "value": ""}
        for text, seen in pairs
    ]


def _display_texts(column: Column, page: Page, shown: Shown, texts: Sequence[str]) -> Sequence[str]:
    """Return what people see of a column."""
    field = column.field
    if field.kind.secret:
        return [MASK] * len(texts)
    if is_journal(field):
        ids = page.texts("sys_id")
        own = len(column.path.steps) == 1
        return [shown.journals.get((key, column.name), "") if own else "" for key in ids]
    if field.storage is Storage.NONE:
        return texts
    if column.joined is not None and column.joined.name in page.positions:
        show = show_function(column.joined.field, page.dictionary, page.locale)
        return show_all(show, page.texts(column.joined.name))
    if column.target:
        return _looked_up(column, shown.names.get(column.target, {}), texts)
    if column.per_class:
        return _class_labels(column, page, texts)
    return show_all(show_function(field, page.dictionary, page.locale), texts)


def _looked_up(column: Column, names: Mapping[str, str], texts: Sequence[str]) -> Sequence[str]:
    if column.field.kind.reference:
        return [text if text == "global" else names.get(text, "") for text in texts]
    return [
        ", ".join(names.get(part.strip(), part.strip()) for part in text.split(",") if part.strip())
        for text in texts
    ]


def _class_labels(column: Column, page: Page, texts: Sequence[str]) -> Sequence[str]:
    """A child class may call the same choice value by another name."""
    fields = {
        cls: page.dictionary.table(cls).fields.get(column.name, column.field)
        for cls in set(page.texts("sys_class_name"))
        if cls in page.dictionary
    }
    labels = {cls: label_function(field) for cls, field in fields.items()}
    own = label_function(column.field)
    return [
        labels.get(cls, own)(text) if text else ""
        for cls, text in zip(page.texts("sys_class_name"), texts, strict=True)
    ]
