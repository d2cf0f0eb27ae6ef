"""Host calls behind ``gs``: the session's user, properties, the clock, the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from midspan.formats.dates import EPOCH
from midspan.formats.zonetable import zone_table
from midspan.kernel.errors import InvalidDefinition
from midspan.records import PROPERTIES, Record, RecordTransaction, insert, update
from midspan.sandbox import JsonValue
from midspan.scripting.attachmentcalls import AttachmentCalls
from midspan.scripting.credentialcalls import CredentialCalls
from midspan.scripting.cryptocalls import CryptoCalls
from midspan.scripting.locale import SHORT_ZONES, locale_of, system_zone
from midspan.scripting.unit import Unit
from midspan.scripting.usercalls import UserCalls
from midspan.scripting.workbookcalls import WorkbookCalls

_log = logging.getLogger("midspan.script")
_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_LONGEST_LINE = 8_000
ENGLISH = "en"
"""The language of messages that there are in no other."""
LONGEST_SLEEP = 30.0
"""Seconds of one ``gs.sleep``."""


class SystemCalls:
    """Answers the ``gs.`` calls and ``log``.

    ``place`` returns the script that is running and, for a stack of it, the line; ``defaults`` are
    the values of system properties that nobody set.
    """

    def __init__(
        self,
        unit: Unit,
        lend: Callable[[bool, bool], Any],
        place: Callable[[str], tuple[str, int | None]],
        defaults: Mapping[str, str],
    ) -> None:
        self._unit = unit
        self._lend = lend
        self._place = place
        self._defaults = defaults
        self._languages: dict[str, str] = {}

    def calls(self) -> Mapping[str, Callable[..., Any]]:
        """Return the functions by the name of their call."""
        return {
            "log": self.log,
            "gs.session": self.session,
            "gs.property": self.property,
            "gs.setProperty": self.set_property,
            "gs.message": self.message,
            "gs.guid": self.guid,
            "gs.sleep": self.sleep,
            "dates.now": self.now,
            "dates.zone": self.zone,
            **UserCalls(self._unit, self._lend).calls(),
            **AttachmentCalls(self._unit, self._lend).calls(),
            **WorkbookCalls(self._unit).calls(),
            **CryptoCalls(self._unit, self._lend).calls(),
            **CredentialCalls(self._unit, self._lend).calls(),
        }

    def log(self, level: str, text: str, stack: str = "", source: str = "") -> None:
        """Write a line to the log of scripts; a ``source`` stands there instead of the script."""
        script, line = self._place(stack)
        extra = {"script": script}
        _log.log(_LEVELS.get(level, logging.INFO), "%s", text[:_LONGEST_LINE], extra=extra)
        user = self._unit.actor.user_name
        self._unit.store.logbook.add(level, text, script=source or script, line=line, user=user)

    def session(self) -> JsonValue:
        """Return who the script acts for."""
        actor = self._unit.actor
        with self._lend(False, False) as transaction:
            properties: Mapping[str, str] = transaction.snapshot.part(PROPERTIES)
        locale = locale_of(actor, properties)
        return {
            "id": self._unit.store.ids.sys_id(),
            "user_id": actor.sys_id,
            "user_name": actor.user_name,
            "name": actor.name,
            "roles": [*sorted(actor.roles)],
            "groups": [*sorted(actor.groups)],
            "all_roles": actor.trusted or actor.is_admin,
            "time_zone": locale.zone,
            "date_format": locale.date,
            "time_format": locale.time,
            "system_zone": system_zone(properties),
            "language": properties.get("glide.sys.language") or ENGLISH,
            "node": properties.get("instance_id") or "",
        }

    def property(self, name: str) -> str | None:
        """Return a system property, or None when it is absent or empty."""
        with self._lend(False, False) as transaction:
            value: str | None = transaction.snapshot.part(PROPERTIES).get(name)
            if transaction.outdated(PROPERTIES):
                found = self._property(transaction, name)
                value = found.get("value") if found is not None else None
        return (value if value is not None else self._defaults.get(name)) or None

    def _property(self, transaction: RecordTransaction, name: str) -> Record | None:
        return transaction.first("sys_properties", f"name={name.replace('^', '^^')}")

    def set_property(self, name: str, value: str, description: str = "") -> None:
        """Set a system property, new or not; an empty description leaves the one it has."""
        values = {"value": value, **({"description": description} if description else {})}
        with self._lend(True, False) as transaction:
            found = self._property(transaction, name)
            if found is None:
                transaction.apply(insert("sys_properties", {"name": name, **values}))
            else:
                transaction.apply(update("sys_properties", found.sys_id, values))

    def message(self, key: str, language: str) -> str:
        """Return the text of a message in a language, else in English, else the key.

        Without a language it is the user's.
        """
        if not key:
            return key
        with self._lend(False, False) as transaction:
            for wanted in dict.fromkeys((language or self._language(transaction), ENGLISH)):
                quoted = [text.replace("^", "^^") for text in (key, wanted)]
                query = "key={}^language={}".format(*quoted)
                found = transaction.first("sys_ui_message", query)
                if found is not None:
                    return str(found.get("message"))
        return key

    def _language(self, transaction: RecordTransaction) -> str:
        """Return the language of the user, the system's where he has none."""
        who = self._unit.actor.sys_id
        if who not in self._languages:
            user = transaction.load("sys_user", (who,)).get(who) if who else None
            own = user.get("preferred_language") if user is not None else ""
            system = transaction.snapshot.part(PROPERTIES).get("glide.sys.language")
            self._languages[who] = own or system or ENGLISH
        return self._languages[who]

    def now(self) -> float:
        """Return milliseconds since 1970 on the instance's clock."""
        return (self._unit.store.clock.now() - EPOCH).total_seconds() * 1000

    def zone(self, name: str) -> JsonValue:
        """Return the table of a time zone (see ``zone_table``), or None when there is none."""
        try:
            return [list(change) for change in zone_table(SHORT_ZONES.get(name, name))]
        except InvalidDefinition:
            return None

    def sleep(self, millis: float) -> None:
        """Wait, 30 seconds at most; not inside a transaction, where others would wait as well."""
        if self._unit.enclosing is not None:
            self.log("warning", "gs.sleep does not wait inside a transaction")
            return
        time.sleep(min(max(millis, 0.0) / 1000, LONGEST_SLEEP))

    def guid(self) -> str:
        """Return a new identifier."""
        return self._unit.store.ids.sys_id()
