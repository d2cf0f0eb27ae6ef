"""WS-Security on the way in: what a message has to prove besides the sign-in of its request.

The property ``glide.soap.require_ws_security`` asks every call for it; without it the header
``Security`` is not looked at. A policy says what is asked for; while there is none, a UsernameToken
of a user. Users with ``internal_integration_user`` need nothing. Source: ``spec/soap.md`` 7.
"""

from __future__ import annotations

from lxml import etree

from midspan.api.request import Request
from midspan.api.soap.usernametoken import read_token, refused, timestamp_checked
from midspan.api.soap.wsspolicy import policy_of, satisfied
from midspan.formats import xml
from midspan.kernel.errors import NotAuthenticated
from midspan.records import RIGHTS
from midspan.security import SYSTEM

REQUIRED = "glide.soap.require_ws_security"


def secured(request: Request) -> Request:
    """Return the request of a call that proved what it has to, for whoever it acts for.

    Raises:
        SoapFault: it did not, or in a way that cannot be checked.
        XmlError: the body is no XML that may be read.
        SignInDelayed: too many wrong passwords came before.
    """
    if not request.property_flag(REQUIRED) or _is_exempt(request):
        return request
    root = xml.parse(request.body)
    policy = policy_of(request)
    if policy is not None:
        return satisfied(request, policy, root)
    _check_token(request, root)
    return request


def _check_token(request: Request, root: etree._Element) -> None:
    """Refuse a message without a valid token of a user."""
    token = read_token(root)
    if token is None:
        raise refused("no UsernameToken", f"Send one; the property {REQUIRED} asks every call.")
    token.check_type()
    timestamp_checked(root, request.parts.clock.now())
    identities, rights = request.parts.identities, request.snapshot.part(RIGHTS)
    try:
        if "\0" in token.user_name:
            raise NotAuthenticated("User Not Authenticated")
        identities.sign_in(token.user_name, token.password, rights, address=request.address)
    except NotAuthenticated as error:
        raise refused("failed to authenticate", "User name or password is wrong.") from error


def _is_exempt(request: Request) -> bool:
    """Tell whether the caller is one of the programs that cannot send a token."""
    user = request.actor.sys_id
    with request.parts.records.read(SYSTEM) as transaction:
        record = transaction.load("sys_user", (user,)).get(user)
    return record is not None and record.get("internal_integration_user") == "true"
