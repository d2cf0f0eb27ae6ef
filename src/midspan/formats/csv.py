"""A streaming CSV reader that names each bad row and goes on with the next one (RFC 4180)."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from midspan.kernel.errors import InvalidDefinition

MAX_ROW_BYTES = 1024 * 1024
_RAW_KEPT = 2000
_CHUNK = 64 * 1024
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_UNDECODED = re.compile("[\x00\ud800-\udfff]")


class CsvRow(NamedTuple):
    """A row with as many cells as the header has names."""

    line: int
    """The physical line, from 1, on which the row starts."""
    cells: list[str]


class BadCsvRow(NamedTuple):
    """A row that cannot be used; the rows after it are read all the same."""

    line: int
    """The physical line, from 1, on which the row starts."""
    reason: str
    """One sentence for the person who has to repair the file."""
    raw: str
    """The text of the row, at most 2,000 characters; bytes that are no text show as ``\\xff``."""


def read_csv(
    stream: BinaryIO,
    *,
    delimiter: str = ",",
    encoding: str = "utf-8-sig",
    max_row_bytes: int = MAX_ROW_BYTES,
) -> CsvReader:
    r"""Read the header and return a reader that yields the rows as they are asked for.

    A byte order mark (UTF-8, UTF-16, UTF-32) wins over ``encoding``. Lines may end in LF, CR LF or
    CR; empty lines are skipped. ``stream`` needs only ``read``; it is not closed.

    >>> reader = read_csv(io.BytesIO(b"id,name,\n1,Ann,x\n2,Bob\n"))
    >>> reader.header
    ['id', 'name', 'column_3']
    >>> [row.reason if isinstance(row, BadCsvRow) else row.cells for row in reader]
    [['1', 'Ann', 'x'], 'expected 3 columns, found 2']

    Raises:
        InvalidDefinition: no header row, a header that cannot be read, a delimiter that is not
            one character, or an encoding that does not exist.
    """
    return CsvReader(stream, delimiter, encoding, max_row_bytes)


class CsvReader:
    """The rows of one CSV file, once, in order; memory is bounded by the longest row allowed.

    ``header`` holds the trimmed names of the first row: an empty one becomes ``column_3`` (by its
    position), a repeated one gets a suffix (``name_2``). ``encoding`` is the one in use.

    A bad row is reported on its own line: wrong column count, a quote that is never closed or is
    followed by text, bytes that are not text, NUL characters, a row over ``max_row_bytes`` (counted
    as UTF-8). After a broken quote reading goes on at the next physical line, so the lines that the
    open quote would have swallowed are still rows.
    """

    def __init__(self, stream: BinaryIO, delimiter: str, encoding: str, max_row_bytes: int) -> None:
        if len(delimiter) != 1 or delimiter in '"\r\n':
            raise InvalidDefinition(
                f"The CSV delimiter {delimiter!r} cannot be used",
                hint="Give one character, such as ',', ';' or a tab.",
            )
        first = _read_exactly(stream, 4)
        self.encoding = _encoding_of(first, encoding)
        self._lines = _Lines(_open_text(first, stream, self.encoding), max_row_bytes)
        self._records = csv.reader(self._lines, delimiter=delimiter, strict=True)
        self.header = _unique_names(self._first_record())

    def __iter__(self) -> Iterator[CsvRow | BadCsvRow]:
        """Yield the rows that are left."""
        lines, records, width = self._lines, self._records, len(self.header)
        while True:
            line = lines.begin_record()
            try:
                cells = next(records)
            except StopIteration:
                return
            except (csv.Error, _Unreadable) as error:
                yield lines.give_up(line, str(error))
                continue
            if len(cells) == width:
                yield CsvRow(line, cells)
            elif cells:
                reason = f"expected {_columns(width)}, found {len(cells)}"
                yield BadCsvRow(line, reason, lines.text_taken())

    def _first_record(self) -> list[str]:
        while True:
            line = self._lines.begin_record()
            try:
                cells = next(self._records)
            except StopIteration:
                raise InvalidDefinition(
                    "The CSV file is empty", hint="Its first row must name the columns."
                ) from None
            except (csv.Error, _Unreadable) as error:
                bad = self._lines.give_up(line, str(error))
                raise InvalidDefinition(
                    f"The CSV header on line {bad.line} cannot be read: {bad.reason}",
                    hint=f"The file was read as {self.encoding}; is that its encoding?",
                ) from error
            if cells:
                return cells


class _Unreadable(Exception):
    """The line source's word for text that must not reach the CSV parser."""


