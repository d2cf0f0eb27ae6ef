"""WS-Security on the way in: a UsernameToken besides the sign-in of the request.

The property ``glide.soap.require_ws_security`` asks every call for one; without it the header
``Security`` is not looked at. Users with ``internal_integration_user`` need none. Source:
``spec/soap.md`` 7.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from lxml import etree
from msgspec import Struct

from midspan.api.request import Request
from midspan.api.soap.envelope import SoapFault, local_name
from midspan.formats import xml
from midspan.kernel.errors import NotAuthenticated
from midspan.records import RIGHTS
from midspan.security import SYSTEM

REQUIRED = "glide.soap.require_ws_security"
SKEW = timedelta(minutes=5)
"""How far the clocks of a client and of the instance may be apart."""
_TEXT_TYPE = "#PasswordText"


class Token(Struct, frozen=True, kw_only=True):
    """What a UsernameToken says, and until when its message is good."""

    user_name: str
    password: str
    password_type: str
    created: str
    expires: str


def check_security(request: Request) -> None:
    """Refuse a call without a valid token, where the instance asks for one.

    Raises:
        SoapFault: there is none, it is of a kind that cannot be checked, or it is not valid.
        XmlError: the body is no XML that may be read.
        SignInDelayed: too many wrong ones came before.
    """
    if not request.property_flag(REQUIRED) or _is_exempt(request):
        return
    token = read_token(request.body)
    if token is None:
        raise _fault("no UsernameToken", f"Send one; the property {REQUIRED} asks every call.")
    if token.password_type and not token.password_type.endswith(_TEXT_TYPE):
        raise _fault(
            "unknown type of password",
            "Send PasswordText over HTTPS; digests cannot be compared with hashed passwords.",
        )
    _check_time(token, request.parts.clock.now())
    identities, rights = request.parts.identities, request.snapshot.part(RIGHTS)
    try:
        if "\0" in token.user_name:
            raise NotAuthenticated("User Not Authenticated")
        identities.sign_in(token.user_name, token.password, rights, address=request.address)
    except NotAuthenticated as error:
        raise _fault("failed to authenticate", "User name or password is wrong.") from error


def read_token(body: bytes) -> Token | None:
    """Return the token in the header of an envelope, or None.

    >>> read_token(b"<Envelope><Header/><Body/></Envelope>") is None
    True
    """
    security = _below(xml.parse(body), "Header", "Security")
    token = _below(security, "UsernameToken")
    if token is None:
        return None
    password = _below(token, "Password")
    return Token(
        user_name=_text(_below(token, "Username")).strip(),
        password=_text(password),
        password_type=password.get("Type", "").strip() if password is not None else "",
        created=_text(_below(security, "Timestamp", "Created")).strip(),
        expires=_text(_below(security, "Timestamp", "Expires")).strip(),
    )


def _check_time(token: Token, now: datetime) -> None:
    if token.created and _instant(token.created) > now + SKEW:
        raise _fault("message not yet valid", f"Its Timestamp is {token.created}.")
    if token.expires and _instant(token.expires) < now - SKEW:
        raise _fault("message expired", f"Its Timestamp ended {token.expires}.")


def _instant(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise _fault(
            "Timestamp is no time", f"{text[:40]} is not like 2026-01-31T18:30:00Z"
        ) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _is_exempt(request: Request) -> bool:
    """Tell whether the caller is one of the programs that cannot send a token."""
    user = request.actor.sys_id
    with request.parts.records.read(SYSTEM) as transaction:
        record = transaction.load("sys_user", (user,)).get(user)
    return record is not None and record.get("internal_integration_user") == "true"


def _below(parent: etree._Element | None, *names: str) -> etree._Element | None:
    """Return the first element on a path of local names."""
    for name in names:
        if parent is None:
            return None
        children = parent.iterchildren("{*}*")
        parent = next((child for child in children if local_name(child) == name), None)
    return parent


def _text(leaf: etree._Element | None) -> str:
    return (leaf.text or "") if leaf is not None else ""


def _fault(text: str, detail: str) -> SoapFault:
    return SoapFault(f"WS-Security: {text}", detail, code="Client")
