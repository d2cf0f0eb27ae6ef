"""Messages that show a certificate, against a server that asks for one."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID

from midspan.attachments import AttachmentStore, NewFile
from midspan.instance import Instance
from midspan.outbound import ALLOW
from midspan.records import insert
from midspan.sandbox import Script, ScriptError
from midspan.scripting import PerWrite
from midspan.security import SYSTEM

from .peer import Peer, listening

STORE = "open sesame"
Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def issued(name: str, by: Pair | None = None) -> Pair:
    """Return a certificate for 127.0.0.1, its own authority or issued by another one."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by[0].subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(by[1] if by else key, hashes.SHA256())
    )
    return made, key


@pytest.fixture(scope="module")
def authority() -> Pair:
    return issued("Test authority")


@pytest.fixture(scope="module")
def peer(authority: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    folder: Path = tmp_path_factory.mktemp("tls")
    (folder / "ca.pem").write_bytes(authority[0].public_bytes(Encoding.PEM))
    certificate, key = issued("server", authority)
    (folder / "server.pem").write_bytes(
        certificate.public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    context.load_verify_locations(folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    with pytest.MonkeyPatch.context() as patch, listening(context) as opened:
        patch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
        yield opened


def make(instance: Instance, table: str, **values: str) -> str:
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        if table == "sys_properties":
            found = transaction.first(table, f"name={values['name']}")
            if found is not None:
                return found.sys_id
        return transaction.apply(insert(table, values)).sys_id


@pytest.fixture
def profile(instance: Instance, authority: Pair) -> str:
    """Store a client's key and return the name of the profile that shows it."""
    make(instance, "sys_properties", name=ALLOW, value="127.0.0.1, localhost")
    certificate, key = issued("midspan client", authority)
    sealed = BestAvailableEncryption(STORE.encode())
    data = pkcs12.serialize_key_and_certificates(b"own", key, certificate, None, sealed)
    store = make(
        instance,
        "sys_certificate",
        name="Client",
        type="pkcs12_key_store",
        format="pkcs12",
        key_store_password=STORE,
    )
    file = NewFile(table="sys_certificate", record=store, name="c.p12", content_type="x/p12")
    AttachmentStore(instance.records).write(SYSTEM, file, [data])
    name = f"Partner {store}"
    make(instance, "sys_protocol_profile", name=name, protocol="mauth", keystore=store)
    return name


def run(instance: Instance, body: str) -> Any:
    script = Script("test", f"(function () {{ {body} }})()")
    return instance.scripts.run(script, unit=PerWrite(instance.records, SYSTEM))


REST = "var rm = new sn_ws.RESTMessageV2(); rm.setHttpMethod('get'); rm.setEndpoint('{}/a');"
TELL = "var r = rm.execute(); return [r.getStatusCode(), r.getErrorMessage() === null];"


def test_a_message_shows_its_certificate(instance: Instance, peer: Peer, profile: str) -> None:
    asked = f"{REST.format(peer.url)} rm.setMutualAuth('{profile}'); {TELL}"
    assert run(instance, asked) == [200, True]
    shown = dict(pair for part in peer.last().certificate["subject"] for pair in part)
    assert shown == {"commonName": "midspan client"}
    own = peer.url.replace("https:", "mauth:")
    assert run(instance, asked.replace(peer.url, own)) == [200, True]
    bare = f"{REST.format(peer.url)} {TELL}"
    assert run(instance, bare)[0] == 0


def test_records_say_what_is_shown(instance: Instance, peer: Peer, profile: str) -> None:
    with instance.records.read(SYSTEM) as transaction:
        found = transaction.first("sys_protocol_profile", f"name={profile}")
    assert found is not None
    name = f"Shown {found.sys_id}"
    values = {"use_mutual_auth": "true", "protocol_name": found.sys_id}
    message = make(instance, "sys_rest_message", name=name, rest_endpoint=f"{peer.url}/b", **values)
    made = {"rest_message": message, "function_name": "get", "http_method": "get"}
    make(instance, "sys_rest_message_fn", **made)
    asked = f"var rm = new sn_ws.RESTMessageV2('{name}', 'get'); {TELL}"
    assert run(instance, asked) == [200, True]
    assert peer.last().path == "/b"
    soap = make(instance, "sys_soap_message", name=name, soap_endpoint=f"{peer.url}/s", **values)
    make(
        instance, "sys_soap_message_function", soap_message=soap, function_name="f", envelope="<e/>"
    )
    asked = f"var rm = new sn_ws.SOAPMessageV2('{name}', 'f'); {TELL}"
    assert run(instance, asked) == [200, True]
    assert peer.last().certificate["subject"]


def test_a_redirect_is_not_shown_the_certificate(
    instance: Instance, peer: Peer, profile: str
) -> None:
    peer.answer("/a", 307, Location=f"{peer.url}/there")
    try:
        asked = f"{REST.format(peer.url)} rm.setMutualAuth('{profile}'); {TELL}"
        assert run(instance, asked)[0] == 307
    finally:
        peer.answers.clear()


def test_what_cannot_be_shown_is_said(instance: Instance, peer: Peer, profile: str) -> None:
    for endpoint, name, words in (
        (peer.url, "Partnr", "no protocol profile"),
        ("http://127.0.0.1:1", profile, "needs an https endpoint"),
    ):
        with pytest.raises(ScriptError, match=words):
            run(instance, f"{REST.format(endpoint)} rm.setMutualAuth('{name}'); rm.execute();")
    with pytest.raises(ScriptError, match="does not go through a MID server"):
        run(
            instance,
            f"{REST.format(peer.url)} rm.setMutualAuth('{profile}'); rm.setMIDServer('m');"
            "rm.execute();",
        )
    empty = make(instance, "sys_certificate", name="Empty", type="pkcs12_key_store")
    make(instance, "sys_protocol_profile", name=f"E {empty}", protocol="e", keystore=empty)
    with pytest.raises(ScriptError, match="has no file"):
        run(instance, f"{REST.format(peer.url)} rm.setMutualAuth('E {empty}'); rm.execute();")
