"""SOAP: answers fit the schema that the WSDL tells, whatever comes in is answered as SOAP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from lxml import etree

from midspan.api import create_app
from midspan.api.soap.scripted import ScriptedSoap
from midspan.kernel.clock import ManualClock
from midspan.records import delete, insert
from midspan.security import SYSTEM

from .conftest import ADMIN, USER, Site, parts_of

XSD = "{http://www.w3.org/2001/XMLSchema}"
ENVELOPE = "{http://schemas.xmlsoap.org/soap/envelope/}"
QUALIFIED = "glide.wsdl.schema.UnqualifiedElementFormDefault"
TABLES = ("incident", "problem", "sys_user", "cmdb_ci_server", "sys_dictionary", "ecc_queue")


@pytest.fixture
def records(site: Site) -> Iterator[Any]:
    """Insert records as the system; they go again after the test."""
    made: list[tuple[str, str]] = []

    def make(table: str, **values: str) -> str:
        with site.instance.records.write(SYSTEM, enforce=False) as transaction:
            sys_id = transaction.apply(insert(table, values)).sys_id
        made.append((table, sys_id))
        return sys_id

    yield make
    with site.instance.records.write(SYSTEM, enforce=False) as transaction:
        for table, sys_id in reversed(made):
            transaction.apply(delete(table, sys_id))


HERE = "incident.do?SOAP"


def call(
    site: Site,
    operation: str,
    inner: str = "",
    *,
    at: str = "incident.do?SOAP",
    user: str = "admin",
) -> httpx.Response:
    body = f"<Envelope><Body><{operation}>{inner}</{operation}></Body></Envelope>"
    return post(site, body.encode(), at=at, user=user)


def post(site: Site, body: bytes, *, at: str = HERE, user: str = "admin") -> httpx.Response:
    return site.send(
        "POST", f"/{at}", user=user, content=body, headers={"Content-Type": "text/xml"}
    )


def fault(response: httpx.Response) -> tuple[str, str]:
    """Return what a fault says, and why."""
    assert response.status_code == 500
    found = etree.fromstring(response.content).find(f"{ENVELOPE}Body/{ENVELOPE}Fault")
    assert found is not None, response.text
    return str(found.findtext("faultstring")), str(found.findtext("detail"))


def schema_of(site: Site, table: str, words: str) -> etree.XMLSchema:
    wsdl = etree.fromstring(site.send("GET", f"/{table}.do?{words}WSDL", user="admin").content)
    (schema,) = wsdl.iter(f"{XSD}schema")
    return etree.XMLSchema(schema)


@pytest.mark.parametrize("qualified", [False, True])
@pytest.mark.parametrize("display", ["", "displayvalue=true&", "displayvalue=all&"])
@pytest.mark.parametrize("table", TABLES)
def test_answers_fit_the_schema(
    site: Site, records: Any, table: str, display: str, qualified: bool
) -> None:
    if qualified:
        records("sys_properties", name=QUALIFIED, value="false")
    if table not in ("incident", "sys_user", "sys_dictionary"):
        records(table)
    schema = schema_of(site, table, display)
    at = f"{table}.do?{display}SOAP"
    page = call(site, "getRecords", "<__limit>20</__limit>", at=at)
    assert page.text.count("<getRecordsResult>") >= 1
    (one,) = re.findall(
        "<sys_id>(.*?)</sys_id>", call(site, "getKeys", "<__limit>1</__limit>", at=at).text
    )
    counts = "<COUNT>sys_id</COUNT><GROUP_BY>sys_created_by</GROUP_BY>"
    for answer in (
        page,
        call(site, "get", f"<sys_id>{one}</sys_id>", at=at),
        call(site, "getKeys", at=at),
        call(site, "aggregate", counts, at=at),
        call(site, "deleteRecord", "<sys_id>none</sys_id>", at=at),
    ):
        (body,) = etree.fromstring(answer.content)
        schema.assertValid(body[0])


def test_writes_fit_the_schema(site: Site) -> None:
    schema = schema_of(site, "cmn_building", "")
    at = "cmn_building.do?SOAP"
    one = call(site, "insert", "<name>One</name>", at=at)
    record = "<record><name>Two</name></record>"
    several = call(site, "insertMultiple", record * 3, at=at)
    (made,) = re.findall("<sys_id>(.*?)</sys_id>", one.text)
    changed = call(site, "update", f"<sys_id>{made}</sys_id><name>Three</name>", at=at)
    gone = call(site, "deleteMultiple", "<__encoded_query>nameINTwo,Three</__encoded_query>", at=at)
    for answer in (one, several, changed, gone):
        (body,) = etree.fromstring(answer.content)
        schema.assertValid(body[0])
    assert "<count>4</count>" in gone.text


def test_a_mandatory_field_is_required_of_inserts_alone(site: Site, records: Any) -> None:
    records("sys_dictionary", name="cmn_building", element="u_must", mandatory="true")
    text = site.send("GET", "/cmn_building.do?WSDL", user="admin").text
    required = re.findall(r'<xsd:element minOccurs="1"[^>]* name="([^"]+)"', text)
    assert sorted(required) == ["sys_id"] * 3 + ["u_must"] * 2  # get, deleteRecord, update


def test_without_a_limit_250_records_are_sent(site: Site) -> None:
    rows = "".join(f"<record><name>row {place}</name></record>" for place in range(260))
    at = "cmn_building.do?SOAP"
    assert call(site, "insertMultiple", rows, at=at).text.count("<insertResponse>") == 260
    mine = "<name>STARTSWITHrow</name>"
    try:
        assert call(site, "getRecords", mine, at=at).text.count("<getRecordsResult>") == 250
        more = f"{mine}<__limit>300</__limit>"
        assert call(site, "getRecords", more, at=at).text.count("<getRecordsResult>") == 260
        last = f"{mine}<__first_row>255</__first_row><__last_row>999</__last_row>"
        assert call(site, "getRecords", last, at=at).text.count("<getRecordsResult>") == 5
        assert "<count>260</count>" in call(site, "getKeys", mine, at=at).text
    finally:
        assert "<count>260</count>" in call(site, "deleteMultiple", mine, at=at).text


def test_empty_elements_change_nothing_unless_the_address_says_so(site: Site, records: Any) -> None:
    made = records("incident", short_description="text", description="more")
    inner = f"<sys_id>{made}</sys_id><short_description/><impact>1</impact>"
    call(site, "update", inner)
    shown = call(site, "get", f"<sys_id>{made}</sys_id>").text
    assert "<short_description>text</short_description>" in shown
    assert "<impact>1</impact>" in shown
    call(site, "update", inner, at="incident.do?SOAP&allow_empty_value=true")
    call(site, "update", f"<sys_id>{made}</sys_id><description>NULL</description>")
    shown = call(site, "get", f"<sys_id>{made}</sys_id>").text
    assert "<short_description/>" in shown
    assert "<description/>" in shown


def test_what_one_may_not_read_is_neither_in_the_wsdl_nor_in_answers(
    site: Site, records: Any
) -> None:
    role = records("sys_user_role", name="soap_reader")
    soap = site.instance.records.read
    with soap(SYSTEM) as transaction:
        query = transaction.first("sys_user_role", "name=soap_query")
        assert query is not None
        itil = transaction.first("sys_user_role", "name=itil")
        assert itil is not None
    for held in (role, query.sys_id, itil.sys_id):
        records("sys_user_has_role", user=USER, role=held)
    rule = {"type": "record", "operation": "read", "active": "true"}
    hidden = records("sys_security_acl", name="incident.description", **rule)
    admin = "2831a114c611228501d4ea6c309d626d"
    records("sys_security_acl_role", sys_security_acl=hidden, sys_user_role=admin)
    for user, there in (("admin", True), ("ann", False)):
        wsdl = site.send("GET", "/incident.do?WSDL", user=user).text
        answers = wsdl.partition('name="getResponse"')[2].partition('name="getKeys"')[0]
        assert ('name="description"' in answers) is there
        shown = call(site, "get", f"<sys_id>{USER}</sys_id>", user=user).text
        assert "<number>" in shown
        assert ("<description" in shown) is there
    refused = call(site, "getKeys", "<description>x</description>", user="ann")
    assert fault(refused)[0] == "Insufficient rights to query records from incident"


def test_a_defect_is_a_fault_that_tells_nothing(site: Site) -> None:
    with patch("midspan.api.soap.endpoint.style_of", side_effect=RuntimeError("the secret")):
        answer = call(site, "get")
    told = " ".join(fault(answer))
    assert "secret" not in told
    assert answer.headers["x-transaction-id"] in told


def test_a_get_of_any_size_answers_the_same(site: Site, records: Any) -> None:
    """A small one of stored values needs no thread where the database is in this process."""
    sys_id = records("incident", short_description="a < b & c", active="true")
    inner = f"<sys_id>{sys_id}</sys_id>"
    small = call(site, "get", inner)
    large = call(site, "get", f"{inner}<!--{'x' * 5000}-->")
    assert b"<short_description>a &lt; b &amp; c</short_description>" in small.content
    assert b"<active>1</active>" in small.content
    assert (large.status_code, large.content) == (small.status_code, small.content)


ATTACKS = {
    "a document type": b'<!DOCTYPE a [<!ENTITY b "c">]><Envelope><Body><get/></Body></Envelope>',
    "a thousand laughs": b'<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;&b;">]><a>&c;</a>',
    "an outer entity": b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "an outer document type": b'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd"><a/>',
    "deep nesting": b"<a>" * 100_000 + b"</a>" * 100_000,
    "deep nesting in a field": b"<Envelope><Body><get>" + b"<a>" * 500 + b"</a>" * 500,
    "an unknown encoding": b'<?xml version="1.0" encoding="x-none"?><a/>',
    "no text": b"\x00\xff\xfe",
    "a wrong end": b"<Envelope><Body></Envelope>",
    "no operation": b"<Envelope><Body>text</Body></Envelope>",
    "a wide element": b"<Envelope><Body><get " + b"a='1' " * 1000 + b"/></Body></Envelope>",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_cannot_be_read_is_a_fault(site: Site, attack: str) -> None:
    text, _ = fault(post(site, ATTACKS[attack]))
    assert text == "Exception while reading request"


@pytest.mark.parametrize("operation", ["getRecords", "getKeys", "deleteMultiple", "aggregate"])
def test_a_condition_stays_a_condition(site: Site, records: Any, operation: str) -> None:
    """Values come from strangers: what looks like SQL, or like more query, is a value."""
    records("cmn_building", name="kept")
    for value in ("x' OR '1'='1", "x^ORnameISNOTEMPTY", "x^NQsys_idISNOTEMPTY", "1; DROP TABLE a"):
        inner = f"<COUNT>name</COUNT><name>{value}</name>"
        answer = call(site, operation, inner, at="cmn_building.do?SOAP")
        assert answer.status_code == 200
        assert "kept" not in answer.text
        assert re.search("<count>0|<COUNT>0|Response></SOAP|<sys_id/>", answer.text, re.IGNORECASE)


def test_a_message_that_is_too_long_is_refused_unread(site: Site) -> None:
    announced = {"Content-Type": "text/xml", "Content-Length": str(100 * 1024 * 1024)}
    answer = site.send(
        "POST", "/incident.do?SOAP", user="admin", content=b"<a/>", headers=announced
    )
    assert answer.status_code == 400
    assert "Rejected large REST payload" in answer.text


def test_many_records_at_once_are_refused(site: Site) -> None:
    rows = "<record/>" * 10_001
    text, _ = fault(call(site, "insertMultiple", rows, at="cmn_building.do?SOAP"))
    assert text == "insertMultiple has 10001 records, at most 10000 are taken"


def test_one_function_is_asked_for_once(site: Site) -> None:
    text, _ = fault(call(site, "aggregate", "<MAX>impact</MAX><MAX>number</MAX>"))
    assert text == "MAX is asked for more than once; ask again for each"


def test_the_user_who_wrote_is_the_one_who_signed_in(site: Site, records: Any) -> None:
    answer = call(site, "insert", "<name>whose</name>", at="cmn_building.do?SOAP")
    (made,) = re.findall("<sys_id>(.*?)</sys_id>", answer.text)
    shown = call(site, "get", f"<sys_id>{made}</sys_id>", at="cmn_building.do?SOAP").text
    assert "<sys_created_by>admin</sys_created_by>" in shown
    call(site, "deleteRecord", f"<sys_id>{made}</sys_id>", at="cmn_building.do?SOAP")
    assert made != ADMIN


def test_wrong_tokens_slow_down_the_sign_in(site: Site, records: Any) -> None:
    records("sys_properties", name="glide.soap.require_ws_security", value="true")
    token = "<UsernameToken><Username>ann</Username><Password>wrong</Password></UsernameToken>"
    body = (
        f"<Envelope><Header><Security>{token}</Security></Header><Body><getKeys/></Body></Envelope>"
    )
    told = [post(site, body.encode()).text for _ in range(11)]
    assert all("WS-Security: failed to authenticate" in text for text in told[:10])
    assert "Too many failed sign-ins" in told[10]
    assert site.send("GET", "/api/now/table/incident", user="ann").status_code == 429
    clock = site.instance.clock
    assert isinstance(clock, ManualClock)
    clock.advance(timedelta(hours=1))
    assert site.send("GET", "/api/now/table/incident", user="ann").status_code == 200


def test_a_script_runs_in_threads_of_its_own(site: Site, records: Any) -> None:
    service = records("sys_web_service", name="Slow", script="response.done = true;")
    scripted = ScriptedSoap(site.instance.scripts, threads=1)
    app = create_app(parts_of(site.instance, scripted_soap=scripted))
    try:
        with patch.object(scripted.lane, "run", wraps=scripted.lane.run) as run:
            there = Site(site.instance, app, site._runner)
            assert "<done>true</done>" in call(there, "execute", at="Slow.do?SOAP").text
            assert run.call_count == 1
            assert call(there, "getKeys").status_code == 200
            assert run.call_count == 1
    finally:
        app.close()
        scripted.close()
    assert service
    assert "Scripts are not available here" in call(site, "execute", at="Slow.do?SOAP").text


def test_what_belongs_to_a_record_comes_inside_it(site: Site) -> None:
    task = "<problem_task><short_description>Look</short_description></problem_task>"
    inner = (
        f"<short_description>Outage</short_description>{task}{task}"
        "<incident><short_description>Down</short_description>"
        "<incident_task><short_description>Call</short_description></incident_task></incident>"
    )
    answer = call(site, "insert", inner, at="problem.do?SOAP&hierarchical=true")
    sys_id = re.findall("<sys_id>(.*?)</sys_id>", answer.text)[0]
    with site.instance.records.read(SYSTEM) as records:
        assert len(records.find("problem_task", f"problem={sys_id}")) == 2
        (incident,) = records.find("incident", f"problem_id={sys_id}")
        (there,) = records.find("incident_task", f"incident={incident.sys_id}")
    assert there.get("short_description") == "Call"


def test_a_property_says_how_deep_records_may_be(site: Site, records: Any) -> None:
    records("sys_properties", name="glide.wsdl.maximum_hierarchy", value="1")
    inner = "<incident><incident_task><a/></incident_task></incident>"
    answer = call(site, "insert", inner, at="problem.do?SOAP&hierarchical=true")
    assert fault(answer)[0] == "Records are nested more than 1 deep"


def test_all_of_a_hierarchy_is_inserted_or_nothing(site: Site) -> None:
    inner = (
        "<short_description>Half</short_description><problem_task><a/></problem_task><x><a/></x>"
    )
    answer = call(site, "insert", inner, at="problem.do?SOAP&hierarchical=true")
    assert "Invalid table x" in answer.text
    with site.instance.records.read(SYSTEM) as records:
        assert records.find("problem", "short_description=Half") == []


@pytest.mark.parametrize("display", ["false", "true", "all"])
def test_empty_fields_are_left_out_where_that_is_wanted(
    site: Site, records: Any, display: str
) -> None:
    at = f"incident.do?SOAP&displayvalue={display}"
    before = call(site, "getRecords", at=at).text
    records("sys_properties", name="glide.soap.omit_null_values", value="true")
    own = f"<sys_id>{USER}</sys_id>"
    for operation in ("get", "getRecords"):
        text = call(site, operation, own, at=at).text
        assert "<short_description>&lt;script&gt;</short_description>" in text
        assert "/>" not in text
    assert "/>" in before
