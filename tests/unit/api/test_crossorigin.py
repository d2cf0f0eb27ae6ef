"""CORS rules as records: live with the commit, for scripted services and for pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from midspan.kernel.errors import OperationAborted
from midspan.records import delete, insert, update
from midspan.security import SYSTEM

from .conftest import Site

APP = "https://app.example.com"
PATH = "/api/now/table/incident?sysparm_limit=1"


def write(site: Site, *changes: Any) -> list[str]:
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        return [records.apply(change).sys_id for change in changes]


@pytest.fixture
def made(site: Site) -> Iterator[list[tuple[str, str]]]:
    """Records to take away after the test: tables and ids."""
    rows: list[tuple[str, str]] = []
    yield rows
    write(site, *(delete(table, sys_id) for table, sys_id in reversed(rows)))


def rule(site: Site, made: list[tuple[str, str]], **values: str) -> str:
    given = {"name": "x", "domain": APP, "rest_api": "now/table", "get": "true", **values}
    sys_id = write(site, insert("sys_cors_rule", given))[0]
    made.append(("sys_cors_rule", sys_id))
    return sys_id


def allowed(site: Site, path: str = PATH, **headers: str) -> str | None:
    answer = site.send("GET", path, user="admin", headers={"Origin": APP, **headers})
    given: str | None = answer.headers.get("access-control-allow-origin")
    return given


def test_a_rule_counts_from_its_commit_to_its_end(site: Site, made: list[tuple[str, str]]) -> None:
    assert allowed(site) is None
    sys_id = rule(site, made)
    assert allowed(site) == APP
    write(site, update("sys_cors_rule", sys_id, {"domain": "https://other.example.com"}))
    assert allowed(site) is None
    assert allowed(site, Origin="https://other.example.com") == "https://other.example.com"


def test_a_scripted_service_is_named_by_its_id(site: Site, made: list[tuple[str, str]]) -> None:
    service = {"name": "Orders", "service_id": "orders", "namespace": "x_shop"}
    service["base_uri"] = "/api/x_shop/orders"
    sys_id = write(site, insert("sys_ws_definition", service))[0]
    made.append(("sys_ws_definition", sys_id))
    rule(site, made, rest_api=sys_id)
    assert allowed(site, "/api/x_shop/v1/orders/7") == APP
    assert allowed(site, "/api/x_shop/ordersother/7") is None
    write(site, update("sys_ws_definition", sys_id, {"base_uri": "/api/x_shop/moved"}))
    assert allowed(site, "/api/x_shop/moved/7") == APP


def test_a_page_gets_a_token(site: Site, made: list[tuple[str, str]]) -> None:
    rule(
        site, made, use_resource_path="true", resource_path="/oauth_token.do",
        rest_api="", get="false", post="true",
    )  # fmt: skip
    answer = site.send("POST", "/oauth_token.do", data={}, headers={"Origin": APP})
    assert answer.status_code == 400
    assert answer.headers["access-control-allow-origin"] == APP


def test_no_rule_lets_another_site_sign_somebody_in(
    site: Site, made: list[tuple[str, str]]
) -> None:
    rule(
        site, made, use_resource_path="true", resource_path="/login", rest_api="", post="true",
        access_control_allow_credentials="true",
    )  # fmt: skip
    form = {"user_name": "admin", "user_password": "correct horse"}
    headers = {"Origin": APP, "Sec-Fetch-Site": "cross-site"}
    assert site.send("POST", "/login", data=form, headers=headers).status_code == 403


def test_a_cookie_still_needs_its_token(site: Site, made: list[tuple[str, str]]) -> None:
    rule(site, made, post="true", access_control_allow_credentials="true")
    cookie = site.send("GET", PATH, user="admin").headers["set-cookie"].partition(";")[0]
    headers = {"Origin": APP, "Sec-Fetch-Site": "same-site", "Cookie": cookie}
    answer = site.send("POST", "/api/now/table/incident", headers=headers, json={})
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-credentials"] == "true"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"get": "false"}, "Set at least one of get"),
        ({"rest_api": ""}, "rest_api: there is no API ''"),
        ({"rest_api": "f" * 32}, "there is no API"),
        ({"use_resource_path": "true"}, "resource_path: give the path"),
    ],
)
def test_a_rule_about_nothing_is_refused(site: Site, values: dict[str, str], told: str) -> None:
    given = {"name": "x", "domain": APP, "rest_api": "now/table", "get": "true", **values}
    with pytest.raises(OperationAborted) as refused:
        write(site, insert("sys_cors_rule", given))
    assert told in (refused.value.detail or "")
