"""Authorization codes: consent, redirects, PKCE, and that a code is good once."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest

from midspan.api.tokens import CodeUsed, Grant, Tokens
from midspan.records import RIGHTS

from .conftest import PASSWORD, SECRET, Site, bearer

BACK = "https://app.example.com/cb?here=1"
ASK = {"response_type": "code", "client_id": "web", "redirect_uri": BACK, "state": "a b&c"}
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=")
PROOF = {"code_challenge": CHALLENGE.decode(), "code_challenge_method": "S256"}
AUTH = "/oauth_auth.do"


@pytest.fixture(autouse=True)
def web(site: Site) -> Iterator[str]:
    """A client with two addresses, and a public one."""
    urls = f"{BACK}, com.example.app:/cb"
    row = site.add(
        "oauth_entity", name="<Web>", client_id="web", client_secret=SECRET, redirect_url=urls
    )
    phone = site.add(
        "oauth_entity", name="Phone", client_id="phone", public_client="true",
        redirect_url="com.example.app:/cb",
    )  # fmt: skip
    yield row
    site.remove("oauth_entity", row)
    site.remove("oauth_entity", phone)


class Browser:
    """What a browser does: it keeps the cookie and sends forms with what is in them."""

    def __init__(self, site: Site, user: str = "ann") -> None:
        self.site = site
        form = {"user_name": user, "user_password": PASSWORD}
        answer = site.send("POST", "/login", data=form)
        self.cookie = {"Cookie": f"JSESSIONID={answer.cookies['JSESSIONID']}"}

    def ask(self, **changes: str) -> httpx.Response:
        asked = {name: value for name, value in {**ASK, **changes}.items() if value}
        return self.site.send("GET", AUTH, params=asked, headers=self.cookie)

    def answer(self, page: httpx.Response, answer: str, **changes: str) -> httpx.Response:
        fields = dict(re.findall(r'type=hidden name="([^"]*)" value="([^"]*)"', page.text))
        fields = {name: value.replace("&amp;", "&") for name, value in fields.items()}
        form = {**fields, "answer": answer, **changes}
        return self.site.send("POST", AUTH, data=form, headers=self.cookie)

    def code(self, **changes: str) -> str:
        back = self.answer(self.ask(**changes), "allow")
        assert back.status_code == 302, back.text
        return parse_qs(urlsplit(back.headers["location"]).query)["code"][0]


@pytest.fixture
def browser(site: Site, ann: str) -> Browser:
    return Browser(site)


def redeem(site: Site, code: str, **changes: str) -> httpx.Response:
    given = {"client_id": "web", "redirect_uri": BACK, "code": code, **changes}
    return site.token(grant_type="authorization_code", **given)


def test_consent_gives_a_code_and_the_code_tokens(site: Site, browser: Browser) -> None:
    page = browser.ask()
    assert page.status_code == 200
    assert "&lt;Web&gt;" in page.text
    assert "<Web>" not in page.text
    assert "form-action 'self' https://app.example.com;" in page.headers["content-security-policy"]
    assert page.headers["x-frame-options"] == "DENY"
    back = browser.answer(page, "allow")
    assert back.status_code == 302
    where = urlsplit(back.headers["location"])
    assert where._replace(query="").geturl() == "https://app.example.com/cb"
    query = dict(parse_qsl(where.query))
    assert set(query) == {"here", "code", "state", "iss"}
    assert (query["here"], query["state"]) == ("1", "a b&c")
    assert query["iss"] == "http://inst.example.com"
    got = redeem(site, query["code"])
    assert got.status_code == 200
    assert set(got.json()) == {"access_token", "refresh_token", "scope", "token_type", "expires_in"}
    assert site.status(got.json()["access_token"]) == 200
    refresh = {"grant_type": "refresh_token", "refresh_token": got.json()["refresh_token"]}
    assert site.token(client_id="web", **refresh).status_code == 200


def test_whoever_is_not_signed_in_signs_in_first(site: Site, ann: str) -> None:
    answer = site.send("GET", AUTH, params=ASK, headers={"Accept": "text/html"})
    assert answer.status_code == 303
    form = site.send("GET", answer.headers["location"])
    assert form.status_code == 200
    assert "form-action 'self' https://app.example.com;" in form.headers["content-security-policy"]
    to = re.search(r'name="to" value="([^"]*)"', form.text)
    assert to is not None
    fields = {"user_name": "ann", "user_password": PASSWORD, "to": to[1].replace("&amp;", "&")}
    signed = site.send("POST", "/login", data=fields)
    assert signed.status_code == 303
    where = urlsplit(signed.headers["location"])
    assert (where.path, dict(parse_qsl(where.query))) == (AUTH, ASK)


def test_deny_tells_the_client(browser: Browser) -> None:
    back = browser.answer(browser.ask(), "deny")
    query = dict(parse_qsl(urlsplit(back.headers["location"]).query))
    assert (query["error"], query["state"]) == ("access_denied", "a b&c")
    assert query["iss"] == "http://inst.example.com"
    assert "code" not in query


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "none"},
        {"client_id": ""},
        {"client_id": '"'},
        {"redirect_uri": "https://app.example.com/cb"},
        {"redirect_uri": BACK + "&more=1"},
        {"redirect_uri": "https://evil.example.com/"},
        {"redirect_uri": BACK.upper()},
        {"redirect_uri": 'https://"\\evil'},
        {"redirect_uri": ""},
        {"response_type": "token", "redirect_uri": "https://evil.example.com/"},
        {"response_type": '"'},
    ],
)
def test_nobody_is_sent_to_where_the_client_did_not_register(
    browser: Browser, changes: dict[str, str]
) -> None:
    answer = browser.ask(**changes)
    assert answer.status_code == 400
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "admin"}, "invalid_scope"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge": VERIFIER}, "invalid_request"),
        ({"code_challenge": VERIFIER, "code_challenge_method": "plain"}, "invalid_request"),
        ({"client_id": "phone", "redirect_uri": "com.example.app:/cb"}, "invalid_request"),
    ],
)
def test_what_else_is_wrong_the_client_is_told(
    browser: Browser, changes: dict[str, str], error: str
) -> None:
    answer = browser.ask(**changes)
    assert answer.status_code == 302, answer.text
    query = dict(parse_qsl(urlsplit(answer.headers["location"]).query))
    assert (query["error"], query["state"]) == (error, "a b&c")


def test_consent_needs_the_token_of_the_form(site: Site, browser: Browser) -> None:
    page = browser.ask()
    assert browser.answer(page, "allow", sysparm_ck="wrong").status_code == 401
    assert browser.answer(page, "allow", sysparm_ck="").status_code == 401
    forged = site.send(
        "POST", AUTH, data={**ASK, "answer": "allow"},
        headers={**browser.cookie, "Sec-Fetch-Site": "cross-site"},
    )  # fmt: skip
    assert forged.status_code == 403


def test_only_a_session_consents(site: Site, ann: str) -> None:
    """A token must not get another client's token, and Basic is sent by browsers themselves."""
    token = site.by_password()["access_token"]
    form = {**ASK, "answer": "allow"}
    assert site.send("POST", AUTH, data=form, headers=bearer(token)).status_code == 403
    assert site.send("POST", AUTH, data=form, user="ann").status_code == 403
    assert site.send("GET", AUTH, params=ASK, headers=bearer(token)).status_code == 303


