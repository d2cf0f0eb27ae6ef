"""PostgreSQL's COPY text format, as far as a database without it has to read it."""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_MEANING = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def decode_copy_line(line: str) -> tuple[str | None, ...]:
    r"""Return the cells of one line without its newline; ``\N`` is None.

    >>> decode_copy_line("a\\tb\t\\N\tc")
    ('a\tb', None, 'c')
    """
    cells = line.split("\t")
    if "\\" not in line:
        return tuple(cells)
    return tuple(None if cell == "\\N" else _unescape(cell) for cell in cells)


def encode_copy_line(cells: tuple[str | None, ...] | list[str | None]) -> str:
    r"""Return one line without its newline.

    >>> encode_copy_line(["a\tb", None, "c"])
    'a\\tb\t\\N\tc'
    """
    return "\t".join("\\N" if cell is None else _escape(cell) for cell in cells)


def _unescape(cell: str) -> str:
    return _ESCAPE.sub(lambda match: _MEANING.get(match[1], match[1]), cell)


def _escape(cell: str) -> str:
    if not any(char in cell for char in "\\\t\n\r"):
        return cell
    return cell.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
