"""What the log of outgoing calls keeps of the messages of scripts, and what never."""

from __future__ import annotations

import base64
import logging

import pytest

from midspan.instance import Instance
from midspan.records import update
from midspan.security import SYSTEM

from .conftest import Ask, logged, make
from .peer import Peer

pytestmark = pytest.mark.usefixtures("admitted")
SECRET = "s3cret-Pa55"


def test_log_levels_keep_no_secret(
    instance: Instance, peer: Peer, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = base64.b64encode(f"u:{SECRET}".encode()).decode()
    echo = f'{{"password": "{SECRET}", "seen": "Basic {token}", "plain": "{SECRET}", "ok": 1}}'
    url = peer.answer(
        "/log", 200, echo, Content_Type="application/json", Set_Cookie=f"session={SECRET}"
    )
    body = (
        "var rm = new sn_ws.RESTMessageV2(); rm.setHttpMethod('post'); rm.setEndpoint('<url>');"
        "rm.setRequestHeader('Content-Type', 'application/x-www-form-urlencoded');"
        "rm.setRequestHeader('X-Api-Key', '<secret>'); rm.setBasicAuth('u', '<secret>');"
        "rm.setQueryParameter('api_key', '<secret>');"
        "rm.setRequestBody('user=u&password=<secret>'); rm.setLogLevel('<level>'); rm.execute();"
    )
    for level in ("basic", "elevated", "all", "nonsense"):
        ask(body, url=url, secret=SECRET, level=level)
    rows = logged(instance, "url_path=/log")
    kept = {row["level"]: row for row in rows}
    assert sorted(row["level"] for row in rows) == ["all", "basic", "basic", "elevated"]
    assert kept["basic"]["request_headers"] == kept["basic"]["response_body"] == ""
    assert "X-Api-Key: ***" in kept["elevated"]["request_headers"]
    assert kept["elevated"]["request_body"] == ""
    assert kept["all"]["request_body"] == "user=u&password=***"
    assert '"ok": 1' in kept["all"]["response_body"]
    assert SECRET not in str(rows)
    assert token not in str(rows)
    ours = [record for record in caplog.records if record.name.startswith("midspan")]
    assert SECRET not in str([record.getMessage() for record in ours])


def test_a_property_overrides_the_log_level(instance: Instance, peer: Peer, ask: Ask) -> None:
    on = make(instance, "sys_properties", name="glide.outbound_http_log.override", value="true")
    name = "glide.outbound_http_log.override.level"
    make(instance, "sys_properties", name=name, value="elevated")
    body = (
        "var rm = new sn_ws.RESTMessageV2(); rm.setHttpMethod('get');"
        "rm.setEndpoint('<url>/override'); rm.setLogLevel('all'); rm.execute();"
    )
    try:
        ask(body, url=peer.url)
    finally:
        with instance.records.write(SYSTEM, enforce=False) as transaction:
            transaction.apply(update("sys_properties", on, {"value": "false"}))
    (row,) = logged(instance, "url_path=/override")
    assert row["level"] == "elevated"
