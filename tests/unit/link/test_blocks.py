"""Blocks: rows there and back, cuts, damage, bombs."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from midspan_link.blocks import (
    MAGIC,
    MAX_ROW,
    BlockHeader,
    BlockWriter,
    Column,
    decode_block,
    decode_rows,
    encode_row,
    read_header,
)
from midspan_link.errors import InvalidBlock

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
TRICKY = st.text(st.sampled_from("\\\t\n\r\b\f\vN.ntrx0é漢😀 \x1c\x85\u2028"))
VALUE = st.none() | TEXT | TRICKY
COLUMNS = [Column("a", "integer"), Column("b", "text")]


@given(st.lists(st.lists(VALUE, min_size=2, max_size=2), max_size=50), st.integers(1, 40))
def test_any_rows_survive_any_cut(rows: list[list[str | None]], cut: int) -> None:
    writer = BlockWriter(COLUMNS, cut_bytes=cut)
    frames = list(writer.add_rows(rows))
    last = writer.finish()
    frames += [last] if last else []
    blocks = [decode_block(frame) for frame in frames]
    assert [block.header.number for block in blocks] == list(range(writer.blocks))
    assert [row for block in blocks for row in decode_rows(block.raw, 2)] == rows
    assert writer.rows == len(rows) == sum(block.header.rows for block in blocks)
    assert [block.header.digest for block in blocks] == writer.digests


@given(st.lists(st.lists(VALUE, min_size=1, max_size=1)), st.data())
def test_a_stream_may_be_fed_in_any_pieces(
    rows: list[list[str | None]], data: st.DataObject
) -> None:
    raw = b"".join(encode_row(row) for row in rows)
    writer = BlockWriter([Column("a")], cut_bytes=20, cut_rows=3)
    frames: list[bytes] = []
    while raw:
        size = data.draw(st.integers(1, len(raw)))
        frame = writer.add(raw[:size])
        frames += [frame] if frame else []
        raw = raw[size:]
    last = writer.finish()
    frames += [last] if last else []
    found = [row for frame in frames for row in decode_rows(decode_block(frame).raw, 1)]
    assert found == rows


@given(VALUE)
def test_null_is_never_text(value: str | None) -> None:
    assert (encode_row([value]) == b"\\N\n") == (value is None)


@pytest.mark.parametrize(
    ("value", "text"), [("a\0b", "Column 2 holds a NUL"), ("\ud800", "lone surrogate")]
)
def test_text_that_no_column_can_hold_is_refused(value: str, text: str) -> None:
    with pytest.raises(InvalidBlock, match=text):
        encode_row(["ok", value])


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"a", "no line feed"),
        (b"a\tb\n", "2 fields, expected 1"),
        (b"\n\n\\.\n", r"unknown escape '\\\\.'"),
        (b"\\x41\n", "unknown escape"),
        (b"a\\\n", "unknown escape"),
        (b"\\Nx\n", "unknown escape"),
        (b"\xff\n", "not UTF-8"),
        (b"\0\n", "NUL"),
    ],
)
def test_rows_that_are_not_strict_are_refused(raw: bytes, text: str) -> None:
    with pytest.raises(InvalidBlock, match=text):
        list(decode_rows(raw, 1))


def test_no_rows_still_carry_the_schema() -> None:
    frame = BlockWriter(COLUMNS).finish()
    assert frame is not None
    assert read_header(frame).columns == tuple(COLUMNS)
    assert list(decode_rows(decode_block(frame).raw, 2)) == []


def _frame(header: dict[str, object], raw: bytes) -> bytes:
    whole = {
        "number": 0,
        "rows": raw.count(b"\n"),
        "raw_bytes": len(raw),
        "digest": hashlib.sha256(raw).hexdigest(),
        "columns": [{"name": "a"}],
        **header,
    }
    head = msgspec.json.encode(whole)
    return MAGIC + len(head).to_bytes(4, "big") + head + zstandard.compress(raw)


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ({"digest": "0" * 64}, "digest"),
        ({"rows": 7}, "7 whole rows"),
        ({"raw_bytes": 1}, "unpack to 1 bytes"),
        ({"raw_bytes": 1000}, "unpack to 1000 bytes"),
        ({"raw_bytes": 2**40}, "header is wrong"),
        ({"number": -1}, "header is wrong"),
        ({"extra": 1}, "header is wrong"),
        ({"columns": []}, "1 to 1600 columns"),
        ({"columns": [{"name": "a"}, {"name": "a"}]}, "'a' occurs twice"),
    ],
)
def test_headers_that_lie_are_refused(header: dict[str, object], text: str) -> None:
    with pytest.raises(InvalidBlock, match=text):
        decode_block(_frame(header, b"x\ny\n"))


@given(st.binary(max_size=200), st.integers(0, 300))
def test_damage_is_an_error_and_nothing_else(noise: bytes, place: int) -> None:
    good = _frame({}, b"some\nrows\n" * 20)
    damaged = good[:place] + noise + good[place + len(noise) :]
    if damaged == good:
        return
    try:
        block = decode_block(damaged)
    except InvalidBlock:
        return
    assert hashlib.sha256(block.raw).hexdigest() == block.header.digest


def test_a_bomb_does_not_unfold() -> None:
    bomb = zstandard.compress(b"\n" * 500_000_000)
    head = msgspec.json.encode(BlockHeader(0, 10, 10, "0" * 64, (Column("a"),)))
    frame = MAGIC + len(head).to_bytes(4, "big") + head + bomb
    assert len(frame) < 100_000
    with pytest.raises(InvalidBlock, match="unpack to 10 bytes"):
        decode_block(frame)


def test_a_row_over_the_limit_is_refused() -> None:
    with pytest.raises(InvalidBlock, match="larger than"):
        encode_row(["x" * MAX_ROW])
    writer = BlockWriter([Column("a")])
    fed = 0
    while fed < MAX_ROW - 1_000_000:
        assert writer.add(b"x" * 1_000_000) is None
        fed += 1_000_000
    with pytest.raises(InvalidBlock, match="larger than"):
        writer.add(b"x" * 1_000_000)
