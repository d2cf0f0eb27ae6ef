"""Host calls behind GlideUser and GlideSession: users, groups, preferences, impersonation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from midspan.kernel.errors import MidspanError, NotAuthorized
from midspan.records import Record, RecordTransaction, insert, update
from midspan.records.snapshot import RIGHTS
from midspan.sandbox import JsonValue
from midspan.scripting.unit import PerWrite, Unit
from midspan.security import GUEST, Actor, Identities

IMPERSONATOR = "impersonator"
_FIELDS = (
    "user_name", "name", "first_name", "last_name", "email", "title", "phone", "mobile_phone",
    "company", "department", "manager", "location", "country", "preferred_language", "time_zone",
    "date_format", "time_format", "avatar", "locked_out", "active", "web_service_access_only",
    "sys_domain",
)  # fmt: skip


class UserCalls:
    """Answers the ``user.`` calls."""

    def __init__(self, unit: Unit, lend: Callable[[bool, bool], Any]) -> None:
        self._unit = unit
        self._lend = lend
        self._original = unit.actor

    def calls(self) -> Mapping[str, Callable[..., Any]]:
        """Return the functions by the name of their call."""
        return {
            "user.find": self.find,
            "user.rights": self.rights,
            "user.granted": self.granted,
            "user.groups": self.groups,
            "user.preference": self.preference,
            "user.setPreference": self.set_preference,
            "user.canImpersonate": self.can_impersonate,
            "user.impersonate": self.impersonate,
        }

    def find(self, value: str, by: str) -> JsonValue:
        """Return a user by ``sys_id``, ``user_name`` or ``email``, or ``any`` of the first two.

        The answer has the fields in ``_FIELDS`` and ``sys_id``; None when there is none.
        """
        fields = ("sys_id", "user_name") if by == "any" else (by,)
        with self._lend(False, False) as transaction:
            found = _first(transaction, fields, value) if value else None
            if found is None:
                return None
            manager = found.get("manager")
            chief = transaction.load("sys_user", (manager,)).get(manager) if manager else None
        values: dict[str, JsonValue] = {name: found.get(name) for name in _FIELDS}
        values["manager_name"] = chief.get("name") if chief is not None else ""
        return {"sys_id": found.sys_id, **values}

    def rights(self, sys_id: str) -> JsonValue:
        """Return roles, inherited ones included, and groups of a user; of nobody: none."""
        actor = self._actor(sys_id)
        return {
            "roles": [*sorted(actor.roles)],
            "groups": [*sorted(actor.groups)],
            "all_roles": actor.trusted or actor.is_admin,
        }

    def granted(self, sys_id: str) -> JsonValue:
        """Return the roles that a user was given by name, without what those or groups bring."""
        if not sys_id:
            return []
        with self._lend(False, False) as transaction:
            query = f"user={sys_id}^state=active^inherited!=true"
            given = [row.get("role") for row in transaction.find("sys_user_has_role", query)]
            roles = transaction.load("sys_user_role", given).values()
            return [*sorted({role.get("name") for role in roles})]

    def groups(self, sys_id: str) -> JsonValue:
        """Return the active groups that a user manages."""
        with self._lend(False, False) as transaction:
            query = f"manager={sys_id}^active=true^ORDERBYname"
            return [record.sys_id for record in transaction.find("sys_user_group", query)]

    def preference(self, name: str) -> str | None:
        """Return a preference of the user, the system's where he has none, or None."""
        with self._lend(False, False) as transaction:
            for user in (self._unit.actor.sys_id, ""):
                found = self._preference(transaction, name, user)
                if found is not None:
                    return found.get("value") or None
        return None

    def set_preference(self, name: str, value: str) -> None:
        """Set a preference of the user; an empty value is kept, so that it hides the system's."""
        user = self._unit.actor.sys_id
        with self._lend(True, False) as transaction:
            found = self._preference(transaction, name, user)
            if found is not None:
                transaction.apply(update("sys_user_preference", found.sys_id, {"value": value}))
                return
            values = {"user": user, "name": name, "value": value}
            transaction.apply(insert("sys_user_preference", values))

    def can_impersonate(self, sys_id: str) -> bool:
        """Tell whether the user may become another one; nobody becomes more than he is."""
        return self._target(sys_id) is not None

    def impersonate(self, sys_id: str) -> str:
        """Let the rest of the script act as another user; return who it acted for before.

        The one that it began with is always allowed.

        Raises:
            NotAuthorized: he may not, or the script is part of somebody else's transaction.
        """
        unit = self._unit
        if not isinstance(unit, PerWrite):
            raise NotAuthorized("A script inside a transaction cannot impersonate a user")
        back = sys_id == self._original.sys_id
        target = self._original if back else self._target(sys_id)
        if target is None:
            raise NotAuthorized(f"User {unit.actor.user_name} cannot impersonate {sys_id}")
        before = unit.actor.sys_id
        unit.actor = target
        return before

    def _target(self, sys_id: str) -> Actor | None:
        actor = self._unit.actor
        target = self._actor(sys_id)
        if target == GUEST:
            return None
        if actor.trusted or actor.is_admin:
            return target
        allowed = IMPERSONATOR in actor.roles and not target.is_admin
        return target if allowed else None

    def _actor(self, sys_id: str) -> Actor:
        store = self._unit.store
        if sys_id == self._unit.actor.sys_id:
            return self._unit.actor
        identities = Identities(store.database, store.clock, store.keepers.passwords)
        with self._lend(False, False) as transaction:
            rights = transaction.snapshot.part(RIGHTS)
        try:
            return identities.actor(sys_id, rights)
        except MidspanError:
            return GUEST

    def _preference(self, transaction: RecordTransaction, name: str, user: str) -> Record | None:
        owner = f"user={user}" if user else "userISEMPTY"
        found: Record | None = transaction.first(
            "sys_user_preference", f"name={name.replace('^', '^^')}^{owner}"
        )
        return found


def _first(transaction: RecordTransaction, fields: tuple[str, ...], value: str) -> Record | None:
    for field in fields:
        found: Record | None = transaction.first("sys_user", f"{field}={value.replace('^', '^^')}")
        if found is not None:
            return found
    return None
