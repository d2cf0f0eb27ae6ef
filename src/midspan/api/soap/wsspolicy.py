"""Security policies of SOAP: what messages have to prove, by records of two tables.

A record of ``sys_soap_security_policy`` says whether messages must be signed and which profiles
(``sys_ws_security_profile``) they must satisfy: signed by a certificate, or with a name and a
password. Source: ``spec/soap.md`` 7 and the vendor's pages on WS-Security.
"""

from __future__ import annotations

import hmac

from lxml import etree
from msgspec import Struct, structs

from midspan.api.request import Request
from midspan.api.soap.envelope import SoapFault
from midspan.api.soap.signature import NotVerifiable, is_signed, verifying
from midspan.api.soap.usernametoken import Token, read_token, refused, timestamp_checked
from midspan.kernel.errors import NotAuthenticated
from midspan.records import RIGHTS, Record, RecordTransaction
from midspan.security import SYSTEM, Actor

POLICIES, PROFILES = "sys_soap_security_policy", "sys_ws_security_profile"
NAMED = "glide.soap.default_security_policy"
USUAL = "Default Security Policy"
_SHA1 = {
    "glide.soap.msg_digest.algorithm": "SHA-1",
    "glide.soap.signature.algorithm": "RSA-SHA-1",
}
"""Properties that permit what is broken, if both are set like this."""


class Profile(Struct, frozen=True, kw_only=True):
    """What one profile asks for."""

    name: str
    type: str
    binds: bool
    """Whether the call acts for the user of this profile."""
    run_as: str
    certificate: str
    """PEM text; empty where there is none that is active."""
    by_user: bool
    """Whether a token names a user; else it must repeat the profile's own name and password."""
    user_field: str
    user_name: str
    password: str


class Policy(Struct, frozen=True, kw_only=True):
    """What messages have to prove."""

    name: str
    inbound: bool
    signed: bool
    every: bool
    """Whether all profiles must be satisfied; else one of them."""
    profiles: tuple[Profile, ...]
    """The active ones in their order."""


class _Message(Struct, frozen=True):
    """What a message brings: its token, and the profiles by whose certificates it was signed."""

    token: Token | None
    signed_for: frozenset[str]


def policy_of(request: Request) -> Policy | None:
    """Return the policy for what comes in, None where there is none and none is named.

    Raises:
        SoapFault: the one that a property names does not exist.
    """
    named = request.property(NAMED).strip()
    with request.parts.records.read(SYSTEM, enforce=False) as transaction:
        names = f"name={named or USUAL}"
        found = [one for one in transaction.find(POLICIES, names) if one.get("active") == "true"]
        if found:
            return _policy(transaction, found[0])
    if named:
        raise refused("there is no such policy", f"The property {NAMED} says {named[:100]!r}.")
    return None


def satisfied(request: Request, policy: Policy, root: etree._Element) -> Request:
    """Return the request of a message that satisfies a policy, for whoever it acts for.

    Raises:
        SoapFault: it does not, or the policy cannot be used.
        SignInDelayed: too many wrong passwords came before.
    """
    if not policy.inbound:
        raise refused("the policy is an outbound one", f"Name an inbound one in {NAMED}.")
    if not policy.profiles:
        raise refused("the policy has no active profile", f"Give {policy.name[:100]!r} one.")
    signed_for = _signed_for(request, policy, root)
    token = read_token(root)
    timestamp_checked(root, request.parts.clock.now())
    if token is None and not signed_for:
        raise refused("no known kind of token", "Send a signed message, a UsernameToken, or both.")
    bound = _bound(request, policy, _Message(token, signed_for))
    if bound is None:
        return request
    return request.replace(identity=structs.replace(request.identity, actor=bound))


def _signed_for(request: Request, policy: Policy, root: etree._Element) -> frozenset[str]:
    """Return the profiles by whose certificates a message was signed; a wrong signature is one.

    Raises:
        SoapFault: it is not signed and has to be, or it is signed by somebody else, or altered.
    """
    if not is_signed(root):
        if policy.signed:
            raise refused("the message is not signed", f"{policy.name[:100]!r} asks for that.")
        return frozenset()
    certificates = {
        profile.name: profile.certificate for profile in policy.profiles if profile.certificate
    }
    old = all(request.property(name).strip() == text for name, text in _SHA1.items())
    try:
        found = verifying(root, certificates, request.parts.clock.now(), sha1=old)
    except NotVerifiable as error:
        raise refused("no principal can be taken from the message", f"Because {error}.") from error
    if not found:
        raise refused(
            "the signature cannot be verified",
            "It must cover Body and Timestamp, as they are, by the certificate of a profile.",
        )
    return found


