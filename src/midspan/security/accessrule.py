"""Access rules as records say them, and all of them by name and operation."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

_CURRENT = re.compile(r"\bcurrent\b")


class AccessRule(Struct, frozen=True, kw_only=True):
    """One access control: what it protects and what it asks for."""

    name: str
    """``table``, ``table.field``, with ``*`` for either."""
    operation: str
    roles: frozenset[str] = frozenset()
    condition: str = ""
    scripted: bool = False
    script: str = ""
    """The text of the script; it counts where the rule is ``scripted``."""
    admin_overrides: bool = True
    sys_id: str = ""
    kind: str = "record"

    @property
    def asks_record(self) -> bool:
        """Whether the script may ask about a record; one that does not name it is run without."""
        return _CURRENT.search(self.script) is not None

    @property
    def is_empty(self) -> bool:
        """Tell whether the rule asks for nothing; such a rule grants nothing."""
        return not self.roles and not self.condition and not self.scripted


class AccessControls:
    """All active rules, by name and operation; immutable."""

    def __init__(self, rules: Iterable[AccessRule] = ()) -> None:
        self._rules: dict[tuple[str, str], list[AccessRule]] = {}
        self.by_id: dict[str, AccessRule] = {}
        self._callable: dict[tuple[str, str], list[str]] = {}
        self.scripted = False
        """Whether some rule has a script."""
        self.foreknown = False
        """Whether some script decides about records without looking at them."""
        for rule in rules:
            self.by_id[rule.sys_id] = rule
            self.scripted = self.scripted or rule.scripted
            if rule.scripted and rule.kind == "record" and not rule.asks_record:
                self.foreknown = True
            if rule.kind == "record":
                self._rules.setdefault((rule.name, rule.operation), []).append(rule)
            elif rule.operation == "execute":
                self._callable.setdefault((rule.kind, rule.name), []).append(rule.sys_id)

    def executing(self, kind: str, names: Iterable[str]) -> list[str]:
        """Return the ids of the ``execute`` rules of a kind, of the first name that has any.

        Without one of its own the rule named ``*`` counts.
        """
        for name in (*names, "*"):
            found = self._callable.get((kind, name))
            if found:
                return found
        return []

    def deciding(self, names: Iterable[str], operation: str) -> list[AccessRule] | None:
        """Return the rules of the first name that has any, or None."""
        for name in names:
            found = self._rules.get((name, operation))
            if found:
                return found
        return None
