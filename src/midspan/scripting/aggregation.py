"""Groups that SQL leaves finer than a script wants them: put together, counted, filtered, sorted.

Trends, deviations, distinct counts and lists of values are computed from groups of one value each,
so that both databases give the same figures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation, localcontext

from msgspec import Struct

from midspan.dictionary.values import parse_datetime
from midspan.formats import dates
from midspan.query.comparison import fold

FUNCTIONS = (
    "COUNT", "SUM", "AVG", "MIN", "MAX", "STDDEV", "COUNT(DISTINCT", "GROUP_CONCAT",
    "GROUP_CONCAT_DISTINCT",
)  # fmt: skip
PLAIN = frozenset({"COUNT", "SUM", "AVG", "MIN", "MAX"})
"""Those that the databases compute by themselves."""
UNITS = ("year", "quarter", "month", "week", "date", "day", "hour", "dayofweek", "minute")
_FOUR = Decimal("0.0001")
_DIGITS = 60
_Key = tuple[str, ...]
Text = str | None
_TESTS: dict[str, Callable[[int], bool]] = {
    "=": lambda sign: sign == 0,
    "!=": lambda sign: sign != 0,
    ">": lambda sign: sign > 0,
    ">=": lambda sign: sign >= 0,
    "<": lambda sign: sign < 0,
    "<=": lambda sign: sign <= 0,
}


class Wanted(Struct, frozen=True):
    """An aggregate as a script names it; ``field`` None counts rows."""

    function: str
    field: str | None = None


class Fine(Struct, frozen=True):
    """A group of one value each: how many rows it stands for, and the values by field."""

    count: int
    keys: tuple[Text, ...]
    values: dict[str, Text]


class Coarse(Struct, frozen=True):
    """A group as a script sees it: what it is grouped by, and its aggregates in their order."""

    keys: tuple[Text, ...]
    aggregates: tuple[Text, ...]


def combine(fine: Iterable[Fine], wanted: Sequence[Wanted], *, single: bool) -> list[Coarse]:
    """Put fine groups with the same keys together, in the order in which the keys came.

    Keys that fold to the same are one group. With ``single`` there is one group, also of nothing.

    >>> groups = [Fine(2, ("a",), {"n": "1"}), Fine(1, ("A",), {"n": "4"})]
    >>> combine(groups, [Wanted("SUM", "n"), Wanted("COUNT(DISTINCT", "n")], single=False)
    [Coarse(keys=('A',), aggregates=('6', '2'))]
    """
    groups: dict[_Key, list[Fine]] = {}
    for group in fine:
        groups.setdefault(tuple(fold(key or "") for key in group.keys), []).append(group)
    if single and not groups:
        groups[()] = []
    return [
        Coarse(
            min((part.keys for part in parts), key=lambda keys: [key or "" for key in keys])
            if parts
            else (),
            tuple(_aggregate(one, parts) for one in wanted),
        )
        for parts in groups.values()
    ]


def meets(value: Text, operator: str, wanted: str) -> bool:
    """Tell whether an aggregate passes a test; an empty one passes none."""
    return value is not None and operator in _TESTS and _TESTS[operator](_sign(value, wanted))


def sort_key(value: Text) -> tuple[int, Decimal, str]:
    """Return what aggregates are sorted by: nothing first, numbers, texts without case."""
    if value is None:
        return (0, Decimal(0), "")
    number = _number(value)
    return (1, number, "") if number is not None else (2, Decimal(0), fold(value))


def period(text: Text, unit: str, zone: str, minutes: int = 1) -> tuple[str, str]:
    """Return when the period begins that an instant is in, for sorting, and how it is shown.

    >>> period("2026-02-03 23:30:00", "month", "Europe/Berlin")
    ('2026-02', '2/2026')
    """
    if not text:
        return "", ""
    instant = parse_datetime(text if len(text) > 10 else f"{text} 00:00:00")
    if len(text) > 10:
        instant = instant.astimezone(dates.zone_of(zone or "UTC"))
    return _PERIODS[unit](instant, minutes)


def _week(at: datetime, _: int) -> tuple[str, str]:
    first = at.replace(month=1, day=1)
    week = (at.timetuple().tm_yday - 1 + first.isoweekday() % 7) // 7 + 1
    return f"{at.year:04}-{week:02}", f"{week}/{at.year}"


def _minute(at: datetime, minutes: int) -> tuple[str, str]:
    past = (at.hour * 60 + at.minute) // minutes * minutes
    text = f"{at:%Y-%m-%d} {past // 60:02}:{past % 60:02}:00"
    return text, text


_PERIODS: dict[str, Callable[[datetime, int], tuple[str, str]]] = {
    "year": lambda at, _: (f"{at.year:04}", str(at.year)),
    "quarter": lambda at, _: (
        f"{at.year:04}-{(at.month + 2) // 3}",
        f"{(at.month + 2) // 3}/{at.year}",
    ),
    "month": lambda at, _: (f"{at.year:04}-{at.month:02}", f"{at.month}/{at.year}"),
    "week": _week,
    "date": lambda at, _: (f"{at:%Y-%m-%d}", f"{at:%Y-%m-%d}"),
    "day": lambda at, _: (f"{at:%Y-%m-%d}", f"{at:%Y-%m-%d}"),
    "hour": lambda at, _: (f"{at:%Y-%m-%d %H}", f"{at:%Y-%m-%d %H}:00:00"),
    "dayofweek": lambda at, _: (str(at.isoweekday() % 7), f"{at:%A}"),
    "dayofweek/year": lambda at, _: (
        f"{at.year:04}-{at.isoweekday() % 7}",
        f"{at:%A}/{at.year}",
    ),
    "minute": _minute,
}


def _aggregate(wanted: Wanted, parts: Sequence[Fine]) -> Text:
    if wanted.field is None:
        return str(sum(part.count for part in parts))
    given = [(value, part.count) for part in parts if (value := part.values.get(wanted.field))]
    return _COMPUTE[wanted.function](given)


_Given = list[tuple[str, int]]


def _numbers(given: _Given) -> list[tuple[Decimal, int]]:
    return [(number, count) for text, count in given if (number := _number(text)) is not None]


def _total(given: _Given) -> Text:
    return _plain(sum((number * count for number, count in _numbers(given)), Decimal(0)), given)


def _average(given: _Given) -> Text:
    numbers = _numbers(given)
    count = sum(count for _, count in numbers)
    if not count:
        return None
    with localcontext() as context:
        context.prec = _DIGITS
        mean = sum((number * times for number, times in numbers), Decimal(0)) / count
        return _plain(mean.quantize(_FOUR, ROUND_HALF_UP), given)


def _deviation(given: _Given) -> Text:
    """The deviation of the whole population, four decimals."""
    numbers = _numbers(given)
    count = sum(times for _, times in numbers)
    if not count:
        return None
    with localcontext() as context:
        context.prec = _DIGITS
        mean = sum((number * times for number, times in numbers), Decimal(0)) / count
        squares = sum(((number - mean) ** 2 * times for number, times in numbers), Decimal(0))
        return _plain((squares / count).sqrt().quantize(_FOUR, ROUND_HALF_UP), given)


def _distinct(given: _Given) -> list[str]:
    found: dict[str, str] = {}
    for text, _ in sorted(given):
        found.setdefault(fold(text), text)
    return sorted(found.values(), key=sort_key)


def _extreme(choose: Callable[..., tuple[str, int]]) -> Callable[[_Given], Text]:
    def extreme(given: _Given) -> Text:
        return choose(given, key=lambda one: sort_key(one[0]))[0] if given else None

    return extreme


def _listed(given: _Given) -> Text:
    texts = [text for text, count in given for _ in range(count)]
    return ",".join(sorted(texts, key=sort_key)) or None


_COMPUTE: dict[str, Callable[[_Given], Text]] = {
    "COUNT": lambda given: str(sum(count for _, count in given)),
    "SUM": _total,
    "AVG": _average,
    "MIN": _extreme(min),
    "MAX": _extreme(max),
    "STDDEV": _deviation,
    "COUNT(DISTINCT": lambda given: str(len(_distinct(given))),
    "GROUP_CONCAT": _listed,
    "GROUP_CONCAT_DISTINCT": lambda given: ",".join(_distinct(given)) or None,
}


def _plain(number: Decimal, given: _Given) -> Text:
    if not given:
        return None
    text = format(number, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if math.isclose(float(number), 0, abs_tol=0) else text


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _sign(value: str, wanted: str) -> int:
    left, right = sort_key(value), sort_key(wanted)
    return (left > right) - (left < right)
