"""Every error a caller may meet; each carries a code, a message and a hint for the human.

MidspanError                    MS000
├── InvalidRequest              MS100  the caller's input is wrong
│   ├── MalformedBody           MS101  it does not parse
│   ├── InvalidQuery            MS102  an encoded query that cannot be used
│   ├── InvalidValue            MS103  a value that its field cannot hold
│   └── InvalidDefinition       MS104  a file or configuration record that is wrong
├── NotFound                    MS200
│   ├── InvalidTable            MS201
│   ├── InvalidField            MS202
│   └── RecordNotFound          MS203
├── AccessDenied                MS300
│   ├── NotAuthenticated        MS301
│   └── NotAuthorized           MS302
├── Conflict                    MS400  the state of things forbids it
│   ├── OperationAborted        MS401  a rule refused the write
│   ├── DuplicateKey            MS402
│   └── FenceLost               MS403  somebody else holds the lease now
├── LimitExceeded               MS500  a time, memory or size limit
├── Unavailable                 MS600  a peer, database or agent cannot be reached
└── OutcomeUnknown              MS700  an effect may have happened and must not be repeated

Codes are never reused. What status and wording a code gets on the wire is the business of
``midspan.api``. Errors of one package derive from these and live beside their cause.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MidspanError(Exception):
    """An error with a stable ``code``, a ``message``, an optional ``detail`` and ``hint``."""

    code = "MS000"

    def __init__(self, message: str, *, detail: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint

    def explain(self) -> str:
        """Return message, detail and hint as one line for a terminal or a log."""
        parts = [part for part in (self.message, self.detail, self.hint) if part]
        ended = [part if part.endswith((".", "?", "!", ":")) else f"{part}." for part in parts[:-1]]
        return " ".join([*ended, *parts[-1:]])


class InvalidRequest(MidspanError):
    """The caller's input is wrong and has to be changed before another try."""

    code = "MS100"


class MalformedBody(InvalidRequest):
    """The body is not what its content type promises."""

    code = "MS101"


class InvalidQuery(InvalidRequest):
    """The encoded query cannot be used as asked."""

    code = "MS102"


class InvalidValue(InvalidRequest):
    """The value does not fit the type of its field."""

    code = "MS103"


class InvalidDefinition(InvalidRequest):
    """A definition file or configuration record is wrong; the message names the place."""

    code = "MS104"


class NotFound(MidspanError):
    """What the caller named does not exist, or may not be seen."""

    code = "MS200"


class InvalidTable(NotFound):
    """The request names a table that the dictionary does not have."""

    code = "MS201"

    def __init__(self, name: str, known: Iterable[str] = ()) -> None:
        super().__init__(f"Invalid table {name}", hint=did_you_mean(name, known))
        self.name = name


class InvalidField(NotFound):
    """A place that has to be exact names a field that its table does not have."""

    code = "MS202"

    def __init__(self, table: str, name: str, known: Iterable[str] = ()) -> None:
        super().__init__(f"Table {table} has no field {name}", hint=did_you_mean(name, known))
        self.table = table
        self.name = name


class RecordNotFound(NotFound):
    """No such record, or the actor may not see it; the two look the same on purpose."""

    code = "MS203"

    def __init__(self, table: str, sys_id: str) -> None:
        super().__init__("No Record found", detail=f"{table} has no readable record {sys_id}")
        self.table = table
        self.sys_id = sys_id


class AccessDenied(MidspanError):
    """The actor may not do this."""

    code = "MS300"


class NotAuthenticated(AccessDenied):
    """No valid credentials came with the request."""

    code = "MS301"


class NotAuthorized(AccessDenied):
    """The actor is known and lacks the right."""

    code = "MS302"


class Conflict(MidspanError):
    """The present state of things forbids the operation."""

    code = "MS400"


class OperationAborted(Conflict):
    """A rule refused the write."""

    code = "MS401"


class DuplicateKey(Conflict):
    """A unique field or id already has this value."""

    code = "MS402"


class FenceLost(Conflict):
    """The lease passed to another worker; nothing was written."""

    code = "MS403"


class LimitExceeded(MidspanError):
    """A limit of time, memory or size was reached."""

    code = "MS500"


class Unavailable(MidspanError):
    """A peer, database or agent cannot be reached now; trying again later is reasonable."""

    code = "MS600"


class OutcomeUnknown(MidspanError):
    """An effect was sent and its outcome never learned; it is not repeated on its own."""

    code = "MS700"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that looks most like ``name``, or None.

    >>> nearest("incidnet", ["incident", "problem"])
    'incident'
    """
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """Return the hint for an unknown name, or None when nothing is near.

    >>> did_you_mean("numbr", ["number", "state"])
    "Did you mean 'number'?"
    """
    match = nearest(name, known)
    return f"Did you mean {match!r}?" if match else None
