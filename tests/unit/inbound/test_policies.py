"""API access policies: which one decides, what lets a sender through, and no way around them."""

from __future__ import annotations

import doctest
from typing import Any

import pytest

from midspan.kernel.errors import OperationAborted
from midspan.security import AccessPolicies, Actor, Sender, endpoint, policies
from midspan.security.policies import AccessPolicy, Condition, Criteria, Profile, address_ranges

from .conftest import ADMIN, PASSWORD, Made, Site

WHO = "/api/now/table/sys_user?sysparm_fields=user_name&sysparm_query=user_name=ann"
BASIC, OAUTH = Profile("basic"), Profile("oauth")
ANN = Actor(
    sys_id="a" * 32, user_name="ann", roles=frozenset({"itil"}), groups=frozenset({"g" * 32})
)
REFUSED = {
    "error": {
        "message": "User Not Authenticated",
        "detail": "Required to provide Auth information",
    },
    "status": "failure",
}


def test_examples() -> None:
    assert not doctest.testmod(policies).failed


def policy(sys_id: str, *profiles: Profile, **more: object) -> AccessPolicy:
    given = {"api": "now/table", **more}
    return AccessPolicy(sys_id=sys_id, profiles=profiles or (OAUTH,), **given)  # type: ignore[arg-type]


def sender(kind: str = "basic", address: str = "192.0.2.7", client: str = "") -> Sender:
    return Sender(ANN, address, kind, client)


def decides(policies: list[AccessPolicy], path: str, method: str = "GET") -> str:
    found = AccessPolicies(policies)._deciding(endpoint(method, path))
    return "".join(each.sys_id for each in found)


def test_the_policy_that_says_most_decides_in_the_order_of_the_vendor() -> None:
    resource = "now/table/{tableName}"
    ordered = [
        policy("1", method="GET", resource=resource, version="v2"),
        policy("2", method="GET", resource=resource),
        policy("3", resource=resource, version="v2"),
        policy("4", resource=resource),
        policy("5", method="GET", version="v2"),
        policy("6", method="GET"),
        policy("7", version="v2"),
        policy("8"),
        policy("9", api="", method="GET"),
        policy("a", api=""),
    ]
    for place, each in enumerate(ordered):
        weaker = ordered[place:]
        assert decides(weaker[::-1], "/api/now/v2/table/incident") == each.sys_id
        assert decides(weaker[::-1], "/api/now/table/incident") == each.sys_id, "the newest is v2"
    assert decides(ordered, "/api/now/v1/table/incident", "DELETE") == "4"
    assert decides(ordered, "/api/now/stats/incident", "POST") == "a"
    assert decides(ordered, "/login") == ""


def test_a_policy_for_a_table_decides_before_one_for_all_of_them() -> None:
    both = [policy("1"), policy("2", tables=frozenset({"incident"}))]
    assert decides(both, "/api/now/table/incident/1") == "2"
    assert decides(both, "/api/now/table/problem") == "1"


def test_equal_policies_add_up() -> None:
    both = AccessPolicies([policy("1", OAUTH), policy("2", BASIC)])
    wanted = endpoint("GET", "/api/now/table/x")
    assert both.permit(wanted, sender("oauth"))
    assert both.permit(wanted, sender("basic"))
    assert not both.permit(wanted, sender("apikey"))


@pytest.mark.parametrize(
    ("criteria", "fits"),
    [
        (Criteria(), False),
        (Criteria(ranges=address_ranges("192.0.2.0/28")), True),
        (Criteria(ranges=address_ranges("192.0.2.8-192.0.2.9,2001:db8::/32")), False),
        (Criteria(roles=frozenset({"itil"})), True),
        (Criteria(roles=frozenset({"admin"})), False),
        (Criteria(groups=frozenset({"g" * 32})), True),
        (Criteria(groups=frozenset({"h" * 32})), False),
    ],
)
def test_criteria(criteria: Criteria, fits: bool) -> None:
    assert criteria.fit(sender()) is fits
    assert Condition((criteria,)).holds(sender()) is fits
    assert Condition((), (criteria,)).holds(sender()) is not fits


