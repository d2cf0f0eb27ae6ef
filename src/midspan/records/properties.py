"""Which system properties a user may compare with: ``javascript:gs.getProperty('name')``."""

from __future__ import annotations

from collections.abc import Mapping

from midspan.query import ALWAYS
from midspan.records.snapshot import PROPERTIES, READERS, Snapshot
from midspan.security import Access, Actor

PROPERTY = "sys_properties"


def readable_property(
    snapshot: Snapshot, access: Access, name: str, *, narrowed: bool
) -> str | None:
    """Return the value of a property that the actor of ``access`` may read, else None.

    To compare with a value is to read it, one guess after another. Passwords and private
    properties are therefore for nobody. Others are for those whom access rules let read every
    property, and for those who hold one of the property's ``read_roles``. A rule that lets somebody
    read some properties only, by condition or script, does not count here, nor does any where
    ``narrowed`` says that rules of queries narrow what people see of the table.
    """
    readers: Mapping[str, str] = snapshot.part(READERS)
    roles = readers.get(name)
    if roles is None:
        return None
    if not (_reads_all(access, narrowed=narrowed) or _holds(access.actor, roles)):
        return None
    return snapshot.part(PROPERTIES).get(name) or None


def _holds(actor: Actor, roles: str) -> bool:
    return bool(roles.strip()) and actor.has_role(roles)


def _reads_all(access: Access, *, narrowed: bool) -> bool:
    if access.actor.trusted:
        return True
    fields = ("name", "value")
    return (
        not narrowed
        and access.rows(PROPERTY, "read") == ALWAYS
        and all(access.field(PROPERTY, field, "read") for field in fields)
    )
