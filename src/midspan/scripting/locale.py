"""How the person behind a script reads dates: zone and patterns, with the system's defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from midspan.formats import dates
from midspan.formats.datepattern import compile_pattern
from midspan.kernel.errors import MidspanError
from midspan.security import Actor

DEFAULT_DATE = "yyyy-MM-dd"
DEFAULT_TIME = "HH:mm:ss"

SYSTEM_DEFAULTS = {
    "glide.sys.date_format": DEFAULT_DATE,
    "glide.sys.time_format": DEFAULT_TIME,
    "glide.sys.default.tz": "UTC",
    "glide.sys.language": "en",
}
"""What scripts read of these properties where nobody set them: what then counts."""

SHORT_ZONES = {
    "ACT": "Australia/Darwin",
    "AET": "Australia/Sydney",
    "AGT": "America/Argentina/Buenos_Aires",
    "ART": "Africa/Cairo",
    "AST": "America/Anchorage",
    "BET": "America/Sao_Paulo",
    "BST": "Asia/Dhaka",
    "CAT": "Africa/Harare",
    "CNT": "America/St_Johns",
    "CST": "America/Chicago",
    "CTT": "Asia/Shanghai",
    "EAT": "Africa/Addis_Ababa",
    "ECT": "Europe/Paris",
    "IET": "America/Indiana/Indianapolis",
    "IST": "Asia/Kolkata",
    "JST": "Asia/Tokyo",
    "MIT": "Pacific/Apia",
    "NET": "Asia/Yerevan",
    "NST": "Pacific/Auckland",
    "PLT": "Asia/Karachi",
    "PNT": "America/Phoenix",
    "PRT": "America/Puerto_Rico",
    "PST": "America/Los_Angeles",
    "SST": "Pacific/Guadalcanal",
    "VST": "Asia/Ho_Chi_Minh",
}
"""Three letters that scripts may use for a zone, and what Java takes them for."""


class Locale(Struct, frozen=True):
    """A time zone and the patterns of Java's ``SimpleDateFormat`` for dates and times."""

    zone: str = "UTC"
    date: str = DEFAULT_DATE
    time: str = DEFAULT_TIME

    @property
    def pattern(self) -> str:
        """The pattern of a date-time."""
        return f"{self.date} {self.time}"


def system_zone(properties: Mapping[str, str]) -> str:
    """Return the zone of those who chose none."""
    zone = properties.get("glide.sys.default.tz") or "UTC"
    return zone if _exists(lambda: dates.zone_of(zone)) else "UTC"


def locale_of(actor: Actor, properties: Mapping[str, str]) -> Locale:
    """Return the actor's own settings, the system's where there are none.

    A zone or pattern that does not exist falls back to the default, so that scripts still run.

    >>> from midspan.security import GUEST
    >>> locale_of(GUEST, {"glide.sys.default.tz": "Europe/Berlin", "glide.sys.date_format": "q"})
    Locale(zone='Europe/Berlin', date='yyyy-MM-dd', time='HH:mm:ss')
    """
    own = actor.time_zone
    zone = own if own and _exists(lambda: dates.zone_of(own)) else system_zone(properties)
    day = actor.date_format or properties.get("glide.sys.date_format") or DEFAULT_DATE
    time = actor.time_format or properties.get("glide.sys.time_format") or DEFAULT_TIME
    return Locale(
        zone,
        day if _exists(lambda: compile_pattern(day)) else DEFAULT_DATE,
        time if _exists(lambda: compile_pattern(f"yyyy {time}")) else DEFAULT_TIME,
    )


def _exists(find: Callable[[], object]) -> bool:
    try:
        find()
    except MidspanError:
        return False
    return True
