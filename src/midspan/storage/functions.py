"""Functions that a SQLite connection needs for its dialect: fold, decimals, dates."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import partial
from typing import Any, cast

from midspan.formats.periods import moved, part_of, truncated
from midspan.query.comparison import fold
from midspan.query.computed import compute
from midspan.query.functions import FUNCTIONS
from midspan.query.moments import shown_in
from midspan.query.regex import matches_regex
from midspan.query.wildcard import matches

_EXACT = Context(prec=1000)


def register_functions(connection: sqlite3.Connection) -> None:
    """Give a SQLite connection what its dialect needs: fold, decimal order, exact totals."""
    connection.create_function("fold", 1, _fold_value, deterministic=True)
    connection.create_function("matches", 2, _matches, deterministic=True)
    connection.create_function("matches_regex", 2, _matches_regex, deterministic=True)
    connection.create_function("date_moved", 3, _date_moved, deterministic=True)
    connection.create_function("date_local", 2, _date_local, deterministic=True)
    connection.create_function("date_part", 2, _date_part, deterministic=True)
    connection.create_function("date_truncated", 2, _date_truncated, deterministic=True)
    for name in FUNCTIONS:
        connection.create_function(f"glide_{name}", -1, partial(compute, name), deterministic=True)
    connection.create_collation("midspan_decimal", _compare_decimals)
    connection.create_aggregate("decimal_sum", 1, cast(Any, _DecimalSum))
    connection.create_aggregate("decimal_avg", 1, cast(Any, _DecimalAverage))
    connection.create_aggregate("fold_min", 1, cast(Any, _FirstText))
    connection.create_aggregate("fold_max", 1, cast(Any, _LastText))


class _DecimalSum:
    """Exact sum of wire texts or integers; NULL when there was none."""

    def __init__(self) -> None:
        self.count = 0
        self.total = Decimal(0)

    def step(self, value: str | int | None) -> None:
        if value is not None:
            self.count += 1
            self.total = _EXACT.add(self.total, Decimal(value))

    def finalize(self) -> str | None:
        return _plain(self.total) if self.count else None


class _DecimalAverage(_DecimalSum):
    """Average, rounded to four decimals, halves away from zero."""

    def finalize(self) -> str | None:
        if not self.count:
            return None
        average = _EXACT.divide(self.total, Decimal(self.count))
        return _plain(average.quantize(Decimal("0.0001"), ROUND_HALF_UP, _EXACT))


class _FirstText:
    """The first of texts in folded order, then by code points; NULL when there was none."""

    def __init__(self) -> None:
        self.best: tuple[str, str] | None = None

    def step(self, value: str | None) -> None:
        if value is not None:
            key = (fold(value), value)
            if self.best is None or self.better(key, self.best):
                self.best = key

    @staticmethod
    def better(key: tuple[str, str], best: tuple[str, str]) -> bool:
        return key < best

    def finalize(self) -> str | None:
        return self.best[1] if self.best else None


class _LastText(_FirstText):
    """The last of texts in folded order, then by code points."""

    @staticmethod
    def better(key: tuple[str, str], best: tuple[str, str]) -> bool:
        return key > best


def _plain(number: Decimal) -> str:
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _fold_value(value: object) -> str | None:
    return None if value is None else fold(str(value))


def _matches(pattern: str, text: str | None) -> bool | None:
    return None if text is None else matches(pattern, text)


def _matches_regex(expression: str, text: str | None) -> bool | None:
    return None if text is None else matches_regex(expression, text)


def _date_moved(text: str | None, unit: str, count: int) -> str | None:
    """Outside the years 1 to 9999 the result comes before, or after, every date."""
    if text is None:
        return None
    try:
        return moved(datetime.fromisoformat(text), unit, count).isoformat(" ")
    except (ValueError, OverflowError):
        return "" if count < 0 else "~"


def _date_local(text: str | None, zone: str) -> str | None:
    return None if text is None else shown_in(datetime.fromisoformat(text), zone).isoformat(" ")


def _date_part(text: str | None, part: str) -> int | None:
    return None if text is None else part_of(datetime.fromisoformat(text), part)


def _date_truncated(text: str | None, unit: str) -> str | None:
    return None if text is None else truncated(datetime.fromisoformat(text), unit).isoformat(" ")


def _compare_decimals(first: str, second: str) -> int:
    if first == second:
        return 0
    return 1 if Decimal(first) > Decimal(second) else -1
