"""CSV: every value quoted, lines end in CR LF, text that looks like a formula begins with ``'``."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable, Iterator, Mapping

from midspan.api.exports.cells import headings, is_formula, texts
from midspan.api.exports.wanted import Export
from midspan.api.tablestream import Reading

CHARSETS: Mapping[str, str] = {
    "utf-8": "UTF-8",
    "utf8": "UTF-8",
    "windows-1252": "windows-1252",
    "cp1252": "windows-1252",
    "iso-8859-1": "ISO-8859-1",
    "iso-8859-15": "ISO-8859-15",
    "us-ascii": "US-ASCII",
    "utf-16": "UTF-16",
    "shift_jis": "Shift_JIS",
    "gb18030": "GB18030",
}
"""What ``glide.export.csv.charset`` may say, and how the content type names it."""


def charset_of(name: str) -> str:
    """Return the character set of a file; UTF-8 for a name that is not known.

    >>> charset_of("Windows-1252"), charset_of(""), charset_of("rot13")
    ('windows-1252', 'UTF-8', 'UTF-8')
    """
    return CHARSETS.get(name.strip().lower(), "UTF-8")


def csv_pieces(wanted: Export, reading: Reading) -> Iterator[bytes]:
    """Yield the file; a character that its character set does not have becomes a question mark."""
    encoder = codecs.getincrementalencoder(charset_of(wanted.charset))(errors="replace")
    columns = headings(reading, labels=wanted.labels)
    yield encoder.encode(_lines([[column.text for column in columns]], escape=wanted.escape))
    for rows in reading.pages():
        yield encoder.encode(_lines(texts(columns, rows), escape=wanted.escape))


def _lines(rows: Iterable[list[str]], *, escape: bool) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    for row in rows:
        writer.writerow(
            [f"'{text}" if is_formula(text) else text for text in row] if escape else row
        )
    return stream.getvalue()
