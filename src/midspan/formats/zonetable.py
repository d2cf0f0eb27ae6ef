"""A time zone as a table of its changes, for those who have no tz database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from midspan.formats.dates import zone_of

FIRST_YEAR = 1900
LAST_YEAR = 2100
_STEP = timedelta(days=2)
"""Shorter than any pause of daylight saving time: Hebron's lasts three days in some years."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)

Change = tuple[int, int, int, str]
"""Seconds since 1970 from when it holds, offset and daylight saving in seconds, abbreviation."""


@lru_cache(maxsize=64)
def zone_table(name: str) -> tuple[Change, ...]:
    """Return how a zone's clocks were set from 1900 to 2100, oldest first.

    The first entry is the state at the beginning of 1900. Later years repeat the rules of the last
    ones; whoever needs them maps a year to one before 2100 that begins on the same day.

    >>> berlin = zone_table("Europe/Berlin")
    >>> [change for change in berlin if change[0] == 1774746000]  # 2026-03-29 01:00 UTC
    [(1774746000, 7200, 3600, 'CEST')]

    Raises:
        InvalidDefinition: no such zone in the tz database.
    """
    zone = zone_of(name)

    def state(at: datetime) -> tuple[timedelta | None, timedelta | None]:
        local = zone.fromutc(at)
        return local.utcoffset(), local.dst()

    def change(at: datetime) -> Change:
        local = zone.fromutc(at)
        offset, saving = (part or timedelta(0) for part in (local.utcoffset(), local.dst()))
        since = (at.replace(tzinfo=UTC) - _EPOCH) // _SECOND
        return since, offset // _SECOND, saving // _SECOND, local.tzname() or ""

    at = datetime(FIRST_YEAR, 1, 1, tzinfo=zone)  # UTC fields under the zone, as fromutc wants them
    end = datetime(LAST_YEAR + 1, 1, 1, tzinfo=zone)
    known = state(at)
    changes = [change(at)]
    while at < end:
        after = at + _STEP
        found = state(after)
        if found != known:
            low, high = at, after
            while high - low > _SECOND:
                middle = low + (high - low) // (2 * _SECOND) * _SECOND
                if state(middle) == known:
                    low = middle
                else:
                    high = middle
            known = state(high)
            changes.append(change(high))
            after = high
        at = after
    return tuple(changes)
