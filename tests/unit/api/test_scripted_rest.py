"""Scripted REST against its specification: security, formats, streams, documents, several nodes."""

from __future__ import annotations

import base64
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from midspan.attachments import NewFile
from midspan.kernel.clock import ManualClock
from midspan.kernel.errors import InvalidRequest
from midspan.records.snapshot import STALE_AFTER
from midspan.scripting import PerWrite
from midspan.scripting.streams import stream_pieces
from midspan.security import SYSTEM

from .acme import BASE, MARY, PETER, SERVICE, Acme, opened_acme, served_acme

BYTES = bytes(range(256)) * 3000
STREAM = "response.getStreamWriter().writeStream(request.body.dataStream);"
ANY_TYPE = {"consumes": "*", "consumes_customized": "true"}
NONE, GRANTS, REFUSES, EITHER = "none", "grants", "refuses", "either"


def rules(acme: Acme) -> dict[str, str]:
    """Make an ACL that mary passes and one that nobody does; return the lists to choose from."""
    values = {"operation": "execute", "type": "REST_Endpoint"}
    grants = acme.write("sys_security_acl", {"name": "matrix", **values})
    refuses = acme.write("sys_security_acl", {"name": "matrix none", **values})
    with acme.instance.records.read(SYSTEM) as transaction:
        clerk = transaction.first("sys_user_role", "name=clerk")
    assert clerk is not None
    acme.write("sys_security_acl_role", {"sys_security_acl": grants, "sys_user_role": clerk.sys_id})
    return {NONE: "", GRANTS: grants, REFUSES: refuses, EITHER: f"{refuses},{grants}"}


def expected(signed_in: bool, with_rules: bool, own: str, default: str, user: Any) -> int:
    """Scripting reference, section 1.2: the security matrix."""
    if not signed_in:
        return 200
    if user is None:
        return 401
    counts = own if own != NONE else default
    if not with_rules or counts == NONE:
        return 200
    return 200 if user == MARY and counts in (GRANTS, EITHER) else 403


def test_the_whole_security_matrix(acme: Acme) -> None:
    listed = rules(acme)
    paths = {
        (signed_in, with_rules, own): acme.serve(
            "return 1;",
            requires_authentication=str(signed_in).lower(),
            requires_acl_authorization=str(with_rules).lower(),
            enforce_acl=listed[own],
        )
        for signed_in, with_rules, own in product((True, False), (True, False), listed)
    }
    wrong = []
    try:
        for default in listed:
            acme.change("sys_ws_definition", SERVICE, {"enforce_acl": listed[default]})
            for case, path in paths.items():
                for user in (None, PETER, MARY):
                    status = acme.ask(path, auth=user).status_code
                    if status != expected(*case, default, user):
                        wrong.append((*case, default, user, status))
    finally:
        acme.change("sys_ws_definition", SERVICE, {"enforce_acl": ""})
    assert wrong == []


def test_a_rule_for_records_admits_nobody(acme: Acme) -> None:
    """Only rules for endpoints count; one for a table that was listed by mistake grants nothing."""
    rule = acme.write("sys_security_acl", {"name": "incident", "operation": "read"})
    assert acme.ask(acme.serve("return 1;", enforce_acl=rule)).status_code == 403


@pytest.mark.parametrize(
    ("api", "own", "sent", "status"),
    [
        ("", "", "application/vnd.acme+json", 415),
        ("application/vnd.acme+json", "", "application/vnd.acme+json", 200),
        ("application/vnd.acme+json", "", "application/json", 415),
        ("text/*", "application/vnd.%+json", "application/vnd.a+json", 200),
        ("text/*", "application/vnd.%+json", "application/vnd.ab+json", 415),
        ("text/*", "application/vnd.%+json", "text/plain", 415),
        ("*", "", "application/x-thing", 200),
        ("text/csv;charset=UTF-8, text/xml", "", "text/csv; charset=utf-8", 200),
    ],
)
def test_request_formats(acme: Acme, api: str, own: str, sent: str, status: int) -> None:
    customized = {"consumes": api, "consumes_customized": "true" if api else "false"}
    acme.change("sys_ws_definition", SERVICE, customized)
    more = {"consumes": own, "consumes_customized": "true"} if own else {}
    path = acme.serve("return request.body.dataString;", "POST", **more)
    try:
        answer = acme.ask(path, "POST", content="{}", headers={"content-type": sent})
    finally:
        acme.change("sys_ws_definition", SERVICE, {"consumes": "", "consumes_customized": "false"})
    assert answer.status_code == status


def test_a_list_that_is_not_customised_counts_not(acme: Acme) -> None:
    path = acme.serve("return 1;", produces="image/png")
    assert acme.ask(path, headers={"accept": "image/png"}).status_code == 406
    assert acme.ask(path, headers={"accept": "application/json"}).status_code == 200


