"""Who does something: the user behind a request, or the system itself."""

from __future__ import annotations

from msgspec import Struct


class Actor(Struct, frozen=True, kw_only=True):
    """A signed-in user with everything that decisions need; roles include inherited ones."""

    sys_id: str
    user_name: str
    name: str = ""
    roles: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    time_zone: str = ""
    date_format: str = ""
    time_format: str = ""
    manager: str = ""
    company: str = ""
    department: str = ""
    location: str = ""
    """As the three before it, the sys_id of a record that the user's own names."""
    stamp: str = ""
    """Changes with the password and with each lock; a session ends with the stamp it began with."""
    trusted: bool = False
    """The system acting on its own behalf: access controls do not apply."""

    @property
    def is_admin(self) -> bool:
        """Tell whether the user holds the role ``admin``."""
        return "admin" in self.roles

    def has_role(self, names: str) -> bool:
        """Tell whether the actor holds one of the comma-separated roles; admin holds all."""
        wanted = {name.strip() for name in names.split(",")}
        return self.trusted or self.is_admin or bool(wanted & self.roles)


SYSTEM = Actor(
    sys_id="", user_name="system", name="System", roles=frozenset({"admin"}), trusted=True
)
"""The instance itself."""

GUEST = Actor(sys_id="5136503cc611227c0183e96598c4f706", user_name="guest", name="Guest")
"""Somebody who did not sign in; holds no role."""
