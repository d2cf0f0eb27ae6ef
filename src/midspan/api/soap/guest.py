"""SOAP without credentials, for partners that cannot send any; closed unless properties open it.

Source: the vendor's hardening settings ``glide.basicauth.required.soap`` and others. Where the
vendor lets everything in when the guest's name is blank, nobody comes in here.
"""

from __future__ import annotations

from midspan.api.request import Identity, Request
from midspan.kernel.errors import NotAuthenticated
from midspan.records import RIGHTS

_SWITCHES = {
    "soap": "glide.basicauth.required.soap",
    "wsdl": "glide.basicauth.required.wsdl",
    "xsd": "glide.basicauth.required.xsd",
    "schema": "glide.basicauth.required.schema",
}
_NAME, _USUAL = "com.glide.soap.guest_user", "soap.guest"


def soap_guest(request: Request, word: str) -> Identity | None:
    """Return the guest, if one of the properties lets him use the processor with this name.

    He needs the same roles and rights as anybody, and must be an active user.
    """
    switch = _SWITCHES.get(word)
    if switch is None or request.property(switch).strip().lower() != "false":
        return None
    identities = request.parts.identities
    user = identities.find(request.property(_NAME, _USUAL).strip())
    try:
        actor = identities.actor(user, request.snapshot.part(RIGHTS)) if user else None
    except NotAuthenticated:
        return None
    return Identity(actor, "guest") if actor else None
