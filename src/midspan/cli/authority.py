"""A certificate authority of an instance's own, for TLS without buying or borrowing a certificate.

It is made once below the data directory. It may sign for this machine and for the names it was made
with, and for nothing else: whoever trusts it trusts it with no other host. An ephemeral instance
forgets its key at once.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
import socket
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from midspan.cli.listener import Tls
from midspan.kernel.errors import InvalidRequest, NotFound, Unavailable

FOLDER = "tls"
CA_FILE = "ca.pem"
_KEY_FILE = "ca.key"
_LASTS = timedelta(days=3650)
_SERVES = timedelta(days=397)
"""Longer is refused by some clients; a new one is made at each start."""
_EARLIER = timedelta(hours=1)
"""Clocks of other machines may be behind."""
_HOST = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_](?:[a-z0-9_-]{0,62}))*")
_LOCAL = ("localhost", "127.0.0.1", "::1")
_OPEN = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - compared, not listened on


class Authority(Struct, frozen=True):
    """A CA that was made or found."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def own_certificate(
    data: Path, names: Sequence[str], now: datetime, *, keep: bool
) -> tuple[Tls, Path]:
    """Return certificate and key for this machine and ``names``, and the file of their CA.

    With ``keep`` the CA's key stays for later starts.

    Raises:
        InvalidRequest: no such name is possible, or the CA of this directory may not sign for it.
        Unavailable: a file of the CA is missing or unreadable.
    """
    wanted = list(dict.fromkeys([*_LOCAL, *(_checked(name) for name in names)]))
    folder = data / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    authority = _found(folder, now)
    if authority is None:
        authority = _made(wanted, now)
        if keep:
            _write(folder / _KEY_FILE, _pem(authority.key))
        _write(folder / CA_FILE, _pem(authority.certificate), mode=0o644)
    _check_names(authority.certificate, wanted, folder)
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = _leaf(authority, key, wanted, now)
    tls = Tls(folder / "server.pem", folder / "server.key")
    _write(tls.key, _pem(key))
    _write(tls.certificate, _pem(leaf) + _pem(authority.certificate), mode=0o644)
    return tls, folder / CA_FILE


def served_names(host: str, names: Sequence[str]) -> list[str]:
    """Return the names to serve under: those given, and the address listened on if it is one.

    >>> served_names("0.0.0.0", ["midspan"]), served_names("10.0.0.5", [])
    (['midspan'], ['10.0.0.5'])
    """
    return [*([] if host in _OPEN else [host]), *names]


def read_ca(data: Path) -> tuple[Path, x509.Certificate]:
    """Return the CA's file and certificate of a data directory.

    Raises:
        NotFound: there is none.
    """
    file = data / FOLDER / CA_FILE
    if not file.is_file():
        raise NotFound(
            f"{data} has no CA",
            hint="midspan serve --tls makes one; the line it prints when ready names the file.",
        )
    return file, x509.load_pem_x509_certificate(file.read_bytes())


def _checked(name: str) -> str:
    folded = name.lower().rstrip(".")
    if _address(folded) is None and not _HOST.fullmatch(folded):
        raise InvalidRequest(
            f"{name!r} is no host name",
            hint="Give a name such as midspan.example.com, or an address; others in Punycode.",
        )
    return folded


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _found(folder: Path, now: datetime) -> Authority | None:
    file, key_file = folder / CA_FILE, folder / _KEY_FILE
    if not file.exists() and not key_file.exists():
        return None
    again = f"Remove {folder} to have a new CA made, and tell the clients."
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Unavailable(
            "The instance's CA cannot be read", detail=str(error), hint=again
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.not_valid_after_utc <= now:
        raise Unavailable("The instance's CA has expired or is another's", hint=again)
    return Authority(certificate, key)


def _made(names: Sequence[str], now: datetime) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    title = f"Midspan CA of {socket.gethostname()[:30]} {secrets.token_hex(4)}"
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])
    usage = _usage(signs=True)
    certificate = (
        _builder(name, key.public_key(), now, _LASTS)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.NameConstraints(_permitted(names), None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def _leaf(
    authority: Authority, key: ec.EllipticCurvePrivateKey, names: Sequence[str], now: datetime
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    issuer = authority.certificate
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    alternatives = [
        x509.DNSName(name) if (address := _address(name)) is None else x509.IPAddress(address)
        for name in names
    ]
    serves = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    return (
        _builder(subject, key.public_key(), now, _SERVES)
        .issuer_name(issuer.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(serves, critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(identifier, critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, lasts: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - _EARLIER)
        .not_valid_after(now.astimezone(UTC) + lasts)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _permitted(names: Sequence[str]) -> list[x509.GeneralName]:
    """Return what the CA may sign for; a name stands for those below it, too."""
    found: list[x509.GeneralName] = []
    for name in names:
        address = _address(name)
        if address is None:
            found.append(x509.DNSName(name.removeprefix("*.")))
        else:
            found.append(x509.IPAddress(ipaddress.ip_network(address)))
    return found


def _check_names(certificate: x509.Certificate, names: Sequence[str], folder: Path) -> None:
    constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    allowed = list(constraints.permitted_subtrees or ())
    for name in names:
        (wanted,) = _permitted([name])
        if not any(_within(wanted, each) for each in allowed):
            raise InvalidRequest(
                f"The CA of this data directory was made without {name}, and cannot sign for it",
                hint=f"Remove {folder} to have a new CA made, and tell the clients.",
            )


def _within(wanted: x509.GeneralName, allowed: x509.GeneralName) -> bool:
    if isinstance(wanted, x509.DNSName) and isinstance(allowed, x509.DNSName):
        return wanted.value == allowed.value or wanted.value.endswith(f".{allowed.value}")
    return wanted == allowed


def _pem(what: x509.Certificate | ec.EllipticCurvePrivateKey) -> bytes:
    if isinstance(what, x509.Certificate):
        return what.public_bytes(serialization.Encoding.PEM)
    return what.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(file: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write a whole file beside its place and put it there; nobody else ever reads a key."""
    half = file.with_name(f".{file.name}.new")
    half.unlink(missing_ok=True)
    half.touch(mode=0o600)
    half.write_bytes(content)
    half.chmod(mode)
    half.replace(file)
