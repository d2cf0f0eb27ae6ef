"""A call as the log keeps it."""

from __future__ import annotations

from msgspec import Struct


class CallSource(Struct, frozen=True):
    """The record on whose behalf a call is made, for the log."""

    table: str = ""
    record: str = ""


NOBODY = CallSource()


class CallDetail(Struct, frozen=True, kw_only=True):
    """What is kept of a call whose log level asks for more; secrets are replaced by ``***``."""

    level: str
    request_headers: str = ""
    response_headers: str = ""
    request_body: str = ""
    response_body: str = ""


class CallRecord(Struct, frozen=True, kw_only=True):
    """What is kept of a call; no query, and no path of a secret URL.

    There is no header and no body either unless the call has a ``detail``.
    """

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
    detail: CallDetail | None = None
