"""Seal a secret to one agent's X25519 key: ephemeral X25519, HKDF-SHA256, AES-256-GCM.

A sealed secret is ``version (1) | ephemeral public key (32) | nonce (12) | ciphertext and tag``.
The additional data names agent, job, fence and credential, so it opens in no other place.
"""

from __future__ import annotations

import base64
import binascii
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from midspan_link.errors import CannotOpen

MAX_SEALED = 64 * 1024
_VERSION = b"\x01"
_KEY, _NONCE = 32, 12
_INFO = b"midspan-seal/1"


def job_context(mid_sys_id: str, job: str, fence: int, alias: str) -> bytes:
    """Return the additional data of a secret for one job: it opens only for this claim.

    >>> job_context("m", "j", 3, "db")
    b'midspan-job/1\\x1fm\\x1fj\\x1f3\\x1fdb'
    """
    return "\x1f".join(("midspan-job/1", mid_sys_id, job, str(fence), alias)).encode()


def seal(secret: bytes, public_key: str, context: bytes) -> str:
    """Seal ``secret`` (up to 48 KiB) to a base64 public key and return base64 text.

    Raises:
        CannotOpen: ``public_key`` is not an X25519 key, or the secret is too large.
    """
    if len(secret) > MAX_SEALED * 3 // 4:
        raise CannotOpen(f"A sealed secret holds at most {MAX_SEALED * 3 // 4} bytes")
    ephemeral = X25519PrivateKey.generate()
    mine = ephemeral.public_key().public_bytes_raw()
    theirs = load_seal_key(public_key)
    nonce = os.urandom(_NONCE)
    key = _derive(_shared(ephemeral, theirs), mine + theirs.public_bytes_raw())
    return base64.b64encode(
        _VERSION + mine + nonce + AESGCM(key).encrypt(nonce, secret, context)
    ).decode()


def unseal(sealed: str, key: X25519PrivateKey, context: bytes) -> bytes:
    """Open what ``seal`` made for this key and this context.

    Raises:
        CannotOpen: it was made for another key or context, was altered, or is not sealed data.
    """
    if len(sealed) > 2 * MAX_SEALED:
        raise CannotOpen("The sealed secret is too large")
    try:
        raw = base64.b64decode(sealed, validate=True)
    except binascii.Error:
        raise CannotOpen("The sealed secret is not base64 text") from None
    if raw[:1] != _VERSION or len(raw) < 1 + _KEY + _NONCE + 16:
        raise CannotOpen("The sealed secret has an unknown form")
    theirs, nonce, ciphertext = raw[1:33], raw[33:45], raw[45:]
    salt = theirs + key.public_key().public_bytes_raw()
    try:
        shared = _shared(key, X25519PublicKey.from_public_bytes(theirs))
        return AESGCM(_derive(shared, salt)).decrypt(nonce, ciphertext, context)
    except InvalidTag:
        raise CannotOpen(
            "The secret was sealed for another agent or job, or was altered",
            hint="Enrol the agent again if its key was replaced.",
        ) from None


def load_seal_key(public_key: str) -> X25519PublicKey:
    """Return the public key of its base64 text (32 raw bytes).

    Raises:
        CannotOpen: it is not such a key.
    """
    try:
        return X25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
    except (ValueError, binascii.Error):
        raise CannotOpen("Not an X25519 public key in base64") from None


def public_text(key: X25519PrivateKey) -> str:
    """Return the public half as base64 text of 32 raw bytes."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def _shared(mine: X25519PrivateKey, theirs: X25519PublicKey) -> bytes:
    try:
        return mine.exchange(theirs)
    except ValueError:
        raise CannotOpen("The public key has no usable secret (low order point)") from None


def _derive(shared: bytes, salt: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=_INFO).derive(shared)
