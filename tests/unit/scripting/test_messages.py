"""RESTMessageV2 and SOAPMessageV2 against a real HTTP server, on both databases."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from typing import Any

import pytest

from midspan.attachments import AttachmentStore, NewFile
from midspan.instance import Instance
from midspan.records import insert, update
from midspan.sandbox import Script, ScriptError
from midspan.scripting import Enclosed
from midspan.security import SYSTEM

from .conftest import Ask, logged, make
from .peer import Peer

pytestmark = pytest.mark.usefixtures("admitted")

SECRET = "s3cret-Pa55"


def orders(instance: Instance, peer: Peer, **values: str) -> str:
    """Define a message of a new name with the functions ``create`` and ``show``; return its id."""
    message = make(
        instance,
        "sys_rest_message",
        **{"name": peer.url, "rest_endpoint": f"{peer.url}/orders", **values},
    )
    for name, value in (("Accept", "application/json"), ("X-Tenant", "${tenant}")):
        make(instance, "sys_rest_message_headers", rest_message=message, name=name, value=value)
    create = make(
        instance,
        "sys_rest_message_fn",
        rest_message=message,
        function_name="create",
        http_method="post",
        content='{"note": "${note}", "raw": "${raw}"}',
    )
    header = {"name": "accept", "value": "text/plain"}
    make(instance, "sys_rest_message_fn_headers", rest_message_function=create, **header)
    for order, (name, value) in enumerate((("z", "1"), ("q", "${note}"))):
        parameter = {"name": name, "value": value, "order": str(order)}
        make(instance, "sys_rest_message_fn_param_defs", rest_message_function=create, **parameter)
    variable = {"name": "kept", "type": "xml_escaping"}
    make(instance, "sys_rest_message_fn_parameters", rest_message_function=create, **variable)
    make(
        instance,
        "sys_rest_message_fn",
        rest_message=message,
        function_name="show",
        http_method="get",
        rest_endpoint=f"{peer.url}/orders/${{id}}",
    )
    return message


def test_a_message_by_endpoint(peer: Peer, ask: Ask) -> None:
    url = peer.answer(
        "/echo", 201, "grüße", Content_Type="text/plain; charset=utf-8", Set_Cookie=["a=1", "b=2"]
    )
    found = ask(
        """
        var rm = new sn_ws.RESTMessageV2();
        rm.setEndpoint('<url>?x=1'); rm.setHttpMethod('Post');
        rm.setRequestHeader('X-One', 'first'); rm.setRequestHeader('x-one', 'second');
        rm.setQueryParameter('sysparm_query', 'active=true^name=a&b c');
        rm.setRequestBody('{"a": "${b}"}'); rm.setBasicAuth('ann', '<secret>');
        var r = rm.execute();
        return {
            status: r.getStatusCode(), body: r.getBody(), failed: r.haveError(),
            code: r.getErrorCode(), message: r.getErrorMessage(),
            type: r.getHeader('content-TYPE'), none: r.getHeader('X-None'),
            last: r.getHeaders()['Set-Cookie'],
            cookies: [r.getCookies().size(), r.getCookies().get(0)],
            all: r.getAllHeaders().map(function (h) { return h.name + '=' + h.getValue(); })
                .filter(function (h) { return h.indexOf('Set-Cookie') === 0; }),
            query: r.getQueryString(), endpoint: rm.getEndpoint(), sent: rm.getRequestBody(),
            header: rm.getRequestHeader('X-ONE'), headers: rm.getRequestHeaders(),
        };
        """,
        url=url,
        secret=SECRET,
    )
    query = "x=1&sysparm_query=active%3Dtrue%5Ename%3Da%26b%20c"
    assert found == {
        "status": 201,
        "body": "grüße",
        "failed": False,
        "code": 0,
        "message": None,
        "type": "text/plain; charset=utf-8",
        "none": None,
        "last": "b=2",
        "cookies": [2, "a=1"],
        "all": ["Set-Cookie=a=1", "Set-Cookie=b=2"],
        "query": f"{url}?{query}",
        "endpoint": f"{url}?x=1",
        "sent": '{"a": "${b}"}',
        "header": "second",
        "headers": {"x-one": "second"},
    }
    call = peer.last()
    assert (call.method, call.path, call.body) == ("POST", f"/echo?{query}", b'{"a": "${b}"}')
    assert call.headers["x-one"] == "second"
    token = base64.b64encode(f"ann:{SECRET}".encode()).decode()
    assert call.headers["authorization"] == f"Basic {token}"
    assert call.headers["user-agent"].startswith("Midspan/")


@pytest.mark.parametrize("method", ["get", "POST", "put", "Patch", "delete", "head"])
def test_every_method(peer: Peer, ask: Ask, method: str) -> None:
    body = "var r = new RESTMessageV2(); r.setEndpoint('<url>/m'); r.setHttpMethod('<method>');"
    assert ask(body + "return r.execute().getStatusCode();", url=peer.url, method=method) == 200
    assert peer.last().method == method.upper()


def test_a_message_by_name(instance: Instance, peer: Peer, ask: Ask) -> None:
    orders(instance, peer)
    body = ask(
        """
        var rm = new sn_ws.RESTMessageV2('<url>', 'CREATE');
        rm.setStringParameter('note', 'a<b & "c"');
        rm.setStringParameterNoEscape('raw', '<x>');
        rm.setStringParameterNoEscape('tenant', 'acme');
        var r = rm.execute();
        return [r.getStatusCode(), rm.getRequestBody(), rm.getEndpoint()];
        """,
        url=peer.url,
    )
    sent = '{"note": "a&lt;b &amp; &quot;c&quot;", "raw": "<x>"}'
    assert body == [200, sent, f"{peer.url}/orders"]
    call = peer.last()
    assert call.body == sent.encode()
    assert call.path == "/orders?z=1&q=a%26lt%3Bb%20%26amp%3B%20%26quot%3Bc%26quot%3B"
    assert (call.headers["accept"], call.headers["x-tenant"]) == ("text/plain", "acme")
    ask(
        "var rm = new sn_ws.RESTMessageV2('<url>', 'show'); rm.setStringParameter('id', '7');"
        "rm.execute();",
        url=peer.url,
    )
    assert (peer.last().method, peer.last().path) == ("GET", "/orders/7")
    assert peer.last().headers["x-tenant"] == ""
    sources = {(row["source_table"], row["connection"]) for row in logged(instance)}
    assert ("sys_rest_message_fn", "sys_rest_message_fn") in sources


def test_a_body_of_ones_own_keeps_its_variables(instance: Instance, peer: Peer, ask: Ask) -> None:
    orders(instance, peer)
    ask(
        "var rm = new sn_ws.RESTMessageV2('<url>', 'create'); rm.setRequestBody('${note}');"
        "rm.setStringParameter('note', 'n'); rm.setRequestHeader('X-Own', '${kept}');"
        "rm.setStringParameterNoEscape('kept', 'a&b'); rm.execute();",
        url=peer.url,
    )
    assert peer.last().body == b"${note}"
    assert peer.last().headers["x-own"] == "a&amp;b"
    ask(
        "var rm = new sn_ws.RESTMessageV2('<url>', 'create');"
        "rm.disableForcedVariableSubstitution(); rm.execute();",
        url=peer.url,
    )
    assert peer.last().body == b'{"note": "${note}", "raw": "${raw}"}'


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("'<url>x', 'create'", "did you mean"),
        ("'<url>', 'creat'", "did you mean"),
        ("'<url>', 'a^b'", "no HTTP method"),
        ("'', 'get'", "no REST message"),
    ],
)
def test_a_message_that_is_not_there(
    instance: Instance, peer: Peer, ask: Ask, arguments: str, words: str
) -> None:
    orders(instance, peer)
    made = f"new sn_ws.RESTMessageV2({arguments})"
    text = ask(f"try {{ {made}; }} catch (e) {{ return e.getMessage(); }}", url=peer.url)
    with pytest.raises(ScriptError) as raised:
        ask(f"{made};", url=peer.url)
    cause = raised.value.__cause__
    hint = str(getattr(cause, "hint", "")).lower()
    assert text.startswith("There is no")
    assert words.lower() in f"{text} {hint}".lower()


def test_authentication_of_records_and_profiles(instance: Instance, peer: Peer, ask: Ask) -> None:
    profile = make(instance, "sys_auth_profile_basic", name="p", username="pro", password=SECRET)
    message = orders(
        instance,
        peer,
        authentication_type="basic",
        basic_auth_user="rec",
        basic_auth_password=SECRET,
    )

    def user(body: str) -> str:
        ask(
            f"var rm = new sn_ws.RESTMessageV2('<url>', 'create'); {body} rm.execute();",
            url=peer.url,
        )
        given = peer.last().headers.get("authorization", "")
        if not given:
            return ""
        name, _, password = base64.b64decode(given.removeprefix("Basic ")).decode().partition(":")
        assert password == SECRET
        return name

    assert user("") == "rec"
    assert user(f"rm.setBasicAuth('own', '{SECRET}');") == "own"
    assert user(f"rm.setAuthenticationProfile('basic', '{profile}');") == "pro"
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        query = f"rest_message={message}^function_name=create"
        function = transaction.first("sys_rest_message_fn", query)
        assert function is not None
        values = {"authentication_type": "no_authentication"}
        transaction.apply(update("sys_rest_message_fn", function.sys_id, values))
    assert user("") == ""
    with pytest.raises(ScriptError, match="nowhere"):
        user("rm.setAuthenticationProfile('basic', 'nowhere');")


def test_a_token_is_kept_and_renewed_once(instance: Instance, peer: Peer, ask: Ask) -> None:
    entity = make(
        instance,
        "oauth_entity",
        name=peer.url,
        type="provider",
        client_id=peer.url,
        client_secret=SECRET,
        token_url=f"{peer.url}/token",
    )
    profile = make(
        instance,
        "oauth_entity_profile",
        name="p",
        oauth_entity=entity,
        grant_type="client_credentials",
    )
    body = (
        "var rm = new sn_ws.RESTMessageV2(); rm.setHttpMethod('get');"
        "rm.setEndpoint('<url>/<path>');"
        "rm.setAuthenticationProfile('oauth2', '<profile>'); return rm.execute().getStatusCode();"
    )
    names = {"url": peer.url, "profile": profile}
    assert [ask(body, path=path, **names) for path in ("a", "b", "guarded")] == [200, 200, 200]
    asked = [(each.path, each.headers.get("authorization", "")[:13]) for each in peer.calls]
    assert [path for path, _ in asked] == ["/token", "/a", "/b", "/guarded", "/token", "/guarded"]
    assert [proof for path, proof in asked if path != "/token"] == ["Bearer token-"] * 4
    assert peer.last().headers["authorization"] == "Bearer token-2"
    assert peer.calls[0].body == b"grant_type=client_credentials"
    peer.answer("/broken", 400, f'{{"error": "invalid_client", "about": "{SECRET}"}}')
    values = {"token_url": f"{peer.url}/broken"}
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        transaction.apply(update("oauth_entity", entity, values))
    failed = body.replace("getStatusCode", "getErrorMessage")
    message = ask(failed, path="a", **names)
    assert "invalid_client" in message
    assert SECRET not in message


def test_an_answer_that_is_an_error(peer: Peer, ask: Ask) -> None:
    url = peer.answer("/gone", 404, "nothing here")
    body = (
        "var rm = new sn_ws.RESTMessageV2(); rm.setHttpMethod('get'); rm.setEndpoint('<url>');"
        "var r = rm.execute(); return [r.getStatusCode(), r.haveError(), r.getErrorMessage(),"
        "r.getErrorCode(), r.getBody()];"
    )
    message = "Method failed: (/gone) with code: 404"
    assert ask(body, url=url) == [404, True, message, 0, "nothing here"]
    refused = ask(body, url="http://127.0.0.1:1/x")
    assert refused[:2] == [0, True]
    assert refused[3:] == [2, ""]
    forbidden = ask(body, url="http://169.254.169.254/latest")
    assert (forbidden[0], forbidden[3]) == (0, 3)
    assert "not allowed" in forbidden[2]


def test_a_peer_that_does_not_answer_in_time(peer: Peer, ask: Ask) -> None:
    body = (
        "var rm = new sn_ws.RESTMessageV2(); rm.setHttpMethod('get'); rm.setEndpoint('<url>/held');"
        "rm.setHttpTimeout(300); var r = rm.execute();"
        "return [r.getStatusCode(), r.haveError(), r.getErrorCode()];"
    )
    assert ask(body, url=peer.url) == [0, True, 1]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("rm.setHttpMethod('get');", "no endpoint"),
        ("rm.setEndpoint('<url>');", "no HTTP method"),
        ("rm.setEndpoint('<url>'); rm.setHttpMethod('trace');", "TRACE"),
        ("rm.setEndpoint('file:///etc/passwd'); rm.setHttpMethod('get');", "http or https"),
        (
            "rm.setEndpoint('<url>'); rm.setHttpMethod('get'); rm.setMutualAuth('m');",
            "no protocol profile",
        ),
        (
            "rm.setEndpoint('<url>'); rm.setHttpMethod('get'); rm.setMIDServer('m');",
            "no MID server",
        ),
    ],
)
def test_what_cannot_be_sent(peer: Peer, ask: Ask, body: str, words: str) -> None:
    with pytest.raises(ScriptError, match=words):
        ask(f"var rm = new sn_ws.RESTMessageV2(); {body} rm.execute();", url=peer.url)
    assert peer.calls == []


def test_redirects_and_where_credentials_go(peer: Peer, ask: Ask) -> None:
    url = peer.answer("/moved", 302, Location=f"{peer.elsewhere}/there")
    body = (
        "var rm = new sn_ws.RESTMessageV2(); rm.setHttpMethod('get'); rm.setEndpoint('<url>');"
        "rm.setBasicAuth('u', '<secret>'); rm.setAllowedRedirectURIs(<allowed>);"
        "return rm.execute().getStatusCode();"
    )
    free = body.replace("rm.setAllowedRedirectURIs(<allowed>);", "")
    assert ask(free, url=url, secret=SECRET) == 200
    assert [call.path for call in peer.calls] == ["/moved", "/there"]
    assert "authorization" not in peer.last().headers
    allowed = f"['{peer.elsewhere}/']"
    assert ask(body, url=url, secret=SECRET, allowed=allowed) == 200
    assert ask(body, url=url, secret=SECRET, allowed="['http://other.example']") == 302
    assert ask(body, url=url, secret=SECRET, allowed="[]") == 302
    assert [call.path for call in peer.calls[2:]] == ["/moved", "/there", "/moved", "/moved"]


def test_cookies_of_one_call_are_not_those_of_the_next(peer: Peer, ask: Ask) -> None:
    body = (
        "var rm = new sn_ws.RESTMessageV2(); rm.setHttpMethod('get'); rm.setEndpoint('<url>');"
        "return rm.execute().getStatusCode();"
    )
    url = peer.answer("/entry", 302, Location="/inside", Set_Cookie=["visit=1; Path=/", "b=2"])
    assert [ask(body, url=url) for _ in range(2)] == [200, 200]
    shown = [(call.path, call.headers.get("cookie")) for call in peer.calls]
    assert shown == [("/entry", None), ("/inside", "visit=1; b=2")] * 2


def test_files_go_out_and_come_in(instance: Instance, peer: Peer, ask: Ask) -> None:
    content = bytes(range(256)) * 4000
    record = make(instance, "incident", short_description="with a file")
    file = NewFile(table="incident", record=record, name="x.bin", content_type="image/png")
    sys_id = instance.attachments.write(SYSTEM, file, [content])
    peer.answer("/file", 200, content, Content_Type="application/pdf")
    body = """
        var rm = new sn_ws.RESTMessageV2(); rm.setHttpMethod('post'); rm.setEndpoint('<url>/file');
        rm.setRequestBodyFromAttachment('<id>');
        rm.saveResponseBodyAsAttachment('incident', '<record>', 'answer.pdf');
        var r = rm.execute(), refused = '';
        try { r.getBody(); } catch (e) { refused = e.message; }
        return [r.getStatusCode(), r.haveError(), r.getResponseAttachmentSysid(), refused,
            r.getErrorMessage()];
        """
    status, failed, saved, refused, _ = ask(body, url=peer.url, id=sys_id, record=record)
    assert (status, failed) == (200, False)
    assert "getResponseAttachmentSysid" in refused
    assert (peer.last().body, peer.last().headers["content-type"]) == (content, "image/png")
    store = AttachmentStore(instance.records)
    with instance.records.read(SYSTEM) as transaction:
        found = store.find(transaction, saved)
    assert (found.name, found.content_type) == ("answer.pdf", "application/pdf")
    assert b"".join(store.pieces(found)) == content
    answer = ask(body, url=peer.url, id=sys_id, record="0" * 32)
    assert answer[1:3] == [True, None]
    assert answer[4]
    peer.answer("/file", 500, "out of paper")
    assert ask(body, url=peer.url, id=sys_id, record=record)[4] == "out of paper"


def test_async_messages_run_beside_the_script(peer: Peer, ask: Ask) -> None:
    """Two calls, of which the first is only answered once the second was."""
    body = """
        function start(path) {
            var rm = new sn_ws.RESTMessageV2(); rm.setHttpMethod('get');
            rm.setEndpoint('<url>' + path); return rm.executeAsync();
        }
        var slow = start('/held'), quick = start('/quick');
        quick.waitForResponse(20);
        start('/release').getStatusCode();
        return [quick.getStatusCode(), slow.getStatusCode(), slow.getBody()];
        """
    release = threading.Thread(target=lambda: _after(peer, "/release", peer.held.set))
    release.start()
    assert ask(body, url=peer.url) == [200, 200, "fine"]
    release.join()
    late = (
        "var rm = new sn_ws.RESTMessageV2(); rm.setHttpMethod('get'); rm.setEndpoint('<url>/held');"
        "rm.executeAsync().waitForResponse(0.2);"
    )
    peer.held.clear()
    with pytest.raises(ScriptError, match="No response within"):
        ask(late, url=peer.url)


def _after(peer: Peer, path: str, then: Callable[[], None]) -> None:
    waited = threading.Event()
    while not any(call.path == path for call in peer.calls):
        waited.wait(0.01)
    then()


def inside(instance: Instance, body: str, *, fail: bool = False) -> Any:
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        values = {"short_description": "inside"}
        transaction.apply(insert("incident", values))
        script = Script("test", f"(function () {{ {body} }})()")
        value = instance.scripts.run(script, unit=Enclosed(transaction))
        if fail:
            raise RuntimeError("undo")
        return value


def until(check: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(3000):
        if check():
            return
        pause.wait(0.01)
    raise AssertionError("it never came to that")


def test_a_call_inside_a_transaction_is_logged_after_it(instance: Instance, peer: Peer) -> None:
    body = (
        f"var rm = new sn_ws.RESTMessageV2(); rm.setEndpoint('{peer.url}/in');"
        "rm.setHttpMethod('get'); return rm.execute().getBody();"
    )
    assert inside(instance, body) == "fine"
    with pytest.raises(RuntimeError, match="undo"):
        inside(instance, body, fail=True)
    until(lambda: len(logged(instance, "url_path=/in")) == 2)


def test_an_async_call_inside_a_transaction_leaves_with_the_commit(
    instance: Instance, peer: Peer
) -> None:
    body = (
        f"var rm = new sn_ws.RESTMessageV2(); rm.setEndpoint('{peer.url}/later');"
        f"rm.setHttpMethod('post'); rm.setBasicAuth('u', '{SECRET}'); rm.setRequestBody('b');"
        "rm.executeAsync(); return 'said';"
    )
    with pytest.raises(RuntimeError, match="undo"):
        inside(instance, body, fail=True)
    assert inside(instance, body) == "said"
    assert peer.calls == []
    with instance.records.read(SYSTEM) as transaction:
        (job,) = transaction.find("sys_job", "kind=outbound.message^state=scheduled")
    assert SECRET not in str(job.values)
    instance.jobs.run_due()  # type: ignore[union-attr]
    assert [(call.path, call.body) for call in peer.calls] == [("/later", b"b")]
    assert peer.last().headers["authorization"].startswith("Basic ")


def test_who_asks_inside_a_transaction_for_the_answer_gets_it_at_once(
    instance: Instance, peer: Peer
) -> None:
    peer.answer("/asked", 201, b"made")
    body = (
        f"var rm = new sn_ws.RESTMessageV2(); rm.setEndpoint('{peer.url}/asked');"
        "rm.setHttpMethod('post'); rm.setRequestBody('b'); var r = rm.executeAsync();"
        "r.waitForResponse(10); return [r.getStatusCode(), r.getBody(), r.haveError()];"
    )
    assert inside(instance, body) == [201, "made", False]
    instance.jobs.run_due()  # type: ignore[union-attr]
    assert [call.path for call in peer.calls] == ["/asked"]


def test_who_asks_again_inside_a_transaction_sends_nothing_again(
    instance: Instance, peer: Peer
) -> None:
    """Not even where the first answer was an error."""
    body = (
        f"var rm = new sn_ws.RESTMessageV2(); rm.setEndpoint('{peer.url}/held');"
        "rm.setHttpMethod('post'); rm.setRequestBody('b'); var r = rm.executeAsync(), said = [];"
        "[0, 1].forEach(function () {"
        " try { r.waitForResponse(0.3); said.push(r.haveError()); }"
        " catch (e) { said.push(true); } }); return said;"
    )
    try:
        assert inside(instance, body) == [True, True]
    finally:
        peer.held.set()
    instance.jobs.run_due()  # type: ignore[union-attr]
    assert [call.path for call in peer.calls] == ["/held"]
