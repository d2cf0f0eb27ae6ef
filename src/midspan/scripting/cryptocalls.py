"""Host calls behind digests, encryption, signatures and random numbers; no key enters a worker."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Collection, Mapping
from typing import Any

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from midspan.attachments import AttachmentStore
from midspan.kernel.errors import InvalidRequest, InvalidValue, RecordNotFound, did_you_mean
from midspan.records import RecordTransaction
from midspan.scripting.attachmentcalls import attached_ids, content_of
from midspan.scripting.unit import Unit
from midspan.security import UnreadableSecret

PLACE = "script:GlideEncrypter"
"""What the vault binds these texts to: sealed fields do not open as them, nor the other way."""
OWN = "s1:"
_NONCE = 12
_LARGEST_KEY_FILE = 256 * 1024
_DIGESTS = ("md5", "sha1", "sha256", "sha384", "sha512")
_HASHES: Mapping[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),  # noqa: S303 - partners ask for it
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


class CryptoCalls:
    """Answers the ``crypto.`` calls."""

    def __init__(self, unit: Unit, lend: Callable[[bool, bool], Any]) -> None:
        self._unit = unit
        self._lend = lend

    def calls(self) -> Mapping[str, Callable[..., Any]]:
        """Return the functions by the name of their call."""
        return {
            "crypto.digest": self.digest,
            "crypto.mac": self.mac,
            "crypto.encrypt": self.encrypt,
            "crypto.decrypt": self.decrypt,
            "crypto.thumbprint": self.thumbprint,
            "crypto.sign": self.sign,
            "crypto.random": self.random,
        }

    def digest(self, algorithm: str, text: str) -> str:
        """Return the digest of a text's UTF-8 bytes as base64."""
        name = _known(algorithm, _DIGESTS)
        found = hashlib.new(name, text.encode("utf-8", "replace"), usedforsecurity=False)
        return base64.b64encode(found.digest()).decode()

    def mac(self, key: str, algorithm: str, text: str) -> str:
        """Return the message authentication code of a text, as base64; ``key`` is base64, too.

        Raises:
            InvalidValue: the key is not base64, or the algorithm is not known.
        """
        name = _known(algorithm, _DIGESTS, prefix="hmac")
        found = hmac.digest(_from_base64(key, "The key"), text.encode("utf-8", "replace"), name)
        return base64.b64encode(found).decode()

    def encrypt(self, text: str, key: str) -> str:
        """Seal a text, with the instance's own key when ``key`` is empty."""
        if not key:
            return self._unit.store.keepers.vault.seal(text, PLACE)
        nonce = base64.urlsafe_b64decode(_padded(self._unit.store.ids.token(_NONCE)))[:_NONCE]
        box = AESGCM(_derived(key)).encrypt(nonce, text.encode(), PLACE.encode())
        return OWN + base64.b64encode(nonce + box).decode()

    def decrypt(self, sealed: str, key: str) -> str:
        """Open what ``encrypt`` sealed.

        Raises:
            InvalidValue: it was sealed with another key, or is no such text; the value of an
                encrypted field is read with ``getDecryptedValue``.
        """
        try:
            if not key:
                return self._unit.store.keepers.vault.open(sealed, PLACE)
            raw = _from_base64(sealed.removeprefix(OWN), "The encrypted text")
            nonce, box = raw[:_NONCE], raw[_NONCE:]
            return AESGCM(_derived(key)).decrypt(nonce, box, PLACE.encode()).decode()
        except (UnreadableSecret, InvalidTag, ValueError) as error:
            raise InvalidValue(
                "The text was not encrypted by GlideEncrypter with this key",
                hint="Pass the field itself, or use its getDecryptedValue(), for encrypted fields.",
            ) from error

    def thumbprint(self, sys_id: str, algorithm: str) -> str:
        """Return the digest of a certificate of sys_certificate (its DER form) as base64.

        Raises:
            RecordNotFound: there is none.
            InvalidValue: the algorithm is not known.
        """
        from cryptography.x509 import load_pem_x509_certificate  # noqa: PLC0415 - 40 ms of a start

        name = _known(algorithm, _HASHES)
        with self._lend(False, False) as transaction:
            record = transaction.require("sys_certificate", sys_id)
        certificate = load_pem_x509_certificate(record.get("pem_certificate").encode())
        return base64.b64encode(certificate.fingerprint(_HASHES[name])).decode()

    def sign(self, sys_id: str, password: str, algorithm: str, text: str) -> str:
        """Sign a text with the key of a PKCS #12 file attached to a certificate record; base64.

        Raises:
            RecordNotFound: no such record, or nothing is attached to it.
            InvalidValue: the file does not open with this password, or the algorithm does not fit.
        """
        name, _, kind = algorithm.lower().replace("-", "").partition("with")
        digest = _HASHES[_known(name, _HASHES)]
        with self._lend(False, False) as transaction:
            key = self._private_key(transaction, sys_id, password)
        content = text.encode("utf-8", "replace")
        if kind == "rsa" and isinstance(key, rsa.RSAPrivateKey):
            signature = key.sign(content, padding.PKCS1v15(), digest)
        elif kind == "ecdsa" and isinstance(key, ec.EllipticCurvePrivateKey):
            signature = key.sign(content, ec.ECDSA(digest))
        else:
            raise InvalidValue(
                f"The key cannot sign with {algorithm}",
                hint="Known are SHA1, SHA256, SHA384 and SHA512, each withRSA or withECDSA.",
            )
        return base64.b64encode(signature).decode()

    def random(self, size: int) -> list[int]:
        """Return random bytes, at most 4096.

        Raises:
            InvalidRequest: a size outside 0 to 4096.
        """
        if not 0 <= size <= 4096:
            raise InvalidRequest("A random text has 0 to 4096 characters")
        token = self._unit.store.ids.token(size + 16)
        seed = hashlib.shake_256(token.encode())
        return list(seed.digest(size))

    def _private_key(self, transaction: RecordTransaction, sys_id: str, password: str) -> object:
        from cryptography.hazmat.primitives.serialization import pkcs12  # noqa: PLC0415 - as above

        transaction.require("sys_certificate", sys_id)
        store = AttachmentStore(self._unit.store)
        found = attached_ids(transaction, "sys_certificate", sys_id)
        if not found:
            raise RecordNotFound("sys_attachment", sys_id)
        file = store.find(transaction, found[0])
        if file.size > _LARGEST_KEY_FILE:
            raise InvalidValue(f"{file.name} is too large to be a key file")
        try:
            key, _, _ = pkcs12.load_key_and_certificates(
                content_of(store, transaction, file), password.encode() or None
            )
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise InvalidValue(
                f"The key in {file.name} does not open",
                hint="Attach a PKCS #12 file (.p12) and give its password.",
            ) from error
        if key is None:
            raise InvalidValue(f"{file.name} holds no private key")
        return key


def _known(algorithm: str, names: Collection[str], *, prefix: str = "") -> str:
    name = algorithm.lower().replace("-", "").removeprefix(prefix)
    if name not in names:
        hint = did_you_mean(name, tuple(names)) or f"Known are {', '.join(names)}."
        raise InvalidValue(f"There is no algorithm {algorithm!r}", hint=hint)
    return name


def _derived(key: str) -> bytes:
    return hashlib.sha256(b"GlideEncrypter\0" + key.encode()).digest()


def _padded(text: str) -> str:
    return text + "=" * (-len(text) % 4)


def _from_base64(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidValue(f"{what} is not base64", detail=str(error)) from error
