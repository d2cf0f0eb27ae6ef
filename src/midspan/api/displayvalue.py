"""Display values: what people see instead of what is stored, for one caller's zone and formats.

Source: ``spec/rest-api.md`` 1.7.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from midspan.dictionary import Dictionary, Field
from midspan.formats import dates
from midspan.formats.amounts import dollars
from midspan.formats.datepattern import compile_pattern
from midspan.kernel.errors import MidspanError
from midspan.security import Actor

MASK = "********"
DEFAULT_DATE = "yyyy-MM-dd"
DEFAULT_TIME = "HH:mm:ss"
Show = Callable[[str], str]


class Locale(Struct, frozen=True):
    """How one caller reads dates."""

    zone: str = "UTC"
    date: str = DEFAULT_DATE
    time: str = DEFAULT_TIME

    @property
    def pattern(self) -> str:
        """The pattern of a date-time."""
        return f"{self.date} {self.time}"


def locale_of(actor: Actor, properties: Mapping[str, str]) -> Locale:
    """Return the actor's own settings, the system's where there are none.

    A zone or pattern that does not exist falls back to the default: a record must stay readable.
    """
    zone = actor.time_zone or properties.get("glide.sys.default.tz") or "UTC"
    day = actor.date_format or properties.get("glide.sys.date_format") or DEFAULT_DATE
    time = actor.time_format or properties.get("glide.sys.time_format") or DEFAULT_TIME
    return Locale(
        zone if _exists(lambda: dates.zone_of(zone)) else "UTC",
        day if _exists(lambda: compile_pattern(day)) else DEFAULT_DATE,
        time if _exists(lambda: compile_pattern(f"yyyy {time}")) else DEFAULT_TIME,
    )


def show_function(field: Field, dictionary: Dictionary, locale: Locale) -> Show | None:
    """Return what turns a stored text of ``field`` into its display text; None: it is the same."""
    if field.choices:
        return label_function(field)
    if field.type in ("sys_class_name", "table_name"):
        return lambda text: known.label if (known := dictionary.tables.get(text)) else text
    maker = _MAKERS.get(field.type)
    return maker(locale) if maker else None


def label_function(field: Field) -> Show:
    """Return the look-up of a field's choice labels; a value without label is shown itself."""
    labels = {choice.value: choice.label for choice in reversed(field.choices)}
    return lambda text: labels.get(text, text)


def show_all(show: Show | None, texts: Sequence[str]) -> list[str]:
    """Return the display texts of a column; each different text is worked out once."""
    if show is None:
        return list(texts)
    known = {text: show(text) if text else "" for text in set(texts)}
    return [known[text] for text in texts]


def datetime_shown(text: str, locale: Locale) -> str:
    """Return a stored date-time in the caller's zone and format.

    >>> datetime_shown("2026-02-01 10:00:00", Locale("Europe/Berlin", "dd.MM.yyyy"))
    '01.02.2026 11:00:00'
    """
    return _kept(lambda: dates.to_display(text, locale.zone, locale.pattern), text)


def _datetime(locale: Locale) -> Show | None:
    if locale == Locale():
        return None
    return lambda text: datetime_shown(text, locale)


def _date(locale: Locale) -> Show | None:
    if locale.date == DEFAULT_DATE:
        return None
    pattern = compile_pattern(locale.date)
    return lambda text: _kept(lambda: pattern.format(dates.parse_internal(text)), text)


def _time(_: Locale) -> Show:
    return lambda text: text[11:] if len(text) == 19 else text


def _duration(_: Locale) -> Show:
    return lambda text: _kept(lambda: dates.duration_words(dates.parse_duration(text)), text)


def _money(_: Locale) -> Show:
    return dollars


def _kept(convert: Callable[[], str], text: str) -> str:
    """A stored text that is no proper value is shown as it is."""
    try:
        return convert()
    except MidspanError:
        return text


def _exists(make: Callable[[], object]) -> bool:
    try:
        make()
    except MidspanError:
        return False
    return True


_MAKERS: dict[str, Callable[[Locale], Show | None]] = {
    "glide_date_time": _datetime,
    "due_date": _datetime,
    "glide_date": _date,
    "glide_time": _time,
    "glide_duration": _duration,
    "timer": _duration,
    "currency": _money,
    "price": _money,
}
