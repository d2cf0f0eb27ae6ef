"""Scripted REST end to end: records in, HTTP through the ASGI application out."""

from __future__ import annotations

from typing import Any

import pytest

from midspan.api.scripted import answer_media
from midspan.security import SYSTEM

from .acme import BASE, MARY, PETER, SERVICE, Acme


def test_a_returned_value_is_wrapped(acme: Acme) -> None:
    path = acme.serve("return {who: gs.getUserName(), n: [1, null], gone: undefined};")
    answer = acme.ask(path)
    assert answer.status_code == 200
    assert answer.json() == {"result": {"who": "mary", "n": [1, None]}}
    assert answer.headers["content-type"] == "application/json;charset=UTF-8"


def test_xml_when_the_caller_accepts_it(acme: Acme) -> None:
    path = acme.serve("return {a: [1, 2], b: {c: 'x'}};")
    answer = acme.ask(path, headers={"accept": "application/xml"})
    assert answer.headers["content-type"] == "application/xml;charset=UTF-8"
    wanted = "<response><result><a>1</a><a>2</a><b><c>x</c></b></result></response>"
    assert wanted in answer.text


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_every_method(acme: Acme, method: str) -> None:
    path = acme.serve(f"response.setStatus(202); return '{method}';", method)
    answer = acme.ask(path, method)
    assert (answer.status_code, answer.json()) == (202, {"result": method})


def test_a_literal_segment_beats_a_template_and_values_are_decoded(acme: Acme) -> None:
    script = "({id: request.pathParams.id, has: 'id' in request.pathParams})"
    acme.resource("/user/{id}/groups", script)
    acme.resource("/user/me/groups", "'myself'")
    assert acme.ask(f"{BASE}/user/J%C3%BCrgen%20M/groups/").json() == {
        "result": {"id": "Jürgen M", "has": True}
    }
    assert acme.ask(f"{BASE}/user/me/groups").json() == {"result": "myself"}


def test_unknown_paths_and_wrong_methods(acme: Acme) -> None:
    path = acme.serve("return 1;")
    assert acme.ask(f"{BASE}/nothing/here").status_code == 400
    wrong = acme.ask(path, "DELETE")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD")
    for method in ("OPTIONS", "TRACE"):
        assert acme.ask(path, method).headers["allow"] == "GET, HEAD"
        assert acme.ask(f"{BASE}/nothing/here", method).status_code == 400
        own = acme.ask("/api/now/table/incident", method)
        assert (own.status_code, own.headers["allow"]) == (405, "GET, HEAD, POST")
    assert acme.ask("/api/now/table/incident", "PUT", content=b"").status_code == 405
    unknown = acme.ask("/api/nowhere/at/all")
    assert unknown.json()["error"]["message"] == "Requested URI does not represent any resource"
    assert acme.ask("/api/nowhere/at/all", auth=None).status_code == 401


def test_request_members(acme: Acme) -> None:
    path = acme.serve(
        """
        var entries = [];
        while (request.body.hasNext()) entries.push(request.body.nextEntry().a);
        return {
            same: request.body.data === request.body.data, entries: entries,
            past: request.body.nextEntry() === undefined, text: request.body.dataString,
            one: '' + request.queryParams.q, many: request.queryParams.m,
            none: !request.queryParams.x,
            raw: request.queryString, uri: request.uri, url: request.url,
            header: [request.getHeader('X-Some'), request.getHeader('no'),
                request.headers['x-SOME']],
            accept: request.getSupportedResponseContentTypes(),
        };
        """,
        "POST",
    )
    answer = acme.ask(
        f"{path}?q=a%20b&m=1&m=2",
        "POST",
        json=[{"a": 1}, {"a": 2}],
        headers={"X-Some": "value", "accept": "application/json"},
    )
    assert answer.json()["result"] == {
        "same": True,
        "entries": [1, 2],
        "past": True,
        "text": '[{"a":1},{"a":2}]',
        "one": "a b",
        "many": ["1", "2"],
        "none": True,
        "raw": "q=a%20b&m=1&m=2",
        "uri": path,
        "url": f"http://test{path}?q=a%20b&m=1&m=2",
        "header": ["value", None, "value"],
        "accept": ["application/json"],
    }


def test_xml_and_form_bodies(acme: Acme) -> None:
    path = acme.serve("return request.body.data;", "POST")
    answer = acme.ask(
        path,
        "POST",
        content="<request><entry><a>1</a></entry></request>",
        headers={"content-type": "application/xml", "accept": "application/json"},
    )
    assert answer.json() == {"result": {"a": "1"}}
    form = acme.serve(
        "return JSON.parse(request.queryParams.payload).a;",
        "POST",
        consumes="application/x-www-form-urlencoded",
        consumes_customized="true",
    )
    assert acme.ask(form, "POST", data={"payload": '{"a": 5}'}).json() == {"result": 5}


