"""The fixed list of ``javascript:`` values: every function, the user's zone, and nothing else."""

from __future__ import annotations

import doctest
from datetime import datetime
from types import ModuleType
from zoneinfo import ZoneInfo

import pytest

from midspan.security import Actor, SessionValues, calls, datecalls, dynamic

BERLIN = "Europe/Berlin"
ZOE = Actor(
    sys_id="a" * 32,
    user_name="zoe",
    name="Zoe",
    groups=frozenset("ba"),
    time_zone=BERLIN,
    company="c1",
    department="d1",
)
NOW = datetime(2026, 3, 30, 0, 30, 15, tzinfo=ZoneInfo(BERLIN))
"""Half past midnight of a Monday, the night after the clocks went forward."""


IDENTITY = {f"{name}()" for name in dynamic.IDENTITY}


@pytest.mark.parametrize("module", [calls, datecalls, dynamic])
def test_examples(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize(
    ("call", "value"),
    [
        ("gs.userID()", "a" * 32),
        ("gs.getUserDisplayName()", "Zoe"),
        ("gs.getUser().getMyGroups()", "a,b"),
        ("gs.getUser().getName()", "zoe"),
        ("gs.getUser().getCompanyID()", "c1"),
        ("gs.getUser().getDepartmentID()", "d1"),
        ("gs.getUser().getLocation()", ""),
        ("gs.now()", "2026-03-30"),
        ("gs.nowDateTime()", "2026-03-29 22:30:15"),
        ("gs.beginningOfToday()", "2026-03-29 22:00:00"),
        ("gs.endOfYesterday()", "2026-03-29 21:59:59"),
        ("gs.beginningOfYesterday()", "2026-03-28 23:00:00"),
        ("gs.endOfTomorrow()", "2026-03-31 21:59:59"),
        ("gs.beginningOfThisWeek()", "2026-03-29 22:00:00"),
        ("gs.beginningOfLastWeek()", "2026-03-22 23:00:00"),
        ("gs.endOfNextWeek()", "2026-04-12 21:59:59"),
        ("gs.endOfLastMonth()", "2026-02-28 22:59:59"),
        ("gs.beginningOfThisQuarter()", "2025-12-31 23:00:00"),
        ("gs.endOfLastQuarter()", "2025-12-31 22:59:59"),
        ("gs.beginningOfNextYear()", "2026-12-31 23:00:00"),
        ("gs.beginningOfLast30Days()", "2026-02-27 23:00:00"),
        ("gs.endOfLast30Days()", "2026-03-30 21:59:59"),
        ("gs.beginningOfLast15Minutes()", "2026-03-29 22:15:00"),
        ("gs.endOfLast15Minutes()", "2026-03-29 22:30:59"),
        ("gs.minutesAgo(31)", "2026-03-29 21:59:15"),
        ("gs.hoursAgo(24)", "2026-03-28 22:30:15"),
        ("gs.daysAgo(1)", "2026-03-28 23:30:15"),
        ("gs.daysAgo('1')", "2026-03-28 23:30:15"),
        ("gs.daysAgo(-1)", "2026-03-30 22:30:15"),
        ("gs.monthsAgo(1)", "2026-02-27 23:30:15"),
        ("gs.quartersAgoStart(1)", "2025-09-30 22:00:00"),
        ("gs.yearsAgo(1)", "2025-03-29 23:30:15"),
        ("gs.hoursAgoEnd(1)", "2026-03-29 21:59:59"),
        ("gs.daysAgoLocal(1)", "2026-03-29 00:30:15"),
        ("gs.yesterday()", "2026-03-29 00:30:15"),
        ("gs.lastWeek()", "2026-03-23 00:30:15"),
        ("gs.dateGenerate('2026-01-31','00:00:00')", "2026-01-30 23:00:00"),
        ("gs.dateGenerate('2026-07-31','start')", "2026-07-30 22:00:00"),
        ("gs.dateGenerate('2026-01-31','end')", "2026-01-31 22:59:59"),
        ('gs.dateGenerate("2026-01-31 10:00:00")', "2026-01-31 09:00:00"),
        ("gs.dateGenerate('2026-01-31');", "2026-01-30 23:00:00"),
    ],
)
def test_values_are_those_of_the_users_time_zone(call: str, value: str) -> None:
    assert SessionValues(ZOE, NOW)(f"javascript:{call}") == value


@pytest.mark.parametrize("call", dynamic.KNOWN)
def test_what_a_hint_names_exists(call: str) -> None:
    assert SessionValues(ZOE, NOW)(call.replace("(n)", "(2)")) is not None
    assert dynamic.asks_the_time(f"a=javascript:{call}") is (call not in IDENTITY)


@pytest.mark.parametrize(
    "call",
    [
        "",
        "gs.print('x')",
        "gs.getUserID(1)",
        "gs.beginningOfToday(1)",
        "gs.beginningOfLastFortnight()",
        "gs.beginningOfThis7Days()",
        "gs.beginningOfLast7Day()",
        "gs.daysAgo()",
        "gs.daysAgo(true)",
        "gs.daysAgo('x')",
        "gs.yearsAgo(9999)",
        "gs.daysAgo(999999999)",
        "gs.dateGenerate()",
        "gs.dateGenerate(2026)",
        "gs.dateGenerate('2026-02-30')",
        "gs.dateGenerate('2026-01-31','25:00:00')",
        "gs.daysAgo(1); gs.daysAgo(2)",
        "gs.getProperty('x')",
        "gs.getUserID() + ''",
        "'a'",
        "(" * 10_000,
        "gs." * 10_000,
    ],
)
def test_everything_else_is_unknown(call: str) -> None:
    assert SessionValues(ZOE, NOW)(call) is None


@pytest.mark.parametrize(
    ("own", "system", "used"),
    [
        ("", "", "UTC"),
        ("", "US/Pacific", "US/Pacific"),
        (BERLIN, "US/Pacific", BERLIN),
        ("Mars/Base", "US/Pacific", "US/Pacific"),
        ("", "Mars/Base", "UTC"),
    ],
)
def test_the_zone_is_the_users_else_the_systems(own: str, system: str, used: str) -> None:
    actor = Actor(sys_id="a", user_name="a", time_zone=own)
    assert SessionValues(actor, NOW, system).zone == used


def test_a_date_field_gets_the_day_of_the_user() -> None:
    values = SessionValues(ZOE, NOW)
    assert values("gs.beginningOfToday()", as_day=True) == "2026-03-30"
    assert values("gs.yesterday()", as_day=True) == "2026-03-29"
    assert values("gs.getUserName()", as_day=True) == "zoe"


@pytest.mark.parametrize(
    ("call", "value"),
    [
        ("gs.getProperty('x.open')", "yes"),
        ("gs.getProperty('x.open', 'no')", "yes"),
        ("gs.getProperty('x.none')", None),
        ("gs.getProperty('x.none', 'no')", "no"),
        ("gs.getProperty('x.none', 7)", "7"),
        ("gs.getProperty('x.none', true)", "true"),
        ("gs.getProperty('x.empty')", None),
        ("gs.getProperty()", None),
        ("gs.getProperty(7)", None),
        ("gs.getProperty('a','b','c')", None),
        ("gs.getProperty(gs.getUserID())", None),
    ],
)
def test_a_property_or_what_stands_in_for_it(call: str, value: str | None) -> None:
    known = {"x.open": "yes", "x.empty": ""}
    assert SessionValues(ZOE, NOW, properties=known.get)(call) == value
    assert SessionValues(ZOE, NOW)(call) is None, "conditions of the instance know none"


def test_a_function_of_the_present_asks_the_time() -> None:
    asked = "glidefunction:datediff(now(),opened_at)>1970-01-02 00:00:00"
    assert dynamic.asks_the_time(asked)
    assert not dynamic.asks_the_time("glidefunction:length(name)>3")
