"""An identity that was proved already, for requests that the application sends to itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from midspan.api.request import Identity

_PROVED: ContextVar[Identity | None] = ContextVar("midspan.identity", default=None)


@contextmanager
def acting_as(identity: Identity) -> Iterator[None]:
    """Let requests that are served inside be those of ``identity``, whatever they carry."""
    token = _PROVED.set(identity)
    try:
        yield
    finally:
        _PROVED.reset(token)


def proved() -> Identity | None:
    """Return the identity that the current request inherits, or None."""
    return _PROVED.get()
