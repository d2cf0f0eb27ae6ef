"""The wire names of an export, read into one typed wish."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct, structs

from midspan.api.request import Request
from midspan.api.strict import PREFIX, unknown_parameters
from midspan.api.tableread import open_table
from midspan.api.tablerequest import LARGEST_NUMBER, Display, RowShape, unknown_of
from midspan.api.tablestream import Selection
from midspan.api.tableview import is_journal
from midspan.api.uiviews import columns_of_list, exported
from midspan.dictionary import Storage, Table
from midspan.query import And, Operator, Order, Query, Term, both, parse

DEFAULT_LIMIT = 10_000
MOST_CELLS = 500_000
"""Of a workbook, where no property says otherwise."""
KNOWN = frozenset(
    {
        "sysparm_query",
        "sysparm_orderby",
        "sysparm_record_count",
        "sysparm_view",
        "sysparm_fields",
        "sysparm_default_export_fields",
        "sysparm_display_value",
        "sysparm_export_column_header_label",
        "sysparm_sys_id",
        "sysparm_tiny",
    }
)
_LIST = "_list"
_NUMBER = re.compile(r"0*([0-9]+)")


class Format(StrEnum):
    """What an export is written as."""

    CSV = "csv"
    EXCEL = "excel"
    XML = "xml"
    UNLOAD = "unload"

    @property
    def is_xml(self) -> bool:
        """Whether it is one of the two XML formats."""
        return self in (Format.XML, Format.UNLOAD)


_LIMITS = {
    Format.CSV: "glide.csv.export.limit",
    Format.EXCEL: "glide.excel.export.limit",
    Format.XML: "glide.xml.export.limit",
    Format.UNLOAD: "glide.xml.export.limit",
}
_RAW = {Format.CSV: "glide.export.csv.raw.value", Format.EXCEL: "glide.export.excel.raw.value"}
"""Properties that ask for stored values where others are usual."""


class Export(Struct, frozen=True, kw_only=True):
    """A wish for rows of a table in a format."""

    format: Format
    selection: Selection
    labels: bool
    """The header names columns as people see them."""
    escape: bool
    """What a spreadsheet would take for a formula is marked as text."""
    charset: str
    capped: bool
    """Not the caller but a property says how many rows there are at most."""
    warnings: tuple[str, ...]


def table_of(request: Request) -> Table:
    """Return the table of ``/{table}.do`` or ``/{table}_list.do``.

    Raises:
        InvalidTable: there is none.
        NotAuthorized: it is closed to web services.
    """
    name = request.arguments["table"]
    dictionary = request.snapshot.dictionary
    if name not in dictionary and name.endswith(_LIST) and name.removesuffix(_LIST) in dictionary:
        name = name.removesuffix(_LIST)
    return open_table(request.snapshot, name)


def read_export(request: Request, kind: Format) -> Export:
    """Read the wish of a request."""
    table = table_of(request)
    if kind is Format.XML and request.flag("useUnloadFormat"):
        kind = Format.UNLOAD
    shape, warnings = _shape(request, table, kind)
    limit, capped = _limit(request, kind, len(shape.fields or ()))
    selection = Selection(
        table=table,
        query=query_of(request),
        unknown=unknown_of(request),
        shape=shape,
        limit=limit,
    )
    labels = request.parameter(f"{PREFIX}export_column_header_label").strip().lower()
    return Export(
        format=kind,
        selection=selection,
        labels=labels == "true" or (kind is Format.EXCEL and labels != "false"),
        escape=request.property("glide.export.escape_formulas", "true").lower() != "false",
        charset=request.property("glide.export.csv.charset"),
        capped=capped,
        warnings=(*unknown_parameters(request, KNOWN), *warnings),
    )


def query_of(request: Request, given: Mapping[str, str] | None = None) -> Query:
    """Return what a request asks for: its query, one more sort key, or the id of one record.

    ``given`` are parameters that win over those of the address.
    """
    given = given or {}

    def parameter(name: str) -> str:
        return given.get(name) or request.parameter(name)

    query = parse(parameter(f"{PREFIX}query"))
    sorted_by = parameter(f"{PREFIX}orderby").strip()
    if sorted_by:
        query = structs.replace(query, order=(*query.order, Order(sorted_by)))
    one = parameter("sys_id") or parameter(f"{PREFIX}sys_id")
    if one:
        term = Term("sys_id", Operator.EQUALS, one)
        query = structs.replace(query, condition=both(query.condition, And((term,))))
    return query


def wished_number(text: str) -> int | None:
    """Return a number of rows; None where it is none.

    >>> wished_number("20"), wished_number(""), wished_number("-1"), wished_number("9" * 40)
    (20, None, None, 2147483647)
    """
    match = _NUMBER.fullmatch(text.strip())
    return min(int(match[1][:11]), LARGEST_NUMBER) if match else None


def _shape(request: Request, table: Table, kind: Format) -> tuple[RowShape, tuple[str, ...]]:
    """Return the columns: those that are named, those of a view, or what the format has."""
    names = request.parameter(f"{PREFIX}fields").split(",")
    fields = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    every = request.parameter(f"{PREFIX}default_export_fields").strip().lower() == "all"
    view, user = request.parameter(f"{PREFIX}view").strip(), request.actor.sys_id
    warnings: tuple[str, ...] = ()
    if view and not fields and not every:
        chosen = exported(request.snapshot, table.name, view, user)
        fields, warnings = chosen.fields or (), chosen.warnings
    if not fields and not kind.is_xml and not every:
        fields = columns_of_list(request.snapshot, table, user=user)
    display = _display(request, kind)
    return RowShape(fields=fields or all_columns(table), display=display, links=False), warnings


def all_columns(table: Table) -> tuple[str, ...]:
    """Return the columns that an export without a choice has: no journals, no secrets."""
    return tuple(
        name
        for name, field in table.fields.items()
        if field.storage is not Storage.NONE and not is_journal(field) and not field.kind.secret
    )


def _display(request: Request, kind: Format) -> Display:
    if kind is Format.UNLOAD:
        return Display.BOTH
    wanted = request.parameter(f"{PREFIX}display_value").strip().lower()
    if wanted in ("true", "false"):
        return Display(wanted)
    raw = kind is Format.XML or request.property_flag(_RAW[kind])
    return Display.VALUE if raw else Display.SHOWN


def _limit(request: Request, kind: Format, columns: int) -> tuple[int, bool]:
    """Return at most how many rows there are, and whether a property says so."""
    most = _most(request, kind)
    if kind is Format.EXCEL:
        cells = wished_number(request.property("glide.excel.max_cells"))
        most = min(most, max(1, (MOST_CELLS if cells is None else cells) // max(columns, 1)))
    wish = wished_number(request.parameter(f"{PREFIX}record_count"))
    if wish is None or wish > most:
        return most, True
    return wish, False


def _most(request: Request, kind: Format) -> int:
    """Return the most rows of a format: its own property, that of all formats, or 10,000."""
    own = wished_number(request.property(_LIMITS[kind]))
    every = wished_number(request.property("glide.ui.export.limit"))
    return next((most for most in (own, every) if most is not None), DEFAULT_LIMIT)
