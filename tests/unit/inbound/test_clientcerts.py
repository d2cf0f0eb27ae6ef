"""Client certificates from a proxy: whose header counts, for whom, and what they cannot do."""

from __future__ import annotations

import asyncio
import base64
import doctest
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from midspan.api import clientcerts, create_app
from midspan.cli.node import check_proxies
from midspan.kernel.clock import ManualClock
from midspan.kernel.errors import DuplicateKey, InvalidRequest, OperationAborted
from midspan.kernel.settings import Settings
from midspan.testing import open_instance

from .conftest import ADMIN, PASSWORD, Made, Site

HEADER = "Ssl-Client-Cert"
PROXY, OTHER = ("10.0.0.5", 1), ("203.0.113.9", 1)
WHO = "/api/now/ui/user/current_user"
OPENED, CLOSED = datetime(2026, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)


@cache
def certificate(name: str, first: datetime = OPENED, last: datetime = CLOSED) -> x509.Certificate:
    key: Any = ed25519.Ed25519PrivateKey.generate()
    if name != "ed25519":
        key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
    builder = builder.serial_number(7).public_key(key.public_key())
    builder = builder.not_valid_before(first).not_valid_after(last)
    return builder.sign(key, None if name == "ed25519" else hashes.SHA256())


def pem(found: x509.Certificate) -> str:
    return found.public_bytes(Encoding.PEM).decode()


def der(found: x509.Certificate) -> str:
    return base64.b64encode(found.public_bytes(Encoding.DER)).decode()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> Iterator[Site]:
    url = new_database() if request.param == "postgresql" else ""
    with open_instance(url, clock=ManualClock()) as instance, asyncio.Runner() as runner:
        parts = replace(
            instance.api_parts(), client_cert_header=HEADER, trusted_proxies="10.0.0.0/29"
        )
        app = create_app(parts)
        site = Site(instance, app, runner)
        site.change("sys_user", ADMIN, user_password=PASSWORD)
        yield site
        app.close()


@pytest.fixture
def row(made: Made, ann: str) -> str:
    """Ann's certificate."""
    return made("sys_user_certificate", name="x", user=ann, pem_certificate=pem(certificate("ann")))


def who(site: Site, value: str | None = None, **more: Any) -> str:
    """Return as whom a request with ann's certificate, or another header, is answered."""
    headers = {HEADER: quote(pem(certificate("ann"))) if value is None else value}
    headers |= more.pop("headers", {})
    answer = site.send("GET", WHO, headers=headers, **{"client": PROXY, **more})
    if answer.status_code == 401:
        assert answer.headers["x-is-logged-in"] == "false"
        return ""
    assert answer.status_code == 200, answer.text
    return str(answer.json()["result"]["user_name"])


def test_examples() -> None:
    assert not doctest.testmod(clientcerts).failed


def test_each_form_that_proxies_send(site: Site, row: str) -> None:
    found = certificate("ann")
    forms = [
        quote(pem(found)), quote(pem(found), safe=""), pem(found).replace("\n", " "),
        der(found), f":{der(found)}:",
    ]  # fmt: skip
    assert [who(site, each) for each in forms] == ["ann"] * len(forms)


def test_only_the_proxies_are_believed(site: Site, row: str) -> None:
    assert who(site, client=OTHER) == ""
    assert who(site, client=("10.0.0.8", 1)) == "", "just outside the network"
    assert who(site, client=("", 1)) == ""
    assert who(site, client=("::ffff:10.0.0.5", 1)) == "ann"
    forwarded = {"X-Forwarded-For": "10.0.0.5", "Forwarded": "for=10.0.0.5"}
    assert who(site, client=OTHER, headers=forwarded) == ""


def test_without_the_setting_nobody_is(site: Site, row: str) -> None:
    parts = site.instance.api_parts()
    app = create_app(parts)
    site.app, before = app, site.app
    try:
        assert who(site) == ""
    finally:
        site.app = before
        app.close()


@pytest.mark.parametrize(
    "value",
    ["", "x", "::", "-----BEGIN CERTIFICATE-----", "%00", "A" * 40_000,
     quote("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----")],
)  # fmt: skip
def test_what_is_no_certificate_is_nobody(site: Site, row: str, value: str) -> None:
    assert who(site, value) == ""


def test_another_certificate_of_the_same_name_is_nobody(site: Site, row: str) -> None:
    twin = certificate("ann", OPENED, CLOSED - timedelta(days=1))
    assert twin.subject == certificate("ann").subject
    assert who(site, quote(pem(twin))) == ""
    both = quote(pem(certificate("ann")) + pem(twin))
    assert who(site, both) == ""


def test_two_headers_are_one_too_many(site: Site, row: str) -> None:
    value = quote(pem(certificate("ann")))
    headers = httpx.Headers([(HEADER, value), (HEADER, value)])
    assert site.send("GET", WHO, headers=headers, client=PROXY).status_code == 401


