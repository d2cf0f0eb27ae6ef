"""Sheets of an Excel workbook (.xlsx), row by row, as texts; with bounds on what it unpacks to."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Iterator
from datetime import datetime
from importlib import import_module
from itertools import islice
from typing import Any

from midspan.kernel.errors import InvalidValue, LimitExceeded, MalformedBody, did_you_mean

MAX_BYTES = 32 * 1024 * 1024
MAX_UNPACKED = 256 * 1024 * 1024
MAX_TEXTS = 32 * 1024 * 1024
"""Of the list of texts, which is in memory as a whole; so is everything but the sheets."""
MAX_COLUMNS = 1_000
_MEGABYTE = 1024 * 1024
_MAGIC = b"PK"


class Workbook:
    """An open workbook; only the rows that are asked for are read.

    Numbers come as plain texts, whole ones without a fraction, dates as ``yyyy-MM-dd HH:mm:ss``,
    booleans as ``true`` and ``false``, formulas as the value that was stored with them, and cells
    without a value as None.
    """

    def __init__(self, data: bytes) -> None:
        """Open a workbook.

        Raises:
            MalformedBody: it is no .xlsx.
            LimitExceeded: it is too large, packed or unpacked.
        """
        _check(data)
        openpyxl = import_module("openpyxl")  # which costs 0.1 s, and few ever need it
        # It tells of styles that a file lacks, and of what it leaves out; only cells count here.
        warnings.filterwarnings("ignore", category=UserWarning, module="openpyxl")
        try:
            self._book = openpyxl.load_workbook(
                io.BytesIO(data), read_only=True, data_only=True, keep_links=False
            )
        except Exception as error:  # whatever a broken file makes of it
            raise MalformedBody("The file is no workbook (.xlsx)", detail=_told(error)) from error

    @property
    def sheets(self) -> list[str]:
        """The names of the sheets with cells, hidden ones too, in their order."""
        return [sheet.title for sheet in self._book.worksheets]

    def rows(self, sheet: str | int, first: int = 1) -> Iterator[list[str | None]]:
        """Yield the rows of a sheet (name, or number from 1) from row ``first`` on.

        Raises:
            InvalidValue: there is no such sheet.
            LimitExceeded: a row has more than 1,000 columns.
            MalformedBody: the sheet cannot be read.
        """
        found = self._sheet(sheet)
        found.reset_dimensions()  # what a file says of its size is not to be believed
        try:
            for row in found.iter_rows(min_row=first, values_only=True):
                if len(row) > MAX_COLUMNS:
                    raise LimitExceeded(f"A row has {len(row)} columns; {MAX_COLUMNS} are read")
                yield [_text(cell) for cell in row]
        except LimitExceeded:
            raise
        except Exception as error:
            raise MalformedBody("The sheet cannot be read", detail=_told(error)) from error

    def close(self) -> None:
        """Let go of the file."""
        self._book.close()

    def _sheet(self, wanted: str | int) -> Any:
        if isinstance(wanted, int):
            found = next(islice(self._book.worksheets, max(wanted - 1, 0), None), None)
        else:
            found = next((s for s in self._book.worksheets if s.title == wanted), None)
        if found is None:
            hint = did_you_mean(str(wanted), self.sheets) or f"There are: {', '.join(self.sheets)}."
            raise InvalidValue(f"The workbook has no sheet {wanted!r}", hint=hint)
        return found


def _check(data: bytes) -> None:
    if len(data) > MAX_BYTES:
        raise LimitExceeded(f"The workbook has {len(data)} bytes; at most {MAX_BYTES} are read")
    if not data.startswith(_MAGIC):
        raise MalformedBody("The file is no workbook (.xlsx)", hint="Save it as .xlsx, not .xls.")
    try:
        parts = zipfile.ZipFile(io.BytesIO(data)).infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise MalformedBody("The file is no workbook (.xlsx)", detail=_told(error)) from error
    whole = sum(part.file_size for part in parts)
    kept = sum(part.file_size for part in parts if "worksheets/" not in part.filename)
    for size, limit in ((whole, MAX_UNPACKED), (kept, MAX_TEXTS)):
        if size > limit:
            raise LimitExceeded(
                f"The workbook unpacks to {size // _MEGABYTE} MB; {limit // _MEGABYTE} are read",
                hint="Split it, or save the sheet as CSV.",
            )


def _text(cell: object) -> str | None:
    """Return the value of a cell as a text.

    >>> [_text(cell) for cell in (None, True, 3.0, 2.5, datetime(2026, 1, 2, 3, 4))]
    [None, 'true', '3', '2.5', '2026-01-02 03:04:00']
    """
    match cell:
        case None | "":
            return None
        case bool():
            return "true" if cell else "false"
        case float():
            return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
        case datetime():
            return cell.strftime("%Y-%m-%d %H:%M:%S")
    return str(cell)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]
