"""The JWT bearer grant: what is believed, for whom, once; and what is not, whatever it says."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import NameOID
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from midspan.kernel.errors import OperationAborted

from .conftest import Site

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
DENIED = {"error_description": "access_denied", "error": "access_denied"}
NUMBERS = itertools.count()
OPENED = datetime(2026, 1, 1, tzinfo=UTC)
CLOSED = datetime(2036, 1, 1, tzinfo=UTC)


@cache
def private(kind: str) -> Any:
    match kind:
        case "rsa" | "other":
            return rsa.generate_private_key(65537, 2048)
        case "small":
            return rsa.generate_private_key(65537, 1024)  # noqa: S505 - it is to be refused
        case "ed25519":
            return ed25519.Ed25519PrivateKey.generate()
    curves: dict[str, Callable[[], ec.EllipticCurve]]
    curves = {"p256": ec.SECP256R1, "p384": ec.SECP384R1, "k1": ec.SECP256K1}
    return ec.generate_private_key(curves[kind]())


@cache
def pem(kind: str, first: datetime = OPENED, last: datetime = CLOSED) -> str:
    """A certificate of a key, signed by itself."""
    key = private(kind)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{kind}.example.com")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(7)
    builder = builder.public_key(key.public_key()).not_valid_before(first).not_valid_after(last)
    made = builder.sign(key, None if kind == "ed25519" else hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(kind: str) -> bytes:
    return bytes(
        private(kind).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


@dataclass
class Trusted:
    """A client with a certificate for the key id ``one``."""

    site: Site
    sys_id: str
    certificate: str
    rows: list[tuple[str, str]] = field(default_factory=list)

    def claims(self, **more: object) -> dict[str, Any]:
        now = int(self.site.clock.now().timestamp())
        given = {
            "iss": "jwt", "aud": "jwt", "sub": "ann@example.com", "iat": now, "exp": now + 300,
            "jti": f"jti {next(NUMBERS)}", **more,
        }  # fmt: skip
        return {name: value for name, value in given.items() if value is not None}

    def signed(
        self, *, kind: str = "rsa", alg: str = "RS256", kid: Any = "one", **more: Any
    ) -> str:
        key = (RSAKey if alg[0] in "RP" else ECKey).import_key(key_pem(kind))
        header = {"alg": alg, "typ": "JWT", **({"kid": kid} if kid is not None else {})}
        return jwt.encode(header, self.claims(**more), key, algorithms=[alg])

    def ask(self, assertion: str, **values: str) -> httpx.Response:
        given = {"client_id": "jwt", "client_secret": "s3cret", **values}
        return self.site.token(grant_type=GRANT, assertion=assertion, **given)

    def status(self, **more: Any) -> int:
        return self.ask(self.signed(**more)).status_code

    def set(self, **values: str) -> None:
        self.site.change("oauth_jwt", self.sys_id, **values)

    def add(self, table: str, **values: str) -> str:
        sys_id = self.site.add(table, **values)
        self.rows.append((table, sys_id))
        return sys_id


@pytest.fixture
def trusted(site: Site, ann: str) -> Iterator[Trusted]:
    site.change("sys_user", ann, email="ann@example.com")
    sys_id = site.add("oauth_jwt", name="JWT", client_id="jwt", client_secret="s3cret")
    certificate = site.add("sys_certificate", name="x", pem_certificate=pem("rsa"))
    made = Trusted(
        site, sys_id, certificate, [("oauth_jwt", sys_id), ("sys_certificate", certificate)]
    )
    made.add("jwt_verifier_map", oauth_jwt=sys_id, kid="one", sys_certificate=certificate)
    yield made
    for table, row in reversed(made.rows):
        site.remove(table, row)


def test_a_token_for_the_user_of_sub(trusted: Trusted) -> None:
    answer = trusted.ask(trusted.signed())
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"access_token", "scope", "token_type", "expires_in"}, "no refresh token"
    assert (body["scope"], body["token_type"], body["expires_in"]) == (
        "useraccount",
        "Bearer",
        1799,
    )
    assert trusted.site.status(body["access_token"]) == 200


def test_it_may_come_in_a_header_and_from_a_public_client_without_its_name(
    trusted: Trusted,
) -> None:
    headers = {"Authentication": f"Bearer {trusted.signed()}"}
    form = {"grant_type": GRANT, "client_id": "jwt", "client_secret": "s3cret"}
    answer = trusted.site.send("POST", "/oauth_token.do", data=form, headers=headers)
    assert answer.status_code == 200
    unnamed = {"client_id": "", "client_secret": ""}
    assert trusted.ask(trusted.signed(), **unnamed).json() == DENIED
    trusted.set(public_client="true")
    assert trusted.ask(trusted.signed(), **unnamed).status_code == 200
    assert trusted.ask("no.jwt", **unnamed).json() == DENIED


def test_the_client_proves_itself_besides(trusted: Trusted) -> None:
    answer = trusted.ask(trusted.signed(), client_secret="wrong")
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    answer = trusted.ask(trusted.signed(aud="app", iss="app"), client_id="app")
    assert answer.status_code == 401, "another client's secret"
    other = {"client_id": "other", "client_secret": "another secret"}
    assert trusted.ask(trusted.signed(aud="other", iss="other"), **other).json() == DENIED
    assert trusted.ask("").json()["error"] == "invalid_request"
    assert trusted.ask(trusted.signed(), scope="everything").status_code == 401


def test_each_comes_once_on_all_nodes(trusted: Trusted) -> None:
    assertion = trusted.signed()
    assert trusted.ask(assertion).status_code == 200
    assert trusted.ask(assertion).json() == DENIED
    (kept,) = trusted.site.rows("sys_token", "purpose=jti^ORDERBYDESCexpires")[:1]
    assert "jti" not in kept.get("token_hash")
    assert trusted.status(jti=None) == 401
    assert trusted.status(jti=7) == 401
    trusted.site.clock.advance(timedelta(hours=1))
    assert trusted.ask(assertion).json() == DENIED
    assert trusted.status() == 200
    assert len(trusted.site.rows("sys_token", "purpose=jti")) == 1, "those that ended are gone"
    trusted.set(enable_jti_verification="false")
    again = trusted.signed(jti=None)
    assert [trusted.ask(again).status_code for _ in range(2)] == [200, 200]


def test_a_refused_one_is_not_used_up(trusted: Trusted, ann: str) -> None:
    assertion = trusted.signed()
    trusted.site.change("sys_user", ann, locked_out="true")
    assert trusted.ask(assertion).json() == DENIED
    trusted.site.change("sys_user", ann, locked_out="false")
    assert trusted.ask(assertion).status_code == 200


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"iss": "somebody"}, 401), ({"iss": None}, 401), ({"iss": ["jwt"]}, 401),
        ({"iss": 7}, 401),
        ({"aud": "other"}, 401), ({"aud": None}, 401), ({"aud": []}, 401),
        ({"aud": {"jwt": 1}}, 401),
        ({"aud": ["other", "jwt"]}, 200),
        ({"sub": None}, 401), ({"sub": ""}, 401), ({"sub": 7}, 401),
        ({"sub": "nobody@example.com"}, 401),
        ({"sub": "ann@example.com\0"}, 401), ({"sub": "ann@example.com^ORemail=x"}, 401),
        ({"sub": "Ann@Example.com"}, 200),
        ({"exp": None}, 401), ({"exp": "soon"}, 401), ({"exp": True}, 401), ({"exp": 10**400}, 401),
        ({"kid": "two"}, 401), ({"kid": None}, 401), ({"kid": ""}, 401),
        ({"kind": "other"}, 401), ({"alg": "RS512"}, 401), ({"alg": "PS256"}, 401),
        ({"kind": "p256", "alg": "ES256"}, 401),
    ],
)  # fmt: skip
def test_what_is_believed(trusted: Trusted, more: dict[str, Any], status: int) -> None:
    answer = trusted.ask(trusted.signed(**more))
    assert answer.status_code == status, answer.text
    if status == 401:
        assert answer.json() == DENIED


def test_times_count_with_the_skew_of_the_client(trusted: Trusted) -> None:
    now = int(trusted.site.clock.now().timestamp())
    trusted.set(clock_skew="60")
    assert trusted.status(exp=now - 59) == 200
    assert trusted.status(exp=now - 61) == 401
    assert trusted.status(nbf=now + 59) == 200
    assert trusted.status(nbf=now + 61) == 401
    assert trusted.status(iat=now + 61) == 401
    trusted.set(clock_skew="0")
    assert trusted.status(exp=now - 1) == 401
    assert trusted.status(exp=now + 1) == 200


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def unsigned(trusted: Trusted, alg: str, sign: Callable[[bytes], bytes]) -> str:
    text = f"{encoded({'alg': alg, 'kid': 'one'})}.{encoded(trusted.claims())}"
    return f"{text}.{base64.urlsafe_b64encode(sign(text.encode())).rstrip(b'=').decode()}"


def mac(secret: bytes, text: bytes) -> bytes:
    return hmac.digest(secret, text, hashlib.sha256)


@pytest.mark.parametrize("alg", ["none", "None", "HS256"])
def test_the_algorithm_is_not_the_senders_to_choose(trusted: Trusted, alg: str) -> None:
    """Least of all one that takes the public key for a shared secret."""
    trusted.set(algorithms="RS256,ES256,RS384")
    public = x509.load_pem_x509_certificate(pem("rsa").encode()).public_key()
    spki = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for secret in (spki, spki.strip(), pem("rsa").encode()):
        made = unsigned(trusted, alg, partial(mac, secret))
        assert trusted.ask(made).json() == DENIED
    assert trusted.ask(unsigned(trusted, alg, lambda _: b"")).json() == DENIED
    key = OctKey.import_key("s3cret of the client, long enough")
    shared = jwt.encode({"alg": "HS256", "kid": "one"}, trusted.claims(), key)
    assert trusted.ask(shared).json() == DENIED


@pytest.mark.parametrize(
    "assertion",
    ["x", "a.b", "a.b.c", "..", "....", "é.é.é", "[" * 9_000, "e30.e30.e30", "." * 2, "A" * 17_000,
     encoded({"alg": "RS256", "kid": ["one"]}) + ".e30.e30", f"{encoded([1])}.{encoded([1])}.AAAA"],
)  # fmt: skip
def test_what_is_no_jwt(trusted: Trusted, assertion: str) -> None:
    assert trusted.ask(assertion).json() == DENIED


def signed_by_hand(trusted: Trusted, header: Mapping[str, object]) -> str:
    text = f"{encoded(header)}.{encoded(trusted.claims())}"
    made = private("rsa").sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{text}.{base64.urlsafe_b64encode(made).rstrip(b'=').decode()}"


def test_nested_json_and_headers_that_nobody_knows(trusted: Trusted) -> None:
    deep = base64.urlsafe_b64encode(b'{"kid":"one","alg":"RS256","x":' + b"[" * 10_000).decode()
    assert trusted.ask(f"{deep}.e30.e30").json() == DENIED
    header = {"alg": "RS256", "kid": "one"}
    assert trusted.ask(signed_by_hand(trusted, header)).status_code == 200
    unknown = {**header, "crit": ["new"], "new": True}
    assert trusted.ask(signed_by_hand(trusted, unknown)).json() == DENIED


def test_curves_and_other_hashes_only_as_configured(trusted: Trusted) -> None:
    for kind in ("p256", "p384"):
        certificate = trusted.add("sys_certificate", name=kind, pem_certificate=pem(kind))
        trusted.add(
            "jwt_verifier_map", oauth_jwt=trusted.sys_id, kid=kind, sys_certificate=certificate
        )
    assert trusted.status(kind="p256", alg="ES256", kid="p256") == 200
    assert trusted.status(kind="p384", alg="ES384", kid="p384") == 401
    trusted.set(algorithms="ES384, RS512")
    assert trusted.status(kind="p384", alg="ES384", kid="p384") == 200
    assert trusted.status(kind="p256", alg="ES256", kid="p256") == 401
    assert trusted.status(alg="RS512") == 200
    assert trusted.status(alg="RS256") == 401


def test_claims_that_the_client_asks_for(trusted: Trusted) -> None:
    check = {"oauth_jwt": trusted.sys_id}
    trusted.add(
        "jwt_claim_validation", **check, claim_name="iss", claim_value="https://idp.example.com"
    )
    assert trusted.status() == 401
    assert trusted.status(iss="https://idp.example.com") == 200
    trusted.add("jwt_claim_validation", **check, claim_name="tenant", claim_value="7")
    for tenant, status in ((None, 401), (8, 401), (7, 200), ("7", 200), ([6, 7], 200), (True, 401)):
        assert trusted.status(iss="https://idp.example.com", tenant=tenant) == status


def test_the_user_is_found_by_the_configured_field_and_by_it_alone(
    trusted: Trusted, ann: str
) -> None:
    trusted.set(user_field="user_name")
    assert trusted.status() == 401
    assert trusted.status(sub="ann") == 200
    trusted.set(user_field="sys_id")
    assert trusted.status(sub=ann) == 200
    trusted.set(user_field="email")
    trusted.add("sys_user", user_name="ann2", email="ann@example.com")
    assert trusted.status() == 401, "two users have it"


def test_an_administrator_gets_none(trusted: Trusted, ann: str) -> None:
    (role,) = trusted.site.rows("sys_user_role", "name=admin")
    trusted.add("sys_user_has_role", user=ann, role=role.sys_id)
    assert trusted.status() == 401


def test_a_key_ends_with_its_certificate_and_its_map(trusted: Trusted) -> None:
    change = trusted.site.change
    change("sys_certificate", trusted.certificate, active="false")
    assert trusted.status() == 401
    change("sys_certificate", trusted.certificate, active="true")
    assert trusted.status() == 200
    soon = trusted.site.clock.now() + timedelta(days=1)
    change("sys_certificate", trusted.certificate, pem_certificate=pem("rsa", OPENED, soon))
    assert trusted.status() == 200
    change("sys_certificate", trusted.certificate, pem_certificate=pem("rsa", soon, CLOSED))
    assert trusted.status() == 401, "not yet"
    change("sys_certificate", trusted.certificate, pem_certificate=pem("rsa"))
    trusted.set(active="false")
    assert trusted.status() == 401
    trusted.set(active="true")
    assert trusted.status() == 200


def test_what_a_certificate_says_is_in_its_row(trusted: Trusted) -> None:
    (row,) = trusted.site.rows("sys_certificate", f"sys_id={trusted.certificate}")
    assert row.get("subject") == row.get("issuer") == "CN=rsa.example.com"
    assert (row.get("valid_from"), row.get("expires")) == (
        "2026-01-01 00:00:00", "2036-01-01 00:00:00"
    )  # fmt: skip
    assert len(row.get("fingerprint")) == 64


@pytest.mark.parametrize(
    ("text", "told"),
    [("", "expected a certificate"), ("x", "expected a certificate"), ("small", "1024 bits"),
     ("ed25519", "neither RSA nor"), ("k1", "neither RSA nor")],
)  # fmt: skip
def test_certificates_that_cannot_check_anything_are_refused(
    site: Site, text: str, told: str
) -> None:
    given = pem(text) if len(text) > 1 else text
    with pytest.raises(OperationAborted) as refused:
        site.add("sys_certificate", name="x", pem_certificate=given)
    assert told in (refused.value.detail or "")


@pytest.mark.parametrize(
    ("values", "told"),
    [({"user_field": "emial"}, "Did you mean 'email'"),
     ({"user_field": "user_password"}, "no such field"),
     ({"algorithms": "RS256,none"}, "'none' is none of"),
     ({"algorithms": "HS256"}, "'HS256' is none of")],
)  # fmt: skip
def test_clients_that_would_believe_anybody_are_refused(
    site: Site, values: dict[str, str], told: str
) -> None:
    with pytest.raises(OperationAborted) as refused:
        site.add("oauth_jwt", name="x", client_id="x", **values)
    assert told in (refused.value.detail or "")


def test_only_the_administrator_says_whose_signature_counts(trusted: Trusted, ann: str) -> None:
    (role,) = trusted.site.rows("sys_user_role", "name=oauth_admin")
    trusted.add("sys_user_has_role", user=ann, role=role.sys_id)
    send, body = trusted.site.send, {"name": "x"}
    mine = send(
        "POST", "/api/now/table/oauth_entity", user="ann", json={**body, "client_id": "mine"}
    )
    assert mine.status_code == 201, mine.text
    trusted.rows.append(("oauth_entity", mine.json()["result"]["sys_id"]))
    for table in ("oauth_jwt", "jwt_verifier_map", "jwt_claim_validation", "sys_certificate"):
        answer = send("POST", f"/api/now/table/{table}", user="ann", json=body)
        assert answer.status_code == 403, table
    disguised = {**body, "sys_class_name": "oauth_jwt", "client_id": "disguised"}
    send("POST", "/api/now/table/oauth_entity", user="ann", json=disguised)
    assert trusted.site.rows("oauth_jwt", "client_id=disguised") == []
    for table in ("oauth_jwt", "oauth_entity"):
        path = f"/api/now/table/{table}/{trusted.sys_id}"
        assert send("GET", path, user="ann").status_code == 200
        assert send("PATCH", path, user="ann", json={"client_secret": "my own"}).status_code == 403
        assert send("DELETE", path, user="ann").status_code == 403
