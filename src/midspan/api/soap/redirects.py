"""What a client is told that has to come again for its answer: where, and what it must bring.

A second cookie names the message and the process that works on it, so that another one does not
carry the message out once more. It is not sealed: whoever changes it only fools himself.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from urllib.parse import quote

from msgspec import Struct

from midspan.api.authentication import cookie_of
from midspan.api.request import Request

CALL_COOKIE = "SOAPCALL"


class Mark(Struct, frozen=True):
    """A message under way."""

    digest: str
    node: str
    bounces: int
    """How often a process that does not work on it sent it on."""


def digest_of(request: Request) -> str:
    """Return what tells one message of a session from another: where it was sent, and its body."""
    body = hashlib.sha256(request.body)
    body.update(repr((request.path, request.query)).encode())
    return body.hexdigest()[:32]


def mark_of(request: Request) -> Mark | None:
    """Return what the cookie of a message says, None when there is none that can be read."""
    digest, _, rest = cookie_of(request, CALL_COOKIE).partition(".")
    node, _, bounces = rest.partition(".")
    if not (digest and node and bounces.isascii() and bounces.isdecimal() and len(bounces) < 4):
        return None
    return Mark(digest, node, int(bounces))


def mark_cookie(mark: Mark | None, life: timedelta, *, secure: bool) -> str:
    """Return the Set-Cookie value of a message under way; None takes it back.

    >>> mark_cookie(Mark("d1", "n1", 2), timedelta(minutes=2), secure=True)
    'SOAPCALL=d1.n1.2; Path=/; Max-Age=120; HttpOnly; SameSite=Lax; Secure'
    """
    value = f"{mark.digest}.{mark.node}.{mark.bounces}" if mark else ""
    seconds = int(life.total_seconds()) if mark else 0
    end = "; Secure" if secure else ""
    return f"{CALL_COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{end}"


def called_address(request: Request) -> str:
    """Return the address that a request was sent to."""
    words = (f"{_quoted(k)}={_quoted(v)}" if v else _quoted(k) for k, v in request.query)
    return f"{request.base_url}{quote(request.path)}?{'&'.join(words)}"


def _quoted(text: str) -> str:
    return quote(text, safe="")
