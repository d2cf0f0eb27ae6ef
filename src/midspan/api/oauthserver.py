"""The OAuth 2.0 server, on Authlib: which clients and users it knows, and how it words errors.

Authlib checks the protocol; this module gives it clients (rows of ``oauth_entity``), users and
tokens. Importing it takes 40 ms, which only a request for a token pays.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson
from authlib.common.urls import add_params_to_uri
from authlib.oauth2 import OAuth2Error, OAuth2Request
from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    InvalidRequestError,
    InvalidScopeError,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6749.util import extract_basic_authorization

from midspan.api.assertions import JwtGrant
from midspan.api.errors import error_headers
from midspan.api.oauthgrants import (
    ClientGrant,
    CodeGrant,
    PasswordGrant,
    Pkce,
    RefreshGrant,
    Revocation,
)
from midspan.api.request import MAX_PARAMETERS, Request
from midspan.api.response import Response
from midspan.api.tokens import SCOPE, Grant, Tokens
from midspan.kernel.errors import InvalidRequest
from midspan.records import Record
from midspan.security import Actor, SignInDelayed, UnreadableSecret

BODY_ONLY = "glide.oauth.allow.parameters.in.post.body.only"
ERRORS = "midspan.oauth.errors"
"""``server_error``: as instances word it, whatever was wrong with credentials."""
DENIED = "access_denied"
_BASIC = re.compile(r"basic [A-Za-z0-9+/]+={0,2}", re.IGNORECASE)
_PLAIN = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]*")
"""What RFC 6749 allows in an error's description."""
_DESCRIBED = ("grant_type", "response_type", "client_id", "redirect_uri", "token_type_hint")
_REFUSED = frozenset({DENIED, "invalid_scope", "unauthorized_client"})
_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json;charset=utf-8"


class Client:
    """A row of ``oauth_entity`` as Authlib asks for it."""

    def __init__(self, server: OAuthServer, row: Record) -> None:
        self._server = server
        self.row = row
        self.public = row.get("public_client") == "true"

    def check_client_secret(self, given: str) -> bool:
        """Compare in constant time; a client without a secret has none to give."""
        stored = self._server.secret(self.row)
        return bool(stored) and hmac.compare_digest(stored.encode(), given.encode())

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Tell whether a client may name itself in this way: public ones need no secret."""
        return self.public if method == "none" else True

    def redirect_urls(self) -> tuple[str, ...]:
        """Return where its users may be sent back to."""
        urls = self.row.get("redirect_url").replace("\n", ",").split(",")
        return tuple(url.strip() for url in urls if url.strip())

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Compare exactly: whatever is not written in the row gets no code."""
        return redirect_uri in self.redirect_urls()

    def get_default_redirect_uri(self) -> str | None:
        """Return the address of a client that has only one."""
        urls = self.redirect_urls()
        return urls[0] if len(urls) == 1 else None

    def check_response_type(self, response_type: str) -> bool:
        """Tell whether a client may ask for this; the server has nothing but codes."""
        return response_type == "code"

    def get_allowed_scope(self, scope: str | None) -> str:
        """Return the one scope there is."""
        return SCOPE

    def check_grant_type(self, grant_type: str) -> bool:
        """Tell whether a client may ask in this way: public ones not for themselves."""
        return not (self.public and grant_type == "client_credentials")


class WireRequest(OAuth2Request):  # type: ignore[misc] # Authlib is untyped
    """A request as Authlib reads it. Whether it came by TLS is the proxy's business, not asked."""

    refused = ""
    """The error of Authlib that was answered."""

    def __init__(self, wire: Request, parameters: Mapping[str, str]) -> None:
        given = wire.headers.get("authorization", "")
        readable = _BASIC.fullmatch(given) and _is_text(given)
        headers = {"Authorization": given} if readable else {}
        super().__init__(wire.sent_method, "https://instance/", headers=headers)
        self.wire = wire
        self.payload = BasicOAuth2Payload(dict(parameters))

    @property
    def form(self) -> Mapping[str, str]:
        """All parameters."""
        return self.payload.data  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Asked:
    """A request for access that may be shown to a user."""

    client: Client
    parameters: Mapping[str, str]
    redirect_url: str
    wire: WireRequest
    grant: CodeGrant


