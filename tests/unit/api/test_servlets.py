"""Script includes that clients call at /xmlhttp.do, and processors at addresses of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest

from midspan.testing import open_instance

from .acme import MARY, PETER, Acme

AJAX = "/xmlhttp.do"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
TOOL = """var Tool = Class.create();
Tool.prototype = Object.extendsObject(AbstractAjaxProcessor, {
  greet: function () { return 'Hello ' + this.getParameter('sysparm_who'); },
  data: function () { return JSON.stringify({ a: '<"&\\u00e9\\n>', n: [1, null] }); },
  items: function () {
    var item = this.newItem('option'); item.setAttribute('value', '<1>');
    this.newItem('note').setTextContent('a < b');
    this.setAnswer('two');
  },
  failing: function () { throw new Error('not <today>'); },
  odd: function () { this.newItem('a b'); },
  whoami: function () { return gs.getUserName() + ' ' + this.request.getMethod(); },
  _private: function () { return 'secret'; },
  type: 'Tool'
});"""
ROLE = "c1" * 16


@pytest.fixture(scope="module")
def acme() -> Iterator[Acme]:
    with open_instance() as instance:
        app = instance.application()
        made = Acme(instance, app)
        made.write("sys_user_role", {"name": "clerk"}, ROLE)
        for name, password in (MARY, PETER):
            user = made.write("sys_user", {"user_name": name, "user_password": password})
            if name == MARY[0]:
                made.write("sys_user_has_role", {"user": user, "role": ROLE})
        include(made, "Tool", TOOL)
        yield made
        app.close()


def include(acme: Acme, name: str, script: str, **more: str) -> str:
    values = {"name": name, "script": script, "client_callable": "true", "access": "public"}
    return acme.write("sys_script_include", {**values, **more})


def guarded(acme: Acme, kind: str, name: str) -> str:
    """Make a rule that holders of the role clerk pass."""
    rule = {"name": name, "operation": "execute", "type": kind, "admin_overrides": "false"}
    acl = acme.write("sys_security_acl", rule)
    acme.write("sys_security_acl_role", {"sys_security_acl": acl, "sys_user_role": ROLE})
    return acl


def call(acme: Acme, name: str, method: str, auth: Any = MARY, **more: str) -> Any:
    wanted = {"sysparm_processor": name, "sysparm_name": method, **more}
    return acme.ask(AJAX, "POST", auth, data=wanted)


def root(answer: Any) -> ElementTree.Element:
    assert answer.headers["content-type"] == "text/xml;charset=UTF-8"
    return ElementTree.fromstring(answer.content)  # noqa: S314 - of this very test


def session(acme: Acme) -> tuple[dict[str, str], str]:
    """Return the cookie of a session and its token."""
    first = acme.ask("/api/now/table/incident?sysparm_limit=1", auth=MARY)
    cookie = {"Cookie": first.headers["set-cookie"].partition(";")[0]}
    refused = acme.ask("/api/now/table/incident", "POST", None, json={}, headers=cookie)
    return cookie, refused.headers["x-usertoken-response"]


def test_the_answer_is_an_attribute_beside_what_was_asked(acme: Acme) -> None:
    answer = call(acme, "Tool", "greet", sysparm_who='<"Ann">', sysparm_type="t")
    assert answer.status_code == 200
    assert answer.text == (
        '<?xml version="1.0" encoding="UTF-8"?><xml answer="Hello &lt;&quot;Ann&quot;&gt;"'
        ' sysparm_max="15" sysparm_name="greet" sysparm_processor="Tool" sysparm_type="t"/>'
    )
    by_get = acme.ask(f"{AJAX}?sysparm_processor=global.Tool&sysparm_name=whoami")
    assert root(by_get).attrib["answer"] == "mary GET"


def test_json_arrives_unchanged(acme: Acme) -> None:
    answer = root(call(acme, "Tool", "data")).attrib["answer"]
    assert answer == '{"a":"<\\"&é\\n>","n":[1,null]}'


def test_items_are_elements(acme: Acme) -> None:
    found = root(call(acme, "Tool", "items"))
    assert [(item.tag, item.attrib, item.text) for item in found] == [
        ("option", {"value": "<1>"}, None),
        ("note", {}, "a < b"),
    ]
    assert found.attrib["answer"] == "two"


def test_only_methods_for_clients_are_called(acme: Acme) -> None:
    for name in ("_private", "getParameter", "initialize", "constructor", "nothing"):
        assert "answer" not in root(call(acme, "Tool", name)).attrib


def test_an_overridden_process_answers(acme: Acme) -> None:
    include(
        acme,
        "Older",
        "var Older = Class.create(); Older.prototype = Object.extendsObject(AbstractAjaxProcessor, "
        "{ process: function () { this.getRootElement().setAttribute('set', this.getType());"
        " return 'done'; } });",
    )
    found = root(acme.ask(f"{AJAX}?sysparm_processor=Older&sysparm_type=list")).attrib
    assert (found["set"], found["answer"], found["sysparm_type"]) == ("list", "done", "list")


def test_a_failing_method_gives_no_answer_and_says_why(acme: Acme) -> None:
    answer = call(acme, "Tool", "failing")
    assert answer.status_code == 200
    assert root(answer).attrib["error"] == "global.Tool: Error: not <today>"
    assert call(acme, "Tool", "odd").status_code == 400


def test_what_is_not_for_clients_is_not_found(acme: Acme) -> None:
    include(acme, "Inner", TOOL.replace("Tool", "Inner"), client_callable="false")
    include(acme, "Off", TOOL.replace("Tool", "Off"), active="false")
    for name in ("Inner", "Off", "Nobody", "x_other.Tool", "a b", ""):
        answer = call(acme, name, "greet")
        assert answer.status_code == 404
        text = f"HTTP Processor class not found: com.glide.processors.xmlhttp.{name}"
        assert root(answer).attrib == {"error": text}


def test_a_private_include_is_for_its_own_scope(acme: Acme) -> None:
    scope = acme.write("sys_scope", {"scope": "x_own", "name": "Own"})
    text = TOOL.replace("Tool", "Mine")
    include(acme, "Mine", text, access="package_private", sys_scope=scope)
    assert call(acme, "x_own.Mine", "whoami").status_code == 404
    inside = call(acme, "x_own.Mine", "whoami", sysparm_scope="x_own")
    assert root(inside).attrib["answer"] == "mary POST"
    assert root(call(acme, "Mine", "whoami", sysparm_scope="x_own")).attrib["answer"]


def test_access_controls_of_an_include_decide(acme: Acme) -> None:
    include(acme, "Ruled", TOOL.replace("Tool", "Ruled"))
    assert call(acme, "Ruled", "whoami", PETER).status_code == 200
    guarded(acme, "client_callable_script_include", "Ruled")
    assert call(acme, "Ruled", "whoami", PETER).status_code == 403
    assert root(call(acme, "Ruled", "whoami")).attrib["answer"] == "mary POST"


def test_guests_call_what_says_that_it_is_public(acme: Acme) -> None:
    public = "var {0} = Class.create(); {0}.prototype = Object.extendsObject(AbstractAjaxProcessor,"
    public += " {{ isPublic: function () {{ return {1}; }}, hi: function () {{ return 'hi'; }} }});"
    include(acme, "Open", public.format("Open", "true"))
    include(acme, "Shut", public.format("Shut", "false"))
    assert root(call(acme, "Open", "hi", None)).attrib["answer"] == "hi"
    for name in ("Shut", "Tool", "Nobody"):
        assert call(acme, name, "hi", None).status_code == 401


def test_a_session_has_to_repeat_its_token_even_with_get(acme: Acme) -> None:
    cookie, token = session(acme)
    asked = f"{AJAX}?sysparm_processor=Tool&sysparm_name=whoami"
    assert acme.ask(asked, "GET", None, headers=cookie).status_code == 401
    assert acme.ask(f"{asked}&sysparm_ck=wrong", "GET", None, headers=cookie).status_code == 401
    assert acme.ask(f"{asked}&sysparm_ck={token}", "GET", None, headers=cookie).status_code == 200
    headers = {**cookie, "X-UserToken": token}
    assert acme.ask(asked, "GET", None, headers=headers).status_code == 200
    wanted = {"sysparm_processor": "Tool", "sysparm_name": "whoami", "sysparm_ck": token}
    sent = acme.ask(AJAX, "POST", None, data=wanted, headers=cookie)
    assert root(sent).attrib["answer"] == "mary POST"
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    assert acme.ask(asked, "GET", MARY, headers=elsewhere).status_code == 403


def processor(acme: Acme, path: str, script: str, **more: str) -> str:
    values = {"name": more.pop("name", path), "path": path, "script": script}
    return acme.write("sys_processor", {**values, **more})


def test_a_processor_answers_what_its_script_writes(acme: Acme) -> None:
    processor(
        acme,
        "hello",
        """(function process(g_request, g_response, g_processor) {
          g_response.setHeader('X-Own', g_target + ' ' + g_request.getMethod());
          g_response.setStatus(201);
          g_processor.writeOutput('text/csv', g_request.getParameterNames().join() + ';');
          var who = g_request.getParameter('who') + g_request.getParameter('no');
          g_processor.writeOutput('text/csv', who);
        })(g_request, g_response, g_processor);""",
    )
    answer = acme.ask("/hello.do?who=Ann&b=1")
    assert (answer.status_code, answer.text) == (201, "who,b;Annnull")
    assert answer.headers["content-type"] == "text/csv;charset=UTF-8"
    assert answer.headers["x-own"] == "hello GET"
    sent = acme.ask("/hello.do?a=1", "POST", data={"who": "Bo"})
    assert sent.text == "a,who;Bonull"
    assert acme.ask("/hello.do", auth=None).status_code == 401


def test_a_processor_reads_bodies_and_writes_json_and_redirects(acme: Acme) -> None:
    processor(
        acme,
        "body",
        "var reader = new GlideTextReader(g_request.getInputStream());"
        "g_processor.writeJSON({ line: reader.readLine(), type: g_request.getContentType() });",
    )
    sent = acme.ask("/body.do", "POST", content="one\ntwo", headers={"Content-Type": "text/plain"})
    assert sent.json() == {"line": "one", "type": "text/plain"}
    assert sent.headers["content-type"] == "application/json;charset=UTF-8"
    processor(acme, "away", "g_processor.redirect('/incident_list.do');")
    away = acme.ask("/away.do")
    assert (away.status_code, away.headers["location"]) == (302, "/incident_list.do")
    processor(acme, "plain", "g_processor.writeOutput('<b>')")
    assert acme.ask("/plain.do").headers["content-type"] == "text/plain;charset=UTF-8"
    processor(acme, "broken", "\ng_processor.nothing();")
    broken = acme.ask("/broken.do")
    assert broken.status_code == 500
    assert broken.json()["error"]["detail"].endswith("script; line 2")


def test_a_processor_sends_a_file_unread(acme: Acme) -> None:
    task = acme.write("incident", {"short_description": "with a file"})
    processor(
        acme,
        "file",
        f"""var gr = new GlideRecord('incident'), sa = new GlideSysAttachment(); gr.get('{task}');
        var id = sa.write(gr, 'f.txt', 'text/plain', 'grün');
        g_response.setContentType('application/octet-stream');
        g_response.addHeader('Content-Disposition', 'attachment;filename=f.txt');
        g_response.getOutputStream().write(sa.getContentStream(id));""",
    )
    answer = acme.ask("/file.do")
    assert answer.content == "grün".encode()
    assert answer.headers["content-disposition"] == "attachment;filename=f.txt"


def test_a_table_goes_before_a_processor(acme: Acme) -> None:
    processor(acme, "incident", "g_processor.writeOutput('mine');")
    assert acme.ask("/incident.do").status_code == 404
    processor(acme, "", "g_processor.writeOutput('rows of ' + g_target);", parameters="ROWS")
    assert acme.ask("/incident.do?ROWS").text == "rows of incident"
    assert acme.ask("/nothing.do?ROWS").status_code == 404
    assert acme.ask("/incident.do?WSDL&ROWS", auth=PETER).status_code == 403


def test_roles_and_access_controls_of_a_processor_decide(acme: Acme) -> None:
    processor(acme, "roled", "g_processor.writeOutput('in');", roles="clerk,other")
    assert acme.ask("/roled.do", auth=PETER).status_code == 403
    assert acme.ask("/roled.do").text == "in"
    processor(acme, "ruled", "g_processor.writeOutput('in');", name="By rule")
    assert acme.ask("/ruled.do", auth=PETER).text == "in"
    guarded(acme, "processor", "By rule")
    assert acme.ask("/ruled.do", auth=PETER).status_code == 403
    assert acme.ask("/ruled.do").text == "in"
    off = processor(acme, "off", "g_processor.writeOutput('in');")
    assert acme.ask("/off.do").status_code == 200
    acme.change("sys_processor", off, {"active": "false"})
    assert acme.ask("/off.do").status_code == 404


def test_a_protected_processor_wants_the_token_of_the_session(acme: Acme) -> None:
    cookie, token = session(acme)
    processor(acme, "free", "g_processor.writeOutput('in');")
    processor(acme, "safe", "g_processor.writeOutput('in');", require_csrf="true")
    assert acme.ask("/free.do", "GET", None, headers=cookie).text == "in"
    assert acme.ask("/free.do", "POST", None, headers=cookie).status_code == 401
    assert acme.ask("/safe.do", "GET", None, headers=cookie).status_code == 401
    assert acme.ask(f"/safe.do?sysparm_ck={token}", "GET", None, headers=cookie).text == "in"
    posted = acme.ask(
        "/safe.do", "POST", None, headers={**cookie, **FORM}, data={"sysparm_ck": token}
    )
    assert posted.text == "in"
    assert acme.ask("/safe.do").text == "in"
