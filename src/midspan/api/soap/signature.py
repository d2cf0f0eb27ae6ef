"""Signatures of SOAP messages by X.509 certificates: what is carried out is what was signed.

A message holds one signature, in its Security header. It has to cover the Body that is carried out,
and the Timestamp if there is one: what the signature was verified for is compared with what stands
in those places, so that a signed element elsewhere in the message proves nothing. The certificate
is one of the instance; what the message says of certificates is not looked at.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from lxml import etree

from midspan.api.soap.envelope import ENVELOPE, local_name
from midspan.security.certificates import read_certificate

if TYPE_CHECKING:
    from signxml.verifier import VerifyResult

log = logging.getLogger(__name__)
SIGNATURE = "{http://www.w3.org/2000/09/xmldsig#}Signature"
_REFERENCE = "{http://www.w3.org/2000/09/xmldsig#}Reference"
_MOST_REFERENCES = 8
"""Each is verified on a copy of the message."""
_HASHES = ("SHA256", "SHA384", "SHA512")


class NotVerifiable(Exception):
    """The parts of a signed message are not where they belong."""


def children(parent: etree._Element | None, name: str) -> list[etree._Element]:
    """Return the children with this local name."""
    if parent is None:
        return []
    return [child for child in parent.iterchildren("{*}*") if local_name(child) == name]


def the_child(parent: etree._Element | None, name: str) -> etree._Element | None:
    """Return the only child with this local name, or None.

    Raises:
        NotVerifiable: there are several.
    """
    found = children(parent, name)
    if len(found) > 1:
        raise NotVerifiable(f"it has {len(found)} elements {name} side by side")
    return found[0] if found else None


def is_signed(root: etree._Element) -> bool:
    """Tell whether there is a signature anywhere in a message."""
    return next(root.iter(SIGNATURE), None) is not None


def verifying(
    root: etree._Element, certificates: Mapping[str, str], now: datetime, *, sha1: bool
) -> frozenset[str]:
    """Return for which of the certificates, PEM texts by name, a message was signed.

    Raises:
        NotVerifiable: it has several signatures, bodies or timestamps, or a misplaced one.
    """
    parts = _to_be_covered(root)
    return frozenset(
        name for name, pem in certificates.items() if _covers(root, parts, pem, now, sha1=sha1)
    )


def _to_be_covered(root: etree._Element) -> tuple[etree._Element, ...]:
    """Return the parts of a message that count."""
    security = the_child(the_child(root, "Header"), "Security")
    body, timestamp = the_child(root, "Body"), the_child(security, "Timestamp")
    signatures = list(root.iter(SIGNATURE))
    if len(signatures) != 1 or signatures[0].getparent() is not security:
        raise NotVerifiable("it must have one Signature, in the header Security")
    if sum(1 for _ in signatures[0].iter(_REFERENCE)) > _MOST_REFERENCES:
        raise NotVerifiable(f"its Signature has more than {_MOST_REFERENCES} references")
    if body is None or body.tag != f"{{{ENVELOPE}}}Body":
        raise NotVerifiable("it has no Body of SOAP 1.1")
    return (body,) if timestamp is None else (body, timestamp)


def _covers(
    root: etree._Element,
    parts: tuple[etree._Element, ...],
    pem: str,
    now: datetime,
    *,
    sha1: bool,
) -> bool:
    try:
        if not read_certificate(pem).is_valid(now):
            log.info("a certificate for signed messages is not valid now")
            return False
        covered = {_canonical(part) for part in _verified(root, pem, now, sha1=sha1)}
    except Exception as error:  # whatever the library says of text from outside
        log.info("a signature does not fit: %s: %s", type(error).__name__, error)
        return False
    return all(_canonical(part) in covered for part in parts)


def _verified(
    root: etree._Element, pem: str, now: datetime, *, sha1: bool
) -> Iterator[etree._Element]:
    # With its libraries for those who use it alone.
    from signxml.algorithms import DigestAlgorithm, SignatureMethod  # noqa: PLC0415
    from signxml.verifier import SignatureConfiguration, XMLVerifier  # noqa: PLC0415

    hashes = (*_HASHES, "SHA1") if sha1 else _HASHES
    configuration = SignatureConfiguration(
        expect_references=True,
        signature_methods=frozenset(
            method
            for method in SignatureMethod
            if method.name in {f"{kind}_{one}" for kind in ("RSA", "ECDSA") for one in hashes}
        ),
        digest_algorithms=frozenset(one for one in DigestAlgorithm if one.name in hashes),
        verification_time=now,
    )
    found = XMLVerifier().verify(etree.tostring(root), x509_cert=pem, expect_config=configuration)
    results: list[VerifyResult] = found if isinstance(found, list) else [found]
    for result in results:
        if result.signed_xml is not None:
            yield result.signed_xml


def _canonical(part: etree._Element) -> bytes:
    """Return an element as bytes that do not depend on what is around it."""
    return etree.tostring(part, method="c14n", exclusive=True)
