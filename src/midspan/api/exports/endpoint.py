"""The processors that answer an export."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from midspan.api.displayvalue import Locale, locale_of
from midspan.api.exports.csvfile import charset_of, csv_pieces
from midspan.api.exports.wanted import KNOWN, Export, Format, read_export
from midspan.api.exports.xlsxfile import xlsx_pieces
from midspan.api.exports.xmlfile import xml_pieces
from midspan.api.request import Request
from midspan.api.response import Response
from midspan.api.strict import refuse_in_strict_mode, warning_header
from midspan.api.tablerequest import Display
from midspan.api.tablestream import Reading, body_of, open_reading
from midspan.kernel.errors import InvalidRequest
from midspan.records import PROPERTIES

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
XML = "text/xml;charset=UTF-8"


def export(kind: Format, request: Request) -> Response:
    """Answer the rows of a table as a file.

    Raises:
        InvalidTable: there is no such table.
        NotAuthorized: it is closed, or the query uses a field that may not be read.
        InvalidRequest: the caller wants strictness, and something would be left out.
    """
    wanted = read_export(request, kind)
    reading = open_reading(request, wanted.selection)
    warnings = [*wanted.warnings, *reading.warnings]
    if wanted.capped and reading.goes_on():
        warnings.append(f"Rows left out: an export has at most {wanted.selection.limit}")
    refuse_in_strict_mode(request, warnings, KNOWN)
    pieces, content_type, ending = _written(request, wanted, reading)
    name = f"{wanted.selection.table.name}.{ending}"
    return Response(
        200,
        body_of(pieces),
        content_type,
        {"Content-Disposition": f"attachment;filename={name}", **warning_header(warnings)},
    )


def _written(
    request: Request, wanted: Export, reading: Reading
) -> tuple[Iterator[bytes], str, str]:
    """Return the pieces of a file, its type, and the ending of its name."""
    match wanted.format:
        case Format.CSV:
            content_type = f"text/csv;charset={charset_of(wanted.charset)}"
            return csv_pieces(wanted, reading), content_type, "csv"
        case Format.EXCEL:
            now = request.parts.clock.now()
            return xlsx_pieces(wanted, reading, _locale(request, wanted), now), XLSX, "xlsx"
        case Format.XML | Format.UNLOAD:
            return xml_pieces(wanted, reading, request.parts.clock), XML, "xml"


def _locale(request: Request, wanted: Export) -> Locale:
    """Return the form of the times in the rows: stored ones have none but the system's."""
    if wanted.selection.shape.display is Display.VALUE:
        return Locale()
    return locale_of(request.actor, request.snapshot.part(PROPERTIES))


def _no_pdf(_: Request) -> Response:
    raise InvalidRequest("PDF is no format of exports", hint="Ask for CSV, XLSX, XML or JSON.")


PROCESSORS: Mapping[str, Callable[[Request], Response]] = {
    "csv": partial(export, Format.CSV),
    "excel": partial(export, Format.EXCEL),
    "pdf": _no_pdf,
    "unl": partial(export, Format.UNLOAD),
    "xls": partial(export, Format.EXCEL),
    "xlsx": partial(export, Format.EXCEL),
    "xml": partial(export, Format.XML),
}
