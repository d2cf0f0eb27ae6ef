"""Rate limits: which rule counts, for whom, what is told, and what nodes know of each other."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midspan.kernel.clock import ManualClock
from midspan.kernel.errors import OperationAborted
from midspan.records import RATE_LIMITS
from midspan.security import GUEST, Actor, Charge, RateCounts, RateRules, endpoint
from midspan.security.ratelimits import RateRule

from .conftest import HERE, Made, Site, opened

INCIDENTS = "/api/now/table/incident?sysparm_limit=1"
USERS = "/api/now/table/sys_user?sysparm_limit=1"
ANN = Actor(sys_id="a" * 32, user_name="ann", roles=frozenset({"itil", "import_admin"}))


def rule(sys_id: str, **more: object) -> RateRule:
    return RateRule(**{"sys_id": sys_id, "api": "now/table", "limit": 10, **more})  # type: ignore[arg-type]


def charged(rules: list[RateRule], path: str, actor: Actor = ANN, method: str = "GET") -> list[str]:
    found = RateRules(rules).charges(endpoint(method, path), actor, "203.0.113.9")
    return [each.rule.sys_id for each in found]


def limit(made: Made, **values: str) -> str:
    given = {"name": "x", "rest_api": "now/table", "request_limit": "2", **values}
    return made.add("sys_rate_limit_rules", given)


def statuses(site: Site, times: int, path: str = INCIDENTS, user: str = "ann") -> list[int]:
    return [site.send("GET", path, user=user).status_code for _ in range(times)]


def test_of_rules_for_the_same_requests_the_strongest_counts_and_of_roles_the_lowest() -> None:
    path = "/api/now/v2/table/incident"
    everybody = rule("all", limit=1)
    role = rule("itil", limit=100, apply_to="role", role="itil")
    other = rule("import", limit=500, apply_to="role", role="import_admin")
    single = rule("single", limit=200, apply_to="user", user=ANN.sys_id)
    assert charged([everybody, other, role, single], path) == ["single"]
    assert charged([everybody, other, role], path) == ["itil"]
    assert charged([everybody, other, role], path, GUEST) == ["all"]
    root = Actor(sys_id="b" * 32, user_name="root", roles=frozenset({"admin"}))
    assert charged([role], path, root) == [], "admin does not hold the role by itself"


def test_rules_for_other_requests_count_beside_each_other() -> None:
    rules = [
        rule("api"),
        rule("table", table="incident"),
        rule("resource", resource="now/table/{tableName}/{sys_id}", method="GET"),
        rule("version", version="v2"),
        rule("other", api="now/stats"),
    ]
    assert sorted(charged(rules, "/api/now/v1/table/incident")) == ["api", "table"]
    assert sorted(charged(rules, "/api/now/table/x")) == ["api", "version"], "the newest is v2"
    assert sorted(charged(rules, "/api/now/v2/table/task/1", method="HEAD")) == [
        "api", "resource", "version"
    ]  # fmt: skip
    assert charged(rules, "/api/now/v1/table/task/1", method="PATCH") == ["api"]
    assert charged(rules, "/api/now/tables/incident") == []
    assert charged(rules, "/") == []


@pytest.mark.parametrize(
    ("count_by", "actor", "counted"),
    [
        ("user", ANN, (ANN.sys_id, "")),
        ("user", GUEST, ("", "203.0.113.9")),
        ("address", ANN, ("", "203.0.113.9")),
        ("rule", ANN, ("", "")),
    ],
)
def test_whom_a_request_is_counted_for(count_by: str, actor: Actor, counted: object) -> None:
    rules = RateRules([rule("1", count_by=count_by)])
    (charge,) = rules.charges(endpoint("GET", "/api/now/table/x"), actor, "203.0.113.9")
    assert (charge.user, charge.address) == counted


def test_what_is_told_and_when_it_is_over(site: Site, made: Made, ann: str) -> None:
    sys_id = limit(made)
    site.clock.set(datetime(2027, 1, 31, 8, 15, 30, tzinfo=UTC))
    first = site.send("GET", INCIDENTS, user="ann")
    assert first.status_code == 200
    told = {
        "x-ratelimit-limit": "2",
        "x-ratelimit-reset": str(int(datetime(2027, 1, 31, 9, tzinfo=UTC).timestamp())),
        "x-ratelimit-rule": sys_id,
    }
    assert {name: first.headers.get(name) for name in told} == told
    assert "retry-after" not in first.headers
    assert site.send("GET", INCIDENTS, user="ann").status_code == 200
    refused = site.send("GET", INCIDENTS, user="ann")
    assert refused.status_code == 429
    assert {name: refused.headers.get(name) for name in told} == told
    assert refused.headers["retry-after"] == str(44 * 60 + 30)
    assert refused.json() == {
        "error": {
            "message": "Rate limit exceeded",
            "detail": "Rate limit of 2 requests per hour for Table API exceeded",
        },
        "status": "failure",
    }
    assert refused.headers["x-is-logged-in"] == "true"
    site.clock.advance(timedelta(minutes=44, seconds=30))
    assert statuses(site, 3) == [200, 200, 429]


def test_each_user_has_a_count_of_his_own(site: Site, made: Made, ann: str, bo: str) -> None:
    limit(made)
    assert statuses(site, 3) == [200, 200, 429]
    assert statuses(site, 3, user="bo") == [200, 200, 429]


def test_all_together_or_by_address(site: Site, made: Made, ann: str, bo: str) -> None:
    limit(made, count_by="rule")
    limit(made, rest_api="now/stats", count_by="address")
    assert statuses(site, 1) + statuses(site, 2, user="bo") == [200, 200, 429]
    stats = "/api/now/stats/incident?sysparm_count=true"
    assert statuses(site, 1, stats) + statuses(site, 2, stats, user="bo") == [200, 200, 429]
    elsewhere = site.send("GET", stats, user="ann", client=("198.51.100.1", 1))
    assert elsewhere.status_code == 200


def test_other_requests_and_wrong_credentials_do_not_count(
    site: Site, made: Made, ann: str
) -> None:
    limit(made, table="incident")
    assert statuses(site, 3, USERS) == [200] * 3
    assert site.send("GET", INCIDENTS, auth=("ann", "wrong")).status_code == 401
    assert site.send("GET", INCIDENTS).status_code == 401
    assert statuses(site, 3) == [200, 200, 429]


def test_parts_of_a_batch_count_like_requests(site: Site, made: Made, ann: str) -> None:
    limit(made)
    parts = [{"id": str(n), "method": "GET", "url": INCIDENTS, "headers": []} for n in range(3)]
    batch = {"batch_request_id": "1", "rest_requests": parts}
    answer = site.send("POST", "/api/now/batch", user="ann", json=batch).json()
    assert [part["status_code"] for part in answer["serviced_requests"]] == [200, 200, 429]


def test_a_changed_limit_begins_anew_and_a_resting_rule_counts_nothing(
    site: Site, made: Made, ann: str
) -> None:
    sys_id = limit(made)
    assert statuses(site, 3) == [200, 200, 429]
    site.change("sys_rate_limit_rules", sys_id, request_limit="3")
    assert statuses(site, 4) == [200, 200, 200, 429]
    site.change("sys_rate_limit_rules", sys_id, active="false")
    answer = site.send("GET", INCIDENTS, user="ann")
    assert answer.status_code == 200
    assert "x-ratelimit-limit" not in answer.headers


def test_counts_begin_anew_when_the_administrator_says_so(site: Site, made: Made, ann: str) -> None:
    sys_id = limit(made)
    assert statuses(site, 3) == [200, 200, 429]
    site.clock.advance(timedelta(seconds=1))
    site.change("sys_rate_limit_rules", sys_id, name="Another name")
    assert statuses(site, 1) == [429]
    site.change("sys_rate_limit_rules", sys_id, counted_since="")
    assert statuses(site, 3) == [200, 200, 429]
    for other in ("5", "2"):
        site.clock.advance(timedelta(seconds=1))
        site.change("sys_rate_limit_rules", sys_id, request_limit=other)
    assert statuses(site, 3) == [200, 200, 429], "back at an old limit it counts anew, too"


def test_counts_and_violations_are_records(site: Site, made: Made, ann: str) -> None:
    sys_id = limit(made)
    statuses(site, 5)
    site.clock.advance(timedelta(seconds=30))  # then a node notes what it has
    statuses(site, 1)
    (count,) = site.rows("sys_rate_limit_count", f"rule={sys_id}")
    assert (count.get("user"), count.get("request_limit")) == (ann, "2")
    assert int(count.get("count")) >= 2
    (violation,) = site.rows("sys_rate_limit_violation", f"rule={sys_id}")
    assert (violation.get("count"), violation.get("window_start")[-6:]) == ("3", ":00:00")
    site.clock.advance(timedelta(days=15))
    statuses(site, 1)
    assert len(site.rows("sys_rate_limit_count", f"rule={sys_id}")) == 1
    assert site.rows("sys_rate_limit_violation", f"rule={sys_id}") == []


def test_a_count_outlives_its_node(site: Site, made: Made, ann: str) -> None:
    sys_id = limit(made, request_limit="1000")
    statuses(site, 7)
    site.app._inbound.close()
    (count,) = site.rows("sys_rate_limit_count", f"rule={sys_id}")
    assert count.get("count") == "7"
    after = RateCounts(site.instance.records.database, site.clock)
    rules = site.instance.records.holder.current().part(RATE_LIMITS)
    user = Actor(sys_id=ann, user_name="ann")
    charges = rules.charges(endpoint("GET", "/api/now/table/incident"), user, "")
    for _ in range(993):
        assert not after.spend(charges).exceeded
    assert after.spend(charges).exceeded


def test_most_requests_under_a_high_limit_write_nothing(site: Site, made: Made) -> None:
    counts = RateCounts(site.instance.records.database, site.clock)
    charge = Charge(rule("9" * 32, limit=10_000), user="u")
    waited = 0
    for _ in range(1_000):
        if counts.spend_at_once([charge]) is None:
            waited += 1
            counts.spend([charge])
    assert waited == 10  # the first one, and then each hundredth of the limit


def test_a_request_that_cannot_be_counted_is_given_back(site: Site, made: Made) -> None:
    class Failing:
        dialect = site.instance.records.database.dialect
        lives = site.instance.records.database.lives

        def write(self) -> None:
            raise ConnectionError("gone")

    counts = RateCounts(Failing(), site.clock)  # type: ignore[arg-type]
    charge = Charge(rule("7" * 32, limit=1), user="u")
    for _ in range(3):
        with pytest.raises(ConnectionError):
            counts.spend([charge])
    counts._database = site.instance.records.database
    assert [counts.spend([charge]).exceeded for _ in range(2)] == [False, True]


def test_a_reset_takes_back_what_was_counted() -> None:
    charge = Charge(rule("6" * 32, limit=1), user="u")
    with opened("", ManualClock()) as site:
        site.instance.keep_start()
        counts = RateCounts(site.instance.records.database, site.clock)
        assert [counts.spend([charge]).exceeded for _ in range(2)] == [False, True]
        site.instance.reset()
        counts.share()
        assert site.rows("sys_rate_limit_count") == []
        assert site.rows("sys_rate_limit_violation") == []
        assert [counts.spend([charge]).exceeded for _ in range(2)] == [False, True]


@pytest.mark.parametrize("limited", [1, 5, 199])
def test_below_200_nodes_together_let_through_exactly_what_the_rule_says(
    site: Site, made: Made, limited: int
) -> None:
    nodes = [RateCounts(site.instance.records.database, site.clock) for _ in range(3)]
    charge = Charge(rule("8" * 32, limit=limited), user="u")
    passed = [not nodes[n % 3].spend([charge]).exceeded for n in range(limited + 9)]
    assert passed == [True] * limited + [False] * 9


NUMBERS = itertools.count()


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(order=st.lists(st.integers(0, 2), min_size=900, max_size=1_000))
def test_above_that_each_further_node_lets_through_a_hundredth_too_many_at_most(
    site: Site, order: list[int]
) -> None:
    nodes = [RateCounts(site.instance.records.database, site.clock) for _ in range(3)]
    charge = Charge(rule(f"{next(NUMBERS):032x}", limit=800), user="u")
    passed = sum(not nodes[n].spend([charge]).exceeded for n in order)
    assert 800 <= passed <= 800 + 2 * 8


def test_two_nodes_on_one_database(
    new_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIDSPAN_MASTER_KEY", base64.b64encode(b"k" * 32).decode())
    url, clock = new_database(), ManualClock()
    with opened(url, clock) as one, opened(url, clock) as other:
        made = Made(one)
        ann = made("sys_user", user_name="ann", name="Ann", user_password="correct horse")
        sys_id = limit(made, request_limit="5")
        clock.advance(timedelta(seconds=2))  # the other node reads its configuration again
        passed = [(one, other)[n % 2].send("GET", INCIDENTS, user="ann") for n in range(8)]
        assert [each.status_code for each in passed] == [200] * 5 + [429] * 3
        assert {each.headers["x-ratelimit-rule"] for each in passed} == {sys_id}
        assert ann in {row.get("user") for row in other.rows("sys_rate_limit_count")}


def test_strangers_are_counted_by_their_address(site: Site, made: Made) -> None:
    service = made(
        "sys_ws_definition", name="Open door", service_id="door", namespace="x_open",
        base_uri="/api/x_open/door",
    )  # fmt: skip
    made(
        "sys_ws_operation", name="Knock", web_service_definition=service, http_method="GET",
        relative_path="/", requires_authentication="false",
        operation_script="(function (request, response) { return 'hello'; })(request, response);",
    )  # fmt: skip
    limit(made, rest_api=service)
    path = "/api/x_open/door"
    found = [site.send("GET", path) for _ in range(3)]
    assert [each.status_code for each in found] == [200, 200, 429]
    detail = "Rate limit of 2 requests per hour for Open door exceeded"
    assert found[2].json()["error"]["detail"] == detail
    assert site.send("GET", path, client=("198.51.100.1", 1)).status_code == 200
    assert site.send("GET", path, client=HERE).status_code == 429


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"request_limit": "0"}, "request_limit: give how many"),
        ({"request_limit": "-1"}, "request_limit: give how many"),
        ({"apply_to": "user"}, "user: say which"),
        ({"apply_to": "role"}, "role: say which"),
        ({"rest_api": "now"}, "rest_api: there is no API 'now'"),
    ],
)
def test_a_rule_that_could_not_work_is_refused(
    made: Made, values: dict[str, str], told: str
) -> None:
    with pytest.raises(OperationAborted) as refused:
        limit(made, **values)
    assert told in (refused.value.detail or "")
