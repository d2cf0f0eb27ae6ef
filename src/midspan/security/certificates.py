"""X.509 certificates as records: what is read from their PEM text."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

SMALLEST_RSA = 2048
"""Bits."""
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_OF_RSA = frozenset({"RS256", "RS384", "RS512"})
ALGORITHMS = _OF_RSA | frozenset(_CURVES.values())
"""How a JWT may be signed; the key decides which of them can be meant."""


class Known(Struct, frozen=True):
    """What a certificate says, and its key."""

    subject: str
    issuer: str
    valid_from: datetime
    expires: datetime
    fingerprint: str
    """SHA-256 of the certificate, in lower-case hexadecimal."""
    key: str
    """The public key as PEM text."""
    algorithms: frozenset[str]
    """Those that the key can sign a JWT with; none for keys of other kinds."""

    def is_valid(self, now: datetime) -> bool:
        """Tell whether its time has begun and is not over."""
        return self.valid_from <= now < self.expires


def read_certificate(pem: str) -> Known:
    """Read the first certificate of a PEM text.

    Raises:
        ValueError: there is none, or its RSA key is too short; the message says which.
    """
    from cryptography import x509  # noqa: PLC0415 - 40 ms of every start
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415

    try:
        found = x509.load_pem_x509_certificate(pem.strip().encode())
        key = found.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return Known(
            subject=found.subject.rfc4514_string(),
            issuer=found.issuer.rfc4514_string(),
            valid_from=found.not_valid_before_utc,
            expires=found.not_valid_after_utc,
            fingerprint=found.fingerprint(hashes.SHA256()).hex(),
            key=key.decode(),
            algorithms=_algorithms(found),
        )
    except _BadKey:
        raise
    except Exception as error:  # whatever a library says of text from outside
        raise ValueError("expected a certificate: -----BEGIN CERTIFICATE----- …") from error


class _BadKey(ValueError):
    pass


def _algorithms(certificate: Certificate) -> frozenset[str]:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa  # noqa: PLC0415

    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < SMALLEST_RSA:
            raise _BadKey(
                f"its RSA key has {key.key_size} bits; at least {SMALLEST_RSA} are needed"
            )
        return _OF_RSA
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return frozenset({_CURVES[key.curve.name]})
    return frozenset()
