"""Mutual TLS behind a proxy: the certificate that a client proved to the proxy, in a header.

Off unless the node was started with the header's name and the addresses of the proxies that set it.
From anybody else the header is taken off the request, so that nothing behind this sees it. A user
is found by the fingerprint of exactly his certificate (``sys_user_certificate``); whoever issued it
does not matter, because the TLS handshake proved the key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from urllib.parse import unquote

from starlette.datastructures import Headers

from midspan.api.parts import ApiParts
from midspan.api.request import Identity, Request
from midspan.dictionary.values import parse_datetime
from midspan.kernel.errors import NotAuthenticated
from midspan.query import Operator, ReadPlan, Test
from midspan.records import RIGHTS
from midspan.security import SYSTEM
from midspan.security.policies import address_ranges, within

SCHEME = "certificate"
TABLE = "sys_user_certificate"
_LONGEST = 32_768
"""Characters that the header may have; a certificate has about 2,000."""
_PEM = re.compile(
    r"\s*-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)\s*-----END CERTIFICATE-----\s*"
)
_COLUMNS = ("user", "active", "valid_from", "expires")


class ClientCertificates:
    """The sign-in scheme of client certificates."""

    def __init__(self, parts: ApiParts) -> None:
        self._header = parts.client_cert_header.strip().lower()
        self._trusted = address_ranges(parts.trusted_proxies) if self._header else ()

    def cleaned(self, headers: Headers, peer: str) -> Headers:
        """Return the headers without that of the certificate unless a trusted proxy sent them."""
        if not self._header or self._header not in headers or within(peer, self._trusted):
            return headers
        name = self._header.encode()
        return Headers(raw=[pair for pair in headers.raw if pair[0].lower() != name])

    def identify(self, request: Request) -> Identity | None:
        """Return the user of the certificate, None where there is none or it is nobody's.

        Only below ``/api``: on pages people sign in, whatever their browser adds by itself.
        """
        if not self._header or not request.path.startswith("/api/"):
            return None
        given = request.headers.getlist(self._header)
        fingerprint = fingerprint_of(given[0]) if len(given) == 1 else ""
        user = _user(request, fingerprint) if fingerprint else ""
        if not user:
            return None
        rights = request.snapshot.part(RIGHTS)
        try:
            return Identity(request.parts.identities.actor(user, rights), SCHEME)
        except NotAuthenticated:
            return None


def fingerprint_of(value: str) -> str:
    """Return the SHA-256 of the certificate in a header, ``''`` where there is none.

    Proxies send it as PEM text with percent signs (nginx), as Base64 between colons (RFC 9440), or
    as Base64 alone (Caddy).

    >>> fingerprint_of(":TWlkc3Bhbg==:") == fingerprint_of("TWlkc3Bhbg==")
    True
    >>> fingerprint_of("not one")
    ''
    """
    if len(value) > _LONGEST:
        return ""
    if "BEGIN" in value:
        match = _PEM.fullmatch(unquote(value))
        text = "".join(match[1].split()) if match else ""
    else:
        text = value.strip().removeprefix(":").removesuffix(":")
    try:
        der = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return ""
    return hashlib.sha256(der).hexdigest() if der else ""


def _user(request: Request, fingerprint: str) -> str:
    with request.parts.records.read(SYSTEM, enforce=False) as transaction:
        dictionary, now = transaction.dictionary, transaction.now
        plan = ReadPlan(
            table=TABLE,
            columns=tuple(dictionary.path(TABLE, name) for name in _COLUMNS),
            condition=Test(dictionary.path(TABLE, "fingerprint"), Operator.EQUALS, (fingerprint,)),
            limit=1,
        )
        for user, active, begins, ends in transaction.run(plan):
            valid = parse_datetime(str(begins)) <= now < parse_datetime(str(ends))
            if active == "true" and valid:
                return str(user)
    return ""
