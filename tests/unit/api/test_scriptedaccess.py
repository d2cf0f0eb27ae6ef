"""Access rules with a script, over HTTP: what it refuses is refused everywhere and not counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from msgspec import structs

from midspan.records import ChangeOptions, delete, insert, update
from midspan.sandbox import Script
from midspan.scripting import PerWrite
from midspan.security import SYSTEM, Actor

from .conftest import Site
from .papers import (
    BO,
    MINE,
    OWN,
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


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def library(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> Iterator[Site]:
    with open_library(new_database() if request.param == "postgresql" else "") as site:
        yield site


@pytest.fixture
def site(library: Site) -> Iterator[Site]:
    with library.instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(insert("sys_security_acl", RULE))
        records.apply(insert("sys_security_acl_role", ROLE))
        for sys_id, values in PAPERS.items():
            table = "u_map" if values["u_number"] == "P3" else "u_paper"
            records.apply(insert(table, {**values, "u_other": MINE}, sys_id=sys_id))
    yield library
    with library.instance.records.write(SYSTEM, enforce=False) as records:
        for record in records.find("u_paper", ""):
            records.apply(delete(record.table, record.sys_id))
        for record in records.find("sys_security_acl", "nameSTARTSWITHu_paper^script!="):
            for role in records.find("sys_security_acl_role", f"sys_security_acl={record.sys_id}"):
                records.apply(delete(role.table, role.sys_id))
            records.apply(delete(record.table, record.sys_id))


def change(site: Site, **values: str) -> None:
    """Change the rule, also to a script that does not compile and would be refused."""
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        made = update("sys_security_acl", RULE["sys_id"], values)
        records.apply(structs.replace(made, options=ChangeOptions(rules=False)))


def numbers(site: Site, **parameters: str) -> list[str]:
    params = {"sysparm_fields": "u_number", "sysparm_query": "ORDERBYu_number", **parameters}
    got = site.send("GET", TABLE, user="bo", params=params)
    assert got.status_code == 200, got.text
    return [row["u_number"] for row in got.json()["result"]]


def test_lists_pages_and_counts_are_of_the_rows_that_pass(site: Site) -> None:
    assert numbers(site) == ["P1", "P3"]
    assert numbers(site, sysparm_limit="1", sysparm_offset="1") == ["P3"]
    assert numbers(site, sysparm_query="u_pages>15") == ["P3"]
    assert numbers(site, sysparm_query="u_shelf=none") == []
    counted = site.send("GET", TABLE, user="bo", params={"sysparm_limit": "1"})
    assert counted.headers["X-Total-Count"] == "2"
    child = site.send("GET", "/api/now/table/u_map", user="bo").json()["result"]
    assert [row["u_number"] for row in child] == ["P3"]
    assert site.send("GET", TABLE, user="admin").headers["X-Total-Count"] == "4"


def test_single_records_are_checked_for_themselves(site: Site) -> None:
    assert site.send("GET", f"{TABLE}/{MINE}", user="bo").status_code == 200
    assert site.send("GET", f"{TABLE}/{THEIRS}", user="bo").status_code == 404
    assert site.send("GET", f"{TABLE}/{'3' * 32}", user="bo").status_code == 200
    shown = {"sysparm_display_value": "all"}
    assert site.send("GET", f"{TABLE}/{MINE}", user="bo", params=shown).status_code == 200
    assert site.send("GET", f"{TABLE}/{THEIRS}", user="bo", params=shown).status_code == 404
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(update("u_paper", MINE, {"u_owner": "al"}))
        records.apply(update("u_paper", THEIRS, {"u_owner": "bo"}))
    assert site.send("GET", f"{TABLE}/{MINE}", user="bo").status_code == 404
    assert site.send("GET", f"{TABLE}/{THEIRS}", user="bo").status_code == 200


def test_aggregates_are_of_the_rows_that_pass(site: Site) -> None:
    asked = {"sysparm_count": "true", "sysparm_sum_fields": "u_pages"}
    stats = site.send("GET", STATS, user="bo", params=asked).json()["result"]["stats"]
    assert stats["count"] == "2"
    assert float(stats["sum"]["u_pages"]) == 50
    grouped = {"sysparm_count": "true", "sysparm_group_by": "u_shelf"}
    groups = site.send("GET", STATS, user="bo", params=grouped).json()["result"]
    assert [group["stats"]["count"] for group in groups] == ["1", "1"]


def test_nobody_walks_into_the_table_or_counts_its_rows_from_elsewhere(site: Site) -> None:
    walk = {"sysparm_query": "u_other.u_owner=bo"}
    assert site.send("GET", TABLE, user="bo", params=walk).status_code == 403
    assert numbers(site, sysparm_fields="u_number,u_other.u_owner") == ["P1", "P3"]
    related = "RLQUERYu_paper.u_other,>=3^ENDRLQUERY"
    assert numbers(site, sysparm_query=related) == []
    assert numbers(site, sysparm_query=related.replace(">=3", "=2")) == ["P1"]


def test_roles_and_condition_count_besides_the_script(site: Site) -> None:
    change(site, condition="u_shelf=a")
    assert numbers(site) == ["P1"]
    change(site, condition="", script="answer = current.u_pages > 30;")
    assert numbers(site) == ["P3", "P4"]
    assert site.send("GET", f"{TABLE}/{MINE}", user="ann").status_code == 404
    change(site, script="current.u_owner == 'al' && gs.hasRole('itil')")
    assert numbers(site) == ["P2", "P4"]
    change(site, script="gs.hasRole('nobody has it')")
    assert numbers(site) == []
    change(site, advanced="false")
    assert numbers(site) == ["P1", "P2", "P3", "P4"]


@pytest.mark.parametrize(
    ("script", "shown"),
    [
        ("current.u_owner == 'bo'", ["P1", "P3"]),
        ("current.u_owner == 'bo';", ["P1", "P3"]),
        ("var mine = current.u_owner == 'bo'; mine;", ["P1", "P3"]),
        ("if (current.u_owner == 'al') { true; } else { false; }", ["P2", "P4"]),
        ("var shelf = current.u_shelf; current.u_other;", ["P1", "P2", "P3", "P4"]),
        ("var shelf = current.u_shelf; current.u_diary;", []),
        ("if (current.u_number == 'P1') var seen = true; seen;", ["P1"]),
        ("if (current.u_number == 'P1') seen = 'yes'; answer = seen;", ["P1"]),
        ("if (current.u_number == 'P1') answer = true;", ["P1"]),
        ("var answer = current.u_number == 'P2';", ["P2"]),
        ("answer = current.u_diary;", []),
        ("// the answer", []),
        ("var x = ;", []),
    ],
)
def test_the_answer_is_the_variable_or_the_value_of_the_last_statement(
    site: Site, script: str, shown: list[str]
) -> None:
    change(site, script=script)
    assert numbers(site) == shown


def test_one_granting_rule_is_enough(site: Site) -> None:
    add(site, advanced="false", condition="u_number=P2")
    assert numbers(site) == ["P1", "P2", "P3"]


def test_a_script_that_throws_refuses_and_is_logged(site: Site) -> None:
    change(
        site, script="\nanswer = true;\nif (current.u_number == 'P1') throw new Error('not this');"
    )
    logged(site)
    assert numbers(site) == ["P2", "P3", "P4"]
    (line,) = logged(site)
    assert line.get("message").startswith("Access rule 'u_paper' for read: ")
    assert "not this" in line.get("message")
    assert RULE["sys_id"] in str(line.values)
    assert line.get("line") == "3"


def test_a_script_that_does_not_compile_refuses(site: Site) -> None:
    change(site, script="answer = (;")
    assert numbers(site) == []
    assert site.send("GET", f"{TABLE}/{MINE}", user="bo").status_code == 404


def test_writes_ask_the_script_with_the_stored_record(site: Site) -> None:
    change(site, script="answer = true;")
    for operation in ("write", "delete"):
        add(site, operation=operation, script=OWN)
    body = {"u_shelf": "c"}
    assert site.send("PATCH", f"{TABLE}/{MINE}", user="bo", json=body).status_code == 200
    taken = {"u_owner": "bo"}
    assert site.send("PATCH", f"{TABLE}/{THEIRS}", user="bo", json=taken).status_code == 403
    assert site.send("DELETE", f"{TABLE}/{THEIRS}", user="bo").status_code == 403
    assert site.send("DELETE", f"{TABLE}/{MINE}", user="bo").status_code == 204
    assert numbers(site) == ["P2", "P3", "P4"]


def test_who_may_not_read_a_record_may_not_find_out_by_writing(site: Site) -> None:
    add(site, operation="write", script="answer = true;")
    body = {"u_shelf": "c"}
    assert site.send("PATCH", f"{TABLE}/{THEIRS}", user="bo", json=body).status_code == 404
    assert site.send("PATCH", f"{TABLE}/{MINE}", user="bo", json=body).status_code == 200


def test_a_new_record_is_judged_by_what_is_given(site: Site) -> None:
    add(site, operation="create", script=OWN)
    made = site.send("POST", TABLE, user="bo", json={"u_owner": "bo", "u_number": "P5"})
    assert made.status_code == 201
    refused = site.send("POST", TABLE, user="bo", json={"u_owner": "al", "u_number": "P6"})
    assert refused.status_code == 403
    assert numbers(site) == ["P1", "P3", "P5"]
    assert site.send("GET", TABLE, user="admin").headers["X-Total-Count"] == "5"


def test_more_rows_than_a_script_may_decide_about_are_refused(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midspan.records.judging.MOST_JUDGED", 2)
    refused = site.send("GET", TABLE, user="bo")
    assert refused.status_code == 400
    assert "script of an access rule" in refused.text
    assert numbers(site, sysparm_query="u_shelf=b^ORu_number=P1^u_pages<90^u_owner=bo") == [
        "P1",
        "P3",
    ]
    assert site.send("GET", f"{TABLE}/{MINE}", user="bo").status_code == 200


def test_without_an_evaluator_nothing_is_granted(site: Site) -> None:
    store = site.instance.records
    scripts, store.access_scripts = store.access_scripts, None
    try:
        assert numbers(site) == []
        assert site.send("GET", f"{TABLE}/{MINE}", user="bo").status_code == 404
    finally:
        store.access_scripts = scripts


def test_what_a_script_reads_securely_asks_no_other_script(site: Site) -> None:
    change(
        site,
        script="var gr = new GlideRecordSecure('u_paper'); gr.query(); var n = 0;"
        "while (gr.next()) n++; answer = n == 0 && current.u_owner == 'bo';",
    )
    assert numbers(site) == ["P1", "P3"]


def test_secure_records_of_scripts_are_those_that_pass(site: Site) -> None:
    change(site, script="answer = current.u_owner == 'bo';")
    add(site, operation="create", script="answer = gs.hasRole('itil');")
    text = (
        "var gr = new GlideRecordSecure('u_paper'); gr.orderBy('u_number'); gr.query();"
        "var found = [gr.getRowCount(), gr.canCreate(), gr.canWrite()];"
        "while (gr.next()) found.push(gr.getValue('u_number'), gr.canRead());"
        f"found.push(gr.get('{THEIRS}')); found.join();"
    )
    bo = Actor(sys_id=BO, user_name="bo", roles=frozenset({"itil"}))
    unit = PerWrite(site.instance.records, bo)
    found = site.instance.scripts.run(Script("test", text), unit=unit)
    assert found == "2,true,false,P1,true,P3,true,false"


def test_the_explainer_runs_the_script(site: Site) -> None:
    path = "/api/midspan/v1/acl/explain"
    for record, decision in ((MINE, "allowed"), (THEIRS, "refused"), ("", "depends")):
        asked = {"user": "bo", "table": "u_paper", "record": record}
        found = site.send("GET", path, user="admin", params=asked).json()["result"]
        assert found["decision"] == decision
        (rule,) = found["steps"][0]["rules"]
        words = {
            "allowed": "passes",
            "refused": "does not pass",
            "depends": "depends on the record",
        }
        assert rule["reason"] == f"has the role itil; its script {words[decision]}"
