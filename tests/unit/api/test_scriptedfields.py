"""Access rules of fields that ask about the record, over HTTP: shown in some rows, used in none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from midspan.records import delete, insert, update
from midspan.sandbox import Script
from midspan.scripting import PerWrite
from midspan.security import SYSTEM, Actor

from .conftest import Site
from .papers import (
    BO,
    MINE,
    PAPERS,
    ROLE,
    RULE,
    STATS,
    TABLE,
    THEIRS,
    add,
    logged,
    open_library,
)

OWN = "answer = current.u_owner == 'bo';"
SHORT = {"sysparm_fields": "u_number,u_pages", "sysparm_query": "ORDERBYu_number"}


@pytest.fixture(scope="module")
def library() -> Iterator[Site]:
    with open_library("") as site:
        yield site


@pytest.fixture
def site(library: Site) -> Iterator[Site]:
    """Everybody with the role may do everything to papers; rules of fields come on top."""
    with library.instance.records.write(SYSTEM, enforce=False) as records:
        for operation in ("read", "write"):
            rule = {**RULE, "sys_id": "", "operation": operation, "advanced": "false", "script": ""}
            made = records.apply(insert("sys_security_acl", rule)).sys_id
            records.apply(insert("sys_security_acl_role", {**ROLE, "sys_security_acl": made}))
        for sys_id, values in PAPERS.items():
            table = "u_map" if values["u_number"] == "P3" else "u_paper"
            records.apply(insert(table, {**values, "u_other": MINE}, sys_id=sys_id))
    yield library
    with library.instance.records.write(SYSTEM, enforce=False) as records:
        for record in records.find("u_paper", ""):
            records.apply(delete(record.table, record.sys_id))
        for record in records.find("sys_security_acl", "nameSTARTSWITHu_^operation!=create"):
            records.apply(delete(record.table, record.sys_id))


def field(site: Site, script: str = OWN, name: str = "u_paper.u_pages", **values: str) -> None:
    add(site, **{"name": name, "script": script, **values})


def rows(site: Site, path: str = TABLE, **parameters: str) -> list[dict[str, str]]:
    got = site.send("GET", path, user="bo", params={**SHORT, **parameters})
    assert got.status_code == 200, got.text
    return [
        {name.removeprefix("u_"): text for name, text in row.items()}
        for row in got.json()["result"]
    ]


SEEN = [
    {"number": "P1", "pages": "10"},
    {"number": "P2"},
    {"number": "P3", "pages": "40"},
    {"number": "P4"},
]


def test_a_field_is_missing_in_the_rows_that_hide_it(site: Site) -> None:
    field(site)
    assert rows(site) == SEEN
    assert rows(site, sysparm_limit="2", sysparm_offset="1") == SEEN[1:3]
    assert rows(site, sysparm_display_value="true") == SEEN
    assert [row.get("pages") for row in rows(site, "/api/now/table/u_map")] == ["40"]
    for sys_id, shown in ((MINE, True), (THEIRS, False)):
        for display in ("false", "all"):
            params = {"sysparm_display_value": display}
            one = site.send("GET", f"{TABLE}/{sys_id}", user="bo", params=params).json()["result"]
            assert ("u_pages" in one) == shown
            assert "u_number" in one
    everything = site.send("GET", TABLE, user="admin", params=SHORT).json()["result"]
    assert [row["u_pages"] for row in everything] == ["10", "20", "40", "80"]


def test_a_condition_of_a_field_holds_row_by_row_too(site: Site) -> None:
    field(site, "", advanced="false", condition="u_shelf=a")
    shown = [row.get("pages") for row in rows(site)]
    assert shown == ["10", "20", None, None]
    assert (
        site.send("GET", TABLE, user="bo", params={"sysparm_query": "u_pages>5"}).status_code == 403
    )


def test_a_class_may_have_a_rule_of_its_own(site: Site) -> None:
    field(site, "answer = current.u_owner == 'al';", name="u_map.u_pages")
    assert [row.get("pages") for row in rows(site)] == ["10", "20", None, "80"]
    field(site, "answer = current.u_shelf == 'b';", name="u_map.u_pages")
    assert [row.get("pages") for row in rows(site)] == ["10", "20", "40", "80"]
    asked = {"sysparm_query": "u_pages>5"}
    assert site.send("GET", TABLE, user="bo", params=asked).status_code == 403


@pytest.mark.parametrize("name", ["u_paper.*", "*.u_pages"])
def test_stars_stand_for_any_name(site: Site, name: str) -> None:
    field(site, name=name)
    try:
        assert [row.get("pages") for row in rows(site, sysparm_query="")] in (
            ["10", None, "40", None],
            ["10", None, None, "40"],
        )
        ids = rows(site, sysparm_fields="sys_id", sysparm_query=f"sys_id={THEIRS}")
        assert ids == [{"sys_id": THEIRS}]  # a row that is seen can be named
    finally:
        with site.instance.records.write(SYSTEM, enforce=False) as records:
            for record in records.find("sys_security_acl", f"name={name}^script={OWN}"):
                records.apply(delete(record.table, record.sys_id))


@pytest.mark.parametrize(
    "query",
    [
        "u_pages>5",
        "ORDERBYu_pages",
        "ORDERBYDESCu_pages",
        "u_number=P1^ORu_pages=80",
        "u_pagesSAMEASu_number",
        "u_other.u_pages=10",
        "RLQUERYu_paper.u_other,>=1^u_pages=80^ENDRLQUERY",
    ],
)
def test_what_is_hidden_in_some_row_chooses_and_orders_none(site: Site, query: str) -> None:
    field(site)
    asked = {"sysparm_query": query}
    assert site.send("GET", TABLE, user="bo", params=asked).status_code == 403


def test_such_a_field_is_neither_aggregated_nor_walked_to(site: Site) -> None:
    field(site)
    field(site, name="u_paper.u_other")
    for asked in ({"sysparm_group_by": "u_pages"}, {"sysparm_sum_fields": "u_pages"}):
        params = {"sysparm_count": "true", **asked}
        assert site.send("GET", STATS, user="bo", params=params).status_code == 403
    fields = "u_number,u_other,u_other.u_pages,u_other.u_number"
    for display in ("false", "true"):
        shown = rows(
            site,
            sysparm_fields=fields,
            sysparm_display_value=display,
            sysparm_exclude_reference_link="true",
        )
        assert [sorted(row) for row in shown] == [
            ["number", "other", "other.u_number"],
            ["number"],
        ] * 2
    field(site, "answer = false;", name="u_paper.u_number")
    site.send("GET", TABLE, user="bo").raise_for_status()


def test_a_script_without_a_record_is_asked_before_any_row(site: Site) -> None:
    field(site, "answer = gs.hasRole('itil');")
    assert [row["pages"] for row in rows(site, sysparm_query="u_pages>15^ORDERBYu_pages")] == [
        "20",
        "40",
        "80",
    ]
    asked = {"sysparm_count": "true", "sysparm_sum_fields": "u_pages"}
    stats = site.send("GET", STATS, user="bo", params=asked).json()["result"]["stats"]
    assert float(stats["sum"]["u_pages"]) == 150
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        rule = records.first("sys_security_acl", "name=u_paper.u_pages")
        assert rule is not None
        records.apply(update("sys_security_acl", rule.sys_id, {"script": "gs.hasRole('nobody')"}))
    assert [sorted(row) for row in rows(site)] == [["number"]] * 4
    one = site.send("GET", f"{TABLE}/{MINE}", user="bo").json()["result"]
    assert "u_pages" not in one
    asked = {"sysparm_query": "u_pages>5"}
    assert site.send("GET", TABLE, user="bo", params=asked).status_code == 403


def test_one_granting_rule_of_the_name_is_enough(site: Site) -> None:
    field(site)
    field(site, "", advanced="false", condition="u_number=P4")
    assert [row.get("pages") for row in rows(site)] == ["10", None, "40", "80"]


def test_a_script_that_throws_hides_the_value_and_is_logged(site: Site) -> None:
    field(site, "\nanswer = true;\nif (current.u_number == 'P1') throw new Error('not this');")
    logged(site)
    assert [row.get("pages") for row in rows(site)] == [None, "20", "40", "80"]
    lines = logged(site)
    assert [line.get("line") for line in lines] == ["3"]
    assert lines[0].get("message").startswith("Access rule 'u_paper.u_pages' for read: ")


def test_one_run_is_for_a_page_of_rows_and_all_fields_of_the_rule(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    field(site, name="u_paper.*")
    scripts = site.instance.records.access_scripts
    assert scripts is not None
    asked = []
    passing = scripts.passing

    def counted(transaction, rule, records):  # type: ignore[no-untyped-def]
        asked.append((rule.name, len(records)))
        return passing(transaction, rule, records)

    monkeypatch.setattr(scripts, "passing", counted)
    assert site.send("GET", TABLE, user="bo").status_code == 200
    assert sorted(asked) == [("u_paper.*", 1), ("u_paper.*", 3)]  # of each class together


def test_writing_asks_about_the_stored_record(site: Site) -> None:
    field(site, operation="write")
    body = {"u_pages": "99", "u_shelf": "c"}
    params = {"sysparm_fields": "u_pages,u_shelf"}
    done = site.send("PATCH", f"{TABLE}/{MINE}", user="bo", json=body, params=params)
    assert done.json()["result"] == {"u_pages": "99", "u_shelf": "c"}
    taken = {**body, "u_owner": "bo"}
    kept = site.send("PATCH", f"{TABLE}/{THEIRS}", user="bo", json=taken, params=params)
    assert kept.json()["result"] == {"u_pages": "20", "u_shelf": "c"}
    assert "you may not write u_pages" in kept.headers["X-Midspan-Warning"]


def test_a_new_record_is_decided_by_what_is_given(site: Site) -> None:
    field(site, operation="create")
    for owner, pages in (("bo", "7"), ("al", "")):
        body = {"u_owner": owner, "u_pages": "7", "u_shelf": "new"}
        params = {"sysparm_fields": "u_pages"}
        made = site.send("POST", TABLE, user="bo", json=body, params=params)
        assert made.status_code == 201, made.text
        assert made.json()["result"] == {"u_pages": pages}


def test_secure_records_of_scripts_hide_the_value(site: Site) -> None:
    field(site)
    field(site, operation="write")
    text = (
        "var gr = new GlideRecordSecure('u_paper'); gr.orderBy('u_number'); gr.query();"
        "var found = []; while (gr.next()) found.push("
        "[gr.getValue('u_pages'), gr.u_pages.canRead(), gr.u_pages.canWrite()].join(' '));"
        "var plain = new GlideRecord('u_paper'); plain.get('u_number', 'P2');"
        "found.push(plain.getValue('u_pages'));"
        "var by = new GlideRecordSecure('u_paper'); by.orderBy('u_pages'); by.query();"
        "found.push(by.hasNext()); found.join();"
    )
    unit = PerWrite(
        site.instance.records, Actor(sys_id=BO, user_name="bo", roles=frozenset({"itil"}))
    )
    assert site.instance.scripts.run(Script("test", text), unit=unit) == (
        "10 true true, false false,40 true true, false false,20,false"
    )


def test_without_an_evaluator_no_row_shows_the_field(site: Site) -> None:
    field(site)
    store = site.instance.records
    scripts, store.access_scripts = store.access_scripts, None
    try:
        assert [row.get("pages") for row in rows(site)] == [None] * 4
    finally:
        store.access_scripts = scripts


def test_the_explainer_tells_of_the_field(site: Site) -> None:
    field(site)
    path = "/api/midspan/v1/acl/explain"
    for record, decision, words in (
        (MINE, "allowed", "passes"),
        (THEIRS, "refused", "does not pass"),
        ("", "depends", "depends on the record"),
    ):
        asked = {"user": "bo", "table": "u_paper", "record": record, "field": "u_pages"}
        found = site.send("GET", path, user="admin", params=asked).json()["result"]
        assert found["decision"] == decision
        (rule,) = found["steps"][-1]["rules"]
        assert rule["reason"] == f"has the role itil; its script {words}"
