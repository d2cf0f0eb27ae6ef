"""The ``javascript:`` values that conditions and defaults may use, from a fixed list."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from midspan.formats.dates import zone_of
from midspan.kernel.errors import InvalidDefinition, InvalidValue
from midspan.security.actor import Actor
from midspan.security.calls import parse_call
from midspan.security.datecalls import local_text_of, moment_of, moment_text

PREFIX = "javascript:"
IDENTITY = frozenset(
    {
        "gs.getUserID",
        "gs.userID",
        "gs.getUserName",
        "gs.getUserDisplayName",
        "gs.getUser.getMyGroups",
        "getMyGroups",
    }
)
"""Functions that tell who asks; all others depend on when it is asked."""
_EXPRESSION = re.compile(r"javascript:\s*(?:return\s+)?([A-Za-z0-9_.]+(?:\(\s*\)\.\w+)*)")


def asks_the_time(condition: str) -> bool:
    """Tell whether the meaning of an encoded query may change by itself, each second at most.

    A name that is not known counts, so that no new function is ever forgotten.

    >>> asks_the_time("opened_by=javascript:gs.getUserID()^active=true")
    False
    >>> asks_the_time("sys_created_on>javascript:gs.daysAgo(3)")
    True
    """
    if "RELATIVE" in condition:
        return True
    names = [name.replace("()", "") for name in _EXPRESSION.findall(condition)]
    return len(names) < condition.count(PREFIX) or not IDENTITY.issuperset(names)


class SessionValues:
    """Evaluates known expressions for one actor at one instant; scripts are never run here.

    Days, weeks and months are those of the actor's time zone, else of ``zone``.
    """

    def __init__(self, actor: Actor, now: datetime, zone: str = "") -> None:
        groups = ",".join(sorted(actor.groups))
        self._now = now
        self.zone = _known_zone(actor.time_zone) or _known_zone(zone) or "UTC"
        self._identity: Mapping[str, str] = {
            "gs.getUserID": actor.sys_id,
            "gs.userID": actor.sys_id,
            "gs.getUserName": actor.user_name,
            "gs.getUserDisplayName": actor.name,
            "gs.getUser.getMyGroups": groups,
            "getMyGroups": groups,
        }

    def __call__(self, text: str, /, *, as_day: bool = False) -> str | None:
        """Return the value of an expression, with or without its prefix; None when unknown.

        With ``as_day`` a date function gives the day in the actor's time zone.
        """
        call = parse_call(text.removeprefix(PREFIX))
        if call is None:
            return None
        if call.name in self._identity:
            return None if call.arguments else self._identity[call.name]
        try:
            moment = moment_of(call, self._now, self.zone)
            if moment is not None:
                return moment_text(moment, self.zone, as_day=as_day)
            local = local_text_of(call, self._now, self.zone)
        except InvalidValue:
            return None
        return local[:10] if local and as_day else local


def _known_zone(name: str) -> str:
    """Return the name of a zone that exists, else ``''``: a wrong setting must not end reads."""
    try:
        return name if name and zone_of(name) else ""
    except InvalidDefinition:
        return ""


PROBE = SessionValues(
    Actor(sys_id="0" * 32, user_name="probe", name="Probe", groups=frozenset({"0" * 32})),
    datetime(2000, 1, 1, tzinfo=UTC),
)
"""Knows which ``javascript:`` values exist, and has a value for each."""
