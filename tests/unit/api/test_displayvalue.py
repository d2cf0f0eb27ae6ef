"""Display values of each type, and readers whose settings make no sense."""

from __future__ import annotations

import pytest

from midspan.api.displayvalue import Locale, locale_of, show_all, show_function
from midspan.dictionary import Choice, Dictionary, Field
from midspan.security import Actor

BERLIN = Locale("Europe/Berlin", "dd.MM.yyyy", "HH:mm")


@pytest.mark.parametrize(
    ("kind", "stored", "shown"),
    [
        ("glide_date_time", "2026-07-01 22:30:00", "02.07.2026 00:30"),
        ("due_date", "2026-01-01 22:30:00", "01.01.2026 23:30"),
        ("glide_date", "2026-07-01", "01.07.2026"),
        ("glide_time", "1970-01-01 08:05:00", "08:05:00"),
        ("glide_duration", "1970-01-01 00:02:17", "2 Minutes"),
        ("timer", "1970-01-02 04:14:21", "1 Day 4 Hours 14 Minutes"),
        ("currency", "1499", "$1,499.00"),
        ("boolean", "true", "true"),
        ("string", "x", "x"),
        ("integer", "16384", "16384"),
        ("glide_date_time", "", ""),
        ("glide_duration", "not one", "not one"),
        ("price", "a lot", "a lot"),
    ],
)
def test_types(kind: str, stored: str, shown: str) -> None:
    show = show_function(Field(name="f", label="F", type=kind), Dictionary({}), BERLIN)
    assert show_all(show, [stored, stored]) == [shown, shown]


def test_choices_and_values_beside_them() -> None:
    field = Field(name="f", label="F", choices=(Choice("1", "High"), Choice("2", "Low")))
    show = show_function(field, Dictionary({}), Locale())
    assert show_all(show, ["2", "1", "9", ""]) == ["Low", "High", "9", ""]


def test_own_settings_then_those_of_the_system_then_defaults() -> None:
    properties = {"glide.sys.default.tz": "Asia/Tokyo", "glide.sys.date_format": "dd/MM/yyyy"}
    actor = Actor(sys_id="x", user_name="x", time_zone="Europe/Berlin")
    assert locale_of(actor, properties) == Locale("Europe/Berlin", "dd/MM/yyyy", "HH:mm:ss")


def test_settings_that_make_no_sense_fall_back() -> None:
    actor = Actor(
        sys_id="x", user_name="x", time_zone="Mars/Base", date_format="QQ", time_format="'"
    )
    assert locale_of(actor, {}) == Locale()
