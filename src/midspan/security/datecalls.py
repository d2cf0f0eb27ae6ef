"""The date functions of ``javascript:`` values: periods around an instant in a user's time zone.

Source: ``spec/rest-api.md`` 2.4.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

from midspan.formats.dates import format_internal, parse_internal, parse_time
from midspan.formats.periods import UNITS, beginning, end, instant, shifted, wall_time
from midspan.security.calls import Call

_PERIOD = re.compile(
    r"gs\.(beginning|end)Of(This|Current|Last|Next)([1-9][0-9]{0,2})?"
    r"(Minute|Hour|Day|Week|Month|Quarter|Year)(s?)"
)
_NAMED_DAY = re.compile(r"gs\.(beginning|end)Of(Yesterday|Today|Tomorrow)")
_AGO = re.compile(rf"gs\.({'|'.join(UNITS)})sAgo(Start|End)?")
_NAMED_DAYS = {"Yesterday": -1, "Today": 0, "Tomorrow": 1}
_STEPS = {"This": 0, "Current": 0, "Last": -1, "Next": 1}
_LOCAL = {"gs.yesterday": ("day", 1), "gs.lastWeek": ("week", 1), "gs.daysAgoLocal": ("day", None)}
FUNCTIONS = (
    "gs.now()",
    "gs.nowDateTime()",
    "gs.dateGenerate('2026-01-31','12:00:00')",
    *(f"{name}({'n' if count is None else ''})" for name, (_, count) in _LOCAL.items()),
    *(f"gs.{unit}sAgo{side}(n)" for unit in UNITS for side in ("", "Start", "End")),
    *(
        f"gs.{side}Of{period}()"
        for period in (*_NAMED_DAYS, "ThisWeek", "LastMonth", "NextYear", "Last7Days")
        for side in ("beginning", "end")
    ),
)
"""The functions, with ``n`` for a number; of the named periods a few of each kind."""
_MIDNIGHT = parse_time("00:00:00")
_TIMES = {"start": _MIDNIGHT, "end": parse_time("23:59:59")}


def moment_of(call: Call, now: datetime, zone: str) -> datetime | None:
    """Return the instant that a date function means; None when it is none of them.

    ``beginningOfLast7Days`` to ``endOfLast7Days`` are the last seven days and today.

    >>> noon = parse_internal("2026-01-31 12:00:00")
    >>> moment_of(Call("gs.beginningOfThisWeek"), noon, "Europe/Berlin").isoformat()
    '2026-01-25T23:00:00+00:00'
    >>> moment_of(Call("gs.beginningOfLast7Days"), noon, "UTC").isoformat()
    '2026-01-24T00:00:00+00:00'
    >>> moment_of(Call("gs.dateGenerate", ("2026-01-31", "end")), noon, "US/Pacific").isoformat()
    '2026-02-01T07:59:59+00:00'

    Raises:
        InvalidValue: the arguments are no date, or the result is outside the years 1 to 9999.
    """
    if call.name == "gs.dateGenerate":
        return _generated(call, zone)
    if call.name == "gs.nowDateTime":
        return None if call.arguments else now
    ago = _AGO.fullmatch(call.name)
    if ago is not None:
        return _ago(ago[1], ago[2], call, now, zone)
    if call.arguments:
        return None
    edge = _edge_of(call.name)
    return edge(now, zone) if edge is not None else None


def local_text_of(call: Call, now: datetime, zone: str) -> str | None:
    """Return the wall time of a function that answers in local time; None when it is none.

    >>> local_text_of(Call("gs.now"), parse_internal("2026-01-31 23:30:00"), "Europe/Berlin")
    '2026-02-01'
    """
    if call.name == "gs.now" and not call.arguments:
        return wall_time(now, zone).isoformat(" ")[:10]
    unit, count = _LOCAL.get(call.name, ("", 0))
    if count is None:
        count = _number(call)
    elif call.arguments:
        return None
    if not unit or count is None:
        return None
    return wall_time(shifted(now, unit, -count, zone), zone).isoformat(" ", "seconds")


def _edge_of(name: str) -> Callable[[datetime, str], datetime] | None:
    """Return what works out the bound of a named period."""
    day = _NAMED_DAY.fullmatch(name)
    if day is not None:
        step = _NAMED_DAYS[day[2]]
        return lambda now, zone: _edge(day[1], "day", step, now, zone)
    period = _PERIOD.fullmatch(name)
    if period is None or bool(period[3]) is not bool(period[5]):
        return None
    side, which, count, unit = period[1], period[2], period[3], period[4].lower()
    if not count:
        step = _STEPS[which]
        return lambda now, zone: _edge(side, unit, step, now, zone)
    if which not in ("Last", "Next"):
        return None
    far = side == ("beginning" if which == "Last" else "end")
    away = _STEPS[which] * int(count) if far else 0
    return lambda now, zone: _edge(side, unit, away, now, zone)


def _edge(side: str, unit: str, step: int, now: datetime, zone: str) -> datetime:
    found = beginning if side == "beginning" else end
    start = beginning(now, unit, zone)
    return found(shifted(start, unit, step, zone), unit, zone)


def _ago(unit: str, side: str | None, call: Call, now: datetime, zone: str) -> datetime | None:
    count = _number(call)
    if count is None:
        return None
    moment = shifted(now, unit, -count, zone)
    if side is None:
        return moment
    return (beginning if side == "Start" else end)(moment, unit, zone)


def _number(call: Call) -> int | None:
    """Return the one argument as a number; Java Script takes the text of one as well."""
    if len(call.arguments) != 1 or isinstance(call.arguments[0], bool):
        return None
    try:
        return int(call.arguments[0])
    except ValueError:
        return None


def _generated(call: Call, zone: str) -> datetime | None:
    if not 1 <= len(call.arguments) <= 2 or not all(isinstance(a, str) for a in call.arguments):
        return None
    day, *rest = map(str, call.arguments)
    wall = parse_internal(day).replace(tzinfo=None)
    if rest:
        time = _TIMES[rest[0]] if rest[0] in _TIMES else parse_time(rest[0])
        wall = datetime.combine(wall.date(), time)
    return instant(wall, zone)


def moment_text(moment: datetime, zone: str, *, as_day: bool) -> str:
    """Return an instant as a stored date-time, or as the day that it is in the zone.

    >>> moment_text(parse_internal("2026-01-31 23:00:00"), "Europe/Berlin", as_day=True)
    '2026-02-01'
    """
    return wall_time(moment, zone).isoformat(" ")[:10] if as_day else format_internal(moment)
