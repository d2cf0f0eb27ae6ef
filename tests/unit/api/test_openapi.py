"""The OpenAPI document: valid, the same every time, and only of what its reader may do."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import schemathesis

from midspan.api.openapi import Seen, document
from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.kernel.ids import derived_id
from midspan.query import NEVER
from midspan.records import delete, insert
from midspan.security import SYSTEM, Access, Actor
from midspan.testing import open_instance

from .conftest import ADMIN, Site

PATH = "/api/now/doc/openapi"
NOBODY = Actor(sys_id="c" * 32, user_name="nobody")
PEOPLE = {
    "admin": Actor(sys_id=ADMIN, user_name="admin", roles=frozenset({"admin"})),
    "itil": Actor(sys_id="b" * 32, user_name="itil", roles=frozenset({"itil"})),
    "nobody": NOBODY,
}
CORE = "https://json-schema.org/draft/2020-12/schema"


def access_of(instance: Instance, actor: Actor) -> Access:
    return instance.records.access(actor, instance.holder.current(), instance.clock.now())


def made(instance: Instance, actor: Actor, **more: Any) -> dict[str, Any]:
    """Return the document of an actor, as it is sent."""
    app = instance.application()
    seen = Seen(snapshot=instance.holder.current(), access=access_of(instance, actor), **more)
    found: dict[str, Any] = json.loads(b"".join(document(app.router.routes(), seen, "1.0")))
    app.close()
    return found


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    with open_instance(clock=ManualClock()) as found:
        yield found


@pytest.fixture(scope="module")
def documents(instance: Instance) -> dict[str, dict[str, Any]]:
    return {name: made(instance, actor) for name, actor in PEOPLE.items()}


def everything(value: Any, key: str) -> Iterator[Any]:
    """Yield what stands under a key, anywhere."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key:
                yield inner
            yield from everything(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from everything(inner, key)


def operations(found: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in found["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


@pytest.mark.parametrize("who", PEOPLE)
def test_it_is_valid(documents: dict[str, dict[str, Any]], who: str) -> None:
    found = documents[who]
    schemathesis.openapi.from_dict(found).validate()
    for schema in found["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": CORE, **schema})
    for address in set(everything(found, "$ref")):
        here = found
        for part in address.removeprefix("#/").split("/"):
            here = here[part]
    ids = Counter(operation["operationId"] for _, _, operation in operations(found))
    assert [name for name, times in ids.items() if times > 1] == []


def test_it_comes_in_small_pieces(instance: Instance) -> None:
    app = instance.application()
    access = access_of(instance, PEOPLE["admin"])
    seen = Seen(snapshot=instance.holder.current(), access=access)
    sizes = [len(piece) for piece in document(app.router.routes(), seen, "1.0")]
    app.close()
    assert sum(sizes) > 2_000_000
    assert max(sizes) < 200_000


def test_the_validation_sees_what_is_wrong(documents: dict[str, dict[str, Any]]) -> None:
    broken = {**documents["nobody"], "servers": [{"address": "/"}]}
    with pytest.raises(jsonschema_rs.ValidationError):
        schemathesis.openapi.from_dict(broken).validate()


def test_it_is_the_same_from_another_instance(documents: dict[str, dict[str, Any]]) -> None:
    with open_instance(clock=ManualClock()) as other:
        assert json.dumps(made(other, PEOPLE["itil"])) == json.dumps(documents["itil"])


@pytest.mark.parametrize("who", PEOPLE)
def test_it_names_nothing_that_its_reader_may_not_read(
    instance: Instance, documents: dict[str, dict[str, Any]], who: str
) -> None:
    found, access = documents[who], access_of(instance, PEOPLE[who])
    unreadable = {
        table.name
        for table in instance.holder.current().dictionary
        if not table.ws_access or access.rows(table.name, "read") == NEVER
    }
    assert unreadable
    schemas = found["components"]["schemas"]
    paths = {path.split("/")[4] for path in found["paths"] if path.startswith("/api/now/table/")}
    creatable = {name for name in unreadable if f"{name}.new" in schemas}
    assert not (paths - creatable) & unreadable
    targets = {column.get("reference") for column in everything(found, "x-column")}
    assert len(targets) > 3
    assert not targets & unreadable
    for name in set(schemas) & creatable:
        assert schemas[name]["properties"] == {}


def test_who_may_do_less_sees_less(documents: dict[str, dict[str, Any]]) -> None:
    nobody, itil, admin = (documents[name] for name in ("nobody", "itil", "admin"))
    assert set(nobody["paths"]) < set(itil["paths"]) < set(admin["paths"])
    assert set(nobody["paths"]["/api/now/table/incident"]) == {"get"}
    assert set(itil["paths"]["/api/now/table/incident"]) == {"get", "post"}
    assert set(admin["paths"]["/api/now/table/incident/{sys_id}"]) == {
        "get",
        "put",
        "delete",
        "patch",
    }
    assert "work_notes" not in nobody["components"]["schemas"]["incident"]["properties"]
    assert "work_notes" in itil["components"]["schemas"]["incident"]["properties"]
    assert "incident.input" not in nobody["components"]["schemas"]
    assert not any(path.startswith("/api/midspan/v1/") for path in itil["paths"])
    assert "/api/midspan/v1/backup" in admin["paths"]


def test_a_field_has_its_type_and_choices(documents: dict[str, dict[str, Any]]) -> None:
    schemas = documents["admin"]["components"]["schemas"]
    caller = schemas["incident"]["properties"]["caller_id"]
    assert caller["$ref"].endswith("/ShownReference")
    assert caller["x-column"] == {"type": "reference", "max_length": 32, "reference": "sys_user"}
    state = schemas["incident.input"]["properties"]["state"]
    choices = schemas[state["$ref"].rpartition("/")[2]]
    assert {"const": "6", "title": "Resolved"} in choices["oneOf"]
    assert schemas["incident"]["properties"]["sys_created_on"]["readOnly"] is True
    assert "sys_created_on" not in schemas["incident.input"]["properties"]
    assert schemas["sys_user.input"]["properties"]["user_password"]["writeOnly"] is True
    assert schemas["api_key.new"]["required"] == ["name", "user"]
    assert "number" not in schemas["incident.new"].get("required", [])


def test_an_engine_table_is_only_read(documents: dict[str, dict[str, Any]]) -> None:
    assert set(documents["admin"]["paths"]["/api/now/table/sys_audit"]) == {"get"}


def test_what_is_asked_apart_is_not_remembered(instance: Instance) -> None:
    access = access_of(instance, Actor(sys_id="e" * 32, user_name="e"))
    known, apart = len(access._fields), access.apart()
    table = instance.holder.current().dictionary.table("incident")
    answers = {name: apart.field("incident", name, "read") for name in table.fields}
    assert len(set(answers)) > 50
    assert len(access._fields) == known
    assert {name: access.field("incident", name, "read") for name in answers} == answers
    assert len(access._fields) > known


def test_versions_keep_their_paths(instance: Instance) -> None:
    found = made(instance, NOBODY, version="v1")
    below = {path for path in found["paths"] if path.startswith("/api/now/")}
    assert "/api/now/v1/table/incident" in below
    assert all(path.startswith("/api/now/v1/") for path in below)


def test_only_the_wanted_tables(instance: Instance, documents: dict[str, dict[str, Any]]) -> None:
    found = made(instance, PEOPLE["admin"], tables=frozenset({"incident"}))
    names = {path.split("/")[4] for path in found["paths"] if path.startswith("/api/now/table/")}
    assert names == {"incident"}
    whole = documents["admin"]["components"]["schemas"]["incident"]
    assert found["components"]["schemas"]["incident"]["properties"].keys() == (
        whole["properties"].keys()
    )


def test_scripted_resources_are_for_those_whom_their_rules_admit(instance: Instance) -> None:
    service = derived_id("openapi-test", "service")
    rule = derived_id("openapi-test", "rule")
    role = derived_id("openapi-test", "role")
    admin_only = {"type": "REST_Endpoint", "operation": "execute", "name": "x", "active": "true"}
    resources: dict[str, dict[str, str]] = {
        "orders/{id}": {"http_method": "GET", "enforce_acl": rule},
        "orders/{key}": {"http_method": "PUT", "requires_acl_authorization": "false"},
        "open": {"http_method": "GET", "requires_authentication": "false"},
    }
    with instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(insert("sys_user_role", {"name": "clerk"}, sys_id=role))
        records.apply(insert("sys_security_acl", admin_only, sys_id=rule))
        grant = {"sys_security_acl": rule, "sys_user_role": role}
        records.apply(insert("sys_security_acl_role", grant))
        definition = {"name": "orders", "service_id": "orders", "namespace": "x_acme"}
        records.apply(insert("sys_ws_definition", definition, sys_id=service))
        ids = [
            records.apply(
                insert(
                    "sys_ws_operation",
                    {
                        "name": path,
                        "web_service_definition": service,
                        "relative_path": path,
                        "operation_script": "1",
                        **values,
                    },
                )
            ).sys_id
            for path, values in resources.items()
        ]
    try:
        clerk = made(instance, Actor(sys_id="d" * 32, user_name="d", roles=frozenset({"clerk"})))
        other = made(instance, NOBODY)
        schemathesis.openapi.from_dict(clerk).validate()
        one = clerk["paths"]["/api/x_acme/orders/orders/{id}"]
        assert set(one) == {"get", "put"}
        assert [each["name"] for each in one["put"]["parameters"]] == ["id"]
        assert set(other["paths"]["/api/x_acme/orders/orders/{key}"]) == {"put"}
        assert other["paths"]["/api/x_acme/orders/open"]["get"]["security"] == []
    finally:
        with instance.records.write(SYSTEM, enforce=False) as records:
            for sys_id in ids:
                records.apply(delete("sys_ws_operation", sys_id))


def test_it_is_made_once_for_a_configuration(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What changes a right is seen by the next request; until then nothing is made anew."""
    times = Counter[str]()

    def counting(*given: Any) -> Iterator[bytes]:
        times["made"] += 1
        return document(*given)

    monkeypatch.setattr("midspan.api.openapi.document", counting)
    first = site.send("GET", PATH, user="ann")
    again = site.send("GET", PATH, user="ann")
    assert (first.status_code, times["made"]) == (200, 1)
    assert first.content == again.content
    assert "/api/now/table/problem" not in first.json()["paths"]
    rule = {"name": "problem", "operation": "read", "active": "true", "condition": "active=true"}
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        sys_id = records.apply(insert("sys_security_acl", {**rule, "type": "record"})).sys_id
    try:
        changed = site.send("GET", PATH, user="ann")
        assert times["made"] == 2
        assert "/api/now/table/problem" in changed.json()["paths"]
    finally:
        with site.instance.records.write(SYSTEM, enforce=False) as records:
            records.apply(delete("sys_security_acl", sys_id))


def test_a_table_that_does_not_exist_is_said(site: Site) -> None:
    found = site.send("GET", f"{PATH}?tables=incident,nosuch", user="admin")
    assert found.headers["x-midspan-warning"] == "There is no table nosuch"
    assert "incident" in found.json()["components"]["schemas"]


def test_there_is_no_xml_of_it(site: Site) -> None:
    found = site.send("GET", PATH, user="admin", headers={"Accept": "application/xml"})
    assert found.status_code == 406
