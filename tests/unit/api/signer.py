"""Signs SOAP messages as clients do, without the library that the instance verifies them with."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from lxml import etree

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
DS = "http://www.w3.org/2000/09/xmldsig#"
_WSS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity"
WSU, WSSE = f"{_WSS}-utility-1.0.xsd", f"{_WSS}-secext-1.0.xsd"
C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
METHODS = {
    "SHA256": ("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", hashes.SHA256()),
    "SHA512": ("http://www.w3.org/2001/04/xmldsig-more#rsa-sha512", hashes.SHA512()),
    "SHA1": (f"{DS}rsa-sha1", hashes.SHA1()),  # noqa: S303 - to see it refused
}
DIGESTS = {
    "SHA256": "http://www.w3.org/2001/04/xmlenc#sha256",
    "SHA512": "http://www.w3.org/2001/04/xmlenc#sha512",
    "SHA1": f"{DS}sha1",
}
BODY = "<get xmlns='http://www.service-now.com/incident'><sys_id>{}</sys_id></get>"


class Signer:
    """A client with a key and a certificate of its own."""

    def __init__(self, name: str, now: datetime, days: int = 30) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=60))
            .not_valid_after(now + timedelta(days=days))
            .sign(self.key, hashes.SHA256())
        )
        self.pem = made.public_bytes(serialization.Encoding.PEM).decode()

    def sign(
        self, message: bytes, *, parts: tuple[str, ...] = ("Body",), kind: str = "SHA256"
    ) -> bytes:
        """Return a message with a signature of some of its parts."""
        root = etree.fromstring(message)
        security = root.find(f"{{{SOAP}}}Header/{{{WSSE}}}Security")
        assert security is not None
        algorithm, digest = METHODS[kind]
        signature = etree.SubElement(security, f"{{{DS}}}Signature", nsmap={"ds": DS})
        info = etree.SubElement(signature, f"{{{DS}}}SignedInfo")
        etree.SubElement(info, f"{{{DS}}}CanonicalizationMethod", Algorithm=C14N)
        etree.SubElement(info, f"{{{DS}}}SignatureMethod", Algorithm=algorithm)
        for part in parts:
            (found,) = root.iter(f"{{{SOAP}}}{part}", f"{{{WSU}}}{part}")
            reference = etree.SubElement(
                info, f"{{{DS}}}Reference", URI=f"#{found.get(f'{{{WSU}}}Id')}"
            )
            transforms = etree.SubElement(reference, f"{{{DS}}}Transforms")
            etree.SubElement(transforms, f"{{{DS}}}Transform", Algorithm=C14N)
            etree.SubElement(reference, f"{{{DS}}}DigestMethod", Algorithm=DIGESTS[kind])
            hashed = hashes.Hash(digest)
            hashed.update(etree.tostring(found, method="c14n", exclusive=True))
            value = etree.SubElement(reference, f"{{{DS}}}DigestValue")
            value.text = base64.b64encode(hashed.finalize()).decode()
        content = etree.tostring(info, method="c14n", exclusive=True)
        signed = self.key.sign(content, padding.PKCS1v15(), digest)
        etree.SubElement(signature, f"{{{DS}}}SignatureValue").text = base64.b64encode(
            signed
        ).decode()
        return etree.tostring(root)


def envelope(body: str, header: str = "", *, timestamp: tuple[str, str] | None = None) -> bytes:
    """Return a message with a Security header, whose parts have ids."""
    if timestamp:
        created, expires = timestamp
        header += (
            "<wsu:Timestamp wsu:Id='time'>"
            f"<wsu:Created>{created}</wsu:Created><wsu:Expires>{expires}</wsu:Expires>"
            "</wsu:Timestamp>"
        )
    return (
        f"<s:Envelope xmlns:s='{SOAP}' xmlns:wsu='{WSU}' xmlns:wsse='{WSSE}'><s:Header>"
        f"<wsse:Security s:mustUnderstand='1'>{header}</wsse:Security></s:Header>"
        f"<s:Body wsu:Id='body'>{body}</s:Body></s:Envelope>"
    ).encode()


def token(user_name: str, password: str, kind: str = "") -> str:
    """Return a UsernameToken."""
    typed = f" Type='{kind}'" if kind else ""
    return (
        f"<wsse:UsernameToken><wsse:Username>{user_name}</wsse:Username>"
        f"<wsse:Password{typed}>{password}</wsse:Password></wsse:UsernameToken>"
    )
