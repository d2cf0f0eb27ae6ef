"""Tokens for passwords, clients and refresh tokens: what they are good for, and what ends them."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from .conftest import ADMIN, ADMINISTRATORS, PASSWORD, SECRET, WHO, Site, bearer

DENIED = {"error_description": "access_denied", "error": "access_denied"}
NO_CLIENT = {"error_description": "access_denied", "error": "invalid_client"}


def test_a_password_gets_tokens(site: Site, ann: str) -> None:
    answer = site.token(grant_type="password", username="ann", password=PASSWORD)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json;charset=utf-8"
    assert "no-store" in answer.headers["cache-control"]
    assert "set-cookie" not in answer.headers
    body = answer.json()
    assert set(body) == {"access_token", "refresh_token", "scope", "token_type", "expires_in"}
    assert (body["scope"], body["token_type"]) == ("useraccount", "Bearer")
    assert body["expires_in"] == 1799
    assert len(body["access_token"]) == len(body["refresh_token"]) == 86
    seen = site.send("GET", WHO, headers=bearer(body["access_token"]))
    assert seen.json() == {"result": [{"user_name": "ann"}]}
    assert "set-cookie" not in seen.headers, "a session would outlive the token"


def test_asking_again_gets_the_same_tokens_for_a_shorter_time(site: Site, ann: str) -> None:
    first = site.by_password()
    site.clock.advance(timedelta(seconds=100))
    again = site.by_password()
    assert again == {**first, "expires_in": 1699}
    site.clock.advance(timedelta(seconds=1700))
    assert site.status(first["access_token"]) == 401
    later = site.by_password()
    assert later["access_token"] != first["access_token"]
    assert later["expires_in"] == 1799


def test_a_refresh_token_gets_an_access_token(site: Site, ann: str) -> None:
    first = site.by_password()
    site.clock.advance(timedelta(seconds=1801))
    answer = site.token(grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert answer.status_code == 200
    second = answer.json()
    assert second["refresh_token"] == first["refresh_token"]
    assert second["access_token"] != first["access_token"]
    assert (site.status(first["access_token"]), site.status(second["access_token"])) == (401, 200)
    again = site.token(grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert again.json()["access_token"] == second["access_token"]


def test_lifespans_are_those_of_the_row(site: Site, ann: str) -> None:
    row = site.add(
        "oauth_entity", name="brief", client_id="brief", client_secret=SECRET,
        access_token_lifespan="60", refresh_token_lifespan="120",
    )  # fmt: skip
    first = site.by_password(client_id="brief")
    assert first["expires_in"] == 59
    site.clock.advance(timedelta(seconds=119))
    refresh = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    assert site.token(client_id="brief", **refresh).status_code == 200
    site.clock.advance(timedelta(seconds=1))
    late = site.token(client_id="brief", **refresh)
    assert (late.status_code, late.json()) == (401, DENIED)
    site.remove("oauth_entity", row)


def test_a_client_acts_as_the_user_of_its_row(site: Site, ann: str) -> None:
    assert site.token(grant_type="client_credentials").json() == DENIED, "the row names nobody"
    row = site.add(
        "oauth_entity", name="robot", client_id="robot", client_secret=SECRET, user=ann
    )  # fmt: skip
    answer = site.token(grant_type="client_credentials", client_id="robot")
    assert set(answer.json()) == {"access_token", "scope", "token_type", "expires_in"}
    token = answer.json()["access_token"]
    assert site.status(token) == 200
    assert site.status(token, ADMINISTRATORS) == 403
    name = "glide.oauth.inbound.client.credential.grant_type.enabled"
    shut = site.add("sys_properties", name=name, value="false")
    assert site.token(grant_type="client_credentials", client_id="robot").json() == DENIED
    site.remove("sys_properties", shut)
    site.remove("oauth_entity", row)
    assert site.status(token) == 401, "the client is gone"


def test_a_client_may_name_itself_in_the_header(site: Site, ann: str) -> None:
    form = {"grant_type": "password", "username": "ann", "password": PASSWORD}
    answer = site.send("POST", "/oauth_token.do", data=form, auth=("app", SECRET))
    assert answer.status_code == 200
    wrong = site.send("POST", "/oauth_token.do", data=form, auth=("app", "wrong"))
    assert (wrong.status_code, wrong.json()) == (401, NO_CLIENT)


@pytest.mark.parametrize(
    ("given", "status", "body"),
    [
        ({"username": "ann", "password": "wrong"}, 401, DENIED),
        ({"username": "nobody", "password": PASSWORD}, 401, DENIED),
        ({"username": "a\0nn", "password": PASSWORD}, 401, DENIED),
        ({"scope": "useraccount admin"}, 401, DENIED),
        ({"client_secret": "wrong"}, 401, NO_CLIENT),
        ({"client_secret": ""}, 401, NO_CLIENT),
        ({"client_id": "none"}, 401, NO_CLIENT),
        ({"client_id": "APP"}, 401, NO_CLIENT),
        ({"client_id": "a\0pp"}, 400, None),
        ({"client_id": ""}, 401, NO_CLIENT),
        ({"grant_type": "magic"}, 400, None),
        ({"grant_type": '"\\\n'}, 400, None),
        ({"grant_type": ""}, 400, None),
        ({"username": ""}, 400, None),
        ({"grant_type": "refresh_token", "refresh_token": "made up"}, 401, DENIED),
        ({"grant_type": "refresh_token"}, 400, None),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_the_same_words(
    site: Site, ann: str, given: dict[str, str], status: int, body: Any
) -> None:
    answer = site.token(
        **{"grant_type": "password", "username": "ann", "password": PASSWORD, **given}
    )
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error", "error_description"}
    if body is not None:
        assert answer.json() == body
    elif given.get("grant_type") in ("magic", ""):
        assert answer.json()["error"] == "unsupported_grant_type"
    else:
        assert answer.json()["error"] == "invalid_request"


def test_bodies_that_are_no_form_are_refused(site: Site, ann: str) -> None:
    form = {"grant_type": "password", "client_id": "app", "client_secret": SECRET}
    twice = "grant_type=password&grant_type=password"
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    for more in ({"json": form}, {"content": twice, "headers": kind}, {"content": b"\xff=1", "headers": kind}):  # fmt: skip  # noqa: E501
        answer = site.send("POST", "/oauth_token.do", **more)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert site.send("POST", "/oauth_token.do", params=form).status_code == 400
    for header in ("Basic /w==", "Basic ", "\xa0 \xa0", "Basic " + "A" * 9):
        headers = {"Authorization": header.encode("latin-1")}
        answer = site.send(
            "POST", "/oauth_token.do", data={"grant_type": "password"}, headers=headers
        )
        assert (answer.status_code, answer.json()) == (401, NO_CLIENT)


def test_parameters_in_the_address_are_read_where_a_property_says_so(site: Site, ann: str) -> None:
    given = {
        "grant_type": "password", "client_id": "app", "client_secret": SECRET,
        "username": "ann", "password": PASSWORD,
    }  # fmt: skip
    name = "glide.oauth.allow.parameters.in.post.body.only"
    row = site.add("sys_properties", name=name, value="false")
    assert site.send("POST", "/oauth_token.do", params=given).status_code == 200
    site.remove("sys_properties", row)


def test_the_other_wording_is_behind_a_property(site: Site) -> None:
    row = site.add("sys_properties", name="midspan.oauth.errors", value="server_error")
    body = {"error_description": "access_denied", "error": "server_error"}
    assert site.token(grant_type="password", username="x", password="y").json() == body
    assert site.token(grant_type="password", client_secret="wrong").json() == body
    site.remove("sys_properties", row)


@pytest.mark.parametrize("end", [
    lambda site, ann: site.change("sys_user", ann, user_password="another horse"),
    lambda site, ann: site.change("sys_user", ann, locked_out="true"),
    lambda site, ann: site.change("sys_user", ann, active="false"),
])  # fmt: skip
def test_a_new_password_or_a_lock_ends_tokens_for_good(
    site: Site, ann: str, end: Callable[[Site, str], None]
) -> None:
    tokens = site.by_password()
    assert site.status(tokens["access_token"]) == 200
    end(site, ann)
    assert site.status(tokens["access_token"]) == 401
    site.change("sys_user", ann, locked_out="false", active="true")
    assert site.status(tokens["access_token"]) == 401, "it does not come back with the user"
    refused = site.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert (refused.status_code, refused.json()) == (401, DENIED)


def test_roles_are_those_of_now(site: Site, ann: str) -> None:
    token = site.by_password()["access_token"]
    assert site.status(token, ADMINISTRATORS) == 403
    role = site.rows("sys_user_role", "name=admin")[0].sys_id
    grant = site.add("sys_user_has_role", user=ann, role=role, state="active")
    assert site.status(token, ADMINISTRATORS) == 200
    site.remove("sys_user_has_role", grant)
    assert site.status(token, ADMINISTRATORS) == 403


def test_a_token_ends_when_it_is_revoked(site: Site, ann: str) -> None:
    tokens = site.by_password()
    revoke = "/oauth_revoke_token.do"
    assert site.send("GET", revoke, params={"token": tokens["access_token"]}).status_code == 200
    assert site.status(tokens["access_token"]) == 401
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    second = site.token(**refresh).json()
    assert site.status(second["access_token"]) == 200
    form = {"token": tokens["refresh_token"]}
    answer = site.send("POST", revoke, data=form, auth=("app", SECRET))
    assert answer.status_code == 200
    assert site.status(second["access_token"]) == 401, "the family ends with its refresh token"
    assert site.token(**refresh).json() == DENIED
    assert site.send("POST", revoke, data={"token": "made up"}).status_code == 200
    assert site.send("POST", revoke, data={"token": ""}).status_code == 200
    assert site.send("POST", revoke).status_code == 400


def test_a_token_of_another_client_is_refused(site: Site, ann: str) -> None:
    tokens = site.by_password()
    other = {"client_id": "other", "client_secret": "another secret"}
    used = site.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"], **other)
    assert (used.status_code, used.json()) == (401, DENIED)
    ended = site.send("POST", "/oauth_revoke_token.do", data={"token": tokens["access_token"], **other})  # fmt: skip  # noqa: E501
    assert ended.status_code == 400
    wrong = site.send("POST", "/oauth_revoke_token.do", data={"token": tokens["access_token"], **other, "client_secret": "x"})  # fmt: skip  # noqa: E501
    assert (wrong.status_code, wrong.json()) == (401, NO_CLIENT)
    assert site.status(tokens["access_token"]) == 200
    refresh = tokens["refresh_token"]
    assert site.status(refresh) == 401, "a refresh token is no access token"
    assert site.token(grant_type="refresh_token", refresh_token=tokens["access_token"]).json() == DENIED  # fmt: skip  # noqa: E501


def test_only_active_clients_of_this_instance_count(site: Site, ann: str) -> None:
    row = site.add("oauth_entity", name="shut", client_id="shut", client_secret=SECRET)
    token = site.by_password(client_id="shut")["access_token"]
    for change in ({"active": "false"}, {"active": "true", "type": "provider"}):
        site.change("oauth_entity", row, **change)
        answer = site.token(
            client_id="shut", grant_type="password", username="ann", password=PASSWORD
        )
        assert (answer.status_code, answer.json()) == (401, NO_CLIENT)
        assert site.status(token) == 401
    site.remove("oauth_entity", row)


def test_a_public_client_needs_no_secret_and_gets_nothing_for_itself(site: Site, ann: str) -> None:
    row = site.add("oauth_entity", name="phone", client_id="phone", public_client="true", user=ann)
    form = {"client_id": "phone", "client_secret": ""}
    assert site.token(grant_type="password", username="ann", password=PASSWORD, **form).is_success
    assert site.token(grant_type="client_credentials", **form).json() == DENIED
    site.remove("oauth_entity", row)


def test_clients_are_made_through_the_table_api_and_never_show_their_secret(site: Site) -> None:
    values = {"name": "New", "client_id": "new-id", "client_secret": "new secret"}
    path = "/api/now/table/oauth_entity"
    made = site.send("POST", path, user="admin", json=values)
    assert made.status_code == 201
    sys_id = made.json()["result"]["sys_id"]
    for query in ("", "?sysparm_display_value=true", "?sysparm_display_value=all"):
        shown = site.send("GET", f"{path}/{sys_id}{query}", user="admin").text
        assert "new secret" not in made.text + shown
    found = site.rows("oauth_entity", f"sys_id={sys_id}")[0]
    assert found.get("client_secret").startswith("v1:"), "sealed at rest"
    asked = {"client_id": "new-id", "client_secret": "new secret", "username": "admin"}
    assert site.token(grant_type="password", password=PASSWORD, **asked).is_success
    site.remove("oauth_entity", sys_id)


def test_an_oauth_administrator_cannot_become_the_user_of_a_client(site: Site, ann: str) -> None:
    """Setting its secret would be enough, so a client that acts as somebody is not his."""
    role = site.rows("sys_user_role", "name=oauth_admin")[0].sys_id
    site.add("sys_user_has_role", user=ann, role=role, state="active")
    strong = site.add("oauth_entity", name="strong", client_id="strong", user=ADMIN)
    path = f"/api/now/table/oauth_entity/{strong}"
    change = {"client_secret": "known to ann"}
    assert site.send("PATCH", path, user="ann", json=change).status_code == 403
    assert site.token(grant_type="client_credentials", client_id="strong", client_secret="known to ann").json() == NO_CLIENT  # fmt: skip  # noqa: E501
    given = {"name": "x", "client_id": "x", "client_secret": "y"}
    made = site.send(
        "POST", "/api/now/table/oauth_entity", user="ann",
        json={**given, "skip_authorize": "true", "user": ADMIN},
    )  # fmt: skip
    plain = made.json()["result"]["sys_id"]
    stored = site.rows("oauth_entity", f"sys_id={plain}")[0]
    assert stored.get("user") == "", "the user is the administrator's to set"
    assert stored.get("skip_authorize") != "true", "and so is who need not ask"
    path = f"/api/now/table/oauth_entity/{plain}"
    assert site.send("PATCH", path, user="ann", json=change).status_code == 200
    site.change("oauth_entity", plain, skip_authorize="true")
    leak = {"redirect_url": "https://ann.example.com/"}
    assert site.send("PATCH", path, user="ann", json=leak).status_code == 403
    for row in (strong, plain):
        site.remove("oauth_entity", row)


def test_the_database_holds_no_token(site: Site, ann: str) -> None:
    tokens = site.by_password()
    rows = site.rows("oauth_credential", f"user={ann}")
    assert {row.get("type") for row in rows} == {"access_token", "refresh_token"}
    everything = repr([row.values for row in [*rows, *site.rows("sys_token")]])
    assert tokens["access_token"] not in everything
    assert tokens["refresh_token"] not in everything
    assert site.send("GET", "/api/now/table/oauth_credential", user="admin").status_code == 403


def test_another_node_hands_out_and_accepts_the_same_tokens(site: Site, ann: str) -> None:
    """Two applications over one database share the key and the rows, and nothing else."""
    from midspan.api import create_app  # noqa: PLC0415

    app = create_app(site.instance.api_parts())
    other = Site(site.instance, app, site._runner)
    tokens = site.by_password()
    assert other.by_password() == tokens
    assert other.status(tokens["access_token"]) == 200
    site.send("POST", "/oauth_revoke_token.do", data={"token": tokens["access_token"]})
    assert other.status(tokens["access_token"]) == 401
    app.close()
    app.close()


def test_old_rows_go_away(site: Site, ann: str) -> None:
    for _ in range(3):
        site.by_password()
        site.clock.advance(timedelta(days=2))
    site.by_password()
    kinds = [row.get("type") for row in site.rows("oauth_credential", f"user={ann}")]
    assert kinds.count("access_token") <= 2


def test_a_token_in_the_address_counts_only_where_a_property_says_so(site: Site, ann: str) -> None:
    token = site.by_password()["access_token"]
    path = f"{WHO}&access_token={token}"
    assert site.send("GET", path).status_code == 401
    name = "midspan.oauth.access_token_in_query"
    row = site.add("sys_properties", name=name, value="true")
    assert site.send("GET", path).status_code == 200
    assert site.send("GET", f"{WHO}&access_token=wrong").status_code == 401
    site.remove("sys_properties", row)


def test_writes_by_token_need_no_csrf_token(site: Site, ann: str) -> None:
    token = site.by_password(user="admin")["access_token"]
    answer = site.send(
        "POST", "/api/now/table/incident", headers=bearer(token), json={"urgency": "1"}
    )
    assert answer.status_code == 201
    assert answer.json()["result"]["sys_created_by"] == "admin"
    site.remove("incident", answer.json()["result"]["sys_id"])


@pytest.mark.parametrize("token", ["", "x", "é", "a b", "=" * 5000])
def test_no_other_bearer_gets_in(site: Site, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}".encode()}
    answer = site.send("GET", WHO, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'BASIC realm="Service-now"'
    assert answer.json()["error"]["message"] == "User Not Authenticated"


def test_secrets_are_never_logged(site: Site, ann: str, caplog: Any) -> None:
    from midspan.kernel.telemetry import JsonFormatter  # noqa: PLC0415

    pair = base64.b64encode(f"app:{SECRET}".encode()).decode()
    with caplog.at_level(logging.DEBUG, logger="midspan"), caplog.at_level(logging.INFO):
        tokens = site.by_password()
        site.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
        site.token(grant_type="password", username="ann", password="a wrong one")
        site.status(tokens["refresh_token"])
        site.send("GET", "/oauth_revoke_token.do", params={"token": tokens["access_token"]})
    lines = "".join(JsonFormatter().format(record) for record in caplog.records)
    assert lines
    for secret in (SECRET, PASSWORD, pair, "a wrong one", *map(str, list(tokens.values())[:2])):
        assert secret not in lines
