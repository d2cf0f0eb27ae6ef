"""A call as a script says it and how it ended; light, since every script session knows them."""

from __future__ import annotations

from datetime import timedelta

from msgspec import Struct

from midspan.outbound.connection import origin_of

_ERROR = 400


class Asked(Struct, frozen=True, kw_only=True):
    """One call as a script says it, its variables filled in.

    ``message`` is table and id of a function, for the log; ``authority`` of the record that says
    how to prove who asks. ``basic`` (user, password) and ``profile`` (kind, id) go before it.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    content: bytes = b""
    message: tuple[str, str] = ("", "")
    authority: tuple[str, str] = ("", "")
    basic: tuple[str, str] | None = None
    profile: tuple[str, str] | None = None
    mutual: str = ""
    timeout: timedelta | None = None
    level: str = ""
    redirects_to: tuple[str, ...] | None = None
    for_file: bool = False
    """The answer becomes an attachment and may be larger."""

    def __repr__(self) -> str:
        """Show method and origin."""
        return f"Asked({self.method!r}, {origin_of(self.url)!r})"


class Replied(Struct, frozen=True, kw_only=True):
    """How a call ended; ``status`` 0 when there was no answer, then ``error`` says why.

    ``code`` is 1 after a timeout, 2 without a connection, 3 when the instance's own rules refuse
    the address, 4 otherwise, 0 when there was an answer.
    """

    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    content: bytes = b""
    error: str = ""
    code: int = 0
    url: str = ""

    @property
    def failed(self) -> bool:
        """Whether there was no answer, or one from 400 on."""
        return self.status == 0 or self.status >= _ERROR