def test_malformed_json_is_the_callers_mistake_when_it_is_read(acme: Acme) -> None:
    path = acme.serve("return request.body.data.a;", "POST")
    unread = acme.serve("return request.body.dataString.length;", "POST")
    headers = {"content-type": "application/json"}
    assert acme.ask(path, "POST", content="{nope", headers=headers).status_code == 400
    assert acme.ask(unread, "POST", content="{nope", headers=headers).json() == {"result": 5}


def test_media_types_that_do_not_fit(acme: Acme) -> None:
    path = acme.serve("return 1;", "POST")
    assert acme.ask(path, "POST", headers={"accept": "image/png"}).status_code == 406
    answer = acme.ask(path, "POST", content="x", headers={"content-type": "text/plain"})
    assert answer.status_code == 415
    own = acme.serve("return 1;", produces="application/vnd.x+json", produces_customized="true")
    typed = acme.ask(own, headers={"accept": "application/vnd.x+json"})
    assert typed.headers["content-type"] == "application/vnd.x+json;charset=UTF-8"
    assert acme.ask(own, headers={"accept": "application/xml"}).status_code == 406


@pytest.mark.parametrize(
    ("accept", "produced", "wanted"),
    [
        ("", ("application/json",), "application/json"),
        ("*/*", ("text/xml", "application/json"), "text/xml"),
        ("*/*", ("image/*",), "application/json"),
        ("text/*", ("application/json", "text/xml"), "text/xml"),
        ("application/xml;q=0.1,application/json", ("*/*",), "application/json"),
    ],
)
def test_answer_media(accept: str, produced: tuple[str, ...], wanted: str) -> None:
    assert answer_media(accept, produced).name == wanted


def test_response_members(acme: Acme) -> None:
    path = acme.serve(
        """
        response.setStatus(201); response.setHeader('X-One', '1');
        response.setHeaders({'X-Two': 2});
        response.setLocation('/there'); response.setBody({first: 1}); response.setBody({last: 2});
        return 'not this';
        """
    )
    answer = acme.ask(path)
    assert (answer.status_code, answer.json()) == (201, {"result": {"last": 2}})
    headers = answer.headers
    assert (headers["x-one"], headers["x-two"], headers["location"]) == ("1", "2", "/there")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 200),
        ("response.setStatus(204); return {a: 1};", 204),
        ("response.setStatus(304); return {a: 1};", 304),
        ("response.setStatus(204); response.getStreamWriter().writeString('x');", 204),
        ("var e = new sn_ws_err.ServiceError(); e.setStatus(304); throw e;", 304),
    ],
)
def test_no_body(acme: Acme, body: str, status: int) -> None:
    answer = acme.ask(acme.serve(body))
    assert (answer.status_code, answer.content) == (status, b"")
    assert "content-type" not in answer.headers


def test_a_stream_has_no_envelope(acme: Acme) -> None:
    path = acme.serve(
        """
        response.setContentType('text/csv'); response.setStatus(200);
        var writer = response.getStreamWriter();
        writer.writeString('a,b\\n'); writer.writeString('1,2');
        """
    )
    answer = acme.ask(path)
    assert (answer.text, answer.headers["content-type"]) == ("a,b\n1,2", "text/csv")


def test_security_matrix(acme: Acme) -> None:
    open_path = acme.serve("return gs.getUserName();", requires_authentication="false")
    any_user = acme.serve("return 1;", requires_acl_authorization="false")
    rule = acme.write(
        "sys_security_acl", {"name": "orders", "operation": "execute", "type": "REST_Endpoint"}
    )
    other = acme.write(
        "sys_security_acl", {"name": "others", "operation": "execute", "type": "REST_Endpoint"}
    )
    with acme.instance.records.read(SYSTEM) as transaction:
        clerk = transaction.first("sys_user_role", "name=clerk")
    assert clerk is not None
    acme.write("sys_security_acl_role", {"sys_security_acl": rule, "sys_user_role": clerk.sys_id})
    limited = acme.serve("return 1;", enforce_acl=f"{other},{rule}")
    nobody = acme.serve("return 1;", enforce_acl=other)
    switched_off = acme.serve("return 1;", enforce_acl=other, requires_acl_authorization="false")

    def status(path: str, *users: Any) -> list[int]:
        return [acme.ask(path, auth=user).status_code for user in users]

    everyone = (None, PETER, MARY)
    assert status(open_path, *everyone) == [200, 200, 200]
    assert acme.ask(open_path, auth=None).json() == {"result": "guest"}
    assert status(any_user, *everyone) == [401, 200, 200]
    assert status(limited, *everyone) == [401, 403, 200]
    assert status(nobody, *everyone) == [401, 403, 403]
    assert status(switched_off, *everyone) == [401, 200, 200]
    acme.change("sys_ws_definition", SERVICE, {"enforce_acl": rule})
    try:
        inherits = acme.serve("return 1;")
        assert status(inherits, *everyone) == [401, 403, 200]
    finally:
        acme.change("sys_ws_definition", SERVICE, {"enforce_acl": ""})


