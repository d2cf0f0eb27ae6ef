"""Dates as they are stored, sent and shown: internal text, ISO 8601, and display in a time zone.

Stored date-times are UTC to the second, ``YYYY-MM-DD HH:MM:SS``. A wall time that a change of the
clocks skips is read as if the clocks had not been changed yet (02:30 becomes 03:30 where one hour
is missing); a wall time that occurs twice is its first occurrence. Java and JavaScript do the same.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo

from midspan.formats.datepattern import compile_pattern, read_offset
from midspan.kernel.errors import InvalidDefinition, InvalidValue

DEFAULT_PATTERN = "yyyy-MM-dd HH:mm:ss"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_INTERNAL = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?: ([0-9]{2}):([0-9]{2}):([0-9]{2}))?")
_ISO = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8})"
    r"(?:[Tt ](?P<time>[0-9]{2}(?::?[0-9]{2}(?::?[0-9]{2}(?:[.,](?P<fraction>[0-9]{1,9}))?)?)?)"
    r" ?(?P<zone>[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_CLOCK = re.compile(r"(?:1970-01-01 )?([0-9]{2}):([0-9]{2}):([0-9]{2})")
_DURATION = re.compile(r"(?:([0-9]+) )?([0-9]{1,4}):([0-9]{2}):([0-9]{2})")
_UNITS = (("Day", 86_400), ("Hour", 3_600), ("Minute", 60))


def parse_internal(text: str) -> datetime:
    """Return the UTC instant of stored text; a date alone is its midnight.

    >>> parse_internal("2026-02-01 10:00:00")
    datetime.datetime(2026, 2, 1, 10, 0, tzinfo=datetime.timezone.utc)

    Raises:
        InvalidValue: not of the form ``YYYY-MM-DD HH:MM:SS``, or no such day or time.
    """
    match = _INTERNAL.fullmatch(text.strip())
    if match is None:
        raise _unfit(text, "date-time", "YYYY-MM-DD HH:MM:SS")
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise _unfit(text, "date-time", "YYYY-MM-DD HH:MM:SS", str(error)) from error


def format_internal(moment: datetime) -> str:
    """Return the stored text of an aware instant; fractions of a second are cut off.

    >>> format_internal(datetime(2026, 2, 1, 11, 0, tzinfo=ZoneInfo("Europe/Berlin")))
    '2026-02-01 10:00:00'
    """
    if moment.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "seconds")


def parse_date(text: str) -> date:
    """Return the day of ``YYYY-MM-DD`` or of a stored date-time.

    >>> parse_date("2026-02-28"), parse_date("2026-02-28 23:00:00")
    (datetime.date(2026, 2, 28), datetime.date(2026, 2, 28))
    """
    return parse_internal(text).date()


def format_date(day: date) -> str:
    """Return the stored text of a day.

    >>> format_date(date(2026, 2, 28))
    '2026-02-28'
    """
    return date(day.year, day.month, day.day).isoformat()


def parse_time(text: str) -> time:
    """Return the time of day of ``HH:MM:SS`` or ``1970-01-01 HH:MM:SS``.

    >>> parse_time("02:00:00"), parse_time("1970-01-01 23:59:59")
    (datetime.time(2, 0), datetime.time(23, 59, 59))
    """
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        raise _unfit(text, "time", "HH:MM:SS")
    try:
        return time(int(match[1]), int(match[2]), int(match[3]))
    except ValueError as error:
        raise _unfit(text, "time", "HH:MM:SS", str(error)) from error


def format_time(at: time) -> str:
    """Return the stored text of a time of day.

    >>> format_time(time(2, 0))
    '1970-01-01 02:00:00'
    """
    return f"1970-01-01 {at:%H:%M:%S}"


def parse_duration(text: str) -> timedelta:
    """Return the length of time of stored text (counted from 1970) or ``[days ]HH:MM:SS``.

    >>> parse_duration("1970-01-02 04:14:21") == parse_duration("1 04:14:21")
    True
    >>> parse_duration("00:02:17")
    datetime.timedelta(seconds=137)
    """
    match = _DURATION.fullmatch(text.strip())
    if match is not None:
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        if minutes < 60 and seconds < 60 and days <= 999_999:
            return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    elif _INTERNAL.fullmatch(text.strip()):
        return parse_internal(text) - EPOCH
    raise _unfit(text, "duration", "1970-01-01 00:02:17 or [days ]HH:MM:SS")


def format_duration(length: timedelta) -> str:
    """Return the stored text: the date-time that many seconds after 1970-01-01 00:00:00.

    >>> format_duration(timedelta(seconds=137))
    '1970-01-01 00:02:17'
    """
    try:
        return format_internal(EPOCH + timedelta(seconds=length // timedelta(seconds=1)))
    except OverflowError as error:
        raise InvalidValue(f"A duration of {length.days} days is too long to store") from error


def duration_words(length: timedelta) -> str:
    """Return a duration for people; seconds only when there is nothing larger.

    >>> duration_words(timedelta(seconds=137)), duration_words(timedelta(days=1, seconds=15261))
    ('2 Minutes', '1 Day 4 Hours 14 Minutes')
    >>> duration_words(timedelta(seconds=1)), duration_words(timedelta(hours=-5))
    ('1 Second', '-5 Hours')
    """
    rest = abs(length) // timedelta(seconds=1)
    words = []
    for unit, seconds in _UNITS:
        count, rest = divmod(rest, seconds)
        if count:
            words.append(_count(count, unit))
    sign = "-" if length < timedelta(0) else ""
    return sign + " ".join(words or [_count(rest, "Second")])


def parse_iso(text: str, zone: str = "UTC") -> datetime:
    """Return the instant, in UTC, of an ISO 8601 date-time; without an offset it is in ``zone``.

    >>> format_internal(parse_iso("2026-02-01T10:00:00.250+01:00"))
    '2026-02-01 09:00:00'
    >>> format_internal(parse_iso("20260201T1000Z")), format_internal(parse_iso("2026-02-01"))
    ('2026-02-01 10:00:00', '2026-02-01 00:00:00')

    Raises:
        InvalidValue: not ISO 8601 with date (week and ordinal dates are not read) and time.
    """
    match = _ISO.fullmatch(text.strip())
    if match is None:
        raise _unfit(text, "date-time", "YYYY-MM-DDTHH:MM:SS with Z or +HH:MM")
    digits = (match["time"] or "").split(".")[0].split(",")[0].replace(":", "").ljust(6, "0")
    day = match["date"].replace("-", "")
    micros = int((match["fraction"] or "0")[:6].ljust(6, "0"))
    try:
        wall = time(int(digits[:2]), int(digits[2:4]), int(digits[4:]), micros)
        moment = datetime.combine(date(int(day[:4]), int(day[4:6]), int(day[6:])), wall)
        return _instant(moment, match["zone"], zone)
    except (ValueError, OverflowError) as error:
        raise _unfit(text, "date-time", "YYYY-MM-DDTHH:MM:SS", str(error)) from error


def parse_any(text: str, zone: str = "UTC") -> datetime:
    """Return the instant of stored or ISO 8601 text; stored text is UTC, whatever ``zone`` is.

    >>> format_internal(parse_any("2026-02-01 10:00:00", "Europe/Berlin"))
    '2026-02-01 10:00:00'
    >>> format_internal(parse_any("2026-02-01T10:00:00", "Europe/Berlin"))
    '2026-02-01 09:00:00'
    """
    stripped = text.strip()
    return parse_internal(stripped) if _INTERNAL.fullmatch(stripped) else parse_iso(stripped, zone)


def to_display(value: str, zone: str, pattern: str = DEFAULT_PATTERN) -> str:
    """Return a stored date-time as it is shown in a zone; an empty value stays empty.

    >>> to_display("2026-04-08 17:22:01", "US/Pacific", "dd/MM/yyyy hh:mm:ss a")
    '08/04/2026 10:22:01 AM'
    """
    if not value:
        return ""
    return compile_pattern(pattern).format(_shifted(parse_internal(value), zone_of(zone)))


def from_display(text: str, zone: str, pattern: str = DEFAULT_PATTERN) -> str:
    """Return the stored text of a wall time typed in a zone; an offset in the text wins.

    >>> from_display("08/04/2026 10:22:01 AM", "US/Pacific", "dd/MM/yyyy hh:mm:ss a")
    '2026-04-08 17:22:01'
    >>> from_display("2026-03-29 02:30:00", "Europe/Berlin")  # skipped: read as 03:30
    '2026-03-29 01:30:00'
    >>> from_display("2026-10-25 02:30:00", "Europe/Berlin")  # twice: the first one
    '2026-10-25 00:30:00'
    """
    if not text.strip():
        return ""
    moment = compile_pattern(pattern).parse(text)
    try:
        return format_internal(_instant(moment, None, zone))
    except OverflowError as error:
        raise _unfit(text, "date-time", pattern, "out of range") from error


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """Return the time zone of an IANA name such as ``Europe/Berlin``.

    >>> zone_of("Mars/Base")
    Traceback (most recent call last):
    ...
    midspan.kernel.errors.InvalidDefinition: There is no time zone 'Mars/Base'

    Raises:
        InvalidDefinition: no such zone in the tz database.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise InvalidDefinition(
            f"There is no time zone {name!r}", hint="Examples: UTC, Europe/Berlin, US/Pacific."
        ) from error


def _instant(moment: datetime, offset: str | None, zone: str) -> datetime:
    if offset is not None:
        moment = moment.replace(tzinfo=timezone(timedelta(minutes=read_offset(offset.upper()))))
    elif moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone_of(zone), fold=0)
    return moment.astimezone(UTC)


def _shifted(moment: datetime, zone: ZoneInfo) -> datetime:
    try:
        return moment.astimezone(zone)
    except OverflowError:
        return moment


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def _unfit(text: str, kind: str, form: str, why: str | None = None) -> InvalidValue:
    shown = text if len(text) <= 60 else text[:57] + "..."
    return InvalidValue(
        f"{shown!r} is not a {kind}", detail=why, hint=f"The expected form is {form}."
    )