class _Lines:
    """Physical lines for ``csv.reader``, with the lines of the record in progress kept at hand."""

    def __init__(self, text: io.TextIOWrapper, max_row_bytes: int) -> None:
        self._readline = text.readline
        self._max = max_row_bytes
        self._again: deque[str] = deque()
        self._taken: list[str] = []
        self._size = 0
        self._next_line = 1
        self._ended = False

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._read()
        if not line:
            raise StopIteration
        self._taken.append(line)
        if not line.isascii() or "\x00" in line:
            self._check(line)
        self._size += len(line)
        if self._size > self._max:
            self._too_long(line)
        return line

    def begin_record(self) -> int:
        """Forget the record before and return the physical line of the next one."""
        self._next_line += len(self._taken)
        self._taken.clear()
        self._size = 0
        return self._next_line

    def give_up(self, line: int, problem: str) -> BadCsvRow:
        """Report the first physical line of the record and offer the others again."""
        self._again.extendleft(reversed(self._taken[1:]))
        del self._taken[1:]
        return BadCsvRow(line, _reason(problem), self.text_taken())

    def text_taken(self) -> str:
        """Return the record in progress as text that can be shown, without its last line end."""
        text = "".join(self._taken)[:_RAW_KEPT].rstrip("\r\n")
        return _UNDECODED.sub(lambda bad: _escaped(bad.group()), text)

    def _read(self) -> str:
        if self._ended:
            return ""
        try:
            return self._readline(self._max + 1)
        except UnicodeDecodeError as error:
            self._ended = True
            self._taken.append("\n")
            raise _Unreadable(f"the rest of the file is not {error.encoding} text") from error

    def _check(self, line: str) -> None:
        self._size += len(line.encode("utf-8", "surrogatepass")) - len(line)
        bad = _UNDECODED.search(line)
        if bad is None:
            return
        self._finish_line(line)
        what = f"holds bytes ({_escaped(bad.group())}) that are not text in the file's encoding"
        if bad.group() == "\x00":
            what = "holds a NUL character"
        if len(self._taken) > 1:
            what = (
                f"a quote opened here is still open {len(self._taken) - 1} lines on, which {what}"
            )
        raise _Unreadable(what)

    def _too_long(self, line: str) -> None:
        self._finish_line(line)
        raise _Unreadable(f"longer than {self._max} bytes; is a closing quote missing?")

    def _finish_line(self, line: str) -> None:
        """Skip what is left of a physical line that was cut at the limit, and give it an end."""
        if len(line) <= self._max or line.endswith(("\n", "\r")):
            return
        while line and not line.endswith(("\n", "\r")):
            line = self._readline(self._max + 1)
        self._taken[-1] += "\n"


class _Unowned(io.RawIOBase):
    """The caller's stream behind bytes already read; closing it leaves the stream open."""

    name = "csv"

    def __init__(self, first: bytes, stream: BinaryIO) -> None:
        self._first = first
        self._stream = stream

    def readable(self) -> bool:
        """Return True: the text layer asks before it reads."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Return up to 64 KiB whatever ``size`` is: the text layer asks for less than is good."""
        first, self._first = self._first, b""
        return first or self._stream.read(_CHUNK)


def _open_text(first: bytes, stream: BinaryIO, encoding: str) -> io.TextIOWrapper:
    wide = encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32"))
    return io.TextIOWrapper(
        _Unowned(first, stream),
        encoding=encoding,
        errors="surrogatepass" if wide else "surrogateescape",
        newline="",
    )


def _read_exactly(stream: BinaryIO, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = stream.read(size - len(data))
        if not more:
            break
        data += more
    return data


def _encoding_of(first: bytes, asked: str) -> str:
    for mark, encoding in _BOMS:
        if first.startswith(mark):
            return encoding
    try:
        return codecs.lookup(asked).name
    except LookupError:
        raise InvalidDefinition(
            f"There is no text encoding {asked!r}", hint="Examples: utf-8, utf-16, windows-1252."
        ) from None


def _unique_names(cells: list[str]) -> list[str]:
    """Make the header's names usable as keys.

    >>> _unique_names(["a", " a ", "", "a_2", "a"])
    ['a', 'a_2', 'column_3', 'a_2_2', 'a_3']
    """
    names: list[str] = []
    for position, cell in enumerate(cells, 1):
        base = cell.strip() or f"column_{position}"
        name, count = base, 1
        while name in names:
            count += 1
            name = f"{base}_{count}"
        names.append(name)
    return names


def _reason(problem: str) -> str:
    if "unexpected end of data" in problem:
        return "a quote is opened and never closed"
    if "expected after" in problem:
        return "text follows a closing quote; is a quote missing or not doubled?"
    if "field larger than field limit" in problem:
        return f"a cell is longer than {csv.field_size_limit()} characters"
    return problem


def _columns(count: int) -> str:
    return "1 column" if count == 1 else f"{count} columns"


def _escaped(mark: str) -> str:
    code = ord(mark)
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