@pytest.mark.parametrize("address", ["::ffff:192.0.2.7", "192.0.2.7"])
def test_an_address_counts_in_each_of_its_spellings(address: str) -> None:
    assert Criteria(ranges=address_ranges("192.0.2.7")).fit(sender(address=address))


@pytest.mark.parametrize("address", ["", "unknown", "::1%eth0", "2001:db8::7", "192.0.2.8"])
def test_an_address_that_is_another_or_none_does_not_fit(address: str) -> None:
    assert not Criteria(ranges=address_ranges("192.0.2.7")).fit(sender(address=address))


def test_all_policies_of_a_profile_have_to_hold_and_one_without_conditions_never_does() -> None:
    here = Condition((Criteria(ranges=address_ranges("192.0.2.7")),))
    staff = Condition((Criteria(roles=frozenset({"admin"})),))
    assert Profile("basic", "", ((here, staff),)).fits(sender())
    assert not Profile("basic", "", ((here,), (staff,))).fits(sender())
    assert not Profile("basic", "", ((),)).fits(sender())
    assert not Profile("basic", "", ((Condition(),),)).fits(sender())
    assert not Profile("").fits(sender(""))
    assert Profile("oauth", "c").fits(sender("oauth", client="c"))
    assert not Profile("oauth", "c").fits(sender("oauth", client="d"))


class Rules:
    """Writes policies with all that belongs to them."""

    def __init__(self, made: Made) -> None:
        self.made = made

    def policy(self, *profiles: str, **values: str) -> str:
        given = {"name": "x", "api_path": "now/table", **values}
        sys_id = self.made.add("sys_api_access_policy", given)
        for profile in profiles:
            self.made(
                "sys_auth_profile_mapping", api_access_policy=sys_id, inbound_auth_profile=profile
            )
        return sys_id

    def profile(self, kind: str, *policies: str, **values: str) -> str:
        table = "http_key_auth" if kind == "apikey" else "std_http_auth"
        given = {"name": kind, **({} if kind == "apikey" else {"type": kind}), **values}
        sys_id = self.made.add(table, given)
        for each in policies:
            self.made("auth_policy_mapping", inbound_auth_profile=sys_id, auth_policy=each)
        return sys_id

    def holds_for(self, criteria: str, **values: str) -> str:
        policy = self.made("auth_policy", name="x")
        given = {"auth_policy": policy, "all_of": criteria, **values}
        self.made.add("auth_policy_condition", given)
        return policy


@pytest.fixture
def rules(made: Made) -> Rules:
    return Rules(made)


@pytest.fixture
def token(site: Site, made: Made, ann: str) -> dict[str, str]:
    """The headers of an access token of ann's; the client's id is ``app``."""
    made("oauth_entity", name="app", client_id="app", client_secret="s3cret of the client")
    form = {
        "grant_type": "password", "username": "ann", "password": PASSWORD,
        "client_id": "app", "client_secret": "s3cret of the client",
    }  # fmt: skip
    given = site.send("POST", "/oauth_token.do", data=form).json()
    return {"Authorization": f"Bearer {given['access_token']}"}


def status(site: Site, path: str = WHO, **more: Any) -> int:
    return site.send("GET", path, **more).status_code


def test_only_the_listed_kinds_reach_the_api(
    site: Site, made: Made, rules: Rules, ann: str, token: dict[str, str]
) -> None:
    made("api_key", name="x", user=ann, token="a key of twenty-four characters")
    key = {"x-sn-apikey": "a key of twenty-four characters"}
    assert status(site, user="ann") == status(site, headers=token) == 200
    rules.policy(rules.profile("oauth"))
    refused = site.send("GET", WHO, user="ann")
    assert refused.status_code == 401
    assert refused.json() == REFUSED
    assert refused.headers["www-authenticate"] == 'BEARER realm="Service-now"'
    assert refused.headers["x-is-logged-in"] == "false"
    assert "set-cookie" not in refused.headers
    assert status(site, headers=key) == 401
    assert status(site, headers=token) == 200
    assert status(site, "/api/now/stats/incident?sysparm_count=true", user="ann") == 200
    rules.policy(rules.profile("apikey"), api_path="", api="now/table")
    assert status(site, headers=key) == 200