@pytest.mark.parametrize("kind", ["application/vnd.acme+xml", "text/xml", "application/xml"])
def test_xml_in_and_out(acme: Acme, kind: str) -> None:
    path = acme.serve(
        "return {got: request.body.data, n: request.body.hasNext()};",
        "POST",
        consumes="*",
        consumes_customized="true",
        produces="*",
        produces_customized="true",
    )
    body = "<request><entry><a>1</a></entry><entry><a>2</a></entry></request>"
    answer = acme.ask(path, "POST", content=body, headers={"content-type": kind, "accept": kind})
    assert answer.headers["content-type"] == f"{kind};charset=UTF-8"
    wanted = "<result><got><a>1</a></got><got><a>2</a></got><n>true</n></result>"
    assert wanted in answer.text


@pytest.mark.parametrize("body", ["<a>", "<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>"])
def test_xml_that_is_refused_is_the_callers_mistake(acme: Acme, body: str) -> None:
    path = acme.serve("return request.body.data;", "POST")
    headers = {"content-type": "text/xml", "accept": "text/xml"}
    answer = acme.ask(path, "POST", content=body, headers=headers)
    assert answer.status_code == 400
    assert "<status>failure</status>" in answer.text


def test_an_error_has_the_form_that_the_caller_accepts(acme: Acme) -> None:
    path = acme.serve("throw new sn_ws_err.ConflictError('taken');")
    answer = acme.ask(path, headers={"accept": "application/xml"})
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/xml;charset=UTF-8"
    assert "<error><message>taken</message><detail/></error>" in answer.text


@pytest.mark.parametrize(
    ("method", "kind"), [("GET", "text/plain"), ("DELETE", "image/png"), ("POST", "text/plain")]
)
def test_no_body_is_null_whatever_its_type(acme: Acme, method: str, kind: str) -> None:
    body = "return [request.body != null, request.body.data, request.body.hasNext()];"
    path = acme.serve(body, method, **ANY_TYPE)
    answer = acme.ask(path, method, headers={"content-type": kind})
    assert answer.json() == {"result": [True, None, False]}


def test_a_body_that_is_neither_json_nor_xml_is_read_as_a_stream_alone(acme: Acme) -> None:
    headers = {"content-type": "text/csv"}
    path = acme.serve("return request.body.data;", "POST", **ANY_TYPE)
    refused = acme.ask(path, "POST", content="a,b", headers=headers)
    assert refused.status_code == 500
    assert "dataStream" in refused.json()["error"]["message"]
    path = acme.serve(f"response.setContentType('text/csv'); {STREAM}", "POST", **ANY_TYPE)
    assert acme.ask(path, "POST", content="a,b", headers=headers).text == "a,b"


def test_bytes_without_a_type_are_an_error(acme: Acme) -> None:
    path = acme.serve(STREAM, "POST", **ANY_TYPE)
    headers = {"content-type": "application/octet-stream"}
    answer = acme.ask(path, "POST", content=BYTES, headers=headers)
    assert answer.status_code == 500
    assert "setContentType" in answer.json()["error"]["message"]
    typed = acme.serve(f"response.setHeader('Content-Type', 'a/b'); {STREAM}", "POST", **ANY_TYPE)
    answer = acme.ask(typed, "POST", content=BYTES, headers=headers)
    assert (answer.content, answer.headers["content-type"]) == (BYTES, "a/b")


def test_a_document_of_one_service(acme: Acme) -> None:
    resource = acme.resource(
        "/described/{id}",
        "1",
        "POST",
        name="Describe",
        short_description="Takes an order.",
        request_example='{"a": 1}',
    )
    for table, link, name, more in (
        ("sys_ws_query_parameter", "web_service_query_parameter", "page", {"is_required": "true"}),
        ("sys_ws_header", "web_service_header", "X-Tenant", {"short_description": "Whose."}),
        ("sys_ws_header", "web_service_header", "Accept", {}),
    ):
        values = {"name": name, "example_value": "2", "web_service_definition": SERVICE, **more}
        sys_id = acme.write(table, values)
        acme.write(f"{table}_map", {"web_service_operation": resource, link: sys_id})
    made = acme.ask("/api/now/doc/openapi?service=x_acme/orders").json()
    assert made["info"]["title"] == "Orders"
    assert all(path.startswith(BASE) for path in made["paths"])
    assert not [name for name in made["components"]["schemas"] if name == "incident"]
    operation = made["paths"][f"{BASE}/described/{{id}}"]["post"]
    assert operation["description"] == "Takes an order."
    assert operation["requestBody"]["content"]["application/json"]["example"] == '{"a": 1}'
    told = {each["name"]: each for each in operation["parameters"]}
    assert told.keys() == {"id", "page", "X-Tenant"}
    assert (told["page"]["in"], told["X-Tenant"]["in"]) == ("query", "header")
    assert (told["page"]["example"], "required" in told["page"]) == ("2", False)
    missing = acme.ask("/api/now/doc/openapi?service=x_acme/order")
    assert missing.status_code == 400
    assert "x_acme/order " in missing.json()["error"]["message"]


