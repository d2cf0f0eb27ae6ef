"""Query rules over HTTP: lists, single records, counts and groups, for administrators, too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from midspan.records import delete, insert
from midspan.security import SYSTEM

from .conftest import Site

RULE = {
    "name": "No secrets",
    "collection": "incident",
    "advanced": "true",
    "action_query": "true",
    "script": "current.addQuery('short_description', '!=', 'secret');",
}


@pytest.fixture
def incidents(site: Site) -> Iterator[dict[str, str]]:
    with site.instance.records.write(SYSTEM, enforce=False) as transaction:
        made = {
            text: transaction.apply(insert("incident", {"short_description": text})).sys_id
            for text in ("plain", "secret")
        }
    yield made
    with site.instance.records.write(SYSTEM, enforce=False) as transaction:
        for sys_id in made.values():
            transaction.apply(delete("incident", sys_id))


def got(site: Site, path: str) -> Any:
    return site.send("GET", path, user="admin").json()


def test_they_narrow_every_way_of_reading(site: Site, incidents: dict[str, str]) -> None:
    table, stats = "/api/now/table/incident", "/api/now/stats/incident"
    one = f"{table}/{incidents['secret']}"
    assert site.send("GET", one, user="admin").status_code == 200
    with site.instance.records.write(SYSTEM, enforce=False) as transaction:
        rule = transaction.apply(insert("sys_script", RULE)).sys_id
    try:
        assert site.send("GET", one, user="admin").status_code == 404
        assert site.send("PATCH", one, user="admin", json={"state": "2"}).status_code == 404
        assert site.send("GET", f"{table}/{incidents['plain']}", user="admin").is_success
        found = got(site, f"{table}?sysparm_fields=short_description")["result"]
        shown = sorted(record["short_description"] for record in found)
        assert shown == ["<script>", "plain"]
        counted = site.send("GET", table, user="admin")
        assert counted.headers["X-Total-Count"] == "2"
        assert got(site, f"{stats}?sysparm_count=true")["result"]["stats"]["count"] == "2"
        groups = got(site, f"{stats}?sysparm_count=true&sysparm_group_by=short_description")
        assert len(groups["result"]) == 2
    finally:
        with site.instance.records.write(SYSTEM, enforce=False) as transaction:
            transaction.apply(delete("sys_script", rule))
    assert site.send("GET", one, user="admin").status_code == 200
