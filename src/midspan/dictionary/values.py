"""Canonical wire texts: the one form in which values travel between surfaces and storage."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation

from midspan.dictionary.field import Field
from midspan.dictionary.fieldtype import Storage
from midspan.formats import dates
from midspan.kernel.errors import InvalidValue

_DATETIME = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.\d+)?\s*(Z|[+-]\d\d:?\d\d)?)?"
)
_INTEGER = re.compile(r"[+-]?\d+(?:\.0*)?")
_LARGEST = 2**63 - 1
_LONGEST = 200
"""Characters of a number. Python needs quadratic time for longer whole numbers, and PostgreSQL
keeps 16,383 digits behind the point, SQLite any number of them."""


def canonical(field: Field, text: str) -> str:
    """Return the canonical wire text of a value of ``field``; ``''`` is the empty value.

    Booleans become ``true`` or ``false``, date-times ``YYYY-MM-DD HH:MM:SS`` in UTC, dates
    ``YYYY-MM-DD``, numbers plain decimal digits. Times and durations, kept as date-times of 1970,
    may also come as ``HH:MM:SS``. Text is returned as it is.

    Raises:
        InvalidValue: the text does not fit the type; the message names field, type and value.
    """
    convert = _CONVERT.get(field.storage)
    if convert is None or text == "":
        return text
    try:
        return _CLOCK_TYPES.get(field.type, convert)(text.strip())
    except (ValueError, InvalidOperation, OverflowError, InvalidValue):
        raise InvalidValue(
            f"Field {field.name} ({field.type}) cannot hold {text[:80]!r}",
            hint=_EXPECTED[field.type if field.type in _CLOCK_TYPES else field.storage],
        ) from None


def is_valid(field: Field, text: str) -> bool:
    """Tell whether ``text`` fits the type of ``field``."""
    try:
        canonical(field, text)
    except InvalidValue:
        return False
    return True


def datetime_text(instant: datetime) -> str:
    """Return the wire text of an aware instant: UTC, cut to the second.

    >>> datetime_text(datetime(2026, 1, 31, 8, 0, 0, 999, tzinfo=UTC))
    '2026-01-31 08:00:00'
    """
    return dates.format_internal(instant)


def parse_datetime(text: str) -> datetime:
    """Return the aware UTC instant of a wire text or an ISO 8601 text.

    >>> parse_datetime("2026-01-31T09:00:00+01:00")
    datetime.datetime(2026, 1, 31, 8, 0, tzinfo=datetime.timezone.utc)
    """
    match = _DATETIME.fullmatch(text)
    if match is None:
        raise ValueError(text)
    day, time, zone = match.groups()
    time = time or "00:00:00"
    if len(time) == 5:
        time += ":00"
    offset = "+00:00" if zone in (None, "Z") else zone
    return datetime.fromisoformat(f"{day}T{time}{offset}").astimezone(UTC)


def _boolean(text: str) -> str:
    lowered = text.lower()
    if lowered in ("true", "1", "yes", "on"):
        return "true"
    if lowered in ("false", "0", "no", "off"):
        return "false"
    raise ValueError(text)


def _integer(text: str) -> str:
    if len(text) > _LONGEST or not _INTEGER.fullmatch(text):
        raise ValueError(text)
    number = int(Decimal(text))
    if abs(number) > _LARGEST:
        raise ValueError(text)
    return str(number)


def _decimal(text: str) -> str:
    if len(text) > _LONGEST:
        raise ValueError(text)
    number = Decimal(text)
    if not number.is_finite() or abs(number.adjusted()) > 60:
        raise ValueError(text)
    plain = format(number, "f")
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return "0" if plain in ("-0", "") else plain


def _date(text: str) -> str:
    if len(text) == 10:
        return date.fromisoformat(text).isoformat()
    return parse_datetime(text).date().isoformat()


def _datetime(text: str) -> str:
    return datetime_text(parse_datetime(text))


def _time(text: str) -> str:
    """A time of day alone, or what a date-time says of it.

    >>> _time("10:11:12"), _time("1970-01-01 10:11:12")
    ('1970-01-01 10:11:12', '1970-01-01 10:11:12')
    """
    return _datetime(text) if "-" in text else dates.format_time(dates.parse_time(text))


def _duration(text: str) -> str:
    """``[days ]HH:MM:SS``, or the date-time that long after the start of 1970.

    >>> _duration("1 04:14:21"), _duration("1970-01-02 04:14:21")
    ('1970-01-02 04:14:21', '1970-01-02 04:14:21')
    """
    return _datetime(text) if "-" in text else dates.format_duration(dates.parse_duration(text))


_CONVERT: dict[Storage, Callable[[str], str]] = {
    Storage.BOOLEAN: _boolean,
    Storage.INTEGER: _integer,
    Storage.DECIMAL: _decimal,
    Storage.DATE: _date,
    Storage.DATETIME: _datetime,
}
_CLOCK_TYPES: dict[str, Callable[[str], str]] = {
    "glide_time": _time,
    "glide_duration": _duration,
    "timer": _duration,
}
_EXPECTED: dict[str, str] = {
    "glide_time": "Expected HH:MM:SS or 1970-01-01 HH:MM:SS.",
    "glide_duration": "Expected [days ]HH:MM:SS, or the time that long after 1970-01-01 00:00:00.",
    "timer": "Expected [days ]HH:MM:SS, or the time that long after 1970-01-01 00:00:00.",
    Storage.BOOLEAN: "Expected true or false.",
    Storage.INTEGER: "Expected a whole number, smaller than 2^63.",
    Storage.DECIMAL: "Expected a decimal number with a point, of at most 200 characters.",
    Storage.DATE: "Expected YYYY-MM-DD.",
    Storage.DATETIME: "Expected YYYY-MM-DD HH:MM:SS in UTC, or ISO 8601.",
}
