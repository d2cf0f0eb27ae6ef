"""``Authorization: Bearer``: an OAuth token proves who sends a request, on every surface."""

from __future__ import annotations

import hmac

from midspan.api.request import Identity, Request
from midspan.api.tokens import ACCESS, Tokens
from midspan.kernel.errors import NotAuthenticated
from midspan.records import RIGHTS, Record
from midspan.security import Actor

IN_QUERY = "midspan.oauth.access_token_in_query"
"""Property: take the token from the address, too, where logs and browsers may keep it."""


class Bearer:
    """The sign-in scheme of access tokens."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def claims(self, request: Request) -> bool:
        """Tell whether the request carries a token."""
        return bool(_given(request))

    def identify(self, request: Request) -> Identity | None:
        """Return the user of the token.

        Raises:
            NotAuthenticated: it is unknown, expired or revoked, its client is gone, or its user's
                password or lock changed since; all alike.
        """
        given = _given(request)
        if not given:
            return None
        row = self._tokens.find(given, ACCESS)
        if row is None:
            raise NotAuthenticated("User Not Authenticated")
        return Identity(owner(request, row), "oauth", client=row.get("peer"))


def owner(request: Request, row: Record) -> Actor:
    """Return the user of a token, with his roles of now.

    Raises:
        NotAuthenticated: he is gone, inactive or locked, or was so since, or has a new password.
    """
    rights = request.snapshot.part(RIGHTS)
    actor = request.parts.identities.actor(row.get("user"), rights)
    if not hmac.compare_digest(row.get("stamp"), actor.stamp):
        raise NotAuthenticated("User Not Authenticated")
    return actor


def _given(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme:
        return token.strip() if scheme.lower() == "bearer" else ""
    in_query = request.parameter("access_token")
    return in_query if in_query and request.property_flag(IN_QUERY) else ""
