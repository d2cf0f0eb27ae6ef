"""Workbooks: bounds on what they unpack to, and files that are none."""

from __future__ import annotations

import io
import zipfile
from datetime import datetime

import pytest
import xlsxwriter

from midspan.formats import workbook
from midspan.formats.workbook import Workbook
from midspan.kernel.errors import InvalidValue, LimitExceeded, MalformedBody


def made(rows: list[list[object]], name: str = "Sheet1") -> bytes:
    target = io.BytesIO()
    with xlsxwriter.Workbook(target, {"default_date_format": "yyyy-mm-dd"}) as book:
        sheet = book.add_worksheet(name)
        for place, row in enumerate(rows):
            sheet.write_row(place, 0, row)
    return target.getvalue()


def test_cells_are_texts() -> None:
    book = Workbook(made([["a", 1, 2.5, True], [datetime(2026, 1, 2, 3, 4, 5), "", 1e20]]))
    rows = list(book.rows("Sheet1"))
    assert rows == [["a", "1", "2.5", "true"], ["2026-01-02 03:04:05", None, "1e+20"]]
    assert next(iter(book.rows(1, first=2)))[0] == "2026-01-02 03:04:05"
    book.close()


def test_an_unknown_sheet_is_told_with_those_there_are() -> None:
    book = Workbook(made([["a"]], "People"))
    with pytest.raises(InvalidValue) as raised:
        next(book.rows("Peopel"))
    assert "People" in raised.value.explain()
    with pytest.raises(InvalidValue):
        next(book.rows(2))


@pytest.mark.parametrize("data", [b"", b"a,b", b"PK\x03\x04 no archive", b"\xd0\xcf\x11\xe0 old"])
def test_other_files_are_no_workbooks(data: bytes) -> None:
    with pytest.raises(MalformedBody):
        Workbook(data)


def test_a_file_that_unpacks_to_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/sharedStrings.xml", b" " * (workbook.MAX_TEXTS + 1))
    assert len(packed.getvalue()) < 100_000
    with pytest.raises(LimitExceeded):
        Workbook(packed.getvalue())
    monkeypatch.setattr(workbook, "MAX_COLUMNS", 3)
    with pytest.raises(LimitExceeded):
        list(Workbook(made([["a", "b", "c", "d"]])).rows(1))