def test_a_certificate_counts_while_it_and_its_user_do(
    site: Site, made: Made, ann: str, row: str
) -> None:
    assert who(site) == "ann"
    site.change("sys_user_certificate", row, active="false")
    assert who(site) == ""
    site.change("sys_user_certificate", row, active="true")
    site.change("sys_user", ann, locked_out="true")
    assert who(site) == ""
    site.change("sys_user", ann, locked_out="false", active="false")
    assert who(site) == ""
    site.change("sys_user", ann, active="true")
    assert who(site) == "ann"
    now = site.clock.now()
    early = certificate("early", now + timedelta(days=1), CLOSED)
    late = certificate("late", OPENED, now)
    for each in (early, late):
        made("sys_user_certificate", name="x", user=ann, pem_certificate=pem(each))
        assert who(site, der(each)) == ""


def test_a_key_of_any_kind_will_do(site: Site, made: Made, ann: str) -> None:
    found = certificate("ed25519")
    made("sys_user_certificate", name="x", user=ann, pem_certificate=pem(found))
    assert who(site, der(found)) == "ann"


def test_other_credentials_go_before_it(site: Site, row: str) -> None:
    assert who(site, user="admin") == "admin"
    assert who(site, auth=("admin", "wrong")) == "", "wrong ones are not made good by it"
    assert who(site, headers={"Authorization": "Bearer none"}) == ""
    login = site.send("POST", "/login", data={"user_name": "admin", "user_password": PASSWORD})
    cookie = login.headers["set-cookie"].partition(";")[0]
    assert who(site, headers={"Cookie": cookie}) == "admin"
    assert who(site, headers={"Cookie": "JSESSIONID=dead"}) == "ann"


def test_it_opens_no_page_and_leaves_no_session(site: Site, row: str) -> None:
    headers = {HEADER: der(certificate("ann")), "Accept": "text/html"}
    page = site.send("GET", "/", headers=headers, client=PROXY)
    assert page.status_code == 303
    assert page.headers["location"].startswith("/login")
    assert "set-cookie" not in site.send("GET", WHO, headers=headers, client=PROXY).headers


def test_another_site_cannot_use_what_the_browser_adds(site: Site, row: str) -> None:
    headers = {HEADER: der(certificate("ann")), "Sec-Fetch-Site": "cross-site"}
    path = "/api/now/table/sys_user_preference"
    answer = site.send("POST", path, headers=headers, client=PROXY, json={"name": "x"})
    assert answer.status_code == 403
    assert answer.json()["error"]["detail"] == "The request came from another site"


def test_scripts_never_see_a_forged_header(site: Site, made: Made) -> None:
    app = site.instance.application()
    app._certificates = clientcerts.ClientCertificates(site.app.parts)
    service = made(
        "sys_ws_definition", name="Echo", service_id="echo", namespace="x_echo",
        base_uri="/api/x_echo/echo",
    )  # fmt: skip
    made(
        "sys_ws_operation", name="Echo", web_service_definition=service, http_method="GET",
        relative_path="/", requires_authentication="false",
        operation_script=f"(function (request) {{ return '' + request.getHeader('{HEADER}'); }})(request);",  # noqa: E501
    )  # fmt: skip
    before, site.app = site.app, app
    try:
        for client, seen in ((PROXY, "forged"), (OTHER, "null")):
            answer = site.send("GET", "/api/x_echo/echo", headers={HEADER: "forged"}, client=client)
            assert seen in answer.text, answer.text
    finally:
        site.app = before
        app.close()


def test_an_access_policy_knows_the_kind(site: Site, made: Made, row: str) -> None:
    policy = made("sys_api_access_policy", name="x", api_path="now/ui")
    profile = made("std_http_auth", name="x", type="certificate")
    made("sys_auth_profile_mapping", api_access_policy=policy, inbound_auth_profile=profile)
    assert who(site) == "ann"
    assert who(site, user="admin") == ""
    site.change("std_http_auth", profile, type="oauth")
    assert who(site) == ""


def test_a_certificate_belongs_to_one_user_and_is_the_administrators_to_give(
    site: Site, made: Made, row: str, bo: str
) -> None:
    given = {"name": "x", "user": bo, "pem_certificate": pem(certificate("ann"))}
    with pytest.raises(DuplicateKey):
        made.add("sys_user_certificate", given)
    path = "/api/now/table/sys_user_certificate"
    fresh = {**given, "pem_certificate": pem(certificate("bo"))}
    assert site.send("POST", path, user="bo", json=fresh).status_code == 403
    with pytest.raises(OperationAborted, match="Operation Failed"):
        made.add("sys_user_certificate", {**given, "pem_certificate": "none"})


@pytest.mark.parametrize(
    ("header", "proxies", "fine"),
    [("", "", True), (HEADER, "10.0.0.5, 10.1.0.0/16", True), (HEADER, "", False),
     ("", "10.0.0.5", False), (HEADER, "proxy", False), ("two words", "10.0.0.5", False)],
)  # fmt: skip
def test_a_node_does_not_start_with_half_a_setting(
    tmp_path: Path, header: str, proxies: str, fine: bool
) -> None:
    settings = Settings(data=tmp_path, client_cert_header=header, trusted_proxies=proxies)
    with nullcontext() if fine else pytest.raises(InvalidRequest):
        check_proxies(settings)
