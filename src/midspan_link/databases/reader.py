"""The protocol every database reader implements: one module per scheme, found by its name."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, cast

from midspan_link.blocks import BlockWriter, Column
from midspan_link.databases.query import ReadRequest
from midspan_link.databases.target import DatabaseTarget
from midspan_link.errors import InvalidTarget, did_you_mean
from midspan_link.protocol import Secret

READERS = ("postgresql", "sqlite")


class Reading(Protocol):
    """An open result set."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """Return the columns with the source's type names."""
        ...

    def chunks(self) -> Iterator[bytes]:
        """Yield COPY text, whole rows a chunk; call once.

        Raises:
            QueryFailed: the database broke off, or the time is over.
        """
        ...

    def cancel(self) -> None:
        """Stop the database's work soon; safe from another thread, at any time, more than once."""
        ...


class DatabaseReader(Protocol):
    """Opens result sets in one kind of database; blocking, used in a thread."""

    def open(
        self,
        target: DatabaseTarget,
        secret: Secret,
        request: ReadRequest,
        addresses: Sequence[str] = (),
    ) -> AbstractContextManager[Reading]:
        """Connect read-only and send the statement; connect to ``addresses`` when there are any.

        Raises:
            DatabaseUnavailable: no connection, or the sign-in is refused.
            QueryRefused, QueryFailed: the statement.
        """
        ...


def reader_for(scheme: str) -> DatabaseReader:
    """Return the reader of a scheme; its module is imported at the first use.

    Raises:
        InvalidTarget: no such reader.
    """
    if scheme not in READERS:
        raise InvalidTarget(
            f"There is no reader for {scheme!r}",
            hint=did_you_mean(scheme, READERS) or f"Known: {', '.join(READERS)}.",
        )
    module = importlib.import_module(f"midspan_link.databases.{scheme}")
    return cast(DatabaseReader, module.reader)


def read_blocks(reading: Reading, writer: BlockWriter | None = None) -> Iterator[bytes]:
    """Yield the framed blocks of a reading; a ``writer`` shows counts and digests."""
    writer = writer or BlockWriter(reading.columns)
    for chunk in reading.chunks():
        frame = writer.add(chunk)
        if frame is not None:
            yield frame
    last = writer.finish()
    if last is not None:
        yield last
