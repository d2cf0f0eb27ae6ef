"""When a schedule fires next: wall times in a zone, exactly once a day, week or month.

A wall time that a change of the clocks skips fires at the first instant after the gap (02:30 at
03:00); one that occurs twice fires at its first occurrence. All functions are pure: the instant to
look from is given, and what comes back is the first firing strictly after it, aware, in UTC.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import count, islice
from zoneinfo import ZoneInfo

from midspan.formats.dates import zone_of
from midspan.kernel.errors import InvalidDefinition

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_SEARCHED = 64


def next_daily(after: datetime, at: time, zone: str) -> datetime:
    """Return the next daily firing. A day that a zone skipped altogether has none.

    >>> berlin = lambda moment: moment.astimezone(zone_of("Europe/Berlin")).isoformat()
    >>> berlin(next_daily(datetime(2026, 3, 28, 12, tzinfo=UTC), time(2, 30), "Europe/Berlin"))
    '2026-03-29T03:00:00+02:00'
    >>> berlin(next_daily(datetime(2026, 10, 24, 12, tzinfo=UTC), time(2, 30), "Europe/Berlin"))
    '2026-10-25T02:30:00+02:00'
    """
    place = zone_of(zone)
    first = _local_day(after, place) - _DAY
    days = (first + number * _DAY for number in range(_SEARCHED))
    return _first_after(after, (moment for day in days if (moment := _on(day, at, place))))


def next_weekly(after: datetime, weekday: int, at: time, zone: str) -> datetime:
    """Return the next firing on ``weekday``: 1 is Monday, 7 is Sunday.

    >>> next_weekly(datetime(2026, 1, 31, tzinfo=UTC), 1, time(6), "UTC").isoformat()
    '2026-02-02T06:00:00+00:00'

    Raises:
        InvalidDefinition: ``weekday`` is not 1 to 7.
    """
    if not 1 <= weekday <= 7:
        raise InvalidDefinition(f"There is no day {weekday} of the week", hint="1 is Monday.")
    place = zone_of(zone)
    start = _local_day(after, place) - 8 * _DAY
    first = start + ((weekday - start.isoweekday()) % 7) * _DAY
    return _first_after(
        after, (instant_of(first + number * 7 * _DAY, at, place) for number in range(_SEARCHED))
    )


def next_monthly(after: datetime, day: int, at: time, zone: str) -> datetime:
    """Return the next firing on a day of the month; 29 to 31 mean the last day if it is shorter.

    >>> next_monthly(datetime(2026, 1, 31, 12, tzinfo=UTC), 31, time(6), "UTC").isoformat()
    '2026-02-28T06:00:00+00:00'

    Raises:
        InvalidDefinition: ``day`` is not 1 to 31.
    """
    if not 1 <= day <= 31:
        raise InvalidDefinition(f"There is no day {day} of the month", hint="Use 1 to 31.")
    place = zone_of(zone)
    months = islice(_months(_local_day(after, place) - 31 * _DAY), _SEARCHED)
    days = (
        date(year, month, min(day, calendar.monthrange(year, month)[1])) for year, month in months
    )
    return _first_after(after, (instant_of(each, at, place) for each in days))


def next_periodic(after: datetime, start: datetime, every: timedelta) -> datetime:
    """Return the next of ``start``, ``start + every``, ``start + 2 * every``…

    >>> start = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)
    >>> next_periodic(start + timedelta(minutes=61), start, timedelta(minutes=30)).isoformat()
    '2026-01-31T09:30:00+00:00'

    Raises:
        InvalidDefinition: ``every`` is shorter than a second.
    """
    if every < _SECOND:
        raise InvalidDefinition("A period must be at least one second", hint="Example: 00:15:00.")
    if after < start:
        return start.astimezone(UTC)
    return (start + ((after - start) // every + 1) * every).astimezone(UTC)


def instant_of(day: date, at: time, zone: ZoneInfo) -> datetime:
    """Return the instant, in UTC, at which the clocks of ``zone`` first show or have passed ``at``.

    >>> instant_of(date(2026, 3, 29), time(2, 30), zone_of("Europe/Berlin")).isoformat()
    '2026-03-29T01:00:00+00:00'
    """
    wall = datetime.combine(day, at.replace(tzinfo=None, fold=0))
    moment = wall.replace(tzinfo=zone).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None, fold=0) == wall:
        return moment
    return _end_of_gap(wall.replace(tzinfo=zone, fold=1).astimezone(UTC), moment, zone)


def _end_of_gap(before: datetime, behind: datetime, zone: ZoneInfo) -> datetime:
    """Find the first second with another offset than ``before``'s, by halving."""
    offset = before.astimezone(zone).utcoffset()
    low, high = 0, int((behind - before) / _SECOND) + 1
    while high - low > 1:
        middle = (low + high) // 2
        if (before + middle * _SECOND).astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return (before + high * _SECOND).replace(microsecond=0)


def _on(day: date, at: time, zone: ZoneInfo) -> datetime | None:
    """Return the firing of a day, None when no instant of the zone has this date."""
    if _local_day(instant_of(day, time(0), zone), zone) > day:
        return None
    return instant_of(day, at, zone)


def _local_day(moment: datetime, zone: ZoneInfo) -> date:
    return moment.astimezone(zone).date()


def _months(day: date) -> Iterator[tuple[int, int]]:
    for number in count(day.year * 12 + day.month - 1):
        yield number // 12, number % 12 + 1


def _first_after(after: datetime, moments: Iterable[datetime]) -> datetime:
    return next(moment for moment in moments if moment > after)
