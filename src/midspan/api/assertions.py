"""The OAuth grant of a signed JWT (RFC 7523): which one is believed, and for whom.

Source: rest-api 8.3 and the vendor's pages on the JWT bearer grant. A client is a row of
``oauth_jwt``; ``jwt_verifier_map`` says which certificate checks which key id. The algorithms come
from the client's row and its certificate, never from the JWT. What is wrong with one is told to
nobody but the log.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson
from authlib.oauth2.rfc6749 import AccessDeniedError, InvalidRequestError
from authlib.oauth2.rfc7523 import JWTBearerGrant
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from msgspec import Struct

from midspan.api.oauthgrants import Issuing
from midspan.api.request import Request
from midspan.kernel.errors import DuplicateKey, NotAuthenticated
from midspan.query import Operator, ReadPlan, Test
from midspan.records import RIGHTS, Record, RecordTransaction
from midspan.security import SYSTEM, Actor
from midspan.security.certificates import Known, read_certificate

if TYPE_CHECKING:
    from midspan.api.oauthserver import Client

TABLE = "oauth_jwt"
_MAPS, _CHECKS, _CERTIFICATES = "jwt_verifier_map", "jwt_claim_validation", "sys_certificate"
_LONGEST = 16_384
"""Characters that a JWT may have."""
_FARTHEST = 366 * 86_400
"""Seconds from now until a JWT has to end, so that what came once can be remembered."""
log = logging.getLogger(__name__)


class NotBelieved(NotAuthenticated):
    """A JWT does not prove for whom a client may have a token; only the log says why."""

    code = "MS313"


class Trust(Struct, frozen=True):
    """What a client's JWTs are checked against."""

    client: Record
    keys: Mapping[str, Known]
    """Certificates that are valid now, by key id."""
    claims: Mapping[str, str]
    """Further claims that have to be there with this value."""


class JwtGrant(Issuing, JWTBearerGrant):  # type: ignore[misc]
    """A JWT that the client, or whoever the client trusts, signed for a user."""

    def validate_token_request(self) -> None:
        """Find the client and the user of the JWT, and use it up."""
        assertion = self.request.form.get("assertion") or _in_header(self.request.wire)
        if not assertion:
            raise InvalidRequestError("Missing 'assertion' in request")
        try:
            client = self._client(assertion)
            self.request.client = client
            self.validate_requested_scope()
            self.request.user = self._user(client.row, assertion)
        except NotAuthenticated as error:
            log.info("a JWT was refused", extra={"reason": error.explain()})
            raise AccessDeniedError from error

    def _client(self, assertion: str) -> Client:
        """Return the client that names itself, or the public one that the JWT is meant for."""
        form = self.request.form
        if form.get("client_id") or self.request.headers.get("Authorization"):
            client: Client = self.authenticate_token_endpoint_client()
        else:
            named = _unproved(assertion).get("aud")
            found = self.server.query_client(named) if isinstance(named, str) else None
            if found is None or not found.public:
                raise NotBelieved("it names no client, and aud is no public one")
            client = found
        if client.row.table != TABLE:
            raise NotBelieved(f"client {client.row.get('client_id')} is no row of {TABLE}")
        return client

    def _user(self, client: Record, assertion: str) -> Actor:
        wire: Request = self.request.wire
        now = wire.parts.clock.now()
        with wire.parts.records.read(SYSTEM, enforce=False) as transaction:
            claims = believed(assertion, _trust(transaction, client, now), now)
            sys_id = _subject(transaction, client, claims["sub"])
        actor = wire.parts.identities.actor(sys_id, wire.snapshot.part(RIGHTS))
        if actor.is_admin:  # as the vendor: whoever signs for all must not become all-powerful
            raise NotBelieved("it is for an administrator")
        if client.get("enable_jti_verification") != "false":
            self._use_up(client, claims)
        return actor

    def _use_up(self, client: Record, claims: Mapping[str, Any]) -> None:
        """Take a JWT once, on whichever node."""
        name = client.get("jti_claim") or "jti"
        given = claims.get(name)
        if not isinstance(given, str) or not given:
            raise NotBelieved(f"claim {name} is missing")
        until = datetime.fromtimestamp(claims["exp"], UTC) + _skew(client)
        try:
            self.server.tokens.use_up(client, given, until)
        except DuplicateKey as error:
            raise NotBelieved("it came before") from error


