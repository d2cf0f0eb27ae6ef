"""The agent's own key pairs: made here, kept in one 0600 file, never sent anywhere."""

from __future__ import annotations

import base64

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from msgspec import Struct

from midspan_link import sealing, signing
from midspan_mid.errors import InvalidConfig, NotEnrolled
from midspan_mid.home import Home, require_private, write_durably


class _KeyFile(Struct, forbid_unknown_fields=True):
    signing: str
    sealing: str


class Identity:
    """The two private keys; prints nothing of them."""

    def __init__(self, signing_key: Ed25519PrivateKey, sealing_key: X25519PrivateKey) -> None:
        self.signing_key = signing_key
        self.sealing_key = sealing_key

    @classmethod
    def generate(cls) -> Identity:
        """Make new keys."""
        return cls(Ed25519PrivateKey.generate(), X25519PrivateKey.generate())

    @classmethod
    def load(cls, home: Home) -> Identity:
        """Read the keys of a home.

        Raises:
            NotEnrolled: there are none.
            InvalidConfig: the file is readable by others, or damaged.
        """
        if not home.key.exists():
            raise NotEnrolled(f"{home.root} is no enrolled agent", hint="Run: midspan mid enrol")
        require_private(home.key)
        try:
            file = msgspec.json.decode(home.key.read_bytes(), type=_KeyFile)
            return cls(
                Ed25519PrivateKey.from_private_bytes(base64.b64decode(file.signing)),
                X25519PrivateKey.from_private_bytes(base64.b64decode(file.sealing)),
            )
        except (msgspec.DecodeError, ValueError):
            raise InvalidConfig(
                f"{home.key} is damaged", hint="Restore it, or enrol again."
            ) from None

    def save(self, home: Home) -> None:
        """Write the keys durably, mode 0600."""
        file = _KeyFile(
            base64.b64encode(self.signing_key.private_bytes_raw()).decode(),
            base64.b64encode(self.sealing_key.private_bytes_raw()).decode(),
        )
        write_durably(home.key, msgspec.json.encode(file))

    @property
    def signing_text(self) -> str:
        """The public signing key as base64 text."""
        return signing.public_text(self.signing_key)

    @property
    def sealing_text(self) -> str:
        """The public sealing key as base64 text."""
        return sealing.public_text(self.sealing_key)
