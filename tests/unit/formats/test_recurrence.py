"""Schedules fire once per local day, week and month, whatever the clocks do."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midspan.formats.dates import zone_of
from midspan.formats.recurrence import (
    instant_of,
    next_daily,
    next_monthly,
    next_periodic,
    next_weekly,
)
from midspan.kernel.errors import InvalidDefinition

ZONES = st.sampled_from(sorted(available_timezones() - {"localtime", "Factory"}))
STARTS = st.datetimes(datetime(1950, 1, 1), datetime(2060, 1, 1)).map(
    lambda moment: moment.replace(tzinfo=UTC)
)
TIMES = st.times().map(lambda at: at.replace(microsecond=0)) | st.sampled_from(
    [time(0), time(0, 30), time(1), time(2), time(2, 30), time(3), time(23, 59, 59)]
)


def firings(after: datetime, count: int, step: Callable[[datetime], datetime]) -> list[datetime]:
    found = []
    for _ in range(count):
        after = step(after)
        found.append(after)
    return found


def local_days_with_an_instant(first: date, last: date, zone: ZoneInfo) -> set[date]:
    """Look at the zone every quarter of an hour."""
    start = datetime(first.year, first.month, first.day, tzinfo=UTC) - timedelta(days=2)
    steps = ((last - first).days + 4) * 96
    quarter = timedelta(minutes=15)
    seen = {(start + number * quarter).astimezone(zone).date() for number in range(steps)}
    return {day for day in seen if first <= day <= last}


@settings(max_examples=150, deadline=None)
@given(STARTS, TIMES, ZONES)
def test_daily_fires_exactly_once_for_every_local_day(start: datetime, at: time, name: str) -> None:
    zone = zone_of(name)
    found = firings(start, 12, lambda after: next_daily(after, at, name))
    assert found == sorted(set(found))
    days = []
    for moment in found:
        local = moment.astimezone(zone)
        on_time = local.replace(tzinfo=None) == datetime.combine(local.date(), at)
        days.append(local.date() if on_time else owner_of_gap(moment, at, zone))
    assert len(set(days)) == len(days)
    assert set(days) == local_days_with_an_instant(days[0], days[-1], zone)


def owner_of_gap(moment: datetime, at: time, zone: ZoneInfo) -> date:
    """Return the day whose ``at`` lies in the gap that ends at ``moment``."""
    before = (moment - timedelta(seconds=1)).astimezone(zone).replace(tzinfo=None)
    behind = moment.astimezone(zone).replace(tzinfo=None)
    assert behind - before > timedelta(seconds=1), "neither on time nor at the end of a gap"
    owners = {datetime.combine(day, at) for day in (before.date(), behind.date())}
    (owner,) = {wall.date() for wall in owners if before < wall < behind}
    return owner


@settings(max_examples=100, deadline=None)
@given(STARTS, TIMES, ZONES, st.integers(1, 7))
def test_weekly_fires_about_every_seven_days_on_its_weekday(
    start: datetime, at: time, name: str, weekday: int
) -> None:
    found = firings(start, 6, lambda after: next_weekly(after, weekday, at, name))
    gaps = [late - early for early, late in pairwise(found)]
    assert all(timedelta(days=5) < gap < timedelta(days=9) for gap in gaps)
    assert found[0] - start < timedelta(days=9)
    on_day = [
        moment for moment in found if moment.astimezone(zone_of(name)).isoweekday() == weekday
    ]
    assert len(on_day) >= 5


@settings(max_examples=100, deadline=None)
@given(STARTS, TIMES, ZONES, st.integers(1, 31))
def test_monthly_fires_once_in_each_month(start: datetime, at: time, name: str, day: int) -> None:
    found = firings(start, 14, lambda after: next_monthly(after, day, at, name))
    gaps = [late - early for early, late in pairwise(found)]
    assert all(timedelta(days=26) < gap < timedelta(days=33) for gap in gaps)
    assert found[0] - start < timedelta(days=33)


@pytest.mark.parametrize(
    ("zone", "day", "at", "expected"),
    [
        ("Europe/Berlin", date(2026, 3, 29), time(2, 30), "2026-03-29T03:00:00+02:00"),
        ("Europe/Berlin", date(2026, 3, 29), time(2), "2026-03-29T03:00:00+02:00"),
        ("Europe/Berlin", date(2026, 3, 29), time(3), "2026-03-29T03:00:00+02:00"),
        ("Europe/Berlin", date(2026, 10, 25), time(2, 30), "2026-10-25T02:30:00+02:00"),
        ("America/New_York", date(2026, 3, 8), time(2), "2026-03-08T03:00:00-04:00"),
        ("Australia/Lord_Howe", date(2026, 10, 4), time(2, 15), "2026-10-04T02:30:00+11:00"),
        ("America/Sao_Paulo", date(2018, 11, 4), time(0), "2018-11-04T01:00:00-02:00"),
    ],
)
def test_instants_around_a_change_of_the_clocks(
    zone: str, day: date, at: time, expected: str
) -> None:
    assert instant_of(day, at, zone_of(zone)).astimezone(zone_of(zone)).isoformat() == expected


def test_a_day_that_samoa_skipped_has_no_daily_firing() -> None:
    found = firings(
        datetime(2011, 12, 29, 0, tzinfo=UTC),
        3,
        lambda after: next_daily(after, time(9), "Pacific/Apia"),
    )
    days = [moment.astimezone(zone_of("Pacific/Apia")).date().day for moment in found]
    assert days == [29, 31, 1]


def test_at_two_in_berlin_for_a_year_fires_365_times() -> None:
    after, end, count = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC), 0
    while (after := next_daily(after, time(2), "Europe/Berlin")) < end:
        count += 1
    assert count == 365


def test_the_last_days_of_short_months() -> None:
    found = firings(
        datetime(2027, 12, 31, 12, tzinfo=UTC),
        4,
        lambda after: next_monthly(after, 30, time(6), "UTC"),
    )
    assert [moment.day for moment in found] == [30, 29, 30, 30]


def test_strictly_after_the_given_instant() -> None:
    two = datetime(2026, 6, 1, 2, tzinfo=UTC)
    assert next_daily(two, time(2), "UTC") == two + timedelta(days=1)
    assert next_daily(two - timedelta(microseconds=1), time(2), "UTC") == two


@given(STARTS, STARTS, st.timedeltas(timedelta(seconds=1), timedelta(days=400)))
def test_periods_count_from_their_start(after: datetime, start: datetime, every: timedelta) -> None:
    fires = next_periodic(after, start, every)
    assert fires > after
    assert fires >= start
    assert (fires - start) % every == timedelta(0)
    assert fires == start or fires - every <= after


@pytest.mark.parametrize(
    "call",
    [
        lambda now: next_weekly(now, 0, time(2), "UTC"),
        lambda now: next_weekly(now, 8, time(2), "UTC"),
        lambda now: next_monthly(now, 0, time(2), "UTC"),
        lambda now: next_monthly(now, 32, time(2), "UTC"),
        lambda now: next_periodic(now, now, timedelta(0)),
        lambda now: next_daily(now, time(2), "Mars/Base"),
    ],
)
def test_settings_that_cannot_be_used(call: Callable[..., Any]) -> None:
    with pytest.raises(InvalidDefinition):
        call(datetime(2026, 1, 1, tzinfo=UTC))
