"""CSV: good rows, every kind of bad row, encodings, limits, and that reading goes on."""

import csv as standard
import io
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midspan.formats.csv import BadCsvRow, CsvRow, read_csv
from midspan.kernel.errors import InvalidDefinition

CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
TABLES = st.integers(2, 4).flatmap(
    lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=6)
)


def rows_of(data: bytes, **options: Any) -> list[CsvRow | BadCsvRow]:
    return list(read_csv(io.BytesIO(data), **options))


def bad_ones(data: bytes, **options: Any) -> list[tuple[int, str]]:
    return [
        (row.line, row.reason) for row in rows_of(data, **options) if isinstance(row, BadCsvRow)
    ]


def good_ones(data: bytes, **options: Any) -> list[list[str]]:
    return [row.cells for row in rows_of(data, **options) if isinstance(row, CsvRow)]


@given(TABLES, st.sampled_from(",;\t|"), st.sampled_from(["\n", "\r\n"]))
def test_what_the_csv_module_writes_reads_back(
    table: list[list[str]], delimiter: str, ending: str
) -> None:
    text = io.StringIO(newline="")
    writer = standard.writer(
        text, delimiter=delimiter, lineterminator=ending, quoting=standard.QUOTE_ALL
    )
    writer.writerow([f"c{position}" for position in range(len(table[0]))])
    writer.writerows(table)
    assert good_ones(text.getvalue().encode(), delimiter=delimiter) == table


@given(st.binary(max_size=200))
def test_any_bytes_give_rows_or_a_clear_error(data: bytes) -> None:
    try:
        reader = read_csv(io.BytesIO(data), max_row_bytes=40)
    except InvalidDefinition:
        return
    lines = [row.line for row in reader]
    assert lines == sorted(set(lines))
    assert all(1 < line <= data.count(b"\n") + data.count(b"\r") + 1 for line in lines)


@given(st.lists(st.sampled_from(["1,a", '2,"b"', '3,"c', "4", '5,"d\ne"', '6,"f"g', "7,h,i"])))
def test_a_good_line_after_bad_ones_is_never_lost(lines: list[str]) -> None:
    data = "\n".join(["id,name", *lines, "8,last", "9,end"]).encode()
    assert good_ones(data)[-2:] == [["8", "last"], ["9", "end"]]


def test_five_kinds_of_broken_row_leave_all_others() -> None:
    data = b'id,name\n1,Ann\n2\n3,Bob,x\n4,"Cy"x\n5,D\xffn\n6,Eve\n7,"Fay\n8,Guy\n'
    assert bad_ones(data) == [
        (3, "expected 2 columns, found 1"),
        (4, "expected 2 columns, found 3"),
        (5, "text follows a closing quote; is a quote missing or not doubled?"),
        (6, "holds bytes (\\xff) that are not text in the file's encoding"),
        (8, "a quote is opened and never closed"),
    ]
    assert good_ones(data) == [["1", "Ann"], ["6", "Eve"], ["8", "Guy"]]


def test_an_open_quote_does_not_swallow_the_quoted_rows_after_it() -> None:
    data = b'id,name\n1,"Ann\n2,Bob\n3,"Cy"\n4,Dee\n'
    assert [row.line for row in rows_of(data) if isinstance(row, BadCsvRow)] == [2]
    assert good_ones(data) == [["2", "Bob"], ["3", "Cy"], ["4", "Dee"]]


def test_a_row_over_several_lines_keeps_the_line_numbers_right() -> None:
    data = b'id,note\n\n1,"two\r\nlines"\n2,x\n3\n'
    assert rows_of(data) == [
        CsvRow(3, ["1", "two\r\nlines"]),
        CsvRow(5, ["2", "x"]),
        BadCsvRow(6, "expected 2 columns, found 1", "3"),
    ]


@pytest.mark.parametrize("long", [51, 500, 100_000, 300_000])
@pytest.mark.parametrize("quote", [b"", b'"'])
def test_a_row_over_the_limit_is_reported_and_skipped(long: int, quote: bytes) -> None:
    data = b"id,name\n1,Ann\n2," + quote + b"x" * long + quote + b"\n3,Bob\n"
    assert bad_ones(data, max_row_bytes=50) == [
        (3, "longer than 50 bytes; is a closing quote missing?")
    ]
    assert good_ones(data, max_row_bytes=50) == [["1", "Ann"], ["3", "Bob"]]


def test_an_oversize_line_inside_an_open_quote_costs_only_these_two_lines() -> None:
    data = b'id,name\n1,"Ann\n2,' + b"x" * 500 + b"\n3,Bob\n4,Cy\n"
    assert [line for line, _ in bad_ones(data, max_row_bytes=50)] == [2, 3]
    assert good_ones(data, max_row_bytes=50) == [["3", "Bob"], ["4", "Cy"]]