def believed(assertion: str, trust: Trust, now: datetime) -> dict[str, Any]:
    """Return the claims of a JWT that a client's trust covers; ``sub`` and ``exp`` are there.

    Raises:
        NotBelieved: signature, algorithm, audience, issuer, time or a further claim is wrong.
    """
    if len(assertion) > _LONGEST:
        raise NotBelieved("it is too long")
    try:
        known = trust.keys.get(_kid(assertion))
        if known is None:
            raise NotBelieved("no valid certificate has its kid")
        wanted = {part.strip() for part in trust.client.get("algorithms").split(",")}
        allowed = sorted(known.algorithms & wanted)
        if not allowed:  # an empty list would mean the library's own choice
            raise NotBelieved("its certificate has no key for the client's algorithms")
        kind = RSAKey if "RS256" in known.algorithms else ECKey
        token = jwt.decode(assertion, kind.import_key(known.key), algorithms=allowed)
        _check(token.claims, trust, now)
    except (JoseError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise NotBelieved("it is not valid", detail=str(error)) from error
    return dict(token.claims)


def _check(claims: dict[str, Any], trust: Trust, now: datetime) -> None:
    client_id = trust.client.get("client_id")
    registry = jwt.JWTClaimsRegistry(
        now=int(now.timestamp()),
        leeway=int(_skew(trust.client).total_seconds()),
        aud={"essential": True, "value": client_id},
        iss={"essential": True, "value": trust.claims.get("iss", client_id)},
        sub={"essential": True},
        exp={"essential": True},
    )
    registry.validate(claims)
    if claims["exp"] > now.timestamp() + _FARTHEST:
        raise NotBelieved("it ends too late")
    for name, value in trust.claims.items():
        given = claims.get(name)
        if value not in [_text(each) for each in (given if isinstance(given, list) else [given])]:
            raise NotBelieved(f"claim {name} is another")


def _text(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _kid(assertion: str) -> str:
    kid = jws.extract_compact(assertion.encode()).headers().get("kid")
    return kid if isinstance(kid, str) else ""


def _unproved(assertion: str) -> dict[str, Any]:
    """Return what a JWT says, proved or not."""
    try:
        claims = orjson.loads(jws.extract_compact(assertion.encode()).payload)
    except (JoseError, ValueError, TypeError) as error:
        raise NotBelieved("it is no JWT") from error
    return claims if isinstance(claims, dict) else {}


def _trust(transaction: RecordTransaction, client: Record, now: datetime) -> Trust:
    about = f"oauth_jwt={client.sys_id}"
    maps = transaction.find(_MAPS, f"{about}^sys_certificateISNOTEMPTY^kidISNOTEMPTY")
    certificates = transaction.load(_CERTIFICATES, [row.get("sys_certificate") for row in maps])
    keys = {}
    for row in maps:
        certificate = certificates.get(row.get("sys_certificate"))
        if certificate is None or certificate.get("active") == "false":
            continue
        known = read_certificate(certificate.get("pem_certificate"))
        if known.is_valid(now):
            keys[row.get("kid")] = known
    checks = transaction.find(_CHECKS, about)
    claims = {row.get("claim_name"): row.get("claim_value") for row in checks}
    return Trust(client, keys, claims)


def _subject(transaction: RecordTransaction, client: Record, subject: str) -> str:
    """Return the sys_id of the one user whose field has this value."""
    field = client.get("user_field") or "email"
    users = transaction.dictionary.table("sys_user")
    if field not in users.fields or not subject or "\0" in subject:
        raise NotBelieved(f"sys_user has no field {field}, or sub is empty")
    path = transaction.dictionary.path("sys_user", field)
    plan = ReadPlan(
        table="sys_user",
        columns=(transaction.dictionary.path("sys_user", "sys_id"),),
        condition=Test(path, Operator.EQUALS, (subject,)),
        limit=2,
    )
    found = transaction.run(plan)
    if len(found) != 1:
        raise NotBelieved(f"{len(found) or 'no'} users have this sub as their {field}")
    return str(found[0][0])


def _skew(client: Record) -> timedelta:
    given = client.get("clock_skew")
    return timedelta(seconds=min(max(int(given) if given else 0, 0), 3_600))


def _in_header(wire: Request) -> str:
    """Some clients send the JWT as ``Authentication: Bearer``."""
    scheme, _, token = wire.headers.get("authentication", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
