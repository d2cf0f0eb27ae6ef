"""Dates of scripts against Python's own calendar and zones, over random instants and zones."""

from __future__ import annotations

import json
from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midspan.formats.datepattern import compile_pattern
from midspan.formats.zonetable import zone_table
from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.sandbox import Script
from midspan.scripting import PerWrite
from midspan.security import Actor
from midspan.testing import open_instance

ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca",
    "Asia/Kolkata", "Asia/Hebron", "America/Sao_Paulo", "Pacific/Apia", "America/St_Johns",
)  # fmt: skip
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Forty years back from 1945 is still in the table, which begins in 1900.
LAST = int((datetime(2150, 1, 1, tzinfo=UTC) - EPOCH).total_seconds())
FIRST = int((datetime(1945, 1, 1, tzinfo=UTC) - EPOCH).total_seconds())
PATTERN = "yyyy-MM-dd HH:mm:ss"
SHOWN = "EEE, d MMM yyyy hh:mm:ss a XXX"
STEPS = {"Days": (0, 1), "Weeks": (0, 7), "Months": (1, 0), "Years": (12, 0)}
SCRIPT = """
cases.map(function (c) {
  var g = new GlideDateTime(), h = new GlideDateTime(); g.setNumericValue(c.at * 1000);
  var out = [g.getDisplayValueInternal(), g.getByFormat(shown), g.getTZOffset() / 1000,
    g.getDayOfWeekLocalTime(), g.getDaysInMonthLocalTime(), g.getWeekOfYearLocalTime()];
  h.setDisplayValueInternal(c.wall); out.push(h.getNumericValue() / 1000);
  g['add' + c.unit + 'LocalTime'](c.count); out.push(g.getNumericValue() / 1000);
  g.setNumericValue(c.at * 1000); g['add' + c.unit + 'UTC'](c.count);
  out.push(g.getNumericValue() / 1000);
  return out;
})
"""

CHANGES = [row[0] for zone in ZONES for row in zone_table(zone) if row[0] > FIRST]

instants = st.one_of(
    st.integers(FIRST, LAST),
    # where the clocks change, and around it
    st.sampled_from(CHANGES).flatmap(lambda at: st.integers(at - 7300, at + 7300)),
)
cases = st.fixed_dictionaries(
    {
        "at": instants,
        "near": instants,
        "unit": st.sampled_from(sorted(STEPS)),
        "count": st.integers(-40, 40),
    }
)


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    with open_instance(clock=ManualClock()) as opened:
        yield opened


def seconds(moment: datetime) -> int:
    return (moment.astimezone(UTC) - EPOCH) // timedelta(seconds=1)


def week(wall: datetime) -> int:
    """Count from the Sunday on or before 1 January; the last days may belong to the next year."""
    sunday = wall.date() - timedelta(days=wall.isoweekday() % 7)
    year = (sunday + timedelta(days=6)).year
    first = datetime(year, 1, 1).date()
    return (sunday - (first - timedelta(days=first.isoweekday() % 7))).days // 7 + 1


def moved(wall: datetime, unit: str, count: int) -> datetime:
    months, days = STEPS[unit]
    year, month = divmod(wall.year * 12 + wall.month - 1 + months * count, 12)
    day = min(wall.day, monthrange(year, month + 1)[1])
    return wall.replace(year=year, month=month + 1, day=day) + timedelta(days=days * count)


def expected(case: dict[str, Any], zone: ZoneInfo) -> list[Any]:
    moment = datetime.fromtimestamp(case["at"], UTC).astimezone(zone)
    wall = moment.replace(tzinfo=None)
    typed = datetime.strptime(case["wall"], "%Y-%m-%d %H:%M:%S")
    later = moved(wall, case["unit"], case["count"])
    local = case["at"] if later == wall else seconds(later.replace(tzinfo=zone))
    plain = moved(moment.astimezone(UTC), case["unit"], case["count"])
    return [
        compile_pattern(PATTERN).format(moment),
        compile_pattern(SHOWN).format(moment),
        (moment.utcoffset() or timedelta(0)) // timedelta(seconds=1),
        wall.isoweekday(),
        monthrange(wall.year, wall.month)[1],
        week(wall),
        seconds(typed.replace(tzinfo=zone)),
        local,
        seconds(plain),
    ]


@pytest.mark.parametrize("name", ZONES)
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(drawn=st.lists(cases, min_size=20, max_size=60))
def test_dates_are_those_of_the_tz_database(
    instance: Instance, name: str, drawn: list[dict[str, Any]]
) -> None:
    zone = ZoneInfo(name)
    asked = [
        {
            "at": case["at"],
            "unit": case["unit"],
            "count": case["count"],
            "wall": datetime.fromtimestamp(case["near"], UTC)
            .astimezone(zone)
            .strftime("%Y-%m-%d %H:%M:%S"),
        }
        for case in drawn
    ]
    actor = Actor(sys_id="a" * 32, user_name="somebody", time_zone=name)
    text = f"var cases = {json.dumps(asked)}, shown = {json.dumps(SHOWN)};{SCRIPT}"
    found = instance.scripts.run(Script("dates", text), unit=PerWrite(instance.records, actor))
    assert isinstance(found, list)
    for case, values in zip(asked, found, strict=True):
        assert [case, values] == [case, expected(case, zone)]
