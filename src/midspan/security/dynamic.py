"""The ``javascript:`` values that conditions and defaults may use, from a fixed list."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from midspan.formats.dates import zone_of
from midspan.kernel.errors import InvalidDefinition, InvalidValue
from midspan.query.functions import PREFIX as FUNCTION
from midspan.security.actor import Actor
from midspan.security.calls import Call, parse_call
from midspan.security.datecalls import FUNCTIONS, local_text_of, moment_of, moment_text

PREFIX = "javascript:"
IDENTITY = frozenset(
    {
        "gs.getUserID",
        "gs.userID",
        "gs.getUserName",
        "gs.getUserDisplayName",
        "gs.getUser.getMyGroups",
        "getMyGroups",
        "gs.getUser.getID",
        "gs.getUser.getName",
        "gs.getUser.getDisplayName",
        "gs.getUser.getManagerID",
        "gs.getUser.getCompanyID",
        "gs.getUser.getDepartmentID",
        "gs.getUser.getLocation",
    }
)
"""Functions that tell who asks; all others depend on when it is asked."""
_PROPERTY = "gs.getProperty"
_TIMELESS = IDENTITY | {"gs.datePart"}
KNOWN = (*(f"{name}()" for name in sorted(IDENTITY)), *FUNCTIONS)
"""Every expression there is, as one may write it."""
_EXPRESSION = re.compile(r"javascript:\s*(?:return\s+)?([A-Za-z0-9_.]+(?:\(\s*\)\.\w+)*)")


_OPTION = re.compile(r"DYNAMIC(?:[^@^]*@)?([0-9a-f]{32})")
_NO_OPTIONS: Mapping[str, str] = {}


def asks_the_time(condition: str, options: Mapping[str, str] = _NO_OPTIONS) -> bool:
    """Tell whether the meaning of an encoded query may change by itself, each second at most.

    A name that is not known counts, so that no new function is ever forgotten. ``options`` are the
    expressions that DYNAMIC may stand for.

    >>> asks_the_time("opened_by=javascript:gs.getUserID()^active=true")
    False
    >>> asks_the_time("sys_created_on>javascript:gs.daysAgo(3)")
    True
    >>> asks_the_time(f"opened_atDYNAMIC{'a' * 32}", {"a" * 32: "gs.now()"})
    True
    """
    if "RELATIVE" in condition or (FUNCTION in condition and "now" in condition.lower()):
        return True
    for sys_id in _OPTION.findall(condition):
        condition += f"^{PREFIX}{options.get(sys_id, 'gs.getUserID()')}"
    names = [name.replace("()", "") for name in _EXPRESSION.findall(condition)]
    return len(names) < condition.count(PREFIX) or not _TIMELESS.issuperset(names)


class SessionValues:
    """Evaluates known expressions for one actor at one instant; scripts are never run here.

    Days, weeks and months are those of the actor's time zone, else of ``zone``. ``options`` are the
    expressions of dynamic filter options by sys_id. ``properties`` gives the value of a system
    property that the actor may read, and None of every other, whether there is one or not; without
    it there is no ``gs.getProperty``.
    """

    def __init__(
        self,
        actor: Actor,
        now: datetime,
        zone: str = "",
        options: Mapping[str, str] | None = None,
        properties: Callable[[str], str | None] | None = None,
    ) -> None:
        groups = ",".join(sorted(actor.groups))
        self._now = now
        self._properties = properties
        self._options = _NO_OPTIONS if options is None else options
        self.zone = _known_zone(actor.time_zone) or _known_zone(zone) or "UTC"
        self._identity: Mapping[str, str] = {
            "gs.getUserID": actor.sys_id,
            "gs.userID": actor.sys_id,
            "gs.getUserName": actor.user_name,
            "gs.getUserDisplayName": actor.name,
            "gs.getUser.getMyGroups": groups,
            "getMyGroups": groups,
            "gs.getUser.getID": actor.sys_id,
            "gs.getUser.getName": actor.user_name,
            "gs.getUser.getDisplayName": actor.name,
            "gs.getUser.getManagerID": actor.manager,
            "gs.getUser.getCompanyID": actor.company,
            "gs.getUser.getDepartmentID": actor.department,
            "gs.getUser.getLocation": actor.location,
        }

    def option(self, sys_id: str, /) -> str | None:
        """Return the expression of a dynamic filter option; None when it is none that is active."""
        return self._options.get(sys_id)

    def __call__(self, text: str, /, *, as_day: bool = False) -> str | None:
        """Return the value of an expression, with or without its prefix; None when unknown.

        With ``as_day`` a date function gives the day in the actor's time zone.
        """
        call = parse_call(text.removeprefix(PREFIX))
        if call is None:
            return None
        if call.name in self._identity:
            return None if call.arguments else self._identity[call.name]
        if call.name == _PROPERTY:
            return self._property(call)
        try:
            moment = moment_of(call, self._now, self.zone)
            if moment is not None:
                return moment_text(moment, self.zone, as_day=as_day)
            local = local_text_of(call, self._now, self.zone)
        except InvalidValue:
            return None
        return local[:10] if local and as_day else local

    def _property(self, call: Call) -> str | None:
        """Return a property, else what stands in for it, also for one that may not be read."""
        if self._properties is None or not 1 <= len(call.arguments) <= 2:
            return None
        name, *otherwise = call.arguments
        found = self._properties(name) if isinstance(name, str) else None
        if found or not otherwise:
            return found or None
        return str(otherwise[0]).lower() if isinstance(otherwise[0], bool) else str(otherwise[0])


def _known_zone(name: str) -> str:
    """Return the name of a zone that exists, else ``''``: a wrong setting must not end reads."""
    try:
        return name if name and zone_of(name) else ""
    except InvalidDefinition:
        return ""


class _AnyOption(SessionValues):
    """Options are configuration, and may be there when what names them runs."""

    def option(self, sys_id: str, /) -> str | None:
        return super().option(sys_id) or "gs.getUserID()"


PROBE = _AnyOption(
    Actor(sys_id="0" * 32, user_name="probe", name="Probe", groups=frozenset({"0" * 32})),
    datetime(2000, 1, 1, tzinfo=UTC),
)
"""Knows which ``javascript:`` values exist, and has a value for each and for every option."""
