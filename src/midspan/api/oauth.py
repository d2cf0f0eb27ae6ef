"""OAuth 2.0 under the vendor's names: what clients ask of it themselves.

The page where a user consents, ``/oauth_auth.do``, is in ``consent``.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from midspan.api.description import (
    ANYTHING,
    FORM,
    TEXT,
    Answer,
    Body,
    Description,
    members,
    query,
    ref,
)
from midspan.api.request import Request
from midspan.api.response import Response
from midspan.api.router import Public, Route
from midspan.api.tokens import Tokens

if TYPE_CHECKING:
    from midspan.api.oauthserver import OAuthServer

_MAX_FORM = 64 * 1024


_CLIENT = ("client_id", "client_secret")
_GRANT = (
    "grant_type", "username", "password", "refresh_token", "code", "redirect_uri",
    "code_verifier", "scope", *_CLIENT,
)  # fmt: skip
_REFUSED = {
    "anyOf": [members(("error",), error=TEXT, error_description=TEXT), ref("Error")],
}
_TOKENS = members(
    ("access_token", "token_type", "expires_in", "scope"),
    access_token=TEXT,
    refresh_token=TEXT,
    token_type=TEXT,
    scope=TEXT,
    expires_in={"type": "integer"},
)
_TOKEN = Description(
    summary="Get tokens for a grant",
    tag="OAuth 2.0",
    body=Body(members(("grant_type",), **dict.fromkeys(_GRANT, TEXT)), (FORM,)),
    answers={
        200: Answer("The tokens.", _TOKENS),
        400: Answer("The request is not one.", _REFUSED),
        401: Answer("Refused.", _REFUSED),
        429: Answer("Too many attempts.", _REFUSED),
    },
)
_REVOKE = Description(
    summary="End a token",
    tag="OAuth 2.0",
    parameters=(query("token", "For GET: the token to end."),),
    body=Body(members(("token",), **dict.fromkeys(("token", *_CLIENT), TEXT)), (FORM,)),
    answers={
        200: Answer("It is ended, or was none.", ANYTHING),
        400: Answer("The request is not one.", _REFUSED),
        401: Answer("Refused.", _REFUSED),
        429: Answer("Too many attempts.", _REFUSED),
    },
)


class OAuthEndpoints:
    """What clients ask for tokens."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (
            Route(
                name="oauth.token",
                methods=("POST",),
                path="/oauth_token.do",
                handler=self.token,
                description=_TOKEN,
                access=Public("The client's secret and the grant in the body are the credentials."),
                max_body=_MAX_FORM,
            ),
            Route(
                name="oauth.revoke",
                methods=("GET", "POST"),
                path="/oauth_revoke_token.do",
                handler=self.revoke,
                description=_REVOKE,
                access=Public("The token is the credential: whoever has it may end it."),
                max_body=_MAX_FORM,
            ),
        )

    @cached_property
    def server(self) -> OAuthServer:
        """The server, made when it is first needed."""
        from midspan.api.oauthserver import OAuthServer  # noqa: PLC0415 - 40 ms of every start

        return OAuthServer(self._tokens)

    def token(self, request: Request) -> Response:
        """Hand out tokens for a grant."""
        return self.server.answer(request)

    def revoke(self, request: Request) -> Response:
        """End a token; with a refresh token all that came with it."""
        return self.server.end(request)