def test_the_limit_counts_bytes_not_characters() -> None:
    assert good_ones("a,b\n1,ééé\n".encode(), max_row_bytes=9) == [["1", "ééé"]]
    assert bad_ones("a,b\n1,ééé\n".encode(), max_row_bytes=8)[0][0] == 2


def test_a_cell_over_the_parsers_limit_is_reported() -> None:
    data = b"id,name\n1," + b"x" * 200_000 + b"\n2,Bob\n"
    assert bad_ones(data) == [(2, "a cell is longer than 131072 characters")]
    assert good_ones(data) == [["2", "Bob"]]


def test_bad_bytes_behind_an_open_quote_are_blamed_on_the_quote() -> None:
    data = b'id,name\n1,"Ann\n2,\xff\n3,Bob\n'
    (first, reason), (second, _) = bad_ones(data)
    assert (first, second) == (2, 3)
    assert reason.startswith("a quote opened here is still open 1 lines on")
    assert good_ones(data) == [["3", "Bob"]]


def test_nul_characters_are_refused_by_row() -> None:
    assert bad_ones(b"id,name\n1,A\x00n\n2,Bob\n") == [(2, "holds a NUL character")]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be"]
)
def test_a_byte_order_mark_wins(encoding: str) -> None:
    mark = "" if encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32") else "\ufeff"
    data = f"{mark}id,name\n1,Žofie 😀\n".encode(encoding)
    reader = read_csv(io.BytesIO(data))
    assert reader.header == ["id", "name"]
    assert list(reader) == [CsvRow(2, ["1", "Žofie 😀"])]


def test_another_encoding_can_be_asked_for() -> None:
    data = "id,name\n1,Größe\n".encode("cp1252")
    assert good_ones(data, encoding="windows-1252") == [["1", "Größe"]]
    assert bad_ones(data)[0][0] == 2


def test_a_cut_utf_16_file_reports_its_end() -> None:
    data = "id,name\n1,Ann\n2,B".encode("utf-16")[:-1]
    rows = rows_of(data)
    assert rows[0] == CsvRow(2, ["1", "Ann"])
    assert isinstance(rows[-1], BadCsvRow)


def test_utf_16_without_a_mark_is_named_in_the_header_error() -> None:
    with pytest.raises(InvalidDefinition) as caught:
        read_csv(io.BytesIO("id,name\n1,Ann\n".encode("utf-16-le")))
    assert "NUL" in caught.value.message
    assert "utf-8" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (b"", {}, "empty"),
        (b"\n\n", {}, "empty"),
        (b'"id,name\n1,2\n', {}, "header on line 1 cannot be read"),
        (b"a,b\n", {"delimiter": ""}, "delimiter"),
        (b"a,b\n", {"delimiter": ",,"}, "delimiter"),
        (b"a,b\n", {"delimiter": '"'}, "delimiter"),
        (b"a,b\n", {"encoding": "utf-99"}, "no text encoding"),
    ],
)
def test_a_file_that_cannot_be_used_at_all(
    data: bytes, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidDefinition, match=message):
        read_csv(io.BytesIO(data), **options)


def test_names_of_the_header_are_made_unique() -> None:
    reader = read_csv(io.BytesIO(b' id ,name,,"name",\n'))
    assert reader.header == ["id", "name", "column_3", "name_2", "column_5"]
    assert list(reader) == []


def test_old_line_ends_and_a_missing_last_one() -> None:
    assert good_ones(b"id,name\r1,Ann\r2,Bob") == [["1", "Ann"], ["2", "Bob"]]


def test_the_callers_stream_stays_open_and_is_read_in_pieces() -> None:
    stream = io.BytesIO(b"id,name\n" + b"1,Ann\n" * 200_000)
    rows = iter(read_csv(stream))
    assert next(rows) == CsvRow(2, ["1", "Ann"])
    assert stream.tell() < 200_000
    del rows
    assert not stream.closed


def test_raw_text_is_bounded_and_shows_bad_bytes() -> None:
    (bad,) = rows_of(b"a,b\n\xfe" + b"x" * 5000 + b",1\n")
    assert isinstance(bad, BadCsvRow)
    assert bad.raw.startswith("\\xfexxx")
    assert len(bad.raw) < 2010


def test_quadratic_traps_stay_linear() -> None:
    data = b"a,b\n" + b'1,"x\n' * 20_000
    started = time.perf_counter()
    assert len(rows_of(data)) == 20_000
    assert time.perf_counter() - started < 5
