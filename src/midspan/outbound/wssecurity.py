"""WS-Security of outgoing envelopes: the header that says who sends them. Pure."""

from __future__ import annotations

from lxml import etree

from midspan.formats import xml
from midspan.kernel.errors import InvalidRequest

_WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
_TEXT = (
    "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0"
    "#PasswordText"
)
_ENVELOPES = frozenset(
    ("http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope")
)


def with_username_token(envelope: bytes, user: str, password: str) -> bytes:
    """Return the envelope with a ``UsernameToken`` in its header; other headers stay.

    A token that is there already is replaced. Source: Username Token Profile 1.0.

    >>> soap = "http://schemas.xmlsoap.org/soap/envelope/"
    >>> sent = with_username_token(f"<e:Envelope xmlns:e='{soap}'><e:Body/></e:Envelope>".encode(),
    ...     "ann", "a<b")
    >>> b"<wsse:Username>ann</wsse:Username>" in sent, b">a&lt;b</wsse:Password>" in sent
    (True, True)

    Raises:
        InvalidRequest: it is no SOAP envelope.
    """
    root = xml.parse(envelope)
    name = etree.QName(root)
    if name.localname != "Envelope" or name.namespace not in _ENVELOPES:
        raise InvalidRequest(
            "A WS-Security token needs a SOAP envelope",
            hint="The body of the message has to be an Envelope of SOAP 1.1 or 1.2.",
        )
    header = root.find(f"{{{name.namespace}}}Header")
    if header is None:
        header = etree.Element(f"{{{name.namespace}}}Header")
        root.insert(0, header)
    for former in header.findall(f"{{{_WSSE}}}Security"):
        header.remove(former)
    security = etree.SubElement(header, f"{{{_WSSE}}}Security", nsmap={"wsse": _WSSE})
    security.set(f"{{{name.namespace}}}mustUnderstand", "1")
    token = etree.SubElement(security, f"{{{_WSSE}}}UsernameToken")
    etree.SubElement(token, f"{{{_WSSE}}}Username").text = xml.clean_text(user)
    secret = etree.SubElement(token, f"{{{_WSSE}}}Password", Type=_TEXT)
    secret.text = xml.clean_text(password)
    return xml.to_bytes(root)
