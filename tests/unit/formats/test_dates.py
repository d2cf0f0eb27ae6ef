"""Stored, ISO and displayed dates: forms that are read, refused and written back."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midspan.formats import dates
from midspan.formats.datepattern import compile_pattern
from midspan.kernel.errors import InvalidDefinition, InvalidValue

MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)
MODERN = st.datetimes(datetime(1971, 1, 1), datetime(2068, 12, 31)).map(
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)
FULL_PATTERNS = [
    "yyyy-MM-dd HH:mm:ss",
    "dd/MM/yyyy hh:mm:ss a",
    "MM-dd-yyyy HH:mm:ss",
    "d.M.yy H:m:s",
    "yyyyMMddHHmmss",
    "EEEE, d MMMM yyyy 'at' h:mm:ss a",
    "EEE MMM dd kk:mm:ss yyyy",
    "yyyy-MM-dd'T'HH:mm:ssXXX",
    "yyyy-MM-dd HH:mm:ss Z",
    "ddMMMyyyy KK.mm.ss a",
]


@given(MOMENTS)
def test_stored_text_reads_back(moment: datetime) -> None:
    text = dates.format_internal(moment)
    assert len(text) == 19
    assert dates.parse_internal(text) == moment
    assert dates.parse_any(text, "Asia/Tokyo") == moment


@given(
    st.timedeltas(timedelta(0), timedelta(days=900_000)).map(lambda t: t - t % timedelta(seconds=1))
)
def test_durations_read_back(length: timedelta) -> None:
    assert dates.parse_duration(dates.format_duration(length)) == length


@given(st.times().map(lambda at: at.replace(microsecond=0)))
def test_times_of_day_read_back(at: time) -> None:
    assert dates.parse_time(dates.format_time(at)) == at


@given(MODERN, st.sampled_from(FULL_PATTERNS))
def test_patterns_read_what_they_write(moment: datetime, pattern: str) -> None:
    compiled = compile_pattern(pattern)
    assert compiled.parse(compiled.format(moment)).replace(tzinfo=UTC) == moment


@given(MODERN, st.sampled_from(["UTC", "Europe/Berlin", "US/Pacific", "Asia/Kolkata"]))
def test_display_text_reads_back_except_in_the_repeated_hour(moment: datetime, zone: str) -> None:
    stored = dates.format_internal(moment)
    shown = dates.to_display(stored, zone)
    back = dates.from_display(shown, zone)
    assert dates.to_display(back, zone) == shown
    assert back <= stored


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("2026-02-01T10:00:00Z", "2026-02-01 10:00:00"),
        ("2026-02-01t10:00:00z", "2026-02-01 10:00:00"),
        ("2026-02-01T10:00:00.999999999+05:30", "2026-02-01 04:30:00"),
        ("2026-02-01 10:00:00-0800", "2026-02-01 18:00:00"),
        ("2026-02-01T10:00+01", "2026-02-01 09:00:00"),
        ("20260201T100000Z", "2026-02-01 10:00:00"),
        ("2026-02-01T10", "2026-02-01 10:00:00"),
        ("2026-02-01", "2026-02-01 00:00:00"),
    ],
)
def test_iso_forms(text: str, stored: str) -> None:
    assert dates.format_internal(dates.parse_iso(text)) == stored


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2026-02-30", "2026-02-01T25:00", "2026-2-1", "2026-02-01T10:00:00+1",
     "2026-02-01T10:60", "2026-W05-1", "x" * 500],
)  # fmt: skip
def test_other_text_is_refused_with_the_form_that_is_expected(text: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        dates.parse_any(text)
    assert "YYYY-MM-DD" in (caught.value.hint or "")
    assert len(caught.value.message) < 100


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (dates.parse_internal, "2026-02-29 00:00:00"),
        (dates.parse_internal, "2026-02-01 24:00:00"),
        (dates.parse_time, "24:00:00"),
        (dates.parse_time, "2:00"),
        (dates.parse_duration, "00:60:00"),
        (dates.parse_duration, "2 Minutes"),
        (dates.parse_duration, "99999999 00:00:00"),
        (dates.parse_date, "01/02/2026"),
    ],
)
def test_stored_forms_are_exact(read: Callable[..., Any], text: str) -> None:
    with pytest.raises(InvalidValue):
        read(text)


def test_a_naive_moment_is_not_an_instant() -> None:
    with pytest.raises(ValueError, match="time zone"):
        dates.format_internal(datetime(2026, 1, 1))


def test_a_duration_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidValue):
        dates.format_duration(timedelta(days=3_000_000))


@pytest.mark.parametrize(
    ("pattern", "text", "moment"),
    [
        ("yyyy-MM-dd HH:mm:ss", "2026-4-9 3:05:00", datetime(2026, 4, 9, 3, 5)),
        ("yyyy-MM-dd HH:mm:ss", " 2026-04-09   03:05:00 ", datetime(2026, 4, 9, 3, 5)),
        ("dd.MM.yyyy", "09.04.2026", datetime(2026, 4, 9)),
        ("MM-dd-yyyy", "04-09-2026", datetime(2026, 4, 9)),
        ("dd-MMM-yy", "09-apr-69", datetime(1969, 4, 9)),
        ("dd-MMM-yy", "09-APRIL-68", datetime(2068, 4, 9)),
        ("hh:mm a", "12:30 am", datetime(1970, 1, 1, 0, 30)),
        ("hh:mm a", "12:30 p.m.", datetime(1970, 1, 1, 12, 30)),
        ("hh:mm a", "01:30\u202fPM", datetime(1970, 1, 1, 13, 30)),
        ("kk:mm", "24:10", datetime(1970, 1, 1, 0, 10)),
        ("HH:mm:ss.SSS", "10:00:00.5", datetime(1970, 1, 1, 10, 0, 0, 500_000)),
        ("yyyy 'o''clock' HH", "2026 o'clock 10", datetime(2026, 1, 1, 10)),
        ("yyyy-MM-dd HH:mmZ", "2026-04-09 10:00-0330",
         datetime(2026, 4, 9, 10, tzinfo=timezone(timedelta(hours=-3, minutes=-30)))),
    ],
)  # fmt: skip
def test_patterns_read(pattern: str, text: str, moment: datetime) -> None:
    assert compile_pattern(pattern).parse(text) == moment


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("yyyy-MM-dd", "26-04-09"),
        ("yyyy-MM-dd", "2026-13-01"),
        ("yyyy-MM-dd", "2026-02-30"),
        ("yyyy-MM-dd", "2026-04-09 10:00:00"),
        ("yyyyMMdd", "2026049"),
        ("HH:mm", "24:00"),
        ("hh:mm", "00:30"),
        ("hhmm", "1330"),
        ("EEE d MMM yyyy", "Mon 9 Apr 2026"),
        ("d MMM yyyy", "9 Foo 2026"),
        ("yyyy-MM-dd HH:mm:ssZ", "2026-04-09 10:00:00+9900"),
        ("dd/MM/yyyy", "٠٩/٠٤/٢٠٢٦"),
    ],
)  # fmt: skip
def test_patterns_refuse(pattern: str, text: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        compile_pattern(pattern).parse(text)
    assert pattern in caught.value.message


def test_the_hint_names_the_trap_of_twelve_hours() -> None:
    with pytest.raises(InvalidValue) as caught:
        compile_pattern("yyyy-MM-dd hh:mm").parse("2026-04-09 15:00")
    assert "HH is the hour from 0 to 23" in (caught.value.hint or "")
    assert "hour must be 1 to 12, not 15" in caught.value.explain()


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("", "no field"),
        ("'only text'", "no field"),
        ("yyyy-MM-dd 'x", "not closed"),
        ("YYYY-MM-dd", "did you mean 'y'"),
        ("yyyy-MM-DD", "did you mean 'd'"),
        ("yyyy-mm-dd", "mm is minutes, MM is the month"),
        ("yyyy-MM-dd yyyy", "given twice"),
        ("HH hh", ""),
    ],
)
def test_patterns_that_cannot_be_meant(pattern: str, problem: str) -> None:
    if not problem:
        assert compile_pattern(pattern).parse("10 10").hour == 10
        return
    with pytest.raises(InvalidDefinition, match=problem):
        compile_pattern(pattern)


def test_offsets_are_written_as_java_does() -> None:
    east = datetime(2026, 4, 9, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    west = datetime(2026, 4, 9, tzinfo=timezone(timedelta(hours=-8)))
    for pattern, expected in {
        "Z": ("+0530", "-0800", "+0000"),
        "X": ("+0530", "-08", "Z"),
        "XX": ("+0530", "-0800", "Z"),
        "XXX": ("+05:30", "-08:00", "Z"),
    }.items():
        write = compile_pattern(pattern).format
        assert (write(east), write(west), write(datetime(2026, 4, 9, tzinfo=UTC))) == expected


def test_an_offset_in_the_text_wins_over_the_zone() -> None:
    pattern = "yyyy-MM-dd HH:mmXXX"
    assert dates.from_display("2026-04-09 10:00+02:00", "US/Pacific", pattern) == (
        "2026-04-09 08:00:00"
    )


def test_empty_stays_empty_and_names_of_days_fit() -> None:
    assert dates.to_display("", "UTC") == ""
    assert dates.from_display("  ", "UTC") == ""
    assert dates.parse_date("2026-04-09").strftime("%a") == "Thu"
    assert dates.format_date(date(2026, 4, 9)) == "2026-04-09"
    assert dates.parse_time("02:00:00") == time(2)


@pytest.mark.parametrize("zone", ["", "Mars/Base", "../etc/passwd", "Europe", "a\x00b"])
def test_unknown_zones_are_refused(zone: str) -> None:
    with pytest.raises(InvalidDefinition):
        dates.zone_of(zone)


def test_dates_at_the_edge_of_the_calendar_do_not_crash() -> None:
    assert dates.to_display("9999-12-31 23:59:59", "Asia/Tokyo").startswith("9999")
    with pytest.raises(InvalidValue):
        dates.from_display("0001-01-01 00:00:00", "Asia/Tokyo")
