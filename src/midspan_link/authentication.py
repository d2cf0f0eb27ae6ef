"""Authentication schemes, applied at the end that talks; a scheme never shows its secret."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping

from msgspec import Struct

from midspan_link.errors import InvalidMessage, did_you_mean
from midspan_link.protocol import Secret


class Authentication(Struct, frozen=True):
    """The headers that prove who asks; they go to the origin of the first request only."""

    scheme: str
    headers: dict[str, str]

    def __repr__(self) -> str:
        """Show the scheme and the header names."""
        return f"Authentication({self.scheme!r}, {sorted(self.headers)})"


def basic(secret: Secret) -> Authentication:
    """Return HTTP Basic authentication (RFC 7617, UTF-8) with user and password."""
    if not secret.user or ":" in secret.user:
        raise InvalidMessage("Basic authentication needs a user name without a colon")
    pair = base64.b64encode(f"{secret.user}:{secret.password}".encode()).decode()
    return Authentication("basic", {"authorization": f"Basic {pair}"})


def bearer(secret: Secret) -> Authentication:
    """Return a bearer token (RFC 6750)."""
    return Authentication("bearer", {"authorization": f"Bearer {_printable(secret.token)}"})


def api_key(secret: Secret) -> Authentication:
    """Return an API key in the header ``secret.header`` (``X-API-Key`` when empty)."""
    return Authentication(
        "api_key", {(secret.header or "x-api-key").lower(): _printable(secret.token)}
    )


SCHEMES: Mapping[str, Callable[[Secret], Authentication]] = {
    "basic": basic,
    "bearer": bearer,
    "api_key": api_key,
}


def authenticate(scheme: str, secret: Secret) -> Authentication:
    """Return the headers for a scheme by name.

    Raises:
        InvalidMessage: an unknown scheme (with the nearest name), or a secret that does not fit it.
    """
    build = SCHEMES.get(scheme)
    if build is None:
        raise InvalidMessage(
            f"Unknown authentication scheme {scheme!r}", hint=did_you_mean(scheme, SCHEMES)
        )
    return build(secret)


def _printable(token: str) -> str:
    if not token or not token.isascii() or not token.isprintable():
        raise InvalidMessage("The token is empty or holds characters that no header can carry")
    return token
