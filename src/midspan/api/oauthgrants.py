"""The OAuth grants: how a client proves that it may have a token, and for whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authlib.oauth2.rfc6749 import (
    AccessDeniedError,
    InvalidGrantError,
    InvalidRequestError,
    grants,
)
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge

from midspan.api.bearer import owner
from midspan.api.request import Request
from midspan.api.tokens import REFRESH, CodeUsed, Consent, Grant
from midspan.kernel.errors import NotAuthenticated
from midspan.records import RIGHTS, Record
from midspan.security import Actor

if TYPE_CHECKING:
    from midspan.api.oauthserver import Client, WireRequest

CLIENT_CREDENTIALS = "glide.oauth.inbound.client.credential.grant_type.enabled"
_CLIENT_METHODS = ["client_secret_post", "client_secret_basic", "none"]


class Issuing(grants.BaseGrant):  # type: ignore[misc]
    """What all grants here have in common: who may name himself how, and where tokens come from."""

    TOKEN_ENDPOINT_AUTH_METHODS = _CLIENT_METHODS
    family = ""
    code: Record | None = None

    def generate_token(
        self, user: Actor | None = None, *, include_refresh_token: bool = True, **_: object
    ) -> dict[str, object]:
        """Issue tokens for the user that the grant found."""
        grant = Grant(
            client=self.request.client.row,
            actor=user or self.request.user,
            grant_type=self.GRANT_TYPE,
            family=self.family,
            refresh=include_refresh_token,
            code=self.code,
        )
        try:
            return self.server.body(grant)  # type: ignore[no-any-return]
        except CodeUsed as error:
            raise InvalidGrantError("Invalid 'code' in request.") from error


class PasswordGrant(Issuing, grants.ResourceOwnerPasswordCredentialsGrant):  # type: ignore[misc]
    """Name and password of a user."""

    def authenticate_user(self, username: str, password: str) -> Actor:
        """Check them as Basic authentication does."""
        wire: Request = self.request.wire
        try:
            if "\0" in username:
                raise NotAuthenticated("User Not Authenticated")
            rights = wire.snapshot.part(RIGHTS)
            identities = wire.parts.identities
            return identities.sign_in(username, password, rights, address=wire.address)
        except NotAuthenticated as error:
            raise AccessDeniedError from error


class ClientGrant(Issuing, grants.ClientCredentialsGrant):  # type: ignore[misc]
    """The client itself, as the user that its row names."""

    def validate_token_request(self) -> None:
        """Find the user, once the client proved itself."""
        super().validate_token_request()
        wire: Request = self.request.wire
        user = self.request.client.row.get("user")
        if wire.property(CLIENT_CREDENTIALS, "true") != "true" or not user:
            raise AccessDeniedError
        try:
            rights = wire.snapshot.part(RIGHTS)
            self.request.user = wire.parts.identities.actor(user, rights)
        except NotAuthenticated as error:
            raise AccessDeniedError from error


class RefreshGrant(Issuing, grants.RefreshTokenGrant):  # type: ignore[misc]
    """A refresh token; it stays good until it expires, as clients expect."""

    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> Held | None:
        """Return a live token."""
        row = self.server.tokens.find(refresh_token, REFRESH)
        return Held(row) if row is not None else None

    def authenticate_user(self, refresh_token: Held) -> Actor:
        """Return the user of a token unless his password or lock changed since."""
        self.family = refresh_token.row.get("family")
        try:
            return owner(self.request.wire, refresh_token.row)
        except NotAuthenticated as error:
            raise AccessDeniedError from error

    def revoke_old_credential(self, refresh_token: Held) -> None:
        """Keep it: it was handed out again."""


class CodeGrant(Issuing, grants.AuthorizationCodeGrant):  # type: ignore[misc]
    """A code that a user's consent made, exchanged once."""

    def save_authorization_code(self, code: str, request: WireRequest) -> None:
        """Do nothing: ``generate_authorization_code`` stores what it hands out."""

    def generate_authorization_code(self) -> str:
        """Return a code for the consent that was just given."""
        given = self.request.payload.data
        consent = Consent(
            client=self.request.client.row,
            actor=self.request.user,
            redirect_url=given.get("redirect_uri", ""),
            code_challenge=given.get("code_challenge", ""),
            code_challenge_method=given.get("code_challenge_method", ""),
        )
        return self.server.tokens.code(consent)  # type: ignore[no-any-return]

    def query_authorization_code(self, code: str, client: Client) -> Held | None:
        """Return a live code of the client."""
        row = self.server.tokens.redeemable(code, client.row)
        return Held(row) if row is not None else None

    def authenticate_user(self, authorization_code: Held) -> Actor | None:
        """Return who consented, unless his password or lock changed since."""
        self.code = authorization_code.row
        self.family = self.code.get("family")
        try:
            return owner(self.request.wire, self.code)
        except NotAuthenticated:
            return None

    def delete_authorization_code(self, authorization_code: Held) -> None:
        """Do nothing: it was used up with the issue, and stays to be recognised."""


class Pkce(CodeChallenge):  # type: ignore[misc]
    """Proof of possession of a code: always for public clients, else where the client begins it."""

    def validate_code_challenge(self, grant: CodeGrant, redirect_uri: str) -> None:
        """Refuse a plain challenge, unless the client's row says that it can do no better."""
        super().validate_code_challenge(grant, redirect_uri)
        client: Client = grant.request.client
        given = grant.request.payload.data
        if not given.get("code_challenge"):
            if client.public:
                raise InvalidRequestError("Missing 'code_challenge'")
            return
        plain = given.get("code_challenge_method") != "S256"
        if plain and client.row.get("code_challenge_method") != "plain":
            raise InvalidRequestError("The 'code_challenge_method' has to be S256")


class Held:
    """A token's or code's row as Authlib asks for it."""

    def __init__(self, row: Record) -> None:
        self.row = row

    def check_client(self, client: Client) -> bool:
        """Tell whether it was issued to this client."""
        return self.row.get("peer") == client.row.sys_id

    def get_scope(self) -> str:
        """Return what it is good for."""
        return self.row.get("scope")

    def get_redirect_uri(self) -> str:
        """Return the address that the code was asked for with."""
        return self.row.get("redirect_url")

    @property
    def code_challenge(self) -> str:
        """What the verifier has to fit."""
        return self.row.get("code_challenge")

    @property
    def code_challenge_method(self) -> str | None:
        """How."""
        return self.row.get("code_challenge_method") or None


class Revocation(RevocationEndpoint):  # type: ignore[misc]
    """Ends tokens. Whoever has one may end it; a client that names itself only its own."""

    CLIENT_AUTH_METHODS = _CLIENT_METHODS

    def authenticate_endpoint_client(self, request: WireRequest) -> Client | None:
        """Check a client that names itself."""
        if "client_id" not in request.form and not request.wire.headers.get("authorization"):
            return None
        found: Client = super().authenticate_endpoint_client(request)
        return found

    def authenticate_token(self, request: WireRequest, client: Client | None) -> Held | None:
        """Return the token that is to end; an unknown one has ended already."""
        self.check_params(request, client)
        row = self.server.tokens.any(request.form["token"])
        held = Held(row) if row is not None else None
        if held is not None and client is not None and not held.check_client(client):
            raise InvalidRequestError("The token was issued to another client")
        return held

    def revoke_token(self, token: Held, request: WireRequest) -> None:
        """End it."""
        self.server.tokens.revoke(token.row)
