"""CORS rules: which domain counts, which rule decides, what could never work."""

from __future__ import annotations

import doctest

import pytest

from midspan.security import OriginRule, OriginRules, endpoint, endpoints, origins
from midspan.security.origins import problem

APP = "https://app.example.com"


def rule(number: int = 1, **more: object) -> OriginRule:
    given = {"domain": APP, "api": "now/table", "methods": frozenset({"GET"}), **more}
    return OriginRule(sys_id=str(number), **given)  # type: ignore[arg-type]


def found(rules: list[OriginRule], path: str, *, origin: str = APP, method: str = "GET") -> str:
    known = OriginRules(rules).find(origin, {method}, endpoint(method, path))
    return known.sys_id if known else ""


@pytest.mark.parametrize("module", [endpoints, origins])
def test_examples(module: object) -> None:
    tried = doctest.testmod(module)  # type: ignore[arg-type]
    assert tried.attempted
    assert not tried.failed


@pytest.mark.parametrize(
    "domain",
    ["http://*.ms.net", "https://*.com.au", "http://192.168.1.1", "http://*.com",
     "HTTPS://A.Example.com",
     "http://localhost:3000", "https://[2001:db8::1]:8443"],
)  # fmt: skip
def test_domains_that_can_be_meant(domain: str) -> None:
    assert problem(domain, credentials=False) is None


@pytest.mark.parametrize(
    "domain",
    ["", "*", "*.*", "https://*", "https://*com", "http://*..com", "http://192.168.1.*",
     "http://*.168.1.126",
     "http://blog.*.service-now.com", "https://*.*.com", "app.example.com", "ftp://app.example.com",
     "null",
     "https://app.example.com/", "https://app.example.com/path", "https://user@app.example.com",
     "https://app.example.com\n", "https://a.example.com,https://b.example.com"],
)  # fmt: skip
def test_domains_that_cannot(domain: str) -> None:
    assert problem(domain, credentials=False) is not None


def test_a_pattern_never_comes_with_credentials_however_it_was_stored() -> None:
    wild = rule(domain="https://*.example.com", credentials=True)
    assert not wild.with_credentials
    assert rule(credentials=True).with_credentials


@pytest.mark.parametrize(
    "origin",
    ["https://evilexample.com", "https://.example.com", "https://evil.com/.example.com",
     "https://a b.example.com",
     "https://evil.com#.example.com", "https://a.example.com.evil.com", "https://user:x@a.example.com"],
)  # fmt: skip
def test_a_pattern_is_not_talked_round(origin: str) -> None:
    assert not rule(domain="https://*.example.com").admits(origin)


def test_the_best_domain_decides_then_the_api_that_says_most() -> None:
    rules = [
        rule(1, domain="https://*.example.com"),
        rule(2, methods=frozenset({"POST"})),
        rule(3, api="now/table/incident", methods=frozenset({"PATCH"})),
    ]
    assert found(rules, "/api/now/table/task", method="POST") == "2"
    assert found(rules, "/api/now/table/task") == ""  # rule 1 is not asked
    assert found(rules, "/api/now/table/task", origin="https://b.example.com") == "1"
    assert found(rules, "/api/now/v1/table/incident/1", method="PATCH") == "3"
    assert found(rules, "/api/now/table/incident", method="POST") == ""  # nor is rule 2


def test_rules_for_the_same_place_add_up() -> None:
    rules = [rule(1), rule(2, methods=frozenset({"POST"}))]
    assert found(rules, "/api/now/table/task") == "1"
    assert found(rules, "/api/now/table/task", method="POST") == "2"


def test_a_path_outside_the_apis_is_meant_exactly() -> None:
    rules = [rule(api="", resource="/oauth_token.do")]
    assert found(rules, "/oauth_token.do") == "1"
    assert found(rules, "/oauth_token.do/x") == ""
    assert found(rules, "/api/oauth_token.do") == ""