class OAuthServer(AuthorizationServer):  # type: ignore[misc]
    """Answers requests for tokens, and ends them."""

    def __init__(self, tokens: Tokens) -> None:
        super().__init__(scopes_supported=[SCOPE])
        self.tokens = tokens
        for grant in (PasswordGrant, RefreshGrant, ClientGrant, JwtGrant):
            self.register_grant(grant)
        self.register_grant(CodeGrant, [Pkce(required=True)])
        self.register_endpoint(Revocation)

    def query_client(self, client_id: str) -> Client | None:
        """Return an active client."""
        row = self.tokens.client(client_id)
        return Client(self, row) if row is not None else None

    def secret(self, client: Record) -> str:
        """Return a client's secret; a damaged one counts as none."""
        try:
            return self.tokens.secret(client)
        except UnreadableSecret:
            return ""

    def validate_requested_scope(self, scope: str | None) -> None:
        """Refuse every scope but the one there is."""
        if scope and set(scope.split()) != {SCOPE}:
            raise InvalidScopeError

    def create_oauth2_request(self, request: Request | WireRequest) -> WireRequest:
        """Return the request in Authlib's form."""
        if isinstance(request, WireRequest):
            return request
        return WireRequest(request, parameters_of(request))

    def save_token(self, token: Mapping[str, object], request: WireRequest) -> None:
        """Do nothing: ``body`` stores what it hands out."""

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nobody listens."""

    def answer(self, request: Request) -> Response:
        """Answer a request for a token."""
        return self._guarded(request, self.create_token_response)

    def end(self, request: Request) -> Response:
        """Answer a request to end a token."""
        return self._guarded(request, lambda r: self.create_endpoint_response("revocation", r))

    def asked(self, request: Request) -> Asked | Response:
        """Return what a client asks a user for, or the answer to one that asks wrongly.

        Raises:
            InvalidRequest: it is not known, or not where the user would be sent; so he is not.
        """
        try:
            wire = self.create_oauth2_request(request)
            grant = self.get_consent_grant(wire, request.actor)
        except OAuth2Error as error:
            if not error.redirect_uri:
                told = error.get_error_description() or error.error
                raise InvalidRequest("The request for access is wrong", detail=told) from error
            return self._named(request, self.handle_response(*error()))
        return Asked(grant.client, wire.form, grant.redirect_uri, wire, grant)

    def consented(self, asked: Asked, actor: Actor | None) -> Response:
        """Send the user back, with a code if there is one who consents."""
        back = self.create_authorization_response(asked.wire, actor, asked.grant)
        return self._named(asked.wire.wire, back)

    def _named(self, request: Request, back: Response) -> Response:
        """Name this instance in a redirect (RFC 9207)."""
        location = add_params_to_uri(back.headers["Location"], [("iss", request.base_url)])
        return Response(302, headers={"Location": location})

    def _guarded(self, request: Request, respond: Any) -> Response:
        throttle, client = request.parts.identities.throttle, ""
        try:
            wire = self.create_oauth2_request(request)
            client = f"client\0{named(wire)}"
            throttle.check(client, request.address)
            answer: Response = respond(wire)
        except OAuth2Error as error:
            return self.refusal(request, error)
        except SignInDelayed as error:
            body = {"error_description": error.explain(), "error": DENIED}
            return Response(429, orjson.dumps(body), _JSON, error_headers(error))
        if wire.refused == "invalid_client":
            throttle.failed(client, request.address)
        return answer

    def handle_response(
        self, status: int, body: object, headers: Iterable[tuple[str, str]]
    ) -> Response:
        """Return Authlib's answer as ours; an error's headers are set where it is worded."""
        if status == 302:
            return Response(302, headers=dict(headers))
        return Response(status, orjson.dumps(body), _JSON)

    def handle_error_response(self, request: WireRequest, error: OAuth2Error) -> Response:
        """Word an error, for the client itself or through the user's browser."""
        request.refused = error.error
        if error.redirect_uri:
            return self.handle_response(*error())
        return self.refusal(request.wire, error)

    def refusal(self, request: Request, error: OAuth2Error) -> Response:
        """Return 401 for whoever did not prove who he is, 400 for what is wrong in itself."""
        by_refresh = request.form().get("grant_type") == "refresh_token"
        code, status = error.error, 400
        if code in _REFUSED or (code == "invalid_grant" and by_refresh):
            code, status = DENIED, 401
        elif code == "invalid_client":
            status = 401
        told = DENIED if status == 401 else error.get_error_description()
        if status == 401 and request.property(ERRORS) == "server_error":
            code = "server_error"
        body = {"error_description": told or code, "error": code}
        return Response(status, orjson.dumps(body), _JSON)

    def body(self, grant: Grant) -> dict[str, object]:
        """Return the body that hands out tokens."""
        issued = self.tokens.issue(grant)
        refresh = {"refresh_token": issued.refresh_token} if issued.refresh_token else {}
        return {
            "access_token": issued.access_token,
            **refresh,
            "scope": SCOPE,
            "token_type": "Bearer",
            "expires_in": issued.expires_in,
        }


def named(wire: WireRequest) -> str:
    """Return the client id that a request names, in the form or in the header, or ``''``."""
    return wire.form.get("client_id") or extract_basic_authorization(wire.headers)[0] or ""


def parameters_of(request: Request) -> dict[str, str]:
    """Return the parameters of a request for a token, each given once.

    Those in the address are read where a property allows it, or where there is no body: secrets in
    addresses end up in logs.

    Raises:
        InvalidRequestError: the body is no form, or a parameter is repeated or unreadable.
    """
    pairs: list[tuple[str, str]] = []
    if request.body:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
            raise InvalidRequestError("The body has to be a form")
        pairs = _pairs(request.body)
    if request.sent_method == "GET" or request.property(BODY_ONLY, "true") != "true":
        pairs = [*request.query, *pairs]
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidRequestError("A parameter is given twice")
    if not all(_PLAIN.fullmatch(found.get(name, "")) for name in _DESCRIBED):
        raise InvalidRequestError("A parameter has characters that it cannot have")
    return found


def _pairs(body: bytes) -> list[tuple[str, str]]:
    try:
        text = body.decode()
        return parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
    except ValueError as error:
        raise InvalidRequestError("The body is not a readable form") from error


def _is_text(basic: str) -> bool:
    try:
        base64.b64decode(basic.partition(" ")[2], validate=True).decode()
    except ValueError:
        return False
    return True
