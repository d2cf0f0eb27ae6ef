"""WS-Security: what policies ask of messages, and that what was signed is what is carried out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from lxml import etree

from midspan.records import delete, insert, update
from midspan.security import SYSTEM

from .conftest import PASSWORD, USER, Site
from .signer import BODY, SOAP, WSSE, WSU, Signer, envelope, token
from .test_soap import fault, post

POLICY, PROFILE = "sys_soap_security_policy", "sys_ws_security_profile"
NAMED = "glide.soap.default_security_policy"
CALL = BODY.format(USER)
FOUND = f"<sys_id>{USER}</sys_id>"
KEPT = sorted((Path(__file__).parent / "signed").glob("*.xml"))
Make = Callable[..., str]


@pytest.fixture
def made(site: Site) -> Iterator[Make]:
    """Insert records as the system; they go again after the test."""
    known: list[tuple[str, str]] = []

    def make(table: str, **values: str) -> str:
        with site.instance.records.write(SYSTEM, enforce=False) as transaction:
            sys_id = transaction.apply(insert(table, values)).sys_id
        known.append((table, sys_id))
        return sys_id

    make("sys_properties", name="glide.soap.require_ws_security", value="true")
    yield make
    with site.instance.records.write(SYSTEM, enforce=False) as transaction:
        for table, sys_id in reversed(known):
            transaction.apply(delete(table, sys_id))


@pytest.fixture(scope="module")
def acme(site: Site) -> Signer:
    return Signer("acme", site.instance.clock.now())


@pytest.fixture(scope="module")
def other(site: Site) -> Signer:
    return Signer("other", site.instance.clock.now())


def profile(make: Make, name: str, **values: str) -> str:
    return make(PROFILE, name=name, **values)


def signed_by(make: Make, signer: Signer, name: str = "signed", **values: str) -> str:
    certificate = make("sys_certificate", name=name, pem_certificate=signer.pem)
    return profile(make, name, type="x509", x509_certificate=certificate, **values)


def policy(make: Make, *profiles: str, **values: str) -> str:
    given = {"name": "Default Security Policy", "security_profiles": ",".join(profiles)}
    return make(POLICY, **{**given, **values})


def refusal(site: Site, message: bytes, **kwargs: Any) -> str:
    return fault(post(site, message, **kwargs))[0]


@pytest.mark.parametrize("kind", ["SHA256", "SHA512"])
def test_a_signed_message_is_carried_out(site: Site, made: Make, acme: Signer, kind: str) -> None:
    policy(made, signed_by(made, acme))
    assert FOUND in post(site, acme.sign(envelope(CALL), kind=kind)).text


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_message_that_another_stack_signed_is_carried_out(
    site: Site, made: Make, path: Path
) -> None:
    """Kept as zeep 4.3.3 sent it, with xmlsec 1.3.17."""
    pem = path.with_name("zeep.pem").read_text()
    certificate = made("sys_certificate", name="zeep", pem_certificate=pem)
    policy(made, profile(made, "zeep", x509_certificate=certificate))
    message = path.read_bytes()
    assert FOUND in post(site, message).text
    other = message.replace(USER.encode(), b"b" * 32)
    assert refusal(site, other) == "WS-Security: the signature cannot be verified"


def test_sha1_has_to_be_permitted(site: Site, made: Make, acme: Signer) -> None:
    policy(made, signed_by(made, acme))
    message = acme.sign(envelope(CALL), kind="SHA1")
    assert refusal(site, message) == "WS-Security: the signature cannot be verified"
    made("sys_properties", name="glide.soap.msg_digest.algorithm", value="SHA-1")
    made("sys_properties", name="glide.soap.signature.algorithm", value="RSA-SHA-1")
    assert FOUND in post(site, message).text


def test_a_message_that_is_not_signed_is_refused(site: Site, made: Make, acme: Signer) -> None:
    policy(made, signed_by(made, acme))
    assert refusal(site, envelope(CALL)) == "WS-Security: the message is not signed"
    plain = b"<Envelope><Body><getKeys/></Body></Envelope>"
    assert refusal(site, plain) == "WS-Security: the message is not signed"


def test_only_the_certificate_of_the_profile_counts(
    site: Site, made: Make, acme: Signer, other: Signer
) -> None:
    policy(made, signed_by(made, acme))
    assert "cannot be verified" in refusal(site, other.sign(envelope(CALL)))


def test_a_signature_is_looked_at_even_where_none_is_asked_for(
    site: Site, made: Make, acme: Signer, other: Signer
) -> None:
    by_name = profile(made, "name", type="username")
    policy(made, by_name, required_to_sign="false")
    spoken = envelope(CALL, token("admin", PASSWORD))
    assert FOUND in post(site, spoken).text
    assert "cannot be verified" in refusal(site, other.sign(spoken))


@pytest.mark.parametrize("days", [-1, 30])
def test_a_certificate_that_is_over_or_off_proves_nothing(
    site: Site, made: Make, days: int
) -> None:
    signer = Signer("late", site.instance.clock.now(), days)
    values = {"name": "late", "pem_certificate": signer.pem}
    certificate = made("sys_certificate", **values, active="true" if days < 0 else "false")
    policy(made, profile(made, "late", type="x509", x509_certificate=certificate))
    assert "cannot be verified" in refusal(site, signer.sign(envelope(CALL)))


def changed(message: bytes, change: Callable[[etree._Element], None]) -> bytes:
    root = etree.fromstring(message)
    change(root)
    return etree.tostring(root)


def part(root: etree._Element, name: str) -> etree._Element:
    (found,) = root.iter(f"{{*}}{name}")
    return found


EVIL = f"<s:Body xmlns:s='{SOAP}' xmlns:wsu='{WSU}' wsu:Id='{{}}'><deleteMultiple/></s:Body>"


def moved_to(place: str, new_id: str) -> Callable[[etree._Element], None]:
    """Move the signed Body elsewhere and put another one in its place."""

    def change(root: etree._Element) -> None:
        body = part(root, "Body")
        root.remove(body)
        root.append(etree.fromstring(EVIL.format(new_id)))
        if place == "header":
            wrapper = etree.SubElement(part(root, "Header"), "Wrapper")
        elif place == "security":
            wrapper = etree.SubElement(part(root, "Security"), "Wrapper")
        elif place == "signature":
            wrapper = etree.SubElement(
                part(root, "Signature"), "{http://www.w3.org/2000/09/xmldsig#}Object"
            )
        elif place == "body":
            wrapper = root[-1]
        else:
            wrapper = etree.SubElement(root, "Wrapper")
        wrapper.append(body)

    return change


def beside(first: bool) -> Callable[[etree._Element], None]:
    def change(root: etree._Element) -> None:
        evil = etree.fromstring(EVIL.format("evil"))
        if first:
            root.insert(1, evil)
        else:
            root.append(evil)

    return change


def another_namespace(root: etree._Element) -> None:
    """Put a Body of no namespace first: what counts is the local name."""
    root.insert(1, etree.fromstring("<Body><deleteMultiple/></Body>"))


def another_header(root: etree._Element) -> None:
    root.insert(0, etree.fromstring(f"<s:Header xmlns:s='{SOAP}'/>"))


def altered(root: etree._Element) -> None:
    part(root, "sys_id").text = "f" * 32


def commented(root: etree._Element) -> None:
    """A comment is not signed; it must not cut a text in two."""
    leaf = part(root, "sys_id")
    text = leaf.text or ""
    leaf.text = text[:10]
    comment = etree.Comment("x")
    comment.tail = text[10:] + "0"
    leaf.append(comment)


def two_signatures(root: etree._Element) -> None:
    security = part(root, "Security")
    security.append(etree.fromstring(etree.tostring(part(root, "Signature"))))


def signature_elsewhere(root: etree._Element) -> None:
    part(root, "Header").append(part(root, "Signature"))


@pytest.mark.parametrize(
    "attack",
    [
        *(
            pytest.param(moved_to(place, new_id), id=f"{place}-{new_id}")
            for place in ("header", "security", "signature", "envelope", "body")
            for new_id in ("body", "evil")
        ),
        pytest.param(beside(first=True), id="beside-first"),
        pytest.param(beside(first=False), id="beside-last"),
        another_namespace,
        another_header,
        altered,
        commented,
        two_signatures,
        signature_elsewhere,
    ],
)
def test_what_was_not_signed_is_not_carried_out(
    site: Site, made: Make, acme: Signer, attack: Callable[[etree._Element], None]
) -> None:
    policy(made, signed_by(made, acme))
    text = refusal(site, changed(acme.sign(envelope(CALL)), attack))
    assert "signature cannot be verified" in text or "no principal" in text


def test_a_comment_does_not_change_what_was_signed(site: Site, made: Make, acme: Signer) -> None:
    policy(made, signed_by(made, acme))

    def comment(root: etree._Element) -> None:
        part(root, "get").append(etree.Comment("x"))

    assert FOUND in post(site, changed(acme.sign(envelope(CALL)), comment)).text


def test_the_body_must_be_what_is_signed(site: Site, made: Make, acme: Signer) -> None:
    policy(made, signed_by(made, acme))
    now = site.instance.clock.now()
    times = (f"{now:%FT%TZ}", f"{now:%FT%TZ}")
    message = acme.sign(envelope(CALL, timestamp=times), parts=("Timestamp",))
    assert "cannot be verified" in refusal(site, message)


def test_a_timestamp_must_be_signed_with_the_body(site: Site, made: Make, acme: Signer) -> None:
    policy(made, signed_by(made, acme))
    now = site.instance.clock.now()
    times = (f"{now:%FT%TZ}", f"{now:%FT%TZ}")
    message = envelope(CALL, timestamp=times)
    assert "cannot be verified" in refusal(site, acme.sign(message))
    assert FOUND in post(site, acme.sign(message, parts=("Body", "Timestamp"))).text
    old = envelope(CALL, timestamp=("2001-01-01T00:00:00Z", "2001-01-01T00:05:00Z"))
    text = refusal(site, acme.sign(old, parts=("Timestamp", "Body")))
    assert text == "WS-Security: message expired"


def test_a_profile_may_act_for_another_user(site: Site, made: Make, acme: Signer) -> None:
    policy(made, signed_by(made, acme, bind_session="true", run_as_user=USER))
    body = "<insert><short_description>By acme</short_description></insert>"
    answered = refusal(site, acme.sign(envelope(body)))
    assert answered == "Insufficient rights to insert records into incident"  # as Ann, not admin


def test_a_profile_that_acts_for_nobody_refuses(site: Site, made: Make, acme: Signer) -> None:
    policy(made, signed_by(made, acme, bind_session="true"))
    assert refusal(site, acme.sign(envelope(CALL))) == "WS-Security: failed to authenticate"


def test_every_profile_or_one_of_them(site: Site, made: Make, acme: Signer, other: Signer) -> None:
    both = [signed_by(made, acme, "one"), signed_by(made, other, "two")]
    sys_id = policy(made, *both)
    message = acme.sign(envelope(CALL))
    assert refusal(site, message) == "WS-Security: failed to authenticate"
    with site.instance.records.write(SYSTEM, enforce=False) as transaction:
        transaction.apply(update(POLICY, sys_id, {"authenticate": "any"}))
    assert FOUND in post(site, message).text


@pytest.mark.parametrize(
    ("values", "user_name", "password", "fits"),
    [
        ({}, "ann", PASSWORD, True),
        ({}, "ann", "wrong", False),
        ({"user_field": "name"}, "&lt;Ann&gt;", PASSWORD, True),
        ({"user_field": "name"}, "Nobody", PASSWORD, False),
        ({"user_field": "name"}, "ann", PASSWORD, False),
        ({"user_field": "no_such"}, "ann", PASSWORD, False),
        ({"profile_action": "specify_user"}, "partner", "s3cret", True),
        ({"profile_action": "specify_user"}, "partner", "S3cret", False),
        ({"profile_action": "specify_user"}, "ann", PASSWORD, False),
        ({"profile_action": "specify_user", "user_name": "", "user_password": ""}, "", "", False),
    ],
)
def test_a_token_names_a_user_or_repeats_a_pair(
    site: Site, made: Make, values: dict[str, str], user_name: str, password: str, fits: bool
) -> None:
    given = {"user_name": "partner", "user_password": "s3cret", "type": "username", **values}
    policy(made, profile(made, "name", **given), required_to_sign="false")
    message = envelope(CALL, token(user_name, password))
    if fits:
        assert FOUND in post(site, message).text
    else:
        assert refusal(site, message) == "WS-Security: failed to authenticate"


def test_a_token_binds_the_user_whom_it_names(site: Site, made: Make) -> None:
    by_name = profile(made, "name", type="username", bind_session="true")
    policy(made, by_name, required_to_sign="false")
    answered = refusal(
        site, envelope("<insert><category>x</category></insert>", token("ann", PASSWORD))
    )
    assert answered == "Insufficient rights to insert records into incident"


def test_a_policy_that_cannot_be_used_refuses(site: Site, made: Make, acme: Signer) -> None:
    message = acme.sign(envelope(CALL))
    made("sys_properties", name=NAMED, value="Gone")
    assert refusal(site, message) == "WS-Security: there is no such policy"
    policy(made, name="Gone", type="outbound")
    assert refusal(site, message) == "WS-Security: the policy is an outbound one"


def test_a_policy_without_active_profiles_refuses(site: Site, made: Make, acme: Signer) -> None:
    policy(made, signed_by(made, acme, active="false"))
    text = refusal(site, acme.sign(envelope(CALL)))
    assert text == "WS-Security: the policy has no active profile"


def test_an_unknown_kind_of_token_is_told(site: Site, made: Make) -> None:
    policy(made, profile(made, "name", type="username"), required_to_sign="false")
    unknown = f"<x:Assertion xmlns:x='{WSSE}'/>"
    assert refusal(site, envelope(CALL, unknown)) == "WS-Security: no known kind of token"


def test_the_sign_in_of_the_request_is_still_needed(site: Site, made: Make, acme: Signer) -> None:
    policy(made, signed_by(made, acme, bind_session="true", run_as_user=USER))
    answered: httpx.Response = post(site, acme.sign(envelope(CALL)), user="")
    assert answered.status_code == 401
