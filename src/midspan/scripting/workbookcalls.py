"""Host calls behind GlideExcelParser: workbooks are read here, and scripts get pages of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from msgspec import Struct

from midspan.formats.workbook import MAX_BYTES, Workbook
from midspan.kernel.errors import InvalidRequest, LimitExceeded
from midspan.sandbox import JsonValue
from midspan.scripting.streams import stream_pieces
from midspan.scripting.unit import Unit

MOST_OPEN = 4
"""Workbooks that a script may have open; each may take tens of megabytes."""
_PAGE = 200


class _Open(Struct):
    book: Workbook
    rows: Iterator[list[str | None]]


class WorkbookCalls:
    """Answers the ``workbook.`` calls of one session; ``request`` is the body being answered."""

    def __init__(self, unit: Unit, request: bytes = b"") -> None:
        self._unit = unit
        self._request = request
        self._open: dict[int, _Open] = {}
        self._given = 0

    def calls(self) -> Mapping[str, Callable[..., Any]]:
        """Return the functions by the name of their call."""
        return {
            "workbook.open": self.open,
            "workbook.sheet": self.sheet,
            "workbook.page": self.page,
            "workbook.close": self.close,
        }

    def open(self, source: Mapping[str, Any]) -> JsonValue:
        """Open the workbook that a stream stands for; return its number and its sheets.

        Raises:
            MalformedBody: it is none.
            LimitExceeded: it is too large, or too many are open.
        """
        if len(self._open) >= MOST_OPEN:
            raise LimitExceeded(
                f"A script may have {MOST_OPEN} workbooks open", hint="Call close() on one."
            )
        data = bytearray()
        for piece in stream_pieces(self._unit, source, self._request):
            data += piece
            if len(data) > MAX_BYTES:
                raise LimitExceeded(f"The workbook has more than {MAX_BYTES} bytes")
        book = Workbook(bytes(data))
        self._given += 1
        self._open[self._given] = _Open(book, iter(()))
        return {"number": self._given, "sheets": list(book.sheets)}

    def sheet(self, number: int, sheet: str | int, header: int) -> JsonValue:
        """Go to a sheet and return its row of heads, empty when there is none."""
        found = self._found(number)
        found.rows = found.book.rows(sheet, max(int(header), 1))
        return list(next(found.rows, []))

    def page(self, number: int) -> JsonValue:
        """Return the next rows, none at the end."""
        return [list(row) for row in islice(self._found(number).rows, _PAGE)]

    def close(self, number: int) -> None:
        """Let go of a workbook; of one that is closed nothing happens."""
        found = self._open.pop(number, None)
        if found is not None:
            found.book.close()

    def _found(self, number: int) -> _Open:
        found = self._open.get(number)
        if found is None:
            raise InvalidRequest("The workbook is closed; call parse() first")
        return found