def test_a_deprecated_version_says_so(acme: Acme) -> None:
    values = {"name": "Old", "service_id": "old", "namespace": "x_acme", "is_versioned": "true"}
    definition = acme.write("sys_ws_definition", values)
    version = {"version": "1", "web_service_definition": definition, "deprecated": "true"}
    sys_id = acme.write("sys_ws_version", version)
    acme.resource("/", "1", web_service_definition=definition, web_service_version=sys_id)
    made = acme.ask("/api/now/doc/openapi?service=x_acme/old").json()
    assert made["paths"]["/api/x_acme/v1/old"]["get"]["deprecated"] is True


def test_a_change_on_one_node_is_live_on_the_other(
    new_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other node looks after a second of its clock; a write transaction looks at once."""
    monkeypatch.setenv("MIDSPAN_MASTER_KEY", base64.b64encode(b"k" * 32).decode())
    url, clock = new_database(), ManualClock()
    with opened_acme(url, clock) as one, served_acme(url, clock) as other:
        sys_id = one.resource("/live", "'before'")
        clock.advance(STALE_AFTER)
        assert other.ask(f"{BASE}/live").json() == {"result": "before"}
        one.change("sys_ws_operation", sys_id, {"operation_script": "'after'"})
        clock.advance(STALE_AFTER)
        assert other.ask(f"{BASE}/live").json() == {"result": "after"}
        other.change("sys_ws_operation", sys_id, {"active": "false"})
        clock.advance(STALE_AFTER)
        assert [node.ask(f"{BASE}/live").status_code for node in (one, other)] == [400, 400]


def test_an_attachment_is_a_stream(acme: Acme) -> None:
    record = acme.write("incident", {"short_description": "with a file"})
    file = NewFile(table="incident", record=record, name="x.bin", content_type="image/png")
    sys_id = acme.instance.attachments.write(SYSTEM, file, [BYTES])
    unit = PerWrite(acme.instance.records, SYSTEM)
    assert b"".join(stream_pieces(unit, {"kind": "attachment", "id": sys_id})) == BYTES
    with pytest.raises(InvalidRequest, match="socket"):
        list(stream_pieces(unit, {"kind": "socket"}))


def test_the_stream_of_a_request_becomes_an_attachment(acme: Acme) -> None:
    record = acme.write("incident", {"short_description": "with a body"})
    path = acme.serve(
        f"""
        var gr = new GlideRecord('incident');
        gr.get('{record}');
        return new GlideSysAttachment()
            .writeContentStream(gr, 'body.bin', 'image/png', request.body.dataStream);
        """,
        "POST",
        **ANY_TYPE,
    )
    answer = acme.ask(path, "POST", content=BYTES, headers={"content-type": "image/png"})
    sys_id = answer.json()["result"]
    unit = PerWrite(acme.instance.records, SYSTEM)
    assert b"".join(stream_pieces(unit, {"kind": "attachment", "id": sys_id})) == BYTES
    with acme.instance.records.read(SYSTEM) as transaction:
        stored = transaction.require("sys_attachment", sys_id)
    assert (stored.get("table_sys_id"), stored.get("file_name")) == (record, "body.bin")


def test_a_script_sees_the_query_as_it_was_sent(acme: Acme) -> None:
    path = acme.serve("return [request.queryString, request.url.split('?')[1]];")
    raw = "sysparm_query=active=true^priority=1&q=a+b%2bc"
    assert acme.ask(f"{path}?{raw}").json()["result"] == [raw, raw]


@pytest.mark.parametrize(
    "charset", ["ISO-8859-1", "windows-1252", "utf-16", "utf-8-sig", "utf-8", "unknown-9"]
)
def test_a_body_is_read_in_its_charset(acme: Acme, charset: str) -> None:
    path = acme.serve("return [request.body.data.a, request.body.dataString];", "POST")
    written = "utf-8" if charset == "unknown-9" else charset
    charset = charset.removesuffix("-sig")
    answer = acme.ask(
        path,
        "POST",
        content='{"a": "é"}'.encode(written),
        headers={"content-type": f"application/json; charset={charset}"},
    )
    assert answer.json()["result"] == ["é", '{"a": "é"}']