def _bound(request: Request, policy: Policy, message: _Message) -> Actor | None:
    """Return the user of the last profile that binds and is satisfied, if there is one."""
    bound, passed = None, 0
    for profile in policy.profiles:
        try:
            actor = _proved(request, profile, message)
        except NotAuthenticated as error:
            if policy.every:
                raise _failed() from error
            continue
        passed += 1
        bound = actor or bound
    if not passed:
        raise _failed()
    return bound


def _failed() -> SoapFault:
    return refused("failed to authenticate", "What the message proves is not what profiles ask.")


def _proved(request: Request, profile: Profile, message: _Message) -> Actor | None:
    """Return whom a message acts for by a profile, None where that binds nothing.

    Raises:
        NotAuthenticated: the message does not satisfy the profile.
    """
    rights, identities = request.snapshot.part(RIGHTS), request.parts.identities
    if profile.type == "username":
        user = _token_user(request, profile, message.token)
        if user is not None:
            return user if profile.binds else None
    elif profile.type != "x509" or profile.name not in message.signed_for:
        raise NotAuthenticated("User Not Authenticated")
    return identities.actor(profile.run_as, rights) if profile.binds else None


def _token_user(request: Request, profile: Profile, token: Token | None) -> Actor | None:
    """Return the user that a token names and proves; None where the profile has its own pair."""
    if token is None or "\0" in token.user_name:
        raise NotAuthenticated("User Not Authenticated")
    token.check_type()
    if not profile.by_user:
        right = hmac.compare_digest(token.user_name.encode(), profile.user_name.encode())
        right &= hmac.compare_digest(token.password.encode(), profile.password.encode())
        if not right or not profile.user_name or not profile.password:
            raise NotAuthenticated("User Not Authenticated")
        return None
    name = _user_name(request, profile.user_field, token.user_name)
    rights = request.snapshot.part(RIGHTS)
    return request.parts.identities.sign_in(name, token.password, rights, address=request.address)


def _user_name(request: Request, field: str, text: str) -> str:
    """Return the name of the one user in whom a field has this text.

    Without one it is a name that nobody has, so that the refusal takes as long and counts as much
    as any other wrong sign-in.
    """
    if field == "user_name":
        return text
    nobody = f"\n{text}"
    with request.parts.records.read(SYSTEM, enforce=False) as transaction:
        known = transaction.dictionary.table("sys_user").fields
        if not text or field not in known or "^" in text:
            return nobody
        found = transaction.find("sys_user", f"{field}={text}")
    return found[0].get("user_name") if len(found) == 1 else nobody


def _policy(transaction: RecordTransaction, record: Record) -> Policy:
    ids = [one for one in record.get("security_profiles").split(",") if one]
    records = transaction.load(PROFILES, ids).values()
    active = [one for one in records if one.get("active") == "true"]
    active.sort(key=lambda one: (int(one.get("order") or 0), one.get("name")))
    return Policy(
        name=record.get("name"),
        inbound=record.get("type") == "inbound",
        signed=record.get("required_to_sign") == "true",
        every=record.get("authenticate") != "any",
        profiles=tuple(_profile(transaction, one) for one in active),
    )


def _profile(transaction: RecordTransaction, record: Record) -> Profile:
    sys_id = record.get("x509_certificate")
    certificate = transaction.load("sys_certificate", (sys_id,)).get(sys_id) if sys_id else None
    usable = certificate is not None and certificate.get("active") == "true"
    secret = record.get("user_password")
    return Profile(
        name=record.get("name"),
        type=record.get("type"),
        binds=record.get("bind_session") == "true",
        run_as=record.get("run_as_user"),
        certificate=certificate.get("pem_certificate") if certificate and usable else "",
        by_user=record.get("profile_action") != "specify_user",
        user_field=record.get("user_field") or "user_name",
        user_name=record.get("user_name"),
        password=transaction.store.reveal(PROFILES, record.sys_id, "user_password", secret)
        if secret
        else "",
    )
