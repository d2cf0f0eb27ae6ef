"""Functions of fields on the wire: in lists, groups, exports, and where a field may not be read."""

from __future__ import annotations

import pytest

from midspan.records import RIGHTS, insert
from midspan.sandbox import Script
from midspan.scripting import PerWrite
from midspan.security import SYSTEM

from .conftest import PASSWORD, Site

TITLE = "glidefunction:length(short_description)"


ITIL = "282bf1fac6112285017366cb5f867469"
READER = "b" * 32


@pytest.fixture(scope="module")
def filled(site: Site) -> Site:
    with site.instance.records.write(SYSTEM, enforce=False) as transaction:
        reader = {"user_name": "reader", "user_password": PASSWORD}
        transaction.apply(insert("sys_user", reader, sys_id=READER))
        transaction.apply(insert("sys_user_has_role", {"user": READER, "role": ITIL}))
        for text in ("abc", "abcd", "abcd"):
            values = {"short_description": text, "category": "counted", "close_notes": text}
            transaction.apply(insert("incident", values))
        hidden = {"short_description": "hidden", "category": "hidden", "close_notes": "hidden"}
        transaction.apply(insert("incident", hidden))
        rule = {"name": "incident.close_notes", "operation": "read", "type": "record"}
        transaction.apply(insert("sys_security_acl", {**rule, "condition": "category=counted"}))
    return site


def test_lists_groups_and_counts_take_functions(filled: Site) -> None:
    found = filled.send(
        "GET", "/api/now/table/incident", user="admin",
        params={"sysparm_query": f"category=counted^{TITLE}>=3^ORDERBYDESC{TITLE}",
                "sysparm_limit": "1", "sysparm_fields": "short_description"},
    )  # fmt: skip
    assert found.json() == {"result": [{"short_description": "abcd"}]}
    assert found.headers["X-Total-Count"] == "3"
    groups = filled.send(
        "GET", "/api/now/stats/incident", user="admin",
        params={"sysparm_query": "category=counted", "sysparm_group_by": TITLE,
                "sysparm_count": "true", "sysparm_avg_fields": TITLE,
                "sysparm_display_value": "all"},
    )  # fmt: skip
    assert [
        (group["stats"]["count"], group["groupby_fields"][0]["value"])
        for group in groups.json()["result"]
    ] == [("1", "3"), ("2", "4")]
    sheet = filled.send(
        "GET",
        "/incident_list.do",
        user="admin",
        params={"CSV": "", "sysparm_query": f"category=counted^{TITLE}=3"},
    )
    assert (sheet.status_code, len(sheet.text.splitlines())) == (200, 2)


def test_a_function_of_a_field_that_one_may_not_read_is_refused_like_the_field(
    filled: Site,
) -> None:
    for asked in ("close_notesISNOTEMPTY", "ORDERBYclose_notes"):
        plain = filled.send(
            "GET", "/api/now/table/incident", user="reader", params={"sysparm_query": asked}
        )
        inside = asked.replace("close_notes", "glidefunction:concat(number,close_notes)")
        function = filled.send(
            "GET", "/api/now/table/incident", user="reader", params={"sysparm_query": inside}
        )
        assert (plain.status_code, function.status_code) == (403, 403)
        assert function.json() == plain.json()


def test_an_unknown_function_is_left_out_and_said_or_refused_in_strict_mode(filled: Site) -> None:
    params = {"sysparm_query": "category=counted^glidefunction:lenght(short_description)>3"}
    loose = filled.send("GET", "/api/now/table/incident", user="admin", params=params)
    assert loose.headers["X-Total-Count"] == "3"
    assert "There is no function lenght" in loose.headers["X-Midspan-Warning"]
    strict = filled.send(
        "GET", "/api/now/table/incident", user="admin", params=params,
        headers={"X-Midspan-Strict": "true"},
    )  # fmt: skip
    assert strict.status_code == 400
    assert "Did you mean 'length'?" in strict.json()["error"]["detail"]


def test_where_a_field_is_shown_row_by_row_its_functions_are(filled: Site) -> None:
    text = """
    var f = "glidefunction:concat(number,close_notes)", out = {};
    var gr = new GlideRecordSecure('incident');
    gr.addFunction(f); gr.addQuery('category', 'IN', 'counted,hidden'); gr.query();
    while (gr.next()) out[gr.short_description] = gr.getValue(f) === null;
    out"""
    instance = filled.instance
    actor = instance.identities.actor(READER, instance.holder.current().part(RIGHTS))
    found = instance.scripts.run(Script("rows", text), unit=PerWrite(instance.records, actor))
    assert found == {"abc": False, "abcd": False, "hidden": True}