def test_what_the_page_was_changed_to_is_checked_again(browser: Browser) -> None:
    page = browser.ask()
    changed = browser.answer(page, "allow", redirect_uri="https://evil.example.com/")
    assert changed.status_code == 400


def test_a_code_that_comes_again_ends_what_it_got(site: Site, browser: Browser) -> None:
    code = browser.code()
    first = redeem(site, code)
    access = first.json()["access_token"]
    assert site.status(access) == 200
    again = redeem(site, code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert site.status(access) == 401
    refresh = {"grant_type": "refresh_token", "refresh_token": first.json()["refresh_token"]}
    assert site.token(client_id="web", **refresh).status_code == 401


def test_of_two_exchanges_at_the_same_time_one_gets_through(
    site: Site, browser: Browser, ann: str, web: str
) -> None:
    """Both have seen the code alive; what the quicker one got ends."""
    tokens = Tokens(site.instance.records, site.clock, site.instance.ids)
    row = tokens.any(browser.code())
    client = tokens.client("web")
    assert row is not None
    assert client is not None
    rights = site.instance.holder.current().part(RIGHTS)
    actor = site.instance.identities.actor(ann, rights)
    grant = Grant(
        client=client, actor=actor, grant_type="authorization_code", code=row,
        family=row.get("family"),
    )  # fmt: skip

    def exchange(_: int) -> Any:
        try:
            return tokens.issue(grant)
        except CodeUsed:
            return None

    with ThreadPoolExecutor(4) as pool:
        got = [issued for issued in pool.map(exchange, range(4)) if issued is not None]
    assert len(got) == 1
    assert site.status(got[0].access_token) == 401


def test_a_code_lives_a_minute_and_fits_its_client_and_address(
    site: Site, browser: Browser
) -> None:
    code = browser.code()
    other = {"client_id": "other", "client_secret": "another secret"}
    for changes in ({"redirect_uri": "com.example.app:/cb"}, {"redirect_uri": ""}, other):
        answer = redeem(site, code, **changes)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert redeem(site, code, client_secret="wrong").status_code == 401
    assert redeem(site, "made up").status_code == 400
    assert redeem(site, "").status_code == 400
    site.clock.advance(timedelta(seconds=60))
    assert redeem(site, code).json()["error"] == "invalid_grant"


@pytest.mark.parametrize("change", [{"user_password": "another horse"}, {"locked_out": "true"}])
def test_a_code_ends_with_the_password_or_the_lock(
    site: Site, browser: Browser, ann: str, change: dict[str, str]
) -> None:
    code = browser.code()
    site.change("sys_user", ann, **change)
    assert redeem(site, code).json()["error"] == "invalid_grant"


def test_the_verifier_has_to_fit(site: Site, browser: Browser) -> None:
    code = browser.code(**PROOF)
    missing = redeem(site, code)
    assert missing.json()["error"] == "invalid_request"
    wrong = redeem(site, code, code_verifier="w" * 43)
    assert wrong.json()["error"] == "invalid_grant"
    assert redeem(site, code, code_verifier=VERIFIER).status_code == 200
    unasked = redeem(site, browser.code(), code_verifier=VERIFIER)
    assert unasked.json()["error"] == "invalid_request"


def test_a_public_client_proves_itself_by_the_verifier(site: Site, browser: Browser) -> None:
    back = {"client_id": "phone", "redirect_uri": "com.example.app:/cb"}
    code = browser.code(**back, **PROOF)
    form = {**back, "client_secret": ""}
    assert redeem(site, code, **form).json()["error"] == "invalid_request"
    assert redeem(site, code, **form, code_verifier=VERIFIER).status_code == 200


def test_a_plain_challenge_counts_where_the_row_says_so(
    site: Site, browser: Browser, web: str
) -> None:
    site.change("oauth_entity", web, code_challenge_method="plain")
    code = browser.code(code_challenge=VERIFIER, code_challenge_method="plain")
    assert redeem(site, code, code_verifier=VERIFIER).status_code == 200


def test_a_trusted_client_is_not_asked_about(site: Site, browser: Browser, web: str) -> None:
    site.change("oauth_entity", web, skip_authorize="true")
    back = browser.ask()
    assert back.status_code == 302
    assert "code" in parse_qs(urlsplit(back.headers["location"]).query)


def test_one_address_needs_not_be_named(site: Site, browser: Browser, web: str) -> None:
    site.change("oauth_entity", web, redirect_url=BACK)
    back = browser.answer(browser.ask(redirect_uri=""), "allow")
    code = parse_qs(urlsplit(back.headers["location"]).query)["code"][0]
    assert redeem(site, code, redirect_uri="").status_code == 200


def test_the_database_holds_no_code(site: Site, browser: Browser) -> None:
    code = browser.code()
    assert code not in repr([row.values for row in site.rows("oauth_credential")])