@pytest.mark.parametrize(
    ("script", "peter", "mary"),
    [
        ("answer = gs.getUserName() == 'mary';", 403, 200),
        ("gs.hasRole('clerk')", 403, 200),
        ("answer = false;", 403, 403),
        ("answer = current.x;", 403, 403),
    ],
)
def test_a_rule_of_an_api_may_ask_a_script(acme: Acme, script: str, peter: int, mary: int) -> None:
    rule = acme.write(
        "sys_security_acl",
        {
            "name": "asked",
            "operation": "execute",
            "type": "REST_Endpoint",
            "advanced": "true",
            "script": script,
        },
    )
    path = acme.serve("return 1;", enforce_acl=rule)
    assert [acme.ask(path, auth=user).status_code for user in (PETER, MARY)] == [peter, mary]


def test_versions(acme: Acme) -> None:
    definition = acme.write(
        "sys_ws_definition",
        {"name": "Parts", "service_id": "parts", "namespace": "x_acme", "is_versioned": "true"},
    )
    first = acme.write(
        "sys_ws_version",
        {"version": "1", "version_id": "v1", "web_service_definition": definition},
    )
    second = acme.write(
        "sys_ws_version",
        {"version": "2", "version_id": "v2", "web_service_definition": definition},
    )
    for version, text in ((first, "'one'"), (second, "'two'")):
        acme.resource("/", text, web_service_definition=definition, web_service_version=version)

    def result(path: str) -> Any:
        return acme.ask(path).json()["result"]

    assert result("/api/x_acme/v1/parts") == "one"
    assert result("/api/x_acme/v2/parts") == "two"
    assert result("/api/x_acme/parts") == "two"
    acme.change("sys_ws_version", first, {"is_default": "true"})
    assert result("/api/x_acme/parts") == "one"
    acme.change("sys_ws_definition", definition, {"default_version": second})
    assert result("/api/x_acme/parts/") == "two"
    acme.change("sys_ws_version", first, {"active": "false"})
    assert acme.ask("/api/x_acme/v1/parts").status_code == 400


def test_changes_are_live_on_commit(acme: Acme) -> None:
    sys_id = acme.resource("/live", "'before'")
    assert acme.ask(f"{BASE}/live").json() == {"result": "before"}
    acme.change("sys_ws_operation", sys_id, {"operation_script": "'after'"})
    assert acme.ask(f"{BASE}/live").json() == {"result": "after"}
    acme.change("sys_ws_operation", sys_id, {"active": "false"})
    assert acme.ask(f"{BASE}/live").status_code == 400


def test_no_state_survives_a_request(acme: Acme) -> None:
    path = acme.serve("leak = typeof leak === 'undefined' ? 1 : leak + 1; return leak;")
    assert [acme.ask(path).json()["result"] for _ in range(3)] == [1, 1, 1]


def test_a_body_may_be_echoed_and_headers_of_the_connection_are_ours(acme: Acme) -> None:
    path = acme.serve(
        """
        response.setContentType('application/octet-stream');
        response.setHeader('Content-Length', '1'); response.setHeader('bad name', 'x');
        response.getStreamWriter().writeStream(request.body.dataStream);
        """,
        "POST",
        consumes="*",
        consumes_customized="true",
    )
    content = bytes(range(256))
    headers = {"content-type": "application/octet-stream"}
    answer = acme.ask(path, "POST", content=content, headers=headers)
    assert answer.content == content
    assert answer.headers["content-length"] == "256"
    assert "bad name" not in answer.headers


def test_head_asks_what_get_would_answer(acme: Acme) -> None:
    answer = acme.ask(acme.serve("response.setHeader('X-Here', 'yes'); return 1;"), "HEAD")
    assert (answer.status_code, answer.headers["x-here"], answer.content) == (200, "yes", b"")


def test_half_a_character_in_an_answer_harms_nobody(acme: Acme) -> None:
    answer = acme.ask(acme.serve("return {a: 'x\\ud800y'};"))
    assert answer.status_code == 200
    assert answer.json()["result"]["a"].startswith("x")


def test_half_a_character_that_came_in_may_go_out_again(acme: Acme) -> None:
    path = acme.serve("response.setBody({a: request.body.data.a});", "POST")
    headers = {"content-type": "application/json"}
    answer = acme.ask(path, "POST", content=b'{"a": "x\\ud800y"}', headers=headers)
    assert answer.status_code == 200
    assert answer.json()["result"]["a"].startswith("x")
