"""The UsernameToken and the Timestamp in the Security header of a SOAP message."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from lxml import etree
from msgspec import Struct

from midspan.api.soap.envelope import SoapFault, local_name

SKEW = timedelta(minutes=5)
"""How far the clocks of a client and of the instance may be apart."""
_TEXT_TYPE = "#PasswordText"


class Token(Struct, frozen=True, kw_only=True):
    """What a UsernameToken says."""

    user_name: str
    password: str
    password_type: str

    def check_type(self) -> None:
        """Refuse a password that cannot be compared.

        Raises:
            SoapFault: it is of another type than text.
        """
        if self.password_type and not self.password_type.endswith(_TEXT_TYPE):
            raise refused(
                "unknown type of password",
                "Send PasswordText over HTTPS; digests cannot be compared with hashed passwords.",
            )


def read_token(root: etree._Element) -> Token | None:
    """Return the token in the header of an envelope, or None.

    >>> read_token(etree.fromstring("<Envelope><Header/><Body/></Envelope>")) is None
    True
    """
    token = _below(root, "Header", "Security", "UsernameToken")
    if token is None:
        return None
    password = _below(token, "Password")
    return Token(
        user_name=_text(_below(token, "Username")).strip(),
        password=_text(password),
        password_type=password.get("Type", "").strip() if password is not None else "",
    )


def timestamp_checked(root: etree._Element, now: datetime) -> None:
    """Refuse a message whose Timestamp is over or has not begun; it need not have one.

    Raises:
        SoapFault: it is refused.
    """
    timestamp = _below(root, "Header", "Security", "Timestamp")
    created = _text(_below(timestamp, "Created")).strip()
    expires = _text(_below(timestamp, "Expires")).strip()
    if created and _instant(created) > now + SKEW:
        raise refused("message not yet valid", f"Its Timestamp is {created}.")
    if expires and _instant(expires) < now - SKEW:
        raise refused("message expired", f"Its Timestamp ended {expires}.")


def refused(text: str, detail: str) -> SoapFault:
    """Return the fault of a message that does not prove what it has to."""
    return SoapFault(f"WS-Security: {text}", detail, code="Client")


def _instant(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise refused(
            "Timestamp is no time", f"{text[:40]} is not like 2026-01-31T18:30:00Z"
        ) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


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
