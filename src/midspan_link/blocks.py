"""Numbered blocks of rows in PostgreSQL's COPY text format, compressed, each with its schema.

A framed block is ``MSB1 | header length (4 bytes, big endian) | header JSON | zstd frame``. The
rows inside are lines of tab-separated fields, ``\\N`` for NULL, every line ended by a line feed,
UTF-8. Both PostgreSQL ends hand them on unread; everybody else uses ``encode_row`` and
``decode_rows``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated

import msgspec
import zstandard
from msgspec import Meta, Struct

from midspan_link.errors import InvalidBlock

MAGIC = b"MSB1"
CUT_BYTES = 1024 * 1024
CUT_ROWS = 20_000
MAX_ROW = 16 * 1024 * 1024
MAX_RAW = CUT_BYTES + MAX_ROW
MAX_HEADER = 1024 * 1024
MAX_FRAME = MAX_RAW + MAX_HEADER + 64 * 1024
MAX_COLUMNS = 1600

Value = str | None


class Column(Struct, frozen=True):
    """A column as the source names it; ``source_type`` in the source's own words, or empty."""

    name: Annotated[str, Meta(min_length=1, max_length=255)]
    source_type: Annotated[str, Meta(max_length=255)] = ""


class BlockHeader(Struct, frozen=True, forbid_unknown_fields=True):
    """What a block says about itself; ``digest`` is the SHA-256 of the raw rows in hex."""

    number: Annotated[int, Meta(ge=0)]
    rows: Annotated[int, Meta(ge=0)]
    raw_bytes: Annotated[int, Meta(ge=0, le=MAX_RAW)]
    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    columns: Annotated[tuple[Column, ...], Meta(max_length=MAX_COLUMNS)]


class Block(Struct, frozen=True):
    """A checked block: its header and the raw COPY text of its rows."""

    header: BlockHeader
    raw: bytes


_ESCAPE = {
    "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
}  # fmt: skip
_ESCAPE_TABLE = str.maketrans(_ESCAPE)
_NEEDS_ESCAPE = re.compile(r"[\\\x08-\x0d]")
_UNESCAPE = {escape[1]: character for character, escape in _ESCAPE.items()}
_SEQUENCE = re.compile(r"\\(.?)", re.DOTALL)


def encode_row(values: Sequence[Value]) -> bytes:
    r"""Return one row as a COPY line with its line feed.

    >>> encode_row(["a\tb", None, ""])
    b'a\\tb\t\\N\t\n'

    Raises:
        InvalidBlock: a value holds NUL or a lone surrogate, which PostgreSQL's text cannot hold, or
            the row is larger than 16 MiB.
    """
    line = "\t".join([_escape(value) for value in values]) + "\n"
    if "\0" in line:
        place = next(n for n, value in enumerate(values) if value and "\0" in value)
        raise InvalidBlock(
            f"Column {place + 1} holds a NUL character, which no text column can hold",
            hint="Remove it in the query, for example with replace().",
        )
    try:
        row = line.encode()
    except UnicodeEncodeError:
        raise InvalidBlock("A value holds a lone surrogate and is no valid text") from None
    if len(row) > MAX_ROW:
        raise InvalidBlock(f"A row is larger than {MAX_ROW} bytes")
    return row


def decode_rows(raw: bytes, columns: int) -> Iterator[list[Value]]:
    r"""Yield the rows of COPY text, strictly.

    >>> list(decode_rows(b"a\\tb\t\\N\t\n", 3))
    [['a\tb', None, '']]

    Raises:
        InvalidBlock: no UTF-8, an unknown escape, a wrong number of fields, a missing last line
        feed.
    """
    if not raw:
        return
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidBlock(f"The rows are not UTF-8 at byte {error.start}") from None
    if "\0" in text:
        raise InvalidBlock("The rows hold a NUL character")
    lines = text.split("\n")
    if lines.pop():
        raise InvalidBlock("The last row has no line feed")
    for number, line in enumerate(lines, 1):
        fields: list[Value] = line.split("\t")  # type: ignore[assignment]
        if len(fields) != columns:
            raise InvalidBlock(f"Row {number} has {len(fields)} fields, expected {columns}")
        if "\\" in line:
            fields = [_unescape(field, number) for field in fields]
        yield fields


