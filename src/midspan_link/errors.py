"""Every error the relay's two ends share; each carries a code, a message and a hint.

LinkError                       ML000
├── InvalidMessage              ML100  a message or payload that is not what the protocol says
├── InvalidBlock                ML110  a block that is damaged, too large or not strict COPY text
├── CannotOpen                  ML200  sealed data that this key or this context cannot open
├── SignatureRefused            ML210  a signature, timestamp, nonce or key that does not hold
├── InvalidRule                 ML300  an egress rule that cannot be read
├── EgressRefused               ML310  an address that no rule allows
├── RedirectRefused             ML320  a redirect that must not be followed
├── ResponseTooLarge            ML330  a reply over its size limit
├── PeerUnavailable             ML340  a peer that cannot be reached or does not answer in time
├── InvalidTarget               ML400  a database address that cannot be read
├── QueryRefused                ML410  a statement that may not be sent
├── DatabaseUnavailable         ML420  a database that cannot be reached, or refuses the sign-in
└── QueryFailed                 ML430  the database's own error

Codes are never reused. The instance maps them to its own tree in ``midspan.ecc``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LinkError(Exception):
    """An error with a stable ``code``, a ``message`` and an optional ``hint``."""

    code = "ML000"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def explain(self) -> str:
        """Return message and hint as one line."""
        if not self.hint:
            return self.message
        end = "" if self.message.endswith((".", "?", "!", ":")) else "."
        return f"{self.message}{end} {self.hint}"


class InvalidMessage(LinkError):
    """A message or payload is not what the protocol says."""

    code = "ML100"


class InvalidBlock(LinkError):
    """A block is damaged, over a limit, or not strict COPY text."""

    code = "ML110"


class CannotOpen(LinkError):
    """Sealed data was made for another key or another context, or was altered."""

    code = "ML200"


class SignatureRefused(LinkError):
    """A request's signature, timestamp or nonce does not hold; ``reason`` is for the wire."""

    code = "ML210"

    def __init__(self, message: str, *, reason: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class InvalidRule(LinkError):
    """An egress rule cannot be read."""

    code = "ML300"


class EgressRefused(LinkError):
    """No rule allows a connection to this address."""

    code = "ML310"


class RedirectRefused(LinkError):
    """The peer redirects in a way that must not be followed."""

    code = "ML320"


class ResponseTooLarge(LinkError):
    """The reply is larger than the caller allowed."""

    code = "ML330"


class PeerUnavailable(LinkError):
    """The peer cannot be reached, or does not answer in time; trying later is reasonable."""

    code = "ML340"


class InvalidTarget(LinkError):
    """A database address cannot be read, or holds what it must not hold."""

    code = "ML400"


class QueryRefused(LinkError):
    """The statement is not a single named-column read and is not sent."""

    code = "ML410"


class DatabaseUnavailable(LinkError):
    """The database cannot be reached or refuses the sign-in."""

    code = "ML420"


class QueryFailed(LinkError):
    """The database refused or broke off the query; the message is its own."""

    code = "ML430"


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """Return the hint for an unknown name, or None when nothing is near.

    >>> did_you_mean("capabilites", ["capabilities", "targets"])
    "Did you mean 'capabilities'?"
    """
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"Did you mean {matches[0]!r}?" if matches else None
