"""The table of Scripted REST services: where each resource is and what it inherits."""

from __future__ import annotations

import pytest

from midspan.instance import Instance
from midspan.records import insert, update
from midspan.sandbox import Script
from midspan.scripting import PerWrite
from midspan.scripting.rest import RestRequest, serve
from midspan.scripting.services import SERVICES, Match
from midspan.security import SYSTEM

from .conftest import make


def find(instance: Instance, path: str, method: str = "GET") -> Match:
    return instance.holder.current().part(SERVICES).find(method, path)


def test_a_service_without_namespace_is_global(instance: Instance) -> None:
    service = make(instance, "sys_ws_definition", name="A", service_id="plain")
    make(instance, "sys_ws_operation", web_service_definition=service, relative_path="/x")
    assert find(instance, "/api/global/plain/x").resource is not None
    assert find(instance, "/api/global/plain").resource is None


def test_a_base_path_is_taken_as_it_is(instance: Instance) -> None:
    service = make(
        instance, "sys_ws_definition", name="B", service_id="b", base_uri="/api/12345/based/"
    )
    make(instance, "sys_ws_operation", web_service_definition=service, relative_path="")
    assert find(instance, "/api/12345/based").resource is not None


def test_formats_and_rules_are_inherited_or_replaced(instance: Instance) -> None:
    service = make(
        instance,
        "sys_ws_definition",
        name="C",
        service_id="c",
        produces="text/XML",
        produces_customized="true",
        consumes="text/plain",
        enforce_acl="r1,r2",
    )
    for path, more in {
        "/as_is": {},
        "/own": {
            "produces": "a/b; charset=utf-8, c/d",
            "produces_customized": "true",
            "enforce_acl": "r3",
        },
        "/off": {"requires_acl_authorization": "false"},
        "/open": {"requires_authentication": "false"},
    }.items():
        values = {"web_service_definition": service, "relative_path": path, **more}
        make(instance, "sys_ws_operation", **values)
    found = {
        name: find(instance, f"/api/global/c/{name}").resource
        for name in ("as_is", "own", "off", "open")
    }
    as_is, own, off, public = found.values()
    assert as_is is not None
    assert own is not None
    assert off is not None
    assert public is not None
    assert as_is.produces == ("text/xml",)
    assert as_is.consumes == ("application/json", "application/xml", "text/xml")
    assert own.produces == ("a/b", "c/d")
    assert (as_is.rules, own.rules, off.rules) == (("r1", "r2"), ("r3",), ())
    assert (as_is.signed_in, public.signed_in) == (True, False)


def test_an_inactive_service_is_not_there(instance: Instance) -> None:
    service = make(instance, "sys_ws_definition", name="D", service_id="d")
    make(instance, "sys_ws_operation", web_service_definition=service, http_method="PATCH")
    assert find(instance, "/api/global/d", "PATCH").resource is not None
    assert find(instance, "/api/global/d", "GET").allowed == {"PATCH"}
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        transaction.apply(update("sys_ws_definition", service, {"active": "false"}))
    assert find(instance, "/api/global/d", "PATCH") == Match()


def test_an_uncommitted_service_is_not_served(instance: Instance) -> None:
    def define_and_undo() -> None:
        with instance.records.write(SYSTEM, enforce=False) as transaction:
            values = {"name": "E", "service_id": "undone"}
            service = transaction.apply(insert("sys_ws_definition", values)).sys_id
            transaction.apply(insert("sys_ws_operation", {"web_service_definition": service}))
            raise RuntimeError("undo")

    with pytest.raises(RuntimeError, match="undo"):
        define_and_undo()
    assert find(instance, "/api/global/undone") == Match()


def test_records_have_their_addresses(instance: Instance) -> None:
    service = make(instance, "sys_ws_definition", name="F", service_id="f", namespace="x_a")
    plain = make(
        instance, "sys_ws_operation", web_service_definition=service, relative_path="/o/{id}"
    )
    version = make(
        instance,
        "sys_ws_version",
        web_service_definition=service,
        version="1",
        is_default="true",
    )
    versioned = make(
        instance,
        "sys_ws_operation",
        web_service_definition=service,
        web_service_version=version,
        relative_path="/",
    )

    def addresses() -> list[str]:
        with instance.records.read(SYSTEM) as transaction:
            first = transaction.require("sys_ws_operation", plain)
            second = transaction.require("sys_ws_operation", versioned)
            found = transaction.require("sys_ws_definition", service)
        return [
            found.get("base_uri"),
            first.get("operation_uri"),
            second.get("operation_uri"),
            second.get("default_operation_uri"),
        ]

    assert addresses() == ["/api/x_a/f", "/api/x_a/f/o/{id}", "/api/x_a/v1/f", "/api/x_a/f"]
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        transaction.apply(update("sys_ws_definition", service, {"service_id": "g"}))
        transaction.apply(
            update("sys_ws_version", version, {"version_id": "v2", "is_default": "false"})
        )
    assert addresses() == ["/api/x_a/g", "/api/x_a/g/o/{id}", "/api/x_a/v2/g", ""]
    with instance.records.read(SYSTEM) as transaction:
        paths = {row.get("operation_uri") for row in transaction.find("sys_ws_operation", "")}
    assert "/api/x_a/g/o/{id}" in paths


def test_a_service_without_an_id_has_that_of_its_name(instance: Instance) -> None:
    service = make(instance, "sys_ws_definition", name=" My Orders, 2nd API ", namespace="x_a")
    with instance.records.read(SYSTEM) as transaction:
        found = transaction.require("sys_ws_definition", service)
    assert (found.get("service_id"), found.get("base_uri")) == (
        "my_orders_2nd_api",
        "/api/x_a/my_orders_2nd_api",
    )


def test_a_script_learns_the_address_of_the_client_that_it_answers(instance: Instance) -> None:
    request = RestRequest(
        path_params={},
        query_params={},
        query_string="",
        uri="/api/x",
        url="http://x/api/x",
        headers={},
        address="192.0.2.7",
    )
    script = Script("resource", "gs.getSession().getClientIP()")
    unit = PerWrite(instance.records, SYSTEM)
    assert serve(instance.scripts, script, request, unit).value == "192.0.2.7"
    assert instance.scripts.run(script, unit=unit) is None
