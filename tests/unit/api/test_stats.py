"""The Aggregate API beyond its wire cases: bounds, and that nothing hidden shows."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator

import pytest
from tests.unit.api.conftest import PASSWORD, USER, Site, parts_of

from midspan.api import create_app
from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.records import insert, update
from midspan.security import SYSTEM
from midspan.testing import open_instance

OTHER = "c" * 32
FIELDS = (
    "state",
    "priority",
    "number",
    "caller_id",
    "caller_id.email",
    "caller_id.hashed_user_id",
    "opened_at",
    "work_notes",
    "sys_created_by",
    "reassignment_count",
    "nothing",
)


def url(**parameters: str) -> str:
    pairs = "&".join(f"{name}={value}" for name, value in parameters.items() if value)
    return f"/api/now/stats/incident?{pairs}"


def test_more_groups_than_the_property_allows_are_cut_with_a_warning(site: Site) -> None:
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        values = {"name": "glide.db.max.aggregates", "value": "2"}
        records.apply(insert("sys_properties", values, sys_id="9" * 32))
    path = "/api/now/stats/sys_user_role?sysparm_count=true&sysparm_group_by=name"
    answer = site.send("GET", path, user="admin")
    assert len(answer.json()["result"]) == 2
    assert answer.headers["x-midspan-warning"] == "There are more groups than the 2 that are shown"
    total = site.send("GET", "/api/now/stats/sys_user_role?sysparm_count=true", user="admin")
    assert int(total.json()["result"]["stats"]["count"]) > 2


def test_a_request_with_too_many_parts_or_walks_is_refused(site: Site) -> None:
    names = ",".join(f"a{number}" for number in range(501))
    answer = site.send("GET", url(sysparm_avg_fields=names), user="admin")
    assert answer.status_code == 400
    assert "501 fields" in answer.json()["error"]["message"]
    walk = ["caller_id." + "manager." * depth + "name" for depth in range(70)]
    answer = site.send("GET", url(sysparm_min_fields=",".join(walk)), user="admin")
    assert answer.status_code == 400
    assert "references" in answer.json()["error"]["message"]


def test_every_function_of_every_field_is_answered(site: Site) -> None:
    """Of any type, a field is computed or left out with a warning; never an error."""
    fields = site.instance.holder.current().dictionary.table("incident").fields
    names = ",".join(fields)
    for function in ("avg", "sum", "min", "max"):
        answer = site.send("GET", url(**{f"sysparm_{function}_fields": names}), user="admin")
        assert answer.status_code == 200, answer.text
        assert answer.json()["result"]["stats"][function]
    for name in fields:
        answer = site.send("GET", url(sysparm_count="true", sysparm_group_by=name), user="admin")
        assert answer.status_code == 200, answer.text


@pytest.fixture(params=["sqlite", "postgresql"])
def instance(request: pytest.FixtureRequest) -> Iterator[Instance]:
    postgres = request.param == "postgresql"
    database = request.getfixturevalue("new_database")() if postgres else ""
    with open_instance(database, clock=ManualClock()) as opened:
        yield opened


def store_visible(instance: Instance) -> None:
    with instance.records.write(SYSTEM, enforce=False) as records:
        for sys_id, name in ((USER, "ann"), (OTHER, "zed")):
            values = {"user_name": name, "name": name.title(), "user_password": PASSWORD}
            records.apply(insert("sys_user", {**values, "email": f"{name}@x"}, sys_id=sys_id))
        for place in range(6):
            values = {"caller_id": USER, "state": str(place % 2 + 1), "number": f"INC{place}"}
            records.apply(insert("incident", values, sys_id=f"{place:032x}"))


def store_hidden(instance: Instance) -> None:
    """Change whatever ann may not read, and nothing that she may."""
    with instance.records.write(SYSTEM, enforce=False) as records:
        for place in range(9):
            values = {
                "caller_id": OTHER,
                "state": str(place % 3 + 1),
                "reassignment_count": str(place * 100),
                "number": f"A{place}",
            }
            records.apply(insert("incident", values))
        records.apply(update("sys_user", USER, {"hashed_user_id": "hidden"}))


def requests(count: int) -> Iterator[str]:
    """Reproducible requests in every combination of parameters."""
    chance = random.Random(11)  # noqa: S311 - reproducible on purpose

    def some(most: int) -> str:
        return ",".join(chance.sample(FIELDS, chance.randint(0, most)))

    for _ in range(count):
        field, function = chance.choice(FIELDS), chance.choice(("count", "sum", "min", "max"))
        yield url(
            sysparm_query=chance.choice(("", "", "state=1", f"{field}ISNOTEMPTY", "numberLIKEA")),
            sysparm_count=chance.choice(("true", "")),
            sysparm_sum_fields=some(1),
            sysparm_max_fields=some(1),
            sysparm_group_by=some(2),
            sysparm_having=chance.choice(("", "", f"{function}^{field}^>^1")),
            sysparm_order_by=chance.choice(("", "COUNT^DESC", f"{function.upper()}^{field}")),
            sysparm_display_value=chance.choice(("", "true", "all")),
        )


def test_what_one_may_not_read_changes_no_answer(
    instance: Instance, given_app: Callable[[Instance], Site]
) -> None:
    store_visible(instance)
    site = given_app(instance)
    asked = list(dict.fromkeys(requests(250)))
    before = [site.send("GET", one, user="ann") for one in asked]
    store_hidden(instance)
    after = [site.send("GET", one, user="ann") for one in asked]
    for one, first, second in zip(asked, before, after, strict=True):
        assert (first.status_code, first.content) == (second.status_code, second.content), one
        assert first.headers.get("x-midspan-warning") == second.headers.get("x-midspan-warning")
    statuses = [answer.status_code for answer in before]
    assert set(statuses) == {200, 403}
    assert statuses.count(200) > 60
    changed = site.send("GET", url(sysparm_count="true"), user="admin")
    assert changed.json()["result"]["stats"]["count"] == "15"


@pytest.fixture
def given_app() -> Iterator[Callable[[Instance], Site]]:
    with asyncio.Runner() as runner:
        made = []

        def give(instance: Instance) -> Site:
            with instance.records.write(SYSTEM, enforce=False) as records:
                values = {"user_password": PASSWORD}
                records.apply(update("sys_user", "6816f79cc0a8016401c5a33be04be441", values))
            made.append(create_app(parts_of(instance)))
            return Site(instance, made[-1], runner)

        yield give
        for app in made:
            app.close()


TOKENS = (
    *("state", "priority", "caller_id.name", "opened_at", "sys_id", "work_notes", "nothing"),
    *(
        "count",
        "COUNT",
        "avg",
        "SUM",
        "min",
        "MAX",
        "^",
        "^^",
        ",",
        ",",
        "DESC",
        "^DESC",
        ">",
        "!=",
    ),
    *(
        "=",
        "<>",
        "1",
        "-5",
        "1e400",
        "9" * 60,
        "'",
        '"',
        "%",
        "?",
        "--",
        ";",
        "\\",
        "ÄΩ",
        "𐀐",
        "\x01",
    ),
    *(
        "ORDERBY",
        "GROUPBY",
        "OR",
        "NQ",
        "IN",
        "LIKE",
        "javascript:gs.getUserID()",
        "2026-01-01",
        " ",
    ),
)
NAMES = ("query", "count", "avg_fields", "sum_fields", "min_fields", "max_fields", "group_by")
"""Of parameters, besides having, order_by and display_value."""


@pytest.mark.parametrize("where", ["site", "postgres_site"])
def test_nonsense_in_any_parameter_is_no_defect(where: str, request: pytest.FixtureRequest) -> None:
    site = request.getfixturevalue(where)
    chance = random.Random(5)  # noqa: S311 - reproducible on purpose
    names = [f"sysparm_{name}" for name in (*NAMES, "having", "order_by", "display_value")]
    fields = sorted(site.instance.holder.current().dictionary.table("incident").fields)
    seen = set()
    for _ in range(400):
        pairs = {
            name: "".join(chance.choices(TOKENS, k=chance.randint(0, 9)))
            for name in chance.sample([*names, *chance.sample(TOKENS, 2)], 4)
        }
        test = (
            chance.choice(("count", "sum", "avg", "MIN", "max")),
            chance.choice(fields),
            chance.choice(("=", "!=", "<>", ">", "<=")),
            chance.choice(TOKENS),
        )
        if chance.random() < 0.6:
            pairs["sysparm_having"] = "^".join(test)
            pairs["sysparm_order_by"] = f"{'^'.join(test[:2])}^DESC"
            pairs["sysparm_group_by"] = ",".join(chance.sample(fields, 2))
        answer = site.send("GET", "/api/now/stats/incident", user="admin", params=pairs)
        assert answer.status_code < 500, (pairs, answer.text)
        seen.add(answer.status_code)
    assert 200 in seen
