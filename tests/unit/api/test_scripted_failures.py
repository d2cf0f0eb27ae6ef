"""Scripted REST resources that fail: what their callers are told, and what else goes on."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx
import pytest
from tests.guard import GUARD

from midspan.api import create_app
from midspan.api.scripted import ScriptedRest
from midspan.scripting import ScriptRunner, open_pool

from .acme import BASE, LIMITS, MARY, PETER, Acme, parts_of, send


@pytest.mark.parametrize(
    "body",
    [
        "response.setError(new sn_ws_err.NotFoundError('no such'));",
        "return new sn_ws_err.NotFoundError('no such');",
        "return sn_ws_err.NotFoundError('no such');",
        "throw new sn_ws_err.NotFoundError('no such');",
        "throw sn_ws_err.NotFoundError('no such');",
    ],
)
def test_errors_of_the_script(acme: Acme, body: str) -> None:
    answer = acme.ask(acme.serve(body))
    assert answer.status_code == 404
    document = {"error": {"message": "no such", "detail": ""}, "status": "failure"}
    assert answer.json() == document


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("BadRequestError", 400),
        ("NotAcceptableError", 406),
        ("ConflictError", 409),
        ("UnsupportedMediaTypeError", 415),
        ("ServiceError", 500),
        ("ForbiddenError", 403),
    ],
)
def test_status_of_each_error(acme: Acme, name: str, status: int) -> None:
    assert acme.ask(acme.serve(f"return new sn_ws_err.{name}('m');")).status_code == status


def test_service_error_with_everything_in_xml(acme: Acme) -> None:
    path = acme.serve(
        "var e = new sn_ws_err.ServiceError(); e.setStatus(418); e.setMessage('tea');"
        "e.setDetail('pot'); response.setError(e);"
    )
    answer = acme.ask(path, headers={"accept": "text/xml"})
    assert answer.status_code == 418
    assert "<message>tea</message><detail>pot</detail>" in answer.text


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("(function () {\n\n  nothingLikeThis();\n})()", "nothingLikeThis", 3),
        ("var a = 1;\neval('var b = ;');", "SyntaxError", 2),
        ("\n\n\nnull.x", "null", 4),
        (
            "(function run(request, response) {\n throw new Error('own words');\n})()",
            "own words",
            2,
        ),
    ],
)
def test_defects_name_script_and_line(acme: Acme, text: str, message: str, line: int) -> None:
    acme._made += 1
    path = f"/defect{acme._made}"
    sys_id = acme.resource(path, text)
    answer = acme.ask(BASE + path)
    assert answer.status_code == 500
    error = answer.json()["error"]
    assert message in error["message"]
    assert error["detail"] == f"sys_ws_operation.{sys_id}.operation_script; line {line}"


def test_serving_the_request_itself_is_an_error(acme: Acme) -> None:
    assert acme.ask(acme.serve("return request;")).status_code == 500
    assert acme.ask(acme.serve("response.setBody(response);")).status_code == 500


def test_a_script_that_throws_after_an_insert_keeps_the_insert(acme: Acme) -> None:
    path = acme.serve(
        """
        var gr = new GlideRecord('incident'); gr.initialize();
        gr.short_description = 'kept'; gr.insert();
        throw 'too late';
        """,
        "POST",
    )
    answer = acme.ask(path, "POST")
    assert (answer.status_code, answer.json()["error"]["message"]) == (500, "too late")
    assert acme.count("short_description=kept^sys_created_by=mary") == 1


def test_a_refused_write_is_reported_to_the_script_alone(acme: Acme) -> None:
    path = acme.serve(
        """
        var gr = new GlideRecordSecure('sys_user_role'); gr.initialize(); gr.name = 'x';
        return [gr.insert(), gr.getLastErrorMessage(), gr.canCreate()];
        """
    )
    assert acme.ask(path, auth=PETER).json() == {"result": [None, "Operation Failed", False]}


@pytest.mark.parametrize(
    "body",
    [
        "while (true) {}",
        "var all = []; while (true) all.push(new Array(10000).fill('x'));",
        "require('fs').readFileSync('/etc/passwd');",
        "new Socket('127.0.0.1', 80);",
        "std.open('/etc/passwd', 'r');",
    ],
)
def test_a_script_out_of_bounds_harms_nobody_else(acme: Acme, body: str) -> None:
    bad = acme.serve(f"\n{body}")
    good = acme.serve("return 'fine';")
    answers: dict[str, Any] = {}

    def misbehave() -> None:
        answers["bad"] = acme.ask(bad)

    thread = threading.Thread(target=misbehave)
    thread.start()
    for _ in range(3):
        assert acme.ask(good).json() == {"result": "fine"}
    thread.join(GUARD)
    answer = answers["bad"]
    assert answer.status_code == 500
    detail = answer.json()["error"]["detail"]
    assert detail.startswith("sys_ws_operation.")
    assert detail.endswith(("; line 3", "; line 1"))
    assert acme.ask(good).status_code == 200


def test_a_body_for_which_the_memory_of_a_script_does_not_do_is_too_large(acme: Acme) -> None:
    body = "var all = []; while (true) all.push(request.body.dataString + all.length);"
    path = acme.serve(body, "POST")
    headers = {"content-type": "application/json"}
    answers = [
        acme.ask(path, "POST", content=b'"' + b"x" * size + b'"', headers=headers)
        for size in (10, 1_100_000)
    ]
    assert [answer.status_code for answer in answers] == [500, 413]
    error = answers[1].json()["error"]
    assert error["message"] == "Exception while reading request"
    assert "with a body of 1100002 bytes" in error["detail"]


def test_more_requests_than_the_lane_takes_are_told_to_come_back(acme: Acme) -> None:
    path = acme.serve("var end = Date.now() + 700; while (Date.now() < end); return 1;")
    with open_pool(1, limits=LIMITS) as pool:
        scripted = ScriptedRest(ScriptRunner(pool), threads=1, waiting=0)
        app = create_app(parts_of(acme.instance, scripted))

        async def both() -> list[httpx.Response]:
            requests = (send(app, "GET", path, auth=MARY) for _ in range(2))
            return list(await asyncio.gather(*requests))

        try:
            answers = sorted(asyncio.run(both()), key=lambda answer: answer.status_code)
        finally:
            scripted.close()
            app.close()
    assert [answer.status_code for answer in answers] == [200, 503]
    assert answers[1].headers["retry-after"] == "1"


def test_failures_are_logged_with_script_and_line(
    acme: Acme, caplog: pytest.LogCaptureFixture
) -> None:
    sys_id = acme.resource("/logged", "var a;\na.b.c")
    acme.ask(f"{BASE}/logged")
    (line,) = [record for record in caplog.records if record.name == "midspan.script"]
    assert line.levelname == "ERROR"
    assert vars(line)["script"] == f"sys_ws_operation.{sys_id}.operation_script"
    assert vars(line)["line"] == 2
