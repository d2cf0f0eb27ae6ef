"""Groups put together from finer ones: figures, order, periods; the examples of the module run."""

from __future__ import annotations

import doctest

import pytest

from midspan.scripting import aggregation, criteria
from midspan.scripting.aggregation import Fine, Wanted, combine, meets, period, sort_key


@pytest.mark.parametrize("module", [aggregation, criteria])
def test_examples(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted > 0
    assert result.failed == 0


def numbers(*pairs: tuple[str | None, int]) -> list[Fine]:
    return [Fine(count, (), {"n": value}) for value, count in pairs]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("SUM", "10"),
        ("AVG", "3.3333"),
        ("MIN", "2"),
        ("MAX", "4"),
        ("COUNT", "3"),
        ("STDDEV", "0.9428"),
        ("COUNT(DISTINCT", "2"),
        ("GROUP_CONCAT", "2,4,4"),
        ("GROUP_CONCAT_DISTINCT", "2,4"),
    ],
)
def test_values_count_as_often_as_they_occur(function: str, expected: str) -> None:
    groups = numbers(("4", 2), ("2", 1), (None, 5))
    (found,) = combine(groups, [Wanted(function, "n")], single=True)
    assert found.aggregates == (expected,)


@pytest.mark.parametrize("function", ["SUM", "AVG", "MIN", "MAX", "STDDEV", "GROUP_CONCAT"])
def test_nothing_has_no_figure(function: str) -> None:
    (found,) = combine(numbers((None, 3)), [Wanted(function, "n")], single=True)
    assert found.aggregates == (None,)


def test_large_numbers_stay_exact() -> None:
    groups = numbers(("9007199254740993", 1), ("0.1", 1))
    (found,) = combine(groups, [Wanted("SUM", "n"), Wanted("AVG", "n")], single=True)
    assert found.aggregates == ("9007199254740993.1", "4503599627370496.55")


def test_all_of_nothing_is_one_group_only_where_that_is_wanted() -> None:
    assert combine([], [Wanted("COUNT")], single=False) == []
    assert combine([], [Wanted("COUNT")], single=True)[0].aggregates == ("0",)


@pytest.mark.parametrize(
    ("value", "operator", "wanted", "expected"),
    [
        ("10", ">", "9", True),
        ("10", "<", "9", False),
        ("2.50", "=", "2.5", True),
        ("b", ">=", "A", True),
        (None, "!=", "1", False),
        ("1", "~", "1", False),
    ],
)
def test_groups_are_tested_as_numbers_where_they_are(
    value: str | None, operator: str, wanted: str, expected: bool
) -> None:
    assert meets(value, operator, wanted) is expected


def test_nothing_sorts_first_then_numbers_then_texts() -> None:
    texts = ["b", "10", None, "9", "A"]
    assert sorted(texts, key=sort_key) == [None, "9", "10", "A", "b"]


@pytest.mark.parametrize(
    ("text", "unit", "zone", "shown"),
    [
        ("2026-01-01 00:00:00", "week", "UTC", "1/2026"),
        ("2026-01-04 00:00:00", "week", "UTC", "2/2026"),  # weeks begin on Sunday
        ("2025-12-31 23:30:00", "year", "Europe/Berlin", "2026"),
        ("2026-03-29 00:59:00", "hour", "Europe/Berlin", "2026-03-29 01:00:00"),
        ("2026-03-29 01:00:00", "hour", "Europe/Berlin", "2026-03-29 03:00:00"),
        ("2026-02-03", "quarter", "America/New_York", "1/2026"),  # a day is the same everywhere
        ("2026-02-03 10:00:00", "dayofweek", "UTC", "Tuesday"),
        (None, "month", "UTC", ""),
    ],
)
def test_periods(text: str | None, unit: str, zone: str, shown: str) -> None:
    assert period(text, unit, zone)[1] == shown


def test_minutes_in_groups() -> None:
    assert period("2026-02-03 10:14:59", "minute", "UTC", 15)[1] == "2026-02-03 10:00:00"
    assert period("2026-02-03 10:15:00", "minute", "UTC", 15)[1] == "2026-02-03 10:15:00"
