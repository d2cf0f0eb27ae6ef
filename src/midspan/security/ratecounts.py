"""Counts requests against their limits, on all nodes of a database together.

A node counts in memory and adds what it counted to ``sys_rate_limit_count`` once in 30 seconds, or
after a hundredth of the limit, whichever comes first; each time it learns what the others counted.
So a request is almost never a write, and nodes together let through at most a hundredth of the
limit too many for each further node; below 200 an hour every request is counted before it is let
through, and nobody passes too often. Hours are those of the clock, in UTC. A rule whose
``counted_since`` moves counts anew.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from midspan.dictionary import Storage
from midspan.dictionary.values import datetime_text
from midspan.kernel.clock import Clock
from midspan.kernel.ids import derived_id
from midspan.security.ratelimits import Charge, RateRule
from midspan.storage import Database, Statements, Transaction

WINDOW = 3_600
"""Seconds."""
SHARED_EVERY = timedelta(seconds=30)
COUNTS_KEPT = timedelta(days=1)
VIOLATIONS_KEPT = timedelta(days=14)
_TABLE = "sys_rate_limit_count"


class Limit(Struct, frozen=True):
    """The limit that a request came under."""

    rule: RateRule
    reset: int
    """Seconds since 1970 at which the hour ends."""
    seconds: int
    """From now until then, at least 1."""
    exceeded: bool


@dataclass
class _Counter:
    """What this node knows of one rule and one of those it is counted for, in one hour."""

    sys_id: str
    charge: Charge
    window: int
    shared: int = 0
    """What the database had when it was last asked."""
    own: int = 0
    """What this node let through since."""
    refused: int = 0
    """What it turned away and did not note yet."""
    asked: float = float("-inf")
    """When the database was last asked, on the monotonic clock."""

    @property
    def total(self) -> int:
        return self.shared + self.own

    @property
    def limit(self) -> int:
        return self.charge.rule.limit

    def is_due(self, now: float) -> bool:
        """Whether the database has to be asked before the next request is let through."""
        if now - self.asked >= SHARED_EVERY.total_seconds():
            return True
        return self.total < self.limit and self.own + 1 >= max(1, self.limit // 100)


class RateCounts:
    """The counters of one node; safe to use from many threads."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._sql = Statements("midspan.security", "inbound", database.dialect)
        self._counters: dict[tuple[object, ...], _Counter] = {}
        self._life = database.lives.now
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._purged = float("-inf")

    def spend_at_once(self, charges: Sequence[Charge]) -> Limit | None:
        """Count a request as ``spend`` does; None where the database has to be asked first."""
        now = self._clock.monotonic()
        with self._lock:
            counters = self._find(charges)
            if any(counter.is_due(now) for counter in counters):
                return None
            _reserve(counters)
            return self._decide(counters)

    def spend(self, charges: Sequence[Charge]) -> Limit:
        """Count a request for each of ``charges``; return the limit that is exceeded or nearest.

        Where one is exceeded the request counts for none.
        """
        now = self._clock.monotonic()
        with self._lock:
            counters = self._find(charges)
            due = [counter for counter in counters if counter.is_due(now)]
            _reserve(counters)  # before it is let through, so that no other node is late
        if due:
            try:
                self.share(due)
            except BaseException:
                with self._lock:
                    _reserve(counters, -1)
                raise
        with self._lock:
            return self._decide(counters)

    def share(self, asked: Sequence[_Counter] = ()) -> None:
        """Add what was counted here to the database; learn what it has of that and of ``asked``."""
        with self._asking:
            with self._lock:
                self._begin_anew_after_reset()
                wanted = {each.sys_id: each for each in asked}
                wanted |= {c.sys_id: c for c in self._counters.values() if c.own or c.refused}
                # In one order on all nodes, so that they never wait for each other in a circle.
                taken = [(c, c.own, c.refused) for _, c in sorted(wanted.items())]
            if not taken:
                return
            now, instant = self._clock.monotonic(), self._clock.now()
            with self._database.write() as transaction:
                totals = [self._add(transaction, instant, *each) for each in taken]
                self._purge(transaction, now, instant)
            with self._lock:
                for (counter, own, refused), total in zip(taken, totals, strict=True):
                    counter.shared, counter.asked = total, now
                    counter.own -= own
                    counter.refused -= refused
                self._forget(self._window())

    def _find(self, charges: Sequence[Charge]) -> list[_Counter]:
        self._begin_anew_after_reset()
        window = self._window()
        found = []
        for charge in charges:
            rule = charge.rule
            key = (rule.sys_id, rule.limit, rule.since, charge.user, charge.address, window)
            counter = self._counters.get(key)
            if counter is None:
                sys_id = derived_id(_TABLE, *map(str, key))
                counter = self._counters[key] = _Counter(sys_id, charge, window)
            found.append(counter)
        return found

    def _begin_anew_after_reset(self) -> None:
        """Drop what was counted before the database went back to another state."""
        if self._life != self._database.lives.now:
            self._life = self._database.lives.now
            self._counters = {}

    def _decide(self, counters: list[_Counter]) -> Limit:
        """Let a request through that is counted already, or take it back."""
        over = next((each for each in counters if each.total > each.limit), None)
        if over is not None:
            _reserve(counters, -1)
            over.refused += 1
        nearest = over or min(counters, key=lambda each: each.limit - each.total)
        reset = (nearest.window + 1) * WINDOW
        seconds = max(math.ceil(reset - self._clock.now().timestamp()), 1)
        return Limit(nearest.charge.rule, reset, seconds, over is not None)

    def _window(self) -> int:
        return int(self._clock.now().timestamp()) // WINDOW

    def _add(
        self, transaction: Transaction, now: datetime, counter: _Counter, own: int, refused: int
    ) -> int:
        """Add to a counter's rows; return what all nodes counted together."""
        charge, bind = counter.charge, transaction.dialect.bind
        start = datetime.fromtimestamp(counter.window * WINDOW, UTC)
        noted = bind(Storage.DATETIME, datetime_text(now))
        common = (
            counter.sys_id,
            charge.rule.sys_id,
            charge.user or None,
            charge.address or None,
            bind(Storage.DATETIME, datetime_text(start)),
            charge.rule.limit,
            noted,
            noted,
        )
        if refused:
            transaction.execute(self._sql["add_violations"], (*common, refused))
        return int(transaction.rows(self._sql["add_count"], (*common, own))[0][0])

    def _purge(self, transaction: Transaction, now: float, instant: datetime) -> None:
        if now - self._purged < WINDOW:
            return
        self._purged = now
        bind = transaction.dialect.bind
        for name, kept in (("purge_counts", COUNTS_KEPT), ("purge_violations", VIOLATIONS_KEPT)):
            before = bind(Storage.DATETIME, datetime_text(instant - kept))
            transaction.execute(self._sql[name], (before,))

    def _forget(self, window: int) -> None:
        """Drop the counters of hours that are over and noted."""
        self._counters = {
            key: counter
            for key, counter in self._counters.items()
            if counter.window == window or counter.own or counter.refused
        }


def _reserve(counters: list[_Counter], number: int = 1) -> None:
    for counter in counters:
        counter.own += number
