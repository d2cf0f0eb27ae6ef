"""Host calls behind ``gs``: the session's user, properties, the clock, the log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from midspan.dictionary.values import datetime_text
from midspan.formats import dates
from midspan.records import PROPERTIES, insert, update
from midspan.sandbox import JsonValue
from midspan.scripting.display import instant_pattern
from midspan.scripting.unit import Unit

_log = logging.getLogger("midspan.script")
_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_LONGEST_LINE = 8_000


class SystemCalls:
    """Answers the ``gs.`` calls and ``log``; ``name`` returns the script that is running."""

    def __init__(
        self, unit: Unit, lend: Callable[[bool, bool], Any], name: Callable[[], str]
    ) -> None:
        self._unit = unit
        self._lend = lend
        self._name = name

    def calls(self) -> Mapping[str, Callable[..., Any]]:
        """Return the functions by the name of their call."""
        return {
            "log": self.log,
            "gs.session": self.session,
            "gs.property": self.property,
            "gs.setProperty": self.set_property,
            "gs.now": self.now,
            "gs.guid": self.guid,
        }

    def log(self, level: str, text: str) -> None:
        """Write a line to the log of scripts."""
        script = self._name()
        extra = {"script": script}
        _log.log(_LEVELS.get(level, logging.INFO), "%s", text[:_LONGEST_LINE], extra=extra)

    def session(self) -> JsonValue:
        """Return who the script acts for."""
        actor = self._unit.actor
        return {
            "id": self._unit.store.ids.sys_id(),
            "user_id": actor.sys_id,
            "user_name": actor.user_name,
            "name": actor.name,
            "roles": [*sorted(actor.roles)],
            "groups": [*sorted(actor.groups)],
            "all_roles": actor.trusted or actor.is_admin,
        }

    def property(self, name: str) -> str | None:
        """Return a system property, or None when it is absent or empty."""
        with self._lend(False, False) as transaction:
            return transaction.snapshot.part(PROPERTIES).get(name) or None

    def set_property(self, name: str, value: str) -> None:
        """Set a system property, new or not."""
        with self._lend(True, False) as transaction:
            found = transaction.first("sys_properties", f"name={name.replace('^', '^^')}")
            if found is None:
                transaction.apply(insert("sys_properties", {"name": name, "value": value}))
            else:
                transaction.apply(update("sys_properties", found.sys_id, {"value": value}))

    def now(self, form: str) -> str:
        """Return the present as ``internal`` text, ``display`` text or display ``date``."""
        actor = self._unit.actor
        text = datetime_text(self._unit.store.clock.now())
        if form == "internal":
            return text
        pattern = instant_pattern(actor)
        if form == "date":
            pattern = actor.date_format or "yyyy-MM-dd"
        return dates.to_display(text, actor.time_zone or "UTC", pattern)

    def guid(self) -> str:
        """Return a new identifier."""
        return self._unit.store.ids.sys_id()
