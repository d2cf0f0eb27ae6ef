"""A call as the log keeps it."""

from __future__ import annotations

from msgspec import Struct


class CallSource(Struct, frozen=True):
    """The record on whose behalf a call is made, for the log."""

    table: str = ""
    record: str = ""


NOBODY = CallSource()


class CallRecord(Struct, frozen=True, kw_only=True):
    """What is kept of a call; no header, no body, no query, and no path of a secret URL."""

    connection: str
    source: CallSource
    key: str
    method: str
    host: str
    path: str
    sent: int
    status: int | None
    received: int
    milliseconds: int
    outcome: str
    error: str
