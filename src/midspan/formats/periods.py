"""Calendar arithmetic in a time zone: units shifted, and where a period begins and ends.

Minutes and hours are lengths of time; longer units move the wall time, so that a day ago has the
same time of day also across a change of the clocks. Weeks begin on Monday. Source:
``spec/rest-api.md`` 2.4.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, timedelta

from midspan.formats.dates import zone_of
from midspan.kernel.errors import InvalidValue

_LENGTHS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1)}
_DAYS = {"day": 1, "week": 7}
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
UNITS = (*_LENGTHS, *_DAYS, *_MONTHS)
_SECOND = timedelta(seconds=1)


def shifted(moment: datetime, unit: str, count: int, zone: str) -> datetime:
    """Return the instant ``count`` units later, in UTC; a month without that day ends earlier.

    >>> before = datetime(2026, 3, 31, 7, 0, tzinfo=UTC)
    >>> shifted(before, "month", -1, "Europe/Berlin").isoformat()
    '2026-02-28T08:00:00+00:00'
    >>> shifted(before, "day", -3, "Europe/Berlin").isoformat()
    '2026-03-28T08:00:00+00:00'

    Raises:
        InvalidValue: outside the years 1 to 9999.
    """
    try:
        if unit in _LENGTHS:
            return moment.astimezone(UTC) + _LENGTHS[unit] * count
        return _instant(moved(_wall(moment, zone), unit, count), zone)
    except (OverflowError, ValueError) as error:
        raise InvalidValue(f"No date is {count} {unit}s away", detail=str(error)) from error


def moved(wall: datetime, unit: str, count: int) -> datetime:
    """Return a wall time ``count`` units later.

    >>> moved(datetime(2024, 2, 29), "year", 1)
    datetime.datetime(2025, 2, 28, 0, 0)
    """
    if unit in _LENGTHS:
        return wall + _LENGTHS[unit] * count
    if unit in _DAYS:
        return wall + timedelta(days=_DAYS[unit] * count)
    year, month = divmod(wall.year * 12 + wall.month - 1 + _MONTHS[unit] * count, 12)
    last = monthrange(year, month + 1)[1]
    return wall.replace(year=year, month=month + 1, day=min(wall.day, last))


def beginning(moment: datetime, unit: str, zone: str) -> datetime:
    """Return when the minute, hour, day, ... around an instant began, in UTC.

    >>> beginning(datetime(2026, 1, 31, 23, 30, tzinfo=UTC), "month", "Europe/Berlin").isoformat()
    '2026-01-31T23:00:00+00:00'
    """
    wall = _wall(moment, zone)
    return _instant(truncated(wall, unit), zone)


def end(moment: datetime, unit: str, zone: str) -> datetime:
    """Return the last second of the minute, hour, day, ... around an instant, in UTC.

    >>> end(datetime(2026, 1, 31, 8, 0, tzinfo=UTC), "quarter", "UTC").isoformat()
    '2026-03-31T23:59:59+00:00'
    """
    start = beginning(moment, unit, zone)
    return shifted(start, unit, 1, zone) - _SECOND


def truncated(wall: datetime, unit: str) -> datetime:
    """Return the beginning of the period that a wall time lies in.

    >>> truncated(datetime(2026, 2, 1, 10, 5), "week")
    datetime.datetime(2026, 1, 26, 0, 0)
    """
    if unit == "minute":
        return wall.replace(second=0, microsecond=0)
    if unit == "hour":
        return wall.replace(minute=0, second=0, microsecond=0)
    day = wall.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    match unit:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "quarter":
            return day.replace(month=day.month - (day.month - 1) % 3, day=1)
        case "year":
            return day.replace(month=1, day=1)
        case _:
            raise ValueError(f"no unit of time: {unit}")


def part_of(wall: datetime, part: str) -> int:
    """Return a part of a wall time as a number; days of the week and weeks begin on Sunday.

    Sunday is day 0. The days before the first Sunday of a year are its week 0.

    >>> start = datetime(2026, 1, 4, 12)
    >>> [part_of(start, part) for part in PARTS]
    [12, 0, 1, 1, 1, 2026]

    """
    match part:
        case "hour":
            return wall.hour
        case "dayofweek":
            return wall.isoweekday() % 7
        case "week":
            return (wall.timetuple().tm_yday + 6 - wall.isoweekday() % 7) // 7
        case "month":
            return wall.month
        case "quarter":
            return (wall.month + 2) // 3
        case "year":
            return wall.year
        case _:
            raise ValueError(f"no part of a date: {part}")


PARTS = ("hour", "dayofweek", "week", "month", "quarter", "year")


def wall_time(moment: datetime, zone: str) -> datetime:
    """Return what clocks in a zone show at an instant.

    >>> wall_time(datetime(2026, 1, 31, 8, 0, tzinfo=UTC), "Europe/Berlin")
    datetime.datetime(2026, 1, 31, 9, 0)
    """
    return _wall(moment, zone).replace(tzinfo=None)


def instant(wall: datetime, zone: str) -> datetime:
    """Return the instant, in UTC, at which clocks in a zone show a wall time.

    >>> instant(datetime(2026, 1, 31, 9, 0), "Europe/Berlin").isoformat()
    '2026-01-31T08:00:00+00:00'

    Raises:
        InvalidValue: outside the years 1 to 9999.
    """
    try:
        return wall.replace(tzinfo=zone_of(zone)).astimezone(UTC)
    except (OverflowError, ValueError) as error:
        raise InvalidValue(f"{wall} in {zone} is no instant", detail=str(error)) from error


def _wall(moment: datetime, zone: str) -> datetime:
    return moment.astimezone(zone_of(zone))


def _instant(wall: datetime, zone: str) -> datetime:
    return wall.replace(tzinfo=zone_of(zone)).astimezone(UTC)
