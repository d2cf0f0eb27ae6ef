"""Texts of a foreign database's types in the instance's own form, so that any field takes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from midspan_link.blocks import Column, Value

_BOOLEANS = {"t": "true", "f": "false"}


def convert_rows_of(columns: Sequence[Column]) -> Callable[[list[Value]], list[Value]]:
    """Return what turns a row of these columns into staging texts; the row may be changed.

    PostgreSQL writes booleans as ``t`` and ``f`` and instants with ``+00`` at their end (readers
    set the session's zone to UTC). Everything else is kept as the source wrote it.

    >>> convert = convert_rows_of(
    ...     [Column("a", "boolean"), Column("b", "timestamp with time zone"), Column("c", "text")]
    ... )
    >>> convert(["t", "2024-03-31 00:30:00.5+00", "t"]), convert([None, "infinity", None])
    (['true', '2024-03-31 00:30:00.5', 't'], [None, 'infinity', None])
    """
    converters = [
        (place, converter)
        for place, column in enumerate(columns)
        if (converter := _converter(column.source_type))
    ]

    def convert(row: list[Value]) -> list[Value]:
        for place, converter in converters:
            value = row[place]
            if value is not None:
                row[place] = converter(value)
        return row

    return convert


def _converter(source_type: str) -> Callable[[str], str] | None:
    if source_type == "boolean":
        return lambda text: _BOOLEANS.get(text, text)
    if source_type.startswith("timestamp") and source_type.endswith("with time zone"):
        return lambda text: text.removesuffix("+00")
    return None
