"""Ed25519 signatures over an agent's requests; the same pure functions at both ends."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct

from midspan_link.errors import SignatureRefused

MID_HEADER = "X-Midspan-Mid"
GENERATION_HEADER = "X-Midspan-Generation"
TIMESTAMP_HEADER = "X-Midspan-Timestamp"
NONCE_HEADER = "X-Midspan-Nonce"
SIGNATURE_HEADER = "X-Midspan-Signature"

MAX_SKEW = timedelta(seconds=120)
_DOMAIN = "midspan-mid-request/1"


class Envelope(Struct, frozen=True):
    """What the five headers of a signed request say; ``timestamp`` is Unix seconds."""

    mid_sys_id: str
    generation: int
    timestamp: int
    nonce: str
    signature: str = ""


class SignedContent(Struct, frozen=True):
    """What is signed beside the envelope. ``target`` is the path, with its ``?query``."""

    method: str
    target: str
    body: bytes = b""


def canonical(content: SignedContent, envelope: Envelope) -> bytes:
    r"""Return the bytes that are signed: one line a part, the body by its SHA-256.

    >>> canonical(SignedContent("post", "/x"), Envelope("a", 1, 2, "n")).split(b"\n")[:3]
    [b'midspan-mid-request/1', b'POST', b'/x']
    """
    parts = (
        _DOMAIN,
        content.method.upper(),
        content.target,
        envelope.mid_sys_id,
        str(envelope.generation),
        str(envelope.timestamp),
        envelope.nonce,
        hashlib.sha256(content.body).hexdigest(),
    )
    if any("\n" in part for part in parts):
        raise SignatureRefused("A signed part holds a line break", reason="malformed")
    return "\n".join(parts).encode()


def sign(key: Ed25519PrivateKey, content: SignedContent, envelope: Envelope) -> dict[str, str]:
    """Return the five headers of the signed request; ``envelope.signature`` is ignored."""
    signature = key.sign(canonical(content, envelope))
    return {
        MID_HEADER: envelope.mid_sys_id,
        GENERATION_HEADER: str(envelope.generation),
        TIMESTAMP_HEADER: str(envelope.timestamp),
        NONCE_HEADER: envelope.nonce,
        SIGNATURE_HEADER: base64.b64encode(signature).decode(),
    }


def read_envelope(headers: Mapping[str, str]) -> Envelope:
    """Read the five headers; the mapping must find names without regard to case.

    Raises:
        SignatureRefused: a header is missing or malformed (reason ``malformed``).
    """
    try:
        return Envelope(
            mid_sys_id=_short(headers[MID_HEADER]),
            generation=_count(headers[GENERATION_HEADER]),
            timestamp=_count(headers[TIMESTAMP_HEADER]),
            nonce=_short(headers[NONCE_HEADER]),
            signature=_short(headers[SIGNATURE_HEADER], 128),
        )
    except KeyError as missing:
        raise SignatureRefused(
            f"The request lacks the header {missing.args[0]}", reason="malformed"
        ) from None


def verify(public_key: str, content: SignedContent, envelope: Envelope, now: datetime) -> None:
    """Check signature and age of a request; the caller checks generation and nonce afterwards.

    ``public_key`` is the base64 text of the enrolment; ``now`` is aware.

    Raises:
        SignatureRefused: reason ``signature`` or ``clock_skew``.
    """
    try:
        signature = base64.b64decode(envelope.signature, validate=True)
        load_verify_key(public_key).verify(signature, canonical(content, envelope))
    except (InvalidSignature, binascii.Error):
        raise SignatureRefused("The signature does not match", reason="signature") from None
    age = now - datetime.fromtimestamp(envelope.timestamp, UTC)
    if abs(age) > MAX_SKEW:
        raise SignatureRefused(
            f"The timestamp is {age.total_seconds():.0f} s away from the instance's clock",
            reason="clock_skew",
            hint=f"Set the agent's clock; {MAX_SKEW.total_seconds():.0f} s are allowed.",
        )


def load_verify_key(public_key: str) -> Ed25519PublicKey:
    """Return the public key of its base64 text (32 raw bytes).

    Raises:
        SignatureRefused: it is not such a key (reason ``key``).
    """
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
    except (ValueError, binascii.Error):
        raise SignatureRefused("Not an Ed25519 public key in base64", reason="key") from None


def public_text(key: Ed25519PrivateKey) -> str:
    """Return the public half as base64 text of 32 raw bytes."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise SignatureRefused("A signature header is not a whole number", reason="malformed")
    return int(text)


def _short(text: str, limit: int = 64) -> str:
    if not text or len(text) > limit or not text.isascii() or not text.isprintable():
        raise SignatureRefused("A signature header is malformed", reason="malformed")
    return text
