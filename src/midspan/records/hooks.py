"""What other packages may attach to writing and reading records."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Protocol, TypeGuard, runtime_checkable

from midspan.dictionary import Table
from midspan.kernel.errors import MidspanError
from midspan.query import Query
from midspan.records.change import Draft, Operation

if TYPE_CHECKING:
    from midspan.records.snapshot import Snapshot
    from midspan.records.transaction import RecordTransaction


class RecordHook(Protocol):
    """Code that runs with each write of the tables it ``wants``; business rules are one.

    ``before`` is called twice, with ``late`` False for order below 1000 and True for the rest;
    it may alter the draft or refuse it. ``after`` sees the stored draft, in the same transaction.
    """

    def wants(self, table: Table, operation: Operation, transaction: RecordTransaction) -> bool:
        """Tell whether this hook has anything to do; decides between row-wise and set-based."""
        ...

    def before(self, draft: Draft, transaction: RecordTransaction, *, late: bool) -> None:
        """Alter or refuse a draft before it is stored."""
        ...

    def after(self, draft: Draft, transaction: RecordTransaction) -> None:
        """React to a stored draft."""
        ...

    def before_query(self, table: Table, query: Query, transaction: RecordTransaction) -> Query:
        """Narrow a query before it is planned."""
        ...


@runtime_checkable
class SetHook(Protocol):
    """What a ``RecordHook`` may add: telling that a set need not be cut into rows for it.

    In a set every draft is prepared before the first is stored. A hook whose ``before`` looks at
    its own draft alone, and whose ``after`` leaves the records alone, cannot tell the difference.
    """

    def set_based(self, table: Table, operation: Operation, transaction: RecordTransaction) -> bool:
        """Tell whether the hook, for this class and operation, works the same in a set."""
        ...


@runtime_checkable
class QueryHook(Protocol):
    """What a ``RecordHook`` may add: telling where its ``before_query`` has anything to do.

    There it decides which rows people see, whatever way they take.
    """

    def narrows(self, table: str | None, snapshot: Snapshot) -> bool:
        """Tell whether queries of a table, or of any table, are narrowed."""
        ...

    def before_query(self, table: Table, query: Query, transaction: RecordTransaction) -> Query:
        """Narrow a query before it is planned."""
        ...


class PageCut(Exception):
    """A hook finds that the records of a set have to be written one by one after all."""


@runtime_checkable
class PageHook(SetHook, Protocol):
    """What a ``SetHook`` may add: working on the drafts of a set together, with the same result.

    The drafts are of one operation, maybe of several classes. Both methods may raise ``PageCut``:
    then the set is undone and written record by record, through ``before`` and ``after``.
    """

    def before_all(
        self, drafts: Sequence[Draft], transaction: RecordTransaction, *, late: bool
    ) -> Mapping[int, MidspanError]:
        """Do what ``before`` does for each draft; return what went wrong by position."""
        ...

    def after_all(self, drafts: Sequence[Draft], transaction: RecordTransaction) -> None:
        """Do what ``after`` does for each stored draft."""
        ...

    def settle_set(
        self, transaction: RecordTransaction, *, kept: bool, lost: Collection[str]
    ) -> None:
        """Learn that a set is through, or that it was undone with everything done for it.

        ``lost`` are the ids of records that were refused; nothing else may stay of those.
        """
        ...


class Guard(Protocol):
    """Keeps what must hold of stored rows, whatever rules say: it runs without rules, too.

    It never cuts a set into rows: ``before`` looks at its own draft and at other tables, ``after``
    gets the stored drafts of one class together and leaves their table alone.
    """

    def wants(self, table: Table, operation: Operation) -> bool:
        """Tell whether this guard has anything to do."""
        ...

    def before(self, draft: Draft, transaction: RecordTransaction) -> None:
        """Complete a draft, after the last rule, or raise to refuse it."""
        ...

    def after(self, drafts: Sequence[Draft], transaction: RecordTransaction) -> None:
        """Follow stored drafts of one class and operation, in the same transaction."""
        ...


class ChangeFeed(Protocol):
    """Somebody who wants stored changes as events after the commit, through the outbox."""

    def wants(self, table: Table, operation: Operation, transaction: RecordTransaction) -> bool:
        """Tell whether an event has to be written for changes of this kind."""
        ...


def is_set_hook(hook: RecordHook) -> TypeGuard[SetHook]:
    """Tell whether a hook has what ``SetHook`` adds."""
    return _offers(type(hook), SetHook)


def is_query_hook(hook: RecordHook) -> TypeGuard[QueryHook]:
    """Tell whether a hook has what ``QueryHook`` adds."""
    return _offers(type(hook), QueryHook)


def is_page_hook(hook: RecordHook) -> TypeGuard[PageHook]:
    """Tell whether a hook has what ``PageHook`` adds."""
    return _offers(type(hook), PageHook)


@cache
def _offers(kind: type, protocol: type) -> bool:
    """Remembered by class: asking a protocol takes longer than reading a record."""
    return issubclass(kind, protocol)


def cuts(
    hook: RecordHook, table: Table, operation: Operation, transaction: RecordTransaction
) -> bool:
    """Tell whether a hook needs the changes of a class to go row by row."""
    if not hook.wants(table, operation, transaction):
        return False
    return not (is_set_hook(hook) and hook.set_based(table, operation, transaction))
