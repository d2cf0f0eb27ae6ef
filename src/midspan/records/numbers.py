"""Automatic numbers, taken in blocks; gaps are allowed, doubles are not."""

from __future__ import annotations

import threading

from midspan.dictionary import NumberFormat
from midspan.kernel.ids import derived_id
from midspan.storage import Database, Statements, Transaction

BLOCK = 50


class NumberBlocks:
    """Hands out counters per prefix.

    Where writers run side by side a block is taken in a transaction of its own, so that a number
    never makes two writers wait for each other. Where there is one writer the block is taken in
    the caller's transaction and forgotten when that is undone.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = Statements("midspan.records", "records", database.dialect)["take_numbers"]
        self._free: dict[str, list[int]] = {}
        self._lock = threading.Lock()

    def take(self, number: NumberFormat, transaction: Transaction, count: int = 1) -> list[str]:
        """Return the next ``count`` numbers of a format."""
        with self._lock:
            free = self._free.setdefault(number.prefix, [])
            if len(free) < count:
                free.extend(self._more(number, transaction, max(BLOCK, count - len(free))))
            taken, free[:count] = free[:count], []
        return [number.text(counter) for counter in taken]

    def kept(self) -> dict[str, list[int]]:
        """Return the counters that were taken and not handed out, by prefix."""
        with self._lock:
            return {prefix: list(free) for prefix, free in self._free.items()}

    def keep(self, kept: dict[str, list[int]]) -> None:
        """Go on with counters that ``kept`` returned when the database was as it is now."""
        with self._lock:
            self._free = {prefix: list(free) for prefix, free in kept.items()}

    def _more(self, number: NumberFormat, transaction: Transaction, count: int) -> range:
        if self._database.single_writer:
            transaction.after_rollback(lambda: self._forget(number.prefix))
            return self._reserve(number, transaction, count)
        with self._database.write() as own:
            return self._reserve(number, own, count)

    def _reserve(self, number: NumberFormat, transaction: Transaction, count: int) -> range:
        name = f"number.{number.prefix}"
        row = transaction.row(
            self._sql, (derived_id("sys_counter", name), name, number.start + count, count)
        )
        end = int(row[0]) if row else number.start + count
        return range(end - count, end)

    def _forget(self, prefix: str) -> None:
        with self._lock:
            self._free.pop(prefix, None)