def test_a_refused_password_looks_like_a_wrong_one(site: Site, rules: Rules, ann: str) -> None:
    rules.policy(rules.profile("oauth"))
    right = site.send("GET", WHO, user="ann")
    wrong = site.send("GET", WHO, auth=("ann", "wrong"))
    stranger = site.send("GET", WHO)
    for name in ("x-transaction-id", "content-length"):
        for answer in (right, wrong, stranger):
            answer.headers.pop(name, None)
    assert right.headers == wrong.headers == stranger.headers
    assert right.content == wrong.content == stranger.content


def test_a_client_of_its_own(site: Site, made: Made, rules: Rules, token: dict[str, str]) -> None:
    (app,) = site.rows("oauth_entity", "client_id=app")
    other = made("oauth_entity", name="other", client_id="other")
    profile = rules.profile("oauth", oauth_entity=other)
    rules.policy(profile)
    assert status(site, headers=token) == 401
    site.change("std_http_auth", profile, oauth_entity=app.sys_id)
    assert status(site, headers=token) == 200


def test_addresses_roles_and_groups(site: Site, made: Made, rules: Rules, ann: str) -> None:
    office = made("ip_filter_criteria", name="Office", ranges="203.0.113.0/24")
    profile = rules.profile("basic_auth", rules.holds_for(office))
    rules.policy(profile)
    elsewhere = ("198.51.100.1", 1)
    assert status(site, user="ann") == 200
    assert status(site, user="ann", client=elsewhere) == 401
    (itil,) = site.rows("sys_user_role", "name=itil")
    staff = made("role_filter_criteria", name="Staff", roles=itil.sys_id)
    made("auth_policy_mapping", inbound_auth_profile=profile, auth_policy=rules.holds_for(staff))
    assert status(site, user="ann") == 401
    made("sys_user_has_role", user=ann, role=itil.sys_id)
    assert status(site, user="ann") == 200
    group = made("sys_user_group", name="Away")
    away = made("group_filter_criteria", name="Away", groups=group)
    elsewhere_too = rules.holds_for(office, none_of=away)
    made("auth_policy_mapping", inbound_auth_profile=profile, auth_policy=elsewhere_too)
    assert status(site, user="ann") == 200
    made("sys_user_grmember", user=ann, group=group)
    assert status(site, user="ann") == 401


def test_a_session_got_by_a_password_cannot_do_more_than_it(
    site: Site, rules: Rules, ann: str
) -> None:
    given = site.send("GET", "/api/now/stats/incident?sysparm_count=true", user="ann")
    cookie = {"Cookie": given.headers["set-cookie"].partition(";")[0]}
    assert status(site, headers=cookie) == 200
    rules.policy(rules.profile("oauth"))
    assert status(site, headers=cookie) == 401, "the first time it made a row, now it is one"
    fresh = site.send("GET", "/api/now/stats/incident?sysparm_count=true", user="ann")
    again = {"Cookie": fresh.headers["set-cookie"].partition(";")[0]}
    assert status(site, headers=again) == 401


def test_people_who_signed_in_by_the_form_are_not_asked(site: Site, rules: Rules, ann: str) -> None:
    form = {"user_name": "ann", "user_password": PASSWORD}
    page = site.send("POST", "/login", data=form)
    cookie = {"Cookie": page.headers["set-cookie"].partition(";")[0]}
    rules.policy(rules.profile("oauth"), apply_global="true", api_path="")
    assert status(site, headers=cookie) == 200


