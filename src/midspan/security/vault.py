"""Secrets at rest: AES-256-GCM under data keys that a master key wraps.

A sealed text is ``v1:<key id>:<base64 of nonce and ciphertext>``. The place of the value
(``table:sys_id:field``) is authenticated with it, so a sealed text moved elsewhere does not open.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from midspan.kernel.errors import MidspanError, Unavailable

ENVIRONMENT = "MIDSPAN_MASTER_KEY"
_NONCE = 12


class UnreadableSecret(MidspanError):
    """A sealed text was altered, moved, or sealed under a key this instance does not have."""

    code = "MS304"


class Vault(Protocol):
    """Seals and opens the values of encrypted fields."""

    def seal(self, text: str, place: str) -> str:
        """Return the sealed form of ``text`` for ``place`` (``table:sys_id:field``)."""
        ...

    def open(self, sealed: str, place: str) -> str:
        """Return the clear text.

        Raises:
            UnreadableSecret: see there.
        """
        ...


class KeyVault:
    """A vault over one current and any number of earlier data keys."""

    def __init__(self, keys: dict[str, bytes], current: str) -> None:
        self._keys = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self.current = current

    def seal(self, text: str, place: str) -> str:
        """Seal with the current data key and a fresh nonce."""
        nonce = secrets.token_bytes(_NONCE)
        box = self._keys[self.current].encrypt(nonce, text.encode(), place.encode())
        return f"v1:{self.current}:{base64.b64encode(nonce + box).decode()}"

    def open(self, sealed: str, place: str) -> str:
        """Open with the data key that the text names."""
        version, _, rest = sealed.partition(":")
        key_id, _, body = rest.partition(":")
        key = self._keys.get(key_id)
        if version != "v1" or key is None:
            raise UnreadableSecret(
                f"The secret at {place} was sealed under key {key_id or '?'}",
                hint="Start the instance with the master key that this database was made with.",
            )
        try:
            raw = base64.b64decode(body, validate=True)
            return key.decrypt(raw[:_NONCE], raw[_NONCE:], place.encode()).decode()
        except (InvalidTag, binascii.Error, ValueError) as error:
            raise UnreadableSecret(f"The secret at {place} does not open") from error


def wrap(master: bytes, key_id: str, key: bytes) -> str:
    """Return a data key encrypted under the master key, as base64 text."""
    nonce = secrets.token_bytes(_NONCE)
    return base64.b64encode(nonce + AESGCM(master).encrypt(nonce, key, key_id.encode())).decode()


def unwrap(master: bytes, key_id: str, wrapped: str) -> bytes:
    """Return the data key that ``wrap`` encrypted.

    Raises:
        UnreadableSecret: the master key is another one.
    """
    raw = base64.b64decode(wrapped)
    try:
        return AESGCM(master).decrypt(raw[:_NONCE], raw[_NONCE:], key_id.encode())
    except InvalidTag as error:
        raise UnreadableSecret(
            "The master key does not open this database's data keys",
            hint=f"Set {ENVIRONMENT}, or bring the key file that belongs to this database.",
        ) from error


def master_key(file: Path) -> bytes:
    """Return the master key from the environment or ``file``, which is made when missing (0600).

    Raises:
        Unavailable: the key is not 32 bytes, or its file may be read by others.
    """
    given = os.environ.get(ENVIRONMENT)
    if given:
        return _decode(given, ENVIRONMENT)
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            raise Unavailable(
                f"Others may read the master key {file}", hint=f"Run: chmod 600 {file}"
            ) from None
        return _decode(file.read_text().strip(), str(file))
    key = secrets.token_bytes(32)
    with os.fdopen(handle, "w") as out:
        out.write(base64.b64encode(key).decode() + "\n")
        out.flush()
        os.fsync(out.fileno())
    return key


def present_master_key(file: Path) -> bytes | None:
    """Return the master key as ``master_key`` does, or None where there is none; makes none."""
    if not os.environ.get(ENVIRONMENT) and not file.exists():
        return None
    return master_key(file)


def _decode(text: str, source: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise Unavailable(
            f"The master key in {source} is not 32 bytes in base64",
            hint="Make one with: head -c 32 /dev/urandom | base64",
        )
    return key
