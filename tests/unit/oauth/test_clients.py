"""A well-known OAuth client library against a served instance, over a socket."""

from __future__ import annotations

import importlib
import re
import socket
import threading
import warnings
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
from authlib.integrations.base_client import OAuthError
from tests.guard import GUARD

from .conftest import PASSWORD, SECRET, WHO, Site


@pytest.fixture(scope="module")
def address(site: Site) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(site.app, log_config=None, ws="none", lifespan="off"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listener.close()


def library(client_id: str, secret: str, **more: Any) -> Any:
    """Return a client of Authlib; its module for httpx warns of a successor that is not out."""
    importlib.import_module("authlib.deprecate")  # sets a filter for its warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = importlib.import_module("authlib.integrations.httpx_client")
    return module.OAuth2Client(client_id, secret, timeout=GUARD, **more)


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_password_refresh_and_revocation(address: str, ann: str, method: str) -> None:
    token_url = f"{address}/oauth_token.do"
    with library(
        "app", SECRET, token_endpoint_auth_method=method, revocation_endpoint_auth_method=method
    ) as client:
        token = client.fetch_token(token_url, username="ann", password=PASSWORD)
        assert token["token_type"] == "Bearer"
        assert client.get(address + WHO).json() == {"result": [{"user_name": "ann"}]}
        fresh = client.refresh_token(token_url)
        assert fresh["refresh_token"] == token["refresh_token"]
        revoke = f"{address}/oauth_revoke_token.do"
        assert client.revoke_token(revoke, token=fresh["access_token"]).status_code == 200
        assert client.get(address + WHO).status_code == 401


def test_authorization_code_with_pkce(site: Site, address: str, ann: str) -> None:
    back = "https://app.example.com/cb"
    row = site.add(
        "oauth_entity", name="Web", client_id="web", client_secret=SECRET, redirect_url=back
    )
    more = {"redirect_uri": back, "code_challenge_method": "S256"}
    with library("web", SECRET, **more) as client, httpx.Client(timeout=GUARD) as browser:
        verifier = "v" * 48
        url, state = client.create_authorization_url(
            f"{address}/oauth_auth.do", code_verifier=verifier
        )
        login = {"user_name": "ann", "user_password": PASSWORD}
        assert browser.post(f"{address}/login", data=login).status_code == 303
        page = browser.get(url)
        form = dict(re.findall(r'type=hidden name="([^"]*)" value="([^"]*)"', page.text))
        sent = browser.post(f"{address}/oauth_auth.do", data={**form, "answer": "allow"})
        token = client.fetch_token(
            f"{address}/oauth_token.do", authorization_response=sent.headers["location"],
            state=state, code_verifier=verifier,
        )  # fmt: skip
        assert token["expires_in"] == 1799
        assert client.get(address + WHO).json() == {"result": [{"user_name": "ann"}]}
    site.remove("oauth_entity", row)


def test_errors_reach_the_library_as_its_own(address: str, ann: str) -> None:
    url = f"{address}/oauth_token.do"
    with library("app", SECRET) as client, pytest.raises(OAuthError, match="access_denied"):
        client.fetch_token(url, username="ann", password="wrong")
    with library("app", "wrong") as client, pytest.raises(OAuthError, match="invalid_client"):
        client.fetch_token(url, grant_type="client_credentials")


def test_the_address_is_not_asked_for_its_scheme(address: str) -> None:
    assert urlsplit(address).scheme == "http"
    answer = httpx.post(f"{address}/oauth_token.do", data={"grant_type": "x"}, timeout=GUARD)
    assert answer.json()["error"] == "unsupported_grant_type"
