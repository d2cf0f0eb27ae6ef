"""From credentials to an actor: users, their groups and roles, read straight from storage."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from msgspec import Struct

from midspan.kernel.clock import Clock
from midspan.kernel.errors import NotAuthenticated
from midspan.security.accessrule import AccessControls, AccessRule
from midspan.security.actor import Actor
from midspan.security.passwords import Passwords
from midspan.security.throttle import Throttle
from midspan.storage import Database, Row, Statements, Transaction

VERIFIED_FOR = timedelta(seconds=60)
_CACHE_LIMIT = 10_000


class Rights(Struct, frozen=True):
    """Roles by id and what each contains, flattened; part of the snapshot."""

    names: dict[str, str]
    contains: dict[str, frozenset[str]]

    def close(self, role_ids: Iterable[str]) -> frozenset[str]:
        """Return the names of roles and of everything they contain."""
        ids: set[str] = set()
        for role_id in role_ids:
            ids |= self.contains.get(role_id, frozenset((role_id,)))
        return frozenset(name for role_id in ids if (name := self.names.get(role_id)))


def load_rights(transaction: Transaction) -> Rights:
    """Read all roles and flatten what they contain; circles are harmless."""
    sql = Statements("midspan.security", "sign_in", transaction.dialect)
    names: dict[str, str] = {sys_id: name or "" for sys_id, name in transaction.rows(sql["roles"])}
    direct: dict[str, set[str]] = {}
    contained: str
    role: str
    for role, contained in transaction.rows(sql["role_contains"]):
        direct.setdefault(role, set()).add(contained)
    return Rights(names, {role: _closure(role, direct) for role in names})


def load_access(transaction: Transaction) -> AccessControls:
    """Read all active access controls with their roles."""
    sql = Statements("midspan.security", "sign_in", transaction.dialect)
    names: dict[str, str] = {sys_id: name or "" for sys_id, name in transaction.rows(sql["roles"])}
    roles: dict[str, set[str]] = {}
    rule: str
    role: str
    for rule, role in transaction.rows(sql["access_rule_roles"]):
        roles.setdefault(rule, set()).add(names.get(role, role))
    active = transaction.dialect.name != "sqlite" or 1
    rows = transaction.rows(sql["access_rules"], (active,))
    return AccessControls(_rule(row, frozenset(roles.get(row[0], ()))) for row in rows)


def _rule(row: tuple[Any, ...], roles: frozenset[str]) -> AccessRule:
    sys_id, name, operation, condition, script, advanced, admin_overrides, kind = row
    return AccessRule(
        sys_id=sys_id,
        name=name or "",
        operation=operation or "",
        roles=roles,
        condition=condition or "",
        scripted=bool(script) and bool(advanced),
        script=(script or "") if advanced else "",
        admin_overrides=admin_overrides is None or bool(admin_overrides),
        kind=kind or "record",
    )


def _closure(role: str, direct: dict[str, set[str]]) -> frozenset[str]:
    found: set[str] = set()
    waiting = [role]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting.extend(direct.get(current, ()))
    return frozenset(found)


class Identities:
    """Checks credentials and builds actors.

    A verified Basic credential is remembered for a minute under a keyed digest, so that clients
    which send it with every request do not pay for a password hash each time. ``forget`` drops
    everything remembered; the instance calls it whenever a user, role or membership changes. Where
    other nodes may change them, too, nothing remembered is used before the database said that it
    still holds, so that a lock or a new password counts everywhere at once.
    """

    def __init__(self, database: Database, clock: Clock, passwords: Passwords) -> None:
        self._database = database
        self._clock = clock
        self._passwords = passwords
        self._sql = Statements("midspan.security", "sign_in", database.dialect)
        self.throttle = Throttle(database, clock)
        self._key = secrets.token_bytes(32)
        self._verified: dict[bytes, tuple[float, Actor]] = {}
        self._actors: dict[str, tuple[float, Actor]] = {}
        self._proofs: dict[bytes, float] = {}
        self._lock = threading.Lock()
        self._epoch = 0
        self._versions: list[Row] = []

    def sign_in(self, user_name: str, password: str, rights: Rights, *, address: str = "") -> Actor:
        """Return the actor for a user name and password that came from an address.

        Raises:
            NotAuthenticated: unknown user, wrong password, inactive or locked out; all alike.
            SignInDelayed: too many failed before; all names alike.
        """
        digest = self._digest(user_name, password)
        self._forget_what_moved()
        now = self._clock.monotonic()
        remembered = self._verified.get(digest)
        if remembered is not None and remembered[0] > now:
            return remembered[1]
        epoch = self._epoch
        worth_noting = self.throttle.check(user_name, address)
        with self._database.read() as transaction:
            row = transaction.row(self._sql["user_by_name"], (user_name,))
        usable = row is not None and _usable(row)
        verified = self._fits(row[3] if row and usable else None, password)
        if row is None or not usable or not verified:
            self.throttle.failed(user_name, address)
            raise NotAuthenticated("User Not Authenticated")
        if worth_noting:
            self.throttle.succeeded(user_name, address)
        actor = self._actor(row, rights)
        with self._lock:
            if len(self._verified) >= _CACHE_LIMIT:
                self._verified.clear()
            if epoch == self._epoch:
                self._verified[digest] = (now + VERIFIED_FOR.total_seconds(), actor)
        return actor

    def remembered(self, user_name: str, password: str) -> Actor | None:
        """Return the actor if the credentials were verified lately and nobody has to be asked.

        Where other nodes may have changed the user this is always None.
        """
        if not self._database.single_writer:
            return None
        found = self._verified.get(self._digest(user_name, password))
        return found[1] if found is not None and found[0] > self._clock.monotonic() else None

    def _fits(self, stored: str | None, password: str) -> bool:
        """Verify a password, unless this very one was found to fit this very hash a moment ago.

        That stays true whatever else is forgotten: another password has another hash. It saves
        whoever signs in after a change of roles, or after a reset, the price of a password hash.
        """
        if not stored:
            return self._passwords.verify(stored, password)
        proof = hmac.digest(self._key, f"{stored}\0{password}".encode(), "sha256")
        now = self._clock.monotonic()
        if self._proofs.get(proof, now) > now:
            return True
        verified = self._passwords.verify(stored, password)
        if verified:
            with self._lock:
                if len(self._proofs) >= _CACHE_LIMIT:
                    self._proofs.clear()
                self._proofs[proof] = now + VERIFIED_FOR.total_seconds()
        return verified

    def _digest(self, user_name: str, password: str) -> bytes:
        # BLAKE2b with a key is a MAC; every request with Basic credentials asks for one.
        text = f"{user_name}\0{password}".encode()
        return hashlib.blake2b(text, key=self._key, digest_size=32).digest()

    def actor(self, sys_id: str, rights: Rights) -> Actor:
        """Return the actor for a known user id: sessions, tokens, run-as.

        Raises:
            NotAuthenticated: the user is gone, inactive or locked out.
        """
        now = self._clock.monotonic()
        self._forget_what_moved()
        remembered = self._actors.get(sys_id)
        if remembered is not None and remembered[0] > now:
            return remembered[1]
        epoch = self._epoch
        with self._database.read() as transaction:
            row = transaction.row(self._sql["user_by_id"], (sys_id,))
        if row is None or not _usable(row):
            raise NotAuthenticated("User Not Authenticated")
        actor = self._actor(row, rights)
        with self._lock:
            if epoch == self._epoch:
                self._actors[sys_id] = (now + VERIFIED_FOR.total_seconds(), actor)
        return actor

    def find(self, user_name: str) -> str | None:
        """Return the sys_id of the user with this name, usable or not."""
        with self._database.read() as transaction:
            row = transaction.row(self._sql["user_by_name"], (user_name,))
        return str(row[0]) if row else None

    def forget(self) -> None:
        """Drop every remembered credential and actor."""
        with self._lock:
            self._epoch += 1
            self._verified.clear()
            self._actors.clear()

    def _forget_what_moved(self) -> None:
        """Drop what is remembered when any node changed a user, a role or a membership."""
        if self._database.single_writer:
            return
        with self._database.read() as transaction:
            versions = transaction.rows(self._sql["versions"])
        if versions != self._versions:
            self.forget()
            self._versions = versions

    def _actor(self, row: tuple[Any, ...], rights: Rights) -> Actor:
        sys_id, user_name, name, password, *_ = row
        time_zone, date_format, time_format, epoch = row[6:10]
        manager, company, department, location = (text or "" for text in row[10:])
        with self._database.read() as transaction:
            roles = transaction.rows(self._sql["roles_of_user"], (sys_id, sys_id))
            groups = transaction.rows(self._sql["groups_of_user"], (sys_id,))
        return Actor(
            sys_id=sys_id,
            user_name=user_name or "",
            name=name or user_name or "",
            roles=rights.close(role for (role,) in roles),
            groups=frozenset(group for (group,) in groups),
            time_zone=time_zone or "",
            date_format=date_format or "",
            time_format=time_format or "",
            manager=manager,
            company=company,
            department=department,
            location=location,
            stamp=hashlib.sha256(f"{password}\0{epoch or 0}".encode()).hexdigest()[:32],
        )


def _usable(row: tuple[Any, ...]) -> bool:
    """Active (empty counts as active), not locked out."""
    return (row[4] is None or bool(row[4])) and not row[5]