def test_parts_of_a_batch_are_judged_each(site: Site, rules: Rules, ann: str) -> None:
    rules.policy(rules.profile("oauth"))
    urls = [WHO, "/api/now/stats/incident?sysparm_count=true"]
    parts = [{"id": url, "method": "GET", "url": url, "headers": []} for url in urls]
    batch = {"batch_request_id": "1", "rest_requests": parts}
    answer = site.send("POST", "/api/now/batch", user="ann", json=batch).json()
    assert [part["status_code"] for part in answer["serviced_requests"]] == [401, 200]


def test_a_policy_rests_restricts_nothing_or_everything(
    site: Site, made: Made, rules: Rules, ann: str
) -> None:
    sys_id = rules.policy()
    assert status(site, user="ann") == 200, "no profile is listed"
    profile = rules.profile("basic_auth", active="false")
    made("sys_auth_profile_mapping", api_access_policy=sys_id, inbound_auth_profile=profile)
    assert status(site, user="ann") == 401, "the one that is listed fits nobody"
    site.change("std_http_auth", profile, active="true")
    assert status(site, user="ann") == 200
    site.change("std_http_auth", profile, type="oauth")
    assert status(site, user="ann") == 401
    site.change("sys_api_access_policy", sys_id, active="false")
    assert status(site, user="ann") == 200


def test_what_is_deleted_lets_nobody_in(site: Site, made: Made, rules: Rules, ann: str) -> None:
    office = made("ip_filter_criteria", name="Office", ranges="203.0.113.0/24")
    rules.policy(rules.profile("basic_auth", rules.holds_for(f"{office},{'f' * 32}")))
    assert status(site, user="ann") == 401
    rules.policy(
        rules.profile("basic_auth", rules.holds_for(office, none_of="f" * 32)),
        api_path="now/stats",
    )
    assert status(site, "/api/now/stats/incident?sysparm_count=true", user="ann") == 401


def test_the_challenge_names_the_last_scheme_or_all(
    site: Site, made: Made, rules: Rules, ann: str
) -> None:
    sys_id = rules.policy(rules.profile("oauth"), rules.profile("basic_auth"))
    first = site.send("GET", WHO).headers["www-authenticate"]
    assert first in ('BASIC realm="Service-now"', 'BEARER realm="Service-now"')
    site.change("sys_api_access_policy", sys_id, all_authn_scheme_authenticate_header="true")
    both = site.send("GET", WHO).headers["www-authenticate"]
    assert sorted(both.split(", ")) == ['BASIC realm="Service-now"', 'BEARER realm="Service-now"']
    assert site.send("GET", "/api/now/stats/x").headers["www-authenticate"].startswith("BASIC")


def test_the_administrator_can_lock_himself_out_of_the_api_alone(site: Site, rules: Rules) -> None:
    rules.policy(rules.profile("oauth"), apply_global="true", api_path="")
    assert status(site, user="admin") == 401
    assert status(site, "/readyz") == 200
    form = {"user_name": "admin", "user_password": PASSWORD}
    assert site.send("POST", "/login", data=form).status_code == 303
    assert site.rows("sys_user", f"sys_id={ADMIN}")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"api_path": ""}, "api: there is no API ''"),
        ({"api_path": "table"}, "api_path: there is no API 'table'"),
        ({"apply_all_methods": "false"}, "http_method: say which, or set apply_all_methods"),
        ({"apply_all_tables": "false"}, "api_tablename: say which"),
        ({"api_tablename": "incident, problme"}, "there is no table 'problme'. Did you mean"),
    ],
)
def test_a_policy_about_nothing_is_refused(rules: Rules, values: dict[str, str], told: str) -> None:
    with pytest.raises(OperationAborted) as refused:
        rules.policy(**values)
    assert told in (refused.value.detail or "")


@pytest.mark.parametrize(
    "ranges",
    ["", "192.0.2", "192.0.2.9-192.0.2.1", "192.0.2.1-2001:db8::1", "192.0.2.0/33",
     "office"],
)  # fmt: skip
def test_addresses_that_are_none_are_refused(made: Made, ranges: str) -> None:
    with pytest.raises(OperationAborted, match="Operation Failed"):
        made("ip_filter_criteria", name="x", ranges=ranges)
