"""Certificates of an instance's own: whom they name, who trusts them, what stays on disk."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from midspan.cli.authority import own_certificate, read_ca
from midspan.cli.listener import Tls
from midspan.kernel.errors import InvalidRequest, NotFound, Unavailable

NOW = datetime.now(UTC).replace(microsecond=0)
NAME = "dev1.example.com"


def shakes_hands(tls: Tls, ca: Path, name: str) -> bool:
    """Tell whether a client that trusts ``ca`` accepts the server under a name."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(tls.certificate, tls.key)
    trusting = ssl.create_default_context(cafile=ca)
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            serving.wrap_socket(theirs, server_side=True).close()
        except (ssl.SSLError, OSError):
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with trusting.wrap_socket(ours, server_hostname=name):
            return True
    except ssl.SSLCertVerificationError:
        return False
    finally:
        ours.close()
        thread.join()


def test_this_machine_and_the_names_given(tmp_path: Path) -> None:
    names = [NAME, "*.sub.example.com", "10.1.2.3", "MIDSPAN."]
    tls, ca = own_certificate(tmp_path, names, NOW, keep=True)
    for name in ("localhost", "127.0.0.1", "::1", NAME, "a.sub.example.com", "10.1.2.3", "midspan"):
        assert shakes_hands(tls, ca, name), name
    for name in ("example.com", "dev2.example.com", "10.1.2.4", "127.0.0.2"):
        assert not shakes_hands(tls, ca, name), name
    assert ca == tmp_path / "tls" / "ca.pem"


def test_the_ca_stays_and_the_certificate_is_new(tmp_path: Path) -> None:
    tls, ca = own_certificate(tmp_path, [NAME], NOW, keep=True)
    first, leaf = ca.read_bytes(), tls.certificate.read_bytes()
    again, _ = own_certificate(tmp_path, [], NOW + timedelta(days=300), keep=True)
    assert ca.read_bytes() == first
    assert again.certificate.read_bytes() != leaf
    assert read_ca(tmp_path)[1].not_valid_after_utc > NOW + timedelta(days=3000)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "tls").iterdir()}
    assert modes == {
        "ca.pem": 0o644, "ca.key": 0o600, "server.pem": 0o644, "server.key": 0o600,
    }  # fmt: skip
    assert (tmp_path / "tls").stat().st_mode & 0o077 == 0


def test_an_ephemeral_instance_forgets_the_key_of_its_ca(tmp_path: Path) -> None:
    tls, ca = own_certificate(tmp_path, [], NOW, keep=False)
    assert shakes_hands(tls, ca, "localhost")
    assert sorted(path.name for path in ca.parent.iterdir()) == [
        "ca.pem", "server.key", "server.pem",
    ]  # fmt: skip


def test_the_ca_is_worth_nothing_for_other_names(tmp_path: Path) -> None:
    """Whoever stole its key could sign for another host; a client would still refuse it."""
    tls, ca = own_certificate(tmp_path, [NAME], NOW, keep=True)
    issuer = x509.load_pem_x509_certificate(ca.read_bytes())
    signer = serialization.load_pem_private_key((ca.parent / "ca.key").read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    stolen = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("bank.example.org")]), False)
        .sign(signer, hashes.SHA256())
    )
    tls.certificate.write_bytes(stolen.public_bytes(serialization.Encoding.PEM))
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    tls.key.write_bytes(pem)
    assert not shakes_hands(tls, ca, "bank.example.org")


def test_a_name_that_came_later_needs_a_new_ca(tmp_path: Path) -> None:
    own_certificate(tmp_path, [NAME], NOW, keep=True)
    own_certificate(tmp_path, [f"below.{NAME}"], NOW, keep=True)
    with pytest.raises(InvalidRequest, match="made without dev2") as refused:
        own_certificate(tmp_path, ["dev2.example.com"], NOW, keep=True)
    assert f"Remove {tmp_path / 'tls'}" in (refused.value.hint or "")


@pytest.mark.parametrize("name", ["", "a b", "https://x", "x:443", "ä.example", "*", "a.*.b", "-a"])
def test_what_is_no_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidRequest, match="is no host name"):
        own_certificate(tmp_path, [name], NOW, keep=True)
    assert not (tmp_path / "tls").exists()


@pytest.mark.parametrize("damage", ["missing key", "missing certificate", "no key", "expired"])
def test_a_ca_that_cannot_be_used(tmp_path: Path, damage: str) -> None:
    own_certificate(tmp_path, [], NOW, keep=True)
    folder, now = tmp_path / "tls", NOW
    match damage:
        case "missing key":
            (folder / "ca.key").unlink()
        case "missing certificate":
            (folder / "ca.pem").unlink()
        case "no key":
            (folder / "ca.key").write_text("nothing")
        case "expired":
            now = NOW + timedelta(days=4000)
    with pytest.raises(Unavailable) as refused:
        own_certificate(tmp_path, [], now, keep=True)
    assert "Remove" in (refused.value.hint or "")


def test_no_ca_to_print(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="has no CA"):
        read_ca(tmp_path)
