"""What a database offers to the packages above: read and write transactions, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any, Protocol

from midspan.storage.dialect import Dialect
from midspan.storage.lives import Lives

Row = tuple[Any, ...]
Params = Sequence[Any]


class Transaction(Protocol):
    """One connection for one piece of work in one thread.

    SQL text uses ``?`` for parameters in both dialects. Inside ``Database.write`` everything is
    committed together at the end, or nothing is. Inside ``Database.read`` writing is an error.
    """

    dialect: Dialect

    def rows(self, sql: str, params: Params = ()) -> list[Row]:
        """Run a query and return all its rows."""
        ...

    def row(self, sql: str, params: Params = ()) -> Row | None:
        """Run a query and return its first row, or None."""
        ...

    def stream(self, sql: str, params: Params = (), size: int = 1000) -> Iterator[list[Row]]:
        """Run a query and yield its rows in lists of at most ``size``."""
        ...

    def execute(self, sql: str, params: Params = ()) -> int:
        """Run a statement and return the number of rows it touched.

        Raises:
            DuplicateKey: a unique constraint refused it.
        """
        ...

    def execute_many(self, sql: str, params: Iterable[Params]) -> None:
        """Run a statement once for each set of parameters."""
        ...

    def copy_blocks(self, table: str, columns: Sequence[str], blocks: Iterable[bytes]) -> int:
        """Load rows in PostgreSQL's COPY text format; return how many."""
        ...

    def savepoint(self) -> AbstractContextManager[None]:
        """Undo what happens inside when an exception leaves it; the transaction goes on."""
        ...

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once this transaction is durable; never when it was rolled back."""
        ...

    def after_rollback(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` when this transaction was undone."""
        ...

    def end_group(self) -> None:
        """Let no other write be committed together with this one: it has to see this committed."""
        ...


class WriteGroup(Protocol):
    """Write transactions that one commit makes durable."""

    @property
    def is_over(self) -> bool:
        """Tell whether no other may join them."""
        ...


class Database(Protocol):
    """An open database; safe to use from many threads."""

    dialect: Dialect
    single_writer: bool
    """True where a second write transaction would wait for the first one's end (SQLite)."""
    lives: Lives
    """Which work belongs to the present state; only SQLite ever begins another life."""

    def read(self, within: timedelta | None = None) -> AbstractContextManager[Transaction]:
        """Open a transaction that only reads; sees committed data.

        Raises:
            Unavailable: no connection ``within`` that time, or within the configured one.
        """
        ...

    def rows_at_once(self, sql: str, params: Params = ()) -> list[Row] | None:
        """Run one short query on committed data without waiting for anybody.

        For the event loop. None: this would have to wait for a connection, a lock or the network.
        """
        ...

    def write(self) -> AbstractContextManager[Transaction]:
        """Open a transaction; commits when the block ends, rolls back when it raises.

        Raises:
            Unavailable: no connection, or no write lock, within the configured time.
        """
        ...

    def together(self) -> AbstractContextManager[WriteGroup]:
        """Let one commit at the end of the block make durable what this thread writes in it.

        Each ``write`` in the block is undone by itself when it raises, and sees those before it;
        readers see none of them yet. Where writers do not wait for each other each has its own
        commit all the same.

        Raises:
            any error of the commit: nothing that was written in the block is kept.
        """
        ...

    def backup(self, path: str) -> None:
        """Write a consistent copy of everything to ``path`` while others go on working."""
        ...

    def close(self) -> None:
        """Close all connections; open transactions are rolled back."""
        ...
