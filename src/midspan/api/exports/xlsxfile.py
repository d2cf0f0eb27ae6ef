"""A workbook of one sheet, written row by row to a file that nobody else sees.

Numbers and times are cells of their kind. Text is never a formula; what looks like one carries
Excel's own mark for text, so that it stays text when somebody edits the cell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Any

from midspan.api.displayvalue import Locale
from midspan.api.exports.cells import Heading, headings, is_formula, texts
from midspan.api.exports.wanted import Export
from midspan.api.tablestream import Reading
from midspan.dictionary import Storage
from midspan.formats.datepattern import compile_pattern
from midspan.kernel.errors import MidspanError

_PIECE = 256 * 1024
_LONGEST = 32_767
"""Characters of a cell."""
_DIGITS = 15
"""Of a number that a cell holds exactly."""
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_NUMBERS = frozenset({Storage.INTEGER, Storage.DECIMAL})
_MOMENTS = frozenset({"glide_date_time", "due_date"})
_FIRST_YEAR = 1900
"""Before it a sheet knows no days."""


def xlsx_pieces(
    wanted: Export, reading: Reading, locale: Locale, made: datetime
) -> Iterator[bytes]:
    """Yield a workbook; it is written as a whole before the first piece."""
    with TemporaryFile() as file:
        _write(file, wanted, reading, locale, made)
        file.seek(0)
        while piece := file.read(_PIECE):
            yield piece


def _write(
    file: IO[bytes], wanted: Export, reading: Reading, locale: Locale, made: datetime
) -> None:
    from xlsxwriter import Workbook  # noqa: PLC0415 - 25 ms of every start, for few answers

    with TemporaryDirectory(prefix="midspan-xlsx-") as scratch:
        options = {"constant_memory": True, "tmpdir": scratch}
        book = Workbook(file, options)
        book.set_properties({"created": made.replace(tzinfo=None)})
        sheet = _Sheet(book, locale)
        columns = headings(reading, labels=wanted.labels)
        sheet.head(columns)
        for rows in reading.pages():
            for row in texts(columns, rows):
                sheet.add(columns, row, escape=wanted.escape)
        book.close()


class _Sheet:
    """The only sheet of a workbook."""

    def __init__(self, book: Any, locale: Locale) -> None:
        self._sheet = book.add_worksheet("Page 1")
        self._bold = book.add_format({"bold": True})
        self._text = book.add_format({"quote_prefix": True})
        self._moment = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        self._day = book.add_format({"num_format": "yyyy-mm-dd"})
        self._locale = locale
        self._row = 0

    def head(self, columns: tuple[Heading, ...]) -> None:
        """Write the first row and keep it in sight."""
        for place, column in enumerate(columns):
            self._sheet.write_string(0, place, column.text, self._bold)
        self._sheet.freeze_panes(1, 0)

    def add(self, columns: tuple[Heading, ...], row: list[str], *, escape: bool) -> None:
        """Write one row below the others."""
        self._row += 1
        for place, (column, text) in enumerate(zip(columns, row, strict=True)):
            if text and not self._typed(place, column, text):
                mark = self._text if escape and is_formula(text) else None
                self._sheet.write_string(self._row, place, text[:_LONGEST], mark)

    def _typed(self, place: int, column: Heading, text: str) -> bool:
        """Write a number or a time as such; False where the text is neither."""
        field = column.field
        if field.storage in _NUMBERS:
            if len(text) > _DIGITS or _NUMBER.fullmatch(text) is None:
                return False
            self._sheet.write_number(self._row, place, float(text))
            return True
        if field.type in _MOMENTS:
            moment, form = _parsed(text, self._locale.pattern), self._moment
        elif field.storage is Storage.DATE:
            moment, form = _parsed(text, self._locale.date), self._day
        else:
            return False
        if moment is None or moment.year < _FIRST_YEAR:
            return False
        self._sheet.write_datetime(self._row, place, moment, form)
        return True


def _parsed(text: str, pattern: str) -> datetime | None:
    """Return the wall-clock time that a text shows; None where it shows none."""
    try:
        return compile_pattern(pattern).parse(text)
    except MidspanError:
        return None
