"""The certificate and key by which a call proves who asks (mutual TLS), as records keep them.

``sys_protocol_profile`` names a key store, a record of ``sys_certificate`` with a PKCS #12 file and
its password. Source: the vendor's pages on mutual authentication of outbound web services.
"""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    pkcs12,
)
from msgspec import Struct

from midspan.attachments import AttachmentStore
from midspan.kernel.errors import InvalidDefinition, NotFound, did_you_mean
from midspan.records import Record, RecordTransaction

PROFILES, STORES = "sys_protocol_profile", "sys_certificate"
_LARGEST = 256 * 1024


class ClientKey(Struct, frozen=True):
    """A certificate with its chain, and its key sealed with a password; in memory only."""

    chain: bytes
    key: bytes
    password: str

    def __repr__(self) -> str:
        """Show nothing of it."""
        return "ClientKey(***)"

    def context(self) -> ssl.SSLContext:
        """Return what a connection shows the certificate with; the peer is checked as always.

        The library reads keys from files alone: they are there for a moment, for this user only,
        and the key in them stays sealed.
        """
        context = ssl.create_default_context()
        with tempfile.TemporaryDirectory(prefix="midspan-") as folder:
            chain, key = Path(folder, "chain.pem"), Path(folder, "key.pem")
            chain.write_bytes(self.chain)
            key.write_bytes(self.key)
            context.load_cert_chain(chain, key, self.password)
        return context


def profile_named(transaction: RecordTransaction, name: str) -> Record:
    """Return the protocol profile of a name, protocol or sys_id.

    Raises:
        NotFound: there is none, with the nearest name.
    """
    for field in ("sys_id", "name", "protocol") if name and "^" not in name else ():
        found = transaction.first(PROFILES, f"{field}={name}")
        if found is not None:
            return found
    known = [each.get("name") or each.get("protocol") for each in transaction.find(PROFILES, "")]
    hint = did_you_mean(name, known) or f"Define one in {PROFILES}."
    raise NotFound(f"There is no protocol profile {name!r} for mutual authentication", hint=hint)


def address_with(profile: Record, url: str) -> str:
    """Return an address whose scheme may be the profile's own protocol: that is https.

    Its port counts where the address has none.
    """
    parts = urlsplit(url)
    if parts.scheme != profile.get("protocol").strip().lower():
        return url
    port = profile.get("port")
    place = parts.netloc if parts.port or not port else f"{parts.netloc}:{port}"
    return parts._replace(scheme="https", netloc=place).geturl()


def client_key(transaction: RecordTransaction, profile: Record) -> ClientKey:
    """Open the key store of a profile.

    Raises:
        InvalidDefinition: it has none, or the store does not open.
    """
    store = _store_of(transaction, profile)
    files = AttachmentStore(transaction.store)
    found = transaction.find(
        "sys_attachment", f"table_name={STORES}^table_sys_id={store.sys_id}^ORDERBYsys_created_on"
    )
    if not found:
        raise InvalidDefinition(
            f"The key store {store.get('name')!r} has no file", hint="Attach a PKCS #12 file."
        )
    file = files.find(transaction, found[0].sys_id)
    if file.size > _LARGEST:
        raise InvalidDefinition(f"{file.name} is too large to be a key store")
    sealed = store.get("key_store_password")
    clear = transaction.store.reveal(STORES, store.sys_id, "key_store_password", sealed)
    return _opened(b"".join(files.pieces(file)), clear if sealed else "", transaction, file.name)


def _store_of(transaction: RecordTransaction, profile: Record) -> Record:
    wanted = profile.get("keystore")
    for field in ("sys_id", "name") if wanted and "^" not in wanted else ():
        found = transaction.first(STORES, f"{field}={wanted}^active=true")
        if found is not None:
            return transaction.load(STORES, (found.sys_id,))[found.sys_id]
    raise InvalidDefinition(
        f"The protocol profile {profile.get('name')!r} names no active key store",
        hint=f"Set keystore to a record of {STORES} with a PKCS #12 file.",
    )


def _opened(data: bytes, password: str, transaction: RecordTransaction, name: str) -> ClientKey:
    try:
        found: Any = pkcs12.load_key_and_certificates(data, password.encode() or None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidDefinition(
            f"The key store {name} does not open",
            hint="It has to be PKCS #12 (.p12), and key_store_password its password.",
        ) from error
    key, own, others = found
    if key is None or own is None:
        raise InvalidDefinition(f"The key store {name} holds no key with its certificate")
    inside = transaction.store.ids.token(32)
    return ClientKey(
        chain=b"".join(each.public_bytes(Encoding.PEM) for each in (own, *others)),
        key=key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(inside.encode())
        ),
        password=inside,
    )
