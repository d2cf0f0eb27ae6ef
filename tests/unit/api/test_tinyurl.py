"""Short addresses: the query they stand for, whoever uses them, until they are forgotten."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.api.conftest import PASSWORD, Site

from midspan.kernel.clock import ManualClock
from midspan.records import insert
from midspan.security import SYSTEM

INCIDENTS = "/api/now/table/incident"


@pytest.fixture(params=["site", "postgres_site"])
def any_site(request: pytest.FixtureRequest) -> Site:
    found: Site = request.getfixturevalue(request.param)
    with found.instance.records.write(SYSTEM, enforce=False) as records:
        if records.first("incident", "number=LONG1") is None:
            for place in range(1, 4):
                records.apply(insert("incident", {"number": f"LONG{place}"}))
        if records.first("sys_user", "user_name=cy") is None:
            records.apply(insert("sys_user", {"user_name": "cy", "user_password": PASSWORD}))
    return found


def shorten(site: Site, url: str, user: str = "admin") -> str:
    answer = site.send("POST", "/api/now/tinyurl", user=user, json={"url": url})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["result"])


def tiny_of(result: str) -> str:
    return result.rpartition("sysparm_tiny=")[2]


def long_query() -> str:
    names = ",".join(f"NONE{number:06d}" for number in range(2_500))
    return f"sysparm_query=numberINLONG1,LONG2,LONG3,{names}^ORDERBYnumber&sysparm_fields=number"


def rows(site: Site, path: str, user: str = "admin") -> list[dict[str, Any]]:
    answer = site.send("GET", path, user=user)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["result"]
    return found


def test_a_short_address_reads_what_the_long_one_would(any_site: Site) -> None:
    result = shorten(any_site, f"incident_list.do?{long_query()}")
    assert result.startswith("incident_list.do?sysparm_tiny=")
    path = f"{INCIDENTS}?sysparm_tiny={tiny_of(result)}"
    assert rows(any_site, path) == [{"number": f"LONG{place}"} for place in (1, 2, 3)]
    stats = any_site.send(
        "GET",
        f"/api/now/stats/incident?sysparm_count=true&sysparm_tiny={tiny_of(result)}",
        user="admin",
    )
    assert stats.json()["result"]["stats"]["count"] == "3"


def test_what_stands_beside_it_wins_and_links_stay_short(any_site: Site) -> None:
    tiny = tiny_of(shorten(any_site, f"/api/now/table/incident?{long_query()}&sysparm_limit=3"))
    path = f"{INCIDENTS}?sysparm_tiny={tiny}&sysparm_limit=1&sysparm_offset=1"
    answer = any_site.send("GET", path, user="admin")
    assert answer.json()["result"] == [{"number": "LONG2"}]
    assert answer.headers["x-total-count"] == "3"
    assert len(answer.headers["link"]) < 1_000
    assert f"sysparm_tiny={tiny}&sysparm_offset=2&sysparm_limit=1>" in answer.headers["link"]


def test_single_records_are_shaped_by_it_too(any_site: Site) -> None:
    tiny = tiny_of(shorten(any_site, "incident.do?sysparm_fields=number"))
    (row,) = rows(any_site, f"{INCIDENTS}?number=LONG1&sysparm_fields=sys_id")
    answer = any_site.send("GET", f"{INCIDENTS}/{row['sys_id']}?sysparm_tiny={tiny}", user="admin")
    assert answer.json()["result"] == {"number": "LONG1"}
    changed = any_site.send(
        "PATCH",
        f"{INCIDENTS}/{row['sys_id']}?sysparm_tiny={tiny}",
        user="admin",
        json={"urgency": "1"},
    )
    assert changed.json()["result"] == {"number": "LONG1"}


def test_the_same_wish_gets_the_same_address_and_others_read_with_their_own_rights(
    any_site: Site,
) -> None:
    url = "x_list.do?sysparm_query=numberSTARTSWITHLONG&sysparm_fields=number"
    first, second = shorten(any_site, url), shorten(any_site, url)
    assert first == second
    assert shorten(any_site, url, user="cy") != first
    path = f"{INCIDENTS}?sysparm_tiny={tiny_of(first)}"
    assert len(rows(any_site, path)) == 3
    assert rows(any_site, path, user="cy") == []
    assert any_site.send("GET", path).status_code == 401


def test_it_is_forgotten_a_month_after_it_was_last_asked_for(any_site: Site) -> None:
    clock = any_site.instance.clock
    assert isinstance(clock, ManualClock)
    kept = "a_list.do?sysparm_query=number=KEPT&sysparm_fields=number"
    gone = "a_list.do?sysparm_query=number=GONE&sysparm_fields=number"
    paths = [f"{INCIDENTS}?sysparm_tiny={tiny_of(shorten(any_site, url))}" for url in (kept, gone)]
    clock.advance(timedelta(days=20))
    shorten(any_site, kept)
    clock.advance(timedelta(days=20))
    shorten(any_site, f"a_list.do?sysparm_query=number={clock.now():%j}")
    statuses = [any_site.send("GET", path, user="admin").status_code for path in paths]
    assert statuses == [200, 400]


def test_a_part_of_a_batch_may_use_it(any_site: Site) -> None:
    tiny = tiny_of(shorten(any_site, "a_list.do?sysparm_query=number=LONG2&sysparm_fields=number"))
    part = {"id": "a", "method": "GET", "url": f"{INCIDENTS}?sysparm_tiny={tiny}"}
    batch = {"rest_requests": [part]}
    answer = any_site.send("POST", "/api/now/v1/batch", user="admin", json=batch)
    (entry,) = answer.json()["serviced_requests"]
    assert base64.b64decode(entry["body"]) == b'{"result":[{"number":"LONG2"}]}'


def test_what_could_not_be_used_is_not_kept(any_site: Site) -> None:
    for url in ("a?" + "&".join(f"a{n}=1" for n in range(1_001)), "a?b=%00", "http://[x/a?b=1"):
        answer = any_site.send("POST", "/api/now/tinyurl", user="admin", json={"url": url})
        assert answer.status_code == 400, url


def test_tables_that_one_may_not_read_are_not_listed(any_site: Site) -> None:
    def names(user: str) -> list[str]:
        return [row["value"] for row in rows(any_site, "/api/now/doc/table/schema", user)]

    everything, some = names("admin"), names("cy")
    assert set(some) < set(everything)
    assert "incident" in some
    assert "sys_properties" in everything
    assert not {"sys_properties", "sys_security_acl"} & set(some)
    assert "sys_tiny_url" not in everything
