"""What is refused before it takes the time or the memory of others; a fuzz found each."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from midspan.api.tableread import check_walks
from midspan.kernel.errors import InvalidRequest
from midspan.query import ReadPlan, Unread, parse

LIST = "/api/now/table/incident"


@pytest.mark.parametrize("path", [LIST, "/api/now/stats/incident", "/nav/incident"])
@pytest.mark.parametrize("join", ["^", "^OR", "^NQ"])
def test_a_query_has_at_most_4000_parts(site: Any, path: str, join: str) -> None:
    """SQLite takes the square of their number; a megabyte of them took minutes."""
    most = join.join(["priority=1"] * 4_000)
    assert site.send("GET", f"{path}?sysparm_query={most}", user="admin").status_code == 200
    answer = site.send("GET", f"{path}?sysparm_query={most}{join}a=1", user="admin")
    assert answer.status_code == 400
    assert answer.json()["error"] == {
        "message": "The query has more than 4000 parts",
        "detail": "No more are possible; an IN takes any number of values.",
    }


@pytest.mark.parametrize("part", ["state=1^", "active=true^OR", "ORDERBYnumber^", "x y^", "^EQ"])
def test_a_megabyte_of_parts_is_not_read_into_fifty(part: str) -> None:
    text = part * (1_000_000 // len(part))
    parse("a=1" + "^b=2" * 4_000)  # what is made once
    tracemalloc.start()
    try:
        query = parse(text)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
    assert isinstance(query.condition, Unread) == (part != "^EQ")
    assert query.is_whole == (part == "^EQ")


def test_parts_that_mean_nothing_do_not_count() -> None:
    text = "^EQ^^NQ^" * 5_000 + "priority=1"
    assert parse(text).condition == parse("priority=1").condition


def test_a_caret_inside_a_value_is_no_part(site: Any) -> None:
    query = "short_description=" + "^^" * 5_000
    assert site.send("GET", f"{LIST}?sysparm_query={query}", user="admin").status_code == 200


@pytest.mark.parametrize("parameter", ["sysparm_fields=", "sysparm_query=ORDERBY", ""])
def test_a_walk_over_thousands_of_references_is_refused(site: Any, parameter: str) -> None:
    name = "parent." * 5_000 + "number"
    answer = site.send("GET", f"{LIST}?{parameter}{name}{'' if parameter else '=1'}", user="admin")
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "The request walks 5000 references"


def test_the_names_of_a_walk_do_not_fill_the_memory(site: Any) -> None:
    """Each step has a name, longer than the one before: gigabytes for a megabyte of walk."""
    dictionary = site.instance.holder.current().dictionary
    path = dictionary.path("incident", "parent." * 5_000 + "number")
    plan = ReadPlan(table="incident", columns=(path,))
    tracemalloc.start()
    try:
        with pytest.raises(InvalidRequest):
            check_walks(plan)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000


@pytest.mark.parametrize("path", [LIST, "/api/midspan/mid/v1/enrol", "/api/now/attachment/file"])
def test_an_announced_length_of_thousands_of_digits_is_an_answer(site: Any, path: str) -> None:
    """A number of more than 4,300 digits is an error of its own in Python."""
    headers = {"Content-Length": "9" * 5_000}
    answer = site.send("POST", path, user="admin", headers=headers, content=b"x")
    assert answer.status_code in (400, 413)
