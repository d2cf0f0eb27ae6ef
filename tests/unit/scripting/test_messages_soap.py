"""SOAPMessageV2 against a real HTTP server, on both databases."""

from __future__ import annotations

import pytest

from midspan.instance import Instance
from midspan.sandbox import ScriptError

from .conftest import Ask, make
from .peer import Peer

pytestmark = pytest.mark.usefixtures("admitted")

ENVELOPE = (
    '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
    "<GetQuote><symbol>${symbol}</symbol></GetQuote></s:Body></s:Envelope>"
)
FAULT = ENVELOPE.replace(
    "<GetQuote><symbol>${symbol}</symbol></GetQuote>",
    "<s:Fault><faultcode>s:Client</faultcode><faultstring>No such symbol</faultstring></s:Fault>",
)


def quotes(instance: Instance, peer: Peer) -> None:
    message = make(instance, "sys_soap_message", name=peer.url, soap_endpoint=f"{peer.url}/soap")
    make(
        instance,
        "sys_soap_message_function",
        soap_message=message,
        function_name="GetQuote",
        soap_action="urn:quote#Get",
        envelope=ENVELOPE,
    )


def test_soap_by_name(instance: Instance, peer: Peer, ask: Ask) -> None:
    quotes(instance, peer)
    peer.answer("/soap", 200, "<ok/>", Content_Type="text/xml")
    body = """
        var sm = new sn_ws.SOAPMessageV2('<url>', 'GetQuote');
        sm.<set>('symbol', '<value>');
        var r = sm.execute();
        return [r.getStatusCode(), r.getBody(), r.haveError(), r.getRequestBody()];
        """
    names = {"url": peer.url, "set": "setStringParameter", "value": "A&B <1>"}
    sent = ENVELOPE.replace("${symbol}", "A&amp;B &lt;1&gt;")
    assert ask(body, **names) == [200, "<ok/>", False, sent]
    call = peer.last()
    assert (call.method, call.path, call.body) == ("POST", "/soap", sent.encode())
    assert call.headers["soapaction"] == '"urn:quote#Get"'
    assert call.headers["content-type"] == "text/xml; charset=utf-8"
    with pytest.raises(ScriptError, match="not well-formed"):
        ask(body, **{**names, "set": "setStringParameterNoEscape"})
    assert len(peer.calls) == 1


def test_a_soap_fault_and_a_redirect(instance: Instance, peer: Peer, ask: Ask) -> None:
    body = """
        var sm = new sn_ws.SOAPMessageV2(); sm.setEndpoint('<url>/<path>');
        sm.setSOAPAction('x'); sm.setRequestBody('<a/>'); <more>
        var r = sm.execute(); return [r.getStatusCode(), r.haveError(), r.getErrorMessage()];
        """
    peer.answer("/fault", 500, FAULT, Content_Type="text/xml")
    peer.answer("/moved", 307, Location=f"{peer.url}/there")
    names = {"url": peer.url, "more": ""}
    assert ask(body, path="fault", **names) == [500, True, "No such symbol"]
    assert ask(body, path="moved", **names) == [307, False, None]
    follow = {**names, "more": "sm.setFollowRedirect(true);"}
    assert ask(body, path="moved", **follow) == [200, False, None]
    with pytest.raises(ScriptError, match="setWSSecurity"):
        ask(body, path="moved", **{**names, "more": "sm.setWSSecurity('a', 'b', 'c', 'd');"})
    doctype = body.replace("<a/>", '<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>')
    with pytest.raises(ScriptError, match="DOCTYPE"):
        ask(doctype, path="moved", **names)