class BlockWriter:
    """Cuts a stream of rows into framed blocks, numbered from 0; not thread-safe.

    ``add`` and ``finish`` return framed blocks ready to store. The last block may be small; a
    result without rows still makes one block, so that the schema arrives.
    """

    def __init__(
        self, columns: Sequence[Column], *, cut_bytes: int = CUT_BYTES, cut_rows: int = CUT_ROWS
    ) -> None:
        _check_columns(columns)
        self.columns = tuple(columns)
        self.blocks = 0
        self.rows = 0
        self.digests: list[str] = []
        self._cut_bytes = cut_bytes
        self._cut_rows = cut_rows
        self._parts: list[bytes] = []
        self._size = 0
        self._pending = 0
        self._finished = False
        self._compressor = zstandard.ZstdCompressor(level=1, write_content_size=True)

    def add(self, chunk: bytes) -> bytes | None:
        """Take a chunk of COPY text, cut anywhere; return a framed block when one is full.

        Raises:
            InvalidBlock: a row, or the chunk itself, is larger than 16 MiB.
        """
        if len(chunk) > MAX_ROW:
            raise InvalidBlock(f"A row is larger than {MAX_ROW} bytes")
        self._parts.append(chunk)
        self._size += len(chunk)
        self._pending += chunk.count(b"\n")
        if self._size < self._cut_bytes and self._pending < self._cut_rows:
            return None
        return self._cut()

    def add_rows(self, rows: Iterable[Sequence[Value]]) -> Iterator[bytes]:
        """Encode rows and yield the framed blocks that became full."""
        for row in rows:
            frame = self.add(encode_row(row))
            if frame is not None:
                yield frame

    def finish(self) -> bytes | None:
        """Return the rest as a last block, or None when nothing is left to say.

        Raises:
            InvalidBlock: the stream ended in the middle of a row.
        """
        if self._finished:
            return None
        self._finished = True
        raw = b"".join(self._parts)
        if raw and not raw.endswith(b"\n"):
            raise InvalidBlock("The stream of rows ended in the middle of a row")
        return self._frame(raw, self._pending) if raw or not self.blocks else None

    def _cut(self) -> bytes | None:
        raw = b"".join(self._parts)
        end = raw.rfind(b"\n") + 1
        if len(raw) - end > MAX_ROW:
            raise InvalidBlock(f"A row is larger than {MAX_ROW} bytes")
        if not end:
            self._parts = [raw]
            return None
        rest = raw[end:]
        self._parts = [rest] if rest else []
        self._size = len(rest)
        rows, self._pending = self._pending, 0
        return self._frame(raw[:end], rows)

    def _frame(self, raw: bytes, rows: int) -> bytes:
        digest = hashlib.sha256(raw).hexdigest()
        header = msgspec.json.encode(BlockHeader(self.blocks, rows, len(raw), digest, self.columns))
        self.blocks += 1
        self.rows += rows
        self.digests.append(digest)
        body = self._compressor.compress(raw)
        return b"".join((MAGIC, len(header).to_bytes(4, "big"), header, body))


def read_header(frame: bytes) -> BlockHeader:
    """Read a block's header without touching its rows.

    Raises:
        InvalidBlock: not a block, or a header that is wrong.
    """
    return _split(frame)[0]


def decode_block(frame: bytes) -> Block:
    """Check and unpack a framed block: sizes, digest, rows counted by line feeds.

    Memory is bounded by the header's ``raw_bytes``, itself at most 17 MiB, whatever the frame
    claims.

    Raises:
        InvalidBlock: damaged, too large, or a header that does not describe the rows.
    """
    header, body = _split(frame)
    decompressor = zstandard.ZstdDecompressor(max_window_size=32 * 1024 * 1024)
    try:
        stream = decompressor.stream_reader(body, read_across_frames=False)
        raw = _read_exactly(stream, header.raw_bytes)
    except zstandard.ZstdError as error:
        raise InvalidBlock(f"Block {header.number} cannot be decompressed: {error}") from None
    if len(raw) != header.raw_bytes:
        raise InvalidBlock(f"Block {header.number} does not unpack to {header.raw_bytes} bytes")
    if hashlib.sha256(raw).hexdigest() != header.digest:
        raise InvalidBlock(f"Block {header.number} does not match its digest")
    if raw.count(b"\n") != header.rows or (raw and not raw.endswith(b"\n")):
        raise InvalidBlock(f"Block {header.number} does not hold {header.rows} whole rows")
    return Block(header, raw)


def _read_exactly(stream: zstandard.ZstdDecompressionReader, size: int) -> bytes:
    parts: list[bytes] = []
    left = size + 1
    while left and (part := stream.read(left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _split(frame: bytes) -> tuple[BlockHeader, bytes]:
    if len(frame) > MAX_FRAME:
        raise InvalidBlock(f"A block is at most {MAX_FRAME} bytes, this one has {len(frame)}")
    length = int.from_bytes(frame[4:8], "big")
    if frame[:4] != MAGIC or length > MAX_HEADER or len(frame) < 8 + length:
        raise InvalidBlock("The data is not a framed block")
    try:
        header = msgspec.json.decode(frame[8 : 8 + length], type=BlockHeader)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidBlock(f"The block's header is wrong: {error}") from None
    _check_columns(header.columns)
    return header, frame[8 + length :]


def _check_columns(columns: Sequence[Column]) -> None:
    names = [column.name for column in columns]
    if not names or len(names) > MAX_COLUMNS:
        raise InvalidBlock(f"A block has 1 to {MAX_COLUMNS} columns, not {len(names)}")
    if len(set(names)) != len(names):
        double = next(name for name in names if names.count(name) > 1)
        raise InvalidBlock(f"The column {double!r} occurs twice")


def _escape(value: Value) -> str:
    if value is None:
        return "\\N"
    return value.translate(_ESCAPE_TABLE) if _NEEDS_ESCAPE.search(value) else value


def _unescape(field: Value, number: int) -> Value:
    if field == "\\N":
        return None
    if field is None or "\\" not in field:
        return field

    def replace(match: re.Match[str]) -> str:
        character = _UNESCAPE.get(match[1])
        if character is None:
            raise InvalidBlock(f"Row {number} has the unknown escape {match[0]!r}")
        return character

    return _SEQUENCE.sub(replace, field)
