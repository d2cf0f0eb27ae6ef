"""The columns of a sheet and the texts in them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

from midspan.api.tablestream import Reading, Rows
from midspan.dictionary import Field

_STARTS = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # the last four: their full-width forms
_NUMBER = re.compile(r"[-+]?\$?[0-9][0-9,]*(\.[0-9]+)?([eE][-+]?[0-9]+)?")


class Heading(Struct, frozen=True):
    """One column: the name it is asked for by, and what its head says."""

    name: str
    text: str
    field: Field


def headings(reading: Reading, *, labels: bool) -> tuple[Heading, ...]:
    """Return the columns of a reading. One that may not be read is there, and empty.

    So columns stay where a client that counts them expects them.
    """
    return tuple(
        Heading(
            column.name,
            column.field.label if labels and column.name in reading.visible else column.name,
            column.field,
        )
        for column in reading.view.columns
    )


def texts(columns: Iterable[Heading], rows: Rows) -> Iterator[list[str]]:
    """Yield the texts of each row in the order of the columns."""
    names = [column.name for column in columns]
    for row in rows:
        yield [str(row.get(name, "")) for name in names]


def is_formula(text: str) -> bool:
    """Tell whether a spreadsheet might take a text for a formula; numbers are none.

    >>> [is_formula(text) for text in ("=1+1", "@SUM(A1)", "-2+3+cmd|' /C calc'!A0", "\\t=1")]
    [True, True, True, True]
    >>> [is_formula(text) for text in ("", "-12.5", "+49301234", "-$1,499.00", "a=b", "1-2")]
    [False, False, False, False, False, False]
    """
    return bool(text) and text[0] in _STARTS and _NUMBER.fullmatch(text) is None
