"""What a script's reads and writes are committed with: one enclosing transaction, or one each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from midspan.records import RecordStore, RecordTransaction
from midspan.security import Actor


class Unit(Protocol):
    """Lends the transactions in which the host calls of a script are carried out.

    With ``enforce`` the actor's access controls apply, as GlideRecordSecure asks for.
    """

    @property
    def store(self) -> RecordStore:
        """The records that the script works on."""
        ...

    @property
    def actor(self) -> Actor:
        """Who the script acts for."""
        ...

    @property
    def enclosing(self) -> RecordTransaction | None:
        """The transaction around the script, when there is one."""
        ...

    def reading(self, *, enforce: bool) -> AbstractContextManager[RecordTransaction]:
        """Lend a transaction for a moment's reading."""
        ...

    def writing(self, *, enforce: bool) -> AbstractContextManager[RecordTransaction]:
        """Lend a transaction for one write; whether it is then durable is the unit's business."""
        ...


class Enclosed:
    """Everything inside an open transaction: business rules, transform and flow scripts.

    What the script wrote is committed or rolled back with the rest of that transaction.
    """

    def __init__(self, transaction: RecordTransaction) -> None:
        self.enclosing: RecordTransaction | None = transaction
        self._transaction = transaction

    @property
    def store(self) -> RecordStore:
        """The records of the transaction."""
        return self._transaction.store

    @property
    def actor(self) -> Actor:
        """The actor of the transaction."""
        return self._transaction.actor

    @contextmanager
    def reading(self, *, enforce: bool) -> Iterator[RecordTransaction]:
        """Lend the transaction; its own ``enforce`` is back at the end of the block."""
        transaction = self._transaction
        before, transaction.enforce = transaction.enforce, enforce
        try:
            yield transaction
        finally:
            transaction.enforce = before

    def writing(self, *, enforce: bool) -> AbstractContextManager[RecordTransaction]:
        """Lend the transaction."""
        return self.reading(enforce=enforce)


class Successive(Enclosed):
    """One open transaction after another, for scripts that share their variables across them."""

    def move(self, transaction: RecordTransaction) -> None:
        """Go on inside another transaction."""
        self.enclosing = self._transaction = transaction


class PerWrite:
    """Top-level scripts: a short transaction for each read, a committed one for each write."""

    enclosing: RecordTransaction | None = None

    def __init__(self, store: RecordStore, actor: Actor) -> None:
        self.store = store
        self.actor = actor

    def reading(self, *, enforce: bool) -> AbstractContextManager[RecordTransaction]:
        """Open a read transaction."""
        return self.store.read(self.actor, enforce=enforce)

    def writing(self, *, enforce: bool) -> AbstractContextManager[RecordTransaction]:
        """Open a write transaction, committed when the block ends."""
        return self.store.write(self.actor, enforce=enforce)
