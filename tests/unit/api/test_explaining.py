"""The explainer over HTTP: who may ask, what it answers, and that the Table API does just that."""

from __future__ import annotations

from typing import Any

import pytest

from midspan.records import insert
from midspan.security import SYSTEM

PATH = "/api/midspan/v1/acl/explain"
OTHER = "c" * 32
ITIL_ROLE = "282bf1fac6112285017366cb5f867469"
GROUP = "d" * 32
USER = "a" * 32
MEMBER = "e" * 32
PASSWORD = "correct horse"


@pytest.fixture(scope="module", autouse=True)
def people(site: Any) -> None:
    """A second incident that is not ann's, and a user who is itil through a group."""
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(insert("incident", {"short_description": "other"}, sys_id=OTHER))
        records.apply(insert("sys_user_group", {"name": "Desk"}, sys_id=GROUP))
        records.apply(insert("sys_group_has_role", {"group": GROUP, "role": ITIL_ROLE}))
        member = {"user_name": "mia", "name": "Mia", "user_password": PASSWORD}
        records.apply(insert("sys_user", member, sys_id=MEMBER))
        records.apply(insert("sys_user_grmember", {"group": GROUP, "user": MEMBER}))


def explained(site: Any, **asked: str) -> dict[str, Any]:
    response = site.send("GET", PATH, user="admin", params=asked)
    assert response.status_code == 200, response.text
    result: dict[str, Any] = response.json()["result"]
    return result


def test_only_who_keeps_access_rules_may_ask(site: Any) -> None:
    asked = {"user": "ann", "table": "incident"}
    assert site.send("GET", PATH, user="ann", params=asked).status_code == 403
    assert site.send("GET", PATH, params=asked).status_code == 401


@pytest.mark.parametrize("user", ["ann", "mia", "admin"])
@pytest.mark.parametrize("record", [USER, OTHER])
@pytest.mark.parametrize(("operation", "method"), [("read", "GET"), ("write", "PATCH")])
def test_the_table_api_does_what_is_explained(
    site: Any, user: str, record: str, operation: str, method: str
) -> None:
    found = explained(site, user=user, table="task", record=record, operation=operation)
    body = {"json": {"description": "x"}} if method == "PATCH" else {}
    done = site.send(method, f"/api/now/table/task/{record}", user=user, **body)
    assert found["table"] == "incident"
    assert found["decision"] == ("allowed" if done.status_code == 200 else "refused")


def test_a_field_that_is_left_out_is_explained(site: Any) -> None:
    names = {"sysparm_fields": "number,work_notes", "sysparm_display_value": "all"}
    row = site.send("GET", f"/api/now/table/incident/{USER}", user="ann", params=names).json()
    assert set(row["result"]) == {"number"}
    found = explained(site, user="ann", table="incident", record=USER, field="work_notes")
    assert found["decision"] == "refused"
    field = found["steps"][1]
    assert (field["level"], field["decided_by"]) == ("field", "task.work_notes")
    assert field["rules"][0]["reason"] == "needs one of the roles itil"


def test_the_values_of_a_failed_condition_are_shown(site: Any) -> None:
    found = explained(site, user="ann", table="incident", record=OTHER)
    tests = [test for rule in found["steps"][0]["rules"] for test in rule["tests"]]
    assert {"test": f"caller_id={USER}", "value": "", "holds": False} in tests
    assert explained(site, user="ann", table="incident")["decision"] == "depends"


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ({"user": "an", "table": "incident"}, "Did you mean 'ann'?"),
        ({"user": "ann", "table": "incidnt"}, "Did you mean 'incident'?"),
        ({"user": "ann", "table": "incident", "field": "numbr"}, "Did you mean 'number'?"),
        ({"user": "ann", "table": "incident", "operation": "reed"}, "Did you mean 'read'?"),
    ],
)
def test_unknown_names_are_told_with_the_nearest(
    site: Any, asked: dict[str, str], hint: str
) -> None:
    response = site.send("GET", PATH, user="admin", params=asked)
    assert response.status_code == 400
    assert hint in response.json()["error"]["detail"]


def test_conditions_are_explained_on_postgresql_too(postgres_site: Any) -> None:
    with postgres_site.instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(insert("sys_user", {"user_name": "ann"}, sys_id=USER))
        for sys_id, caller in ((USER, USER), (OTHER, "")):
            records.apply(insert("incident", {"caller_id": caller}, sys_id=sys_id))
    for record, decision in ((USER, "allowed"), (OTHER, "refused"), ("", "depends")):
        found = explained(postgres_site, user="ann", table="incident", record=record)
        assert found["decision"] == decision
