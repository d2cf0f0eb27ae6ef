"""Slows down whoever guesses passwords, on all nodes alike, and locks nobody out.

Failures are counted for a name at an address, for an address, and for a name. Each is a debt that
grows with every failure and shrinks with time; whoever owes too much has to wait. A stranger can
make a name wait only at his own address: the count of the name alone is for addresses from which
nobody signed in under it lately, so many addresses cannot keep its owner out either. Names are
counted whether they exist or not, so waiting tells nothing about them.
"""

from __future__ import annotations

import hashlib
import ipaddress
from datetime import timedelta

from msgspec import Struct

from midspan.kernel.clock import Clock
from midspan.kernel.errors import LimitExceeded
from midspan.kernel.ids import derived_id
from midspan.storage import Database, Statements

KNOWN_FOR = timedelta(days=30)
"""How long an address stays known to a user after he signed in from it."""
_NOTED_EVERY = timedelta(days=1)
_PURGED_EVERY = timedelta(hours=1)
_TABLE = "sys_sign_in_failure"


class SignInDelayed(LimitExceeded):
    """Too many sign-ins failed lately; even the right password has to wait."""

    code = "MS501"

    def __init__(self, seconds: int) -> None:
        super().__init__("Too many failed sign-ins", detail=f"Try again in {seconds} seconds")
        self.seconds = seconds


class Allowance(Struct, frozen=True):
    """``burst`` failures at once, then one in ``pause`` seconds."""

    burst: int
    pause: int

    def wait(self, owed_until: int, now: int) -> int:
        """Return how many seconds to wait.

        >>> Allowance(3, 60).wait(1000 + 2 * 60, 1000), Allowance(3, 60).wait(1000 + 3 * 60, 1000)
        (0, 60)
        """
        return max(owed_until - now - (self.burst - 1) * self.pause, 0)


PAIR = Allowance(10, 60)
ADDRESS = Allowance(50, 12)
NAME = Allowance(100, 10)


class Throttle:
    """Counts failed sign-ins of names at addresses; its clock is the instance's."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._sql = Statements("midspan.security", "sign_in", database.dialect)
        self._purged = float("-inf")

    def check(self, name: str, address: str) -> bool:
        """Return whether a success from here is worth noting.

        Raises:
            SignInDelayed: too many failed; nothing is checked before the wait is over.
        """
        now, pair, place, alone = self._now(), *_keys(name, address)
        with self._database.read() as transaction:
            rows = transaction.rows(self._sql["failures"], (pair, place, alone))
        owed = {str(row[0]): int(row[1] or 0) for row in rows}
        succeeded = next((int(row[2] or 0) for row in rows if row[0] == pair), 0)
        known = now - succeeded < KNOWN_FOR.total_seconds()
        seconds = max(
            PAIR.wait(owed.get(pair, 0), now),
            ADDRESS.wait(owed.get(place, 0), now),
            0 if known else NAME.wait(owed.get(alone, 0), now),
        )
        if seconds:
            raise SignInDelayed(seconds)
        stale = now - succeeded >= _NOTED_EVERY.total_seconds()
        return stale or owed.get(pair, 0) > now

    def failed(self, name: str, address: str) -> None:
        """Count a failure."""
        now = self._now()
        costs = (PAIR.pause, ADDRESS.pause, NAME.pause)
        counted = sorted(zip(_keys(name, address), costs, strict=True))  # one order for all nodes
        with self._database.write() as transaction:
            for key, cost in counted:
                values = (key, now + cost, now, now, cost)
                transaction.execute(self._sql["add_failure"], values)
            if now - self._purged >= _PURGED_EVERY.total_seconds():
                self._purged = now
                long_ago = now - int(KNOWN_FOR.total_seconds())
                transaction.execute(self._sql["purge_failures"], (now, long_ago))

    def succeeded(self, name: str, address: str) -> None:
        """Note that this address is the user's, and forget his own mistakes there."""
        pair = _keys(name, address)[0]
        with self._database.write() as transaction:
            transaction.execute(self._sql["note_success"], (pair, self._now()))

    def _now(self) -> int:
        return int(self._clock.now().timestamp())


def network(address: str) -> str:
    """Return what counts as one address: of IPv6 the network that a subscriber gets.

    >>> network("203.0.113.9"), network("2001:db8::1"), network("::ffff:203.0.113.9"), network("")
    ('203.0.113.9', '2001:db8::', '203.0.113.9', '')
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Address(int(parsed) >> 64 << 64))
    return str(parsed)


def _keys(name: str, address: str) -> tuple[str, str, str]:
    """Return the ids of the rows for name and address together, the address, and the name."""
    place = network(address)
    folded = hashlib.sha256(name.strip().lower().encode("utf-8", "replace")).hexdigest()
    return (
        derived_id(_TABLE, "pair", folded, place),
        derived_id(_TABLE, "address", place),
        derived_id(_TABLE, "name", folded),
    )
