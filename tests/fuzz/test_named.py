"""Each attack that has a name against each door of the live router that it can be sent to."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import socket
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, quote_from_bytes

import pytest

from midspan.api import Application, Public, Route
from midspan.security import SYSTEM

from .hostile import FORMS, RECORD, TRICKS, Attack
from .named import BOMBS, FIELD, MEGABYTE, META, Body, bombs, heavy_json, heavy_xml, xml_bodies
from .siege import ADMIN, CANARY, FAULT, Siege, fortress

BODIES = ("POST", "PUT", "PATCH")
XML_DOORS = {
    "PATCH /api/now/attachment/{sys_id}",
    "PATCH /api/now/cmdb/instance/{classname}/{sys_id}",
    "PATCH /api/now/table/{table}/{sys_id}",
    "POST /api/now/attachment/{sys_id}/attributes",
    "POST /api/now/cmdb/instance/{classname}",
    "POST /api/now/cmdb/instance/{classname}/{sys_id}/relation",
    "POST /api/now/import/{staging_table}",
    "POST /api/now/table/{table}",
    "POST /api/now/tinyurl",
    "POST /api/sn_sc/servicecatalog/cart/checkout",
    "POST /api/sn_sc/servicecatalog/cart/submit_order",
    "POST /api/sn_sc/servicecatalog/items/{sys_id}/add_to_cart",
    "POST /api/sn_sc/servicecatalog/items/{sys_id}/order_now",
    "POST /api/x_fuzz/echo/1",
    "POST /{table}.do",
    "PUT /api/now/attachment/{sys_id}/attributes/{key}",
    "PUT /api/now/cmdb/instance/{classname}/{sys_id}",
    "PUT /api/now/table/{table}/{sys_id}",
    "PUT /api/sn_sc/servicecatalog/cart/{cart_item}",
    "PUT /api/x_fuzz/echo/1",
}
"""Where XML is read; a new one shows itself by its answer to a DTD."""
JSON_DOORS = {
    "PATCH /api/now/attachment/{sys_id}",
    "PATCH /api/now/cmdb/instance/{classname}/{sys_id}",
    "PATCH /api/now/table/{table}/{sys_id}",
    "POST /api/midspan/v1/api-keys",
    "POST /api/midspan/v1/flows/test",
    "POST /api/midspan/v1/imports/run",
    "POST /api/midspan/v1/snapshots",
    "POST /api/midspan/v1/tokens",
    "POST /api/midspan/v1/users",
    "POST /api/now/batch",
    "POST /api/now/cmdb/instance/{classname}",
    "POST /api/now/cmdb/instance/{classname}/{sys_id}/relation",
    "POST /api/now/identifyreconcile",
    "POST /api/now/identifyreconcile/enhanced",
    "POST /api/now/identifyreconcile/query",
    "POST /api/now/identifyreconcile/queryEnhanced",
    "POST /api/now/import/{staging_table}",
    "POST /api/now/import/{staging_table}/insertMultiple",
    "POST /api/now/table/{table}",
    "POST /api/now/tinyurl",
    "POST /api/sn_sc/servicecatalog/cart/checkout",
    "POST /api/sn_sc/servicecatalog/cart/submit_order",
    "POST /api/sn_sc/servicecatalog/items/{sys_id}/add_to_cart",
    "POST /api/sn_sc/servicecatalog/items/{sys_id}/order_now",
    "POST /{table}.do?JSONv2",
    "PUT /api/now/cmdb/instance/{classname}/{sys_id}",
    "PUT /api/now/table/{table}/{sys_id}",
    "PUT /api/sn_sc/servicecatalog/cart/{cart_item}",
}
"""Where JSON is read by us, not by a script: what is too deep or large is the caller's mistake."""
ECHO = "/api/x_fuzz/echo/1"
DOCTYPE = b"XML with a DOCTYPE is refused"


@pytest.fixture(scope="module")
def app() -> Iterator[Application]:
    with _besieged() as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def any_app(request: pytest.FixtureRequest) -> Iterator[Application]:
    sqlite = request.param == "sqlite"
    with _besieged("" if sqlite else request.getfixturevalue("new_database")()) as found:
        yield found


def test_no_xml_door_reads_a_dtd(app: Application, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(CANARY)
    doors = set()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        port = listener.getsockname()[1]
        for body in xml_bodies(str(secret), f"http://127.0.0.1:{port}/x.dtd"):
            told = {
                door
                for door, attack in _doors(app, body)
                for status, answer in [_sent(app, attack)]
                if _harmless(app, attack, status, answer, body.name)
                if DOCTYPE in answer
            }
            assert told == XML_DOORS, body.name
            doors |= told
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert doors == XML_DOORS


def test_a_dtd_in_a_part_of_a_batch_is_refused(app: Application, tmp_path: Path) -> None:
    bodies = list(xml_bodies(str(tmp_path / "secret"), "http://127.0.0.1:9/"))
    parts = [
        {
            "id": body.name,
            "method": "POST",
            "url": "/api/now/table/incident",
            "headers": [{"name": "Content-Type", "value": body.media}],
            "body": base64.b64encode(body.content).decode(),
        }
        for body in bodies
    ]
    content = json.dumps({"batch_request_id": "1", "rest_requests": parts}).encode()
    attack = _attack("POST", "/api/now/batch", Body("", "application/json", content))
    status, answer = _sent(app, attack)
    served = json.loads(answer)["serviced_requests"]
    assert status == 200
    assert [(part["id"], part["status_code"]) for part in served] == [
        (body.name, 400) for body in bodies
    ]


@pytest.mark.parametrize("body", list(heavy_json()), ids=lambda body: body.name)
def test_json_that_is_deep_or_large_is_the_callers_mistake(app: Application, body: Body) -> None:
    for door, attack in _doors(app, body):
        status, answer = _sent(app, attack)
        assert _harmless(app, attack, status, answer, door)
        if door in JSON_DOORS and attack.user == "admin":
            assert 400 <= status < 500, (door, status, answer[:300])


@pytest.mark.parametrize("body", list(heavy_xml()), ids=lambda body: body.name)
def test_xml_that_is_deep_or_large_is_the_callers_mistake(app: Application, body: Body) -> None:
    for door, attack in _doors(app, body):
        status, answer = _sent(app, attack)
        assert _harmless(app, attack, status, answer, door)
        if door in XML_DOORS and ECHO not in door and attack.user == "admin":
            assert 400 <= status < 500 or FAULT in answer, (door, status, answer[:300])


@pytest.mark.parametrize("place", range(len(BOMBS)), ids=BOMBS)
def test_packed_bodies_do_not_grow(app: Application, place: int) -> None:
    """They hold for an instance that unpacks nothing, and for one that does."""
    assert tuple(bomb.name for bomb in bombs()) == BOMBS
    body = bombs()[place]
    doors = list(_doors(app, body))
    _sent(app, doors[0][1])
    _forget_peak()
    before = _peak()
    for door, attack in doors:
        status, answer = _sent(app, attack)
        assert _harmless(app, attack, status, answer, door)
        if door in JSON_DOORS:
            assert 400 <= status < 500, (door, status, answer[:300])
    assert _peak() - before < 96 * MEGABYTE


def test_of_duplicate_keys_the_last_counts(app: Application) -> None:
    content = b'{"short_description":"a","short_description":"b","nosuch":{"a":1,"a":2}}'
    path = "/api/now/table/incident"
    status, answer = _sent(app, _attack("POST", path, Body("", "application/json", content)))
    assert status == 201
    assert json.loads(answer)["result"]["short_description"] == "b"
    many = b"{" + b'"short_description":"a",' * 100_000 + b'"short_description":"z"}'
    status, answer = _sent(app, _attack("POST", path, Body("", "application/json", many)))
    assert status == 201
    assert json.loads(answer)["result"]["short_description"] == "z"
    for door, attack in _doors(app, Body("", "application/json", content)):
        assert _harmless(app, attack, *_sent(app, attack), door)


def test_forms_do_no_harm_at_any_door(app: Application) -> None:
    media = "application/x-www-form-urlencoded"
    for form in (
        *FORMS,
        "&".join(f"a{n}=1" for n in range(100_000)),
        "user_name=" + "x" * MEGABYTE,
    ):
        for door, attack in _doors(app, Body("form", media, form.encode())):
            assert _harmless(app, attack, *_sent(app, attack), (door, form[:80]))


def test_signs_of_sql_do_no_harm_in_any_parameter_or_key(any_app: Application) -> None:
    app = any_app
    with app.parts.records.read(SYSTEM, enforce=False) as records:
        tables, users = set(records.dictionary.tables), len(records.find("sys_user", ""))
    for route in _routes(app):
        if "GET" not in route.methods or route.name == "openapi":
            continue
        path, known = _path(route), _parameters(route)
        for sign in META:
            text = quote(sign, safe="")
            queries = [
                *(f"{name}={text}" for name in known),
                f"{text}=1",
                f"sysparm_query={text}=1",
            ]
            queries += [
                f"sysparm_query={field}={text}" for field in ("number", "sys_id", "opened_at")
            ]
            for query in dict.fromkeys(queries):
                attack = Attack("sql", "admin", "GET", path.encode(), query.encode())
                assert _harmless(app, attack, *_sent(app, attack), (path, query))
            for name in set(re.findall(r"\{([a-z_]+)", route.path)):
                broken = route.path.replace(f"{{{name}}}", sign).replace(f"{{{name}:path}}", sign)
                raw = quote_from_bytes(_filled(broken).encode(), safe="/").encode()
                attack = Attack("sql", "admin", "GET", raw)
                assert _harmless(app, attack, *_sent(app, attack), raw)
    for sign in META:
        for content in ({sign: "x"}, {FIELD: sign}, {f"caller_id.{sign}": sign, "caller_id": sign}):
            body = Body("", "application/json", json.dumps(content).encode())
            attack = _attack("POST", "/api/now/table/incident", body)
            assert _sent(app, attack)[0] == 201, content
    with app.parts.records.read(SYSTEM, enforce=False) as records:
        assert set(records.dictionary.tables) == tables
        assert len(records.find("sys_user", "")) == users
        assert records.require("sys_user", ADMIN).get("active") == "true"


@pytest.mark.parametrize(
    "query",
    [
        "sysparm_query=" + "active=true^OR" * (MEGABYTE // 14),
        "sysparm_query=" + "a" * MEGABYTE,
        "sysparm_query=sys_idIN" + "a," * (MEGABYTE // 2),
        "sysparm_query=" + "parent." * (MEGABYTE // 7) + "number=1",
        "sysparm_query=" + "ORDERBYnumber^" * (MEGABYTE // 14),
        "sysparm_query=" + "(" * MEGABYTE,
        "sysparm_fields=" + "parent." * (MEGABYTE // 7) + "number",
        "&".join(f"a{n}=1" for n in range(100_000)),
    ],
    ids=lambda query: query[:30],
)
def test_a_megabyte_of_query_is_answered(app: Application, query: str) -> None:
    for route in _routes(app):
        if "GET" in route.methods and route.name != "openapi":
            attack = Attack("query", "admin", "GET", _path(route).encode(), query.encode())
            assert _harmless(app, attack, *_sent(app, attack), route.path)


def test_a_form_of_too_many_parameters_is_the_callers_mistake(app: Application) -> None:
    form = "&".join(f"a{number}=1" for number in range(1_100)).encode()
    body = Body("", "application/x-www-form-urlencoded", form)
    status, answer = _sent(app, _attack("POST", "/xmlhttp.do", body))
    assert status == 400, answer


def test_the_apps_are_known_without_all_their_records(app: Application) -> None:
    path = "/api/midspan/v1/export"
    attack = Attack("query", "admin", "GET", path.encode(), b"app=nosuch%5EORappISNOTEMPTY")
    _sent(app, attack)  # what is made once
    tracemalloc.start()
    try:
        status, answer = _sent(app, attack)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert status == 400, answer
    assert b"No app nosuch^ORapp" in answer
    assert b"Installed: cmdb, flow" in answer
    assert peak < MEGABYTE


def test_no_trick_with_a_path_opens_any_closed_route(app: Application) -> None:
    for route in _routes(app):
        if isinstance(route.access, Public) or "{rest:path}" in route.path:
            continue
        for trick in TRICKS:
            raw = trick(_path(route)).encode("latin-1", "replace")
            attack = Attack("paths", "nobody", route.methods[0], raw)
            status, answer = _sent(app, attack)
            assert 300 <= status < 500, (route.path, raw, status)
            assert CANARY.encode() not in answer


def test_no_overridden_method_opens_any_closed_route(app: Application) -> None:
    for route in _routes(app):
        if isinstance(route.access, Public) or "{rest:path}" in route.path:
            continue
        for method in (*route.methods, "HEAD", "TRACE", "' --", "get "):
            header = (b"x-http-method-override", method.encode())
            for sent in ("POST", "GET"):
                attack = Attack(
                    "override", "nobody", sent, _path(route).encode(), headers=(header,)
                )
                status, _ = _sent(app, attack)
                open_by_get = sent == "GET" and "GET" not in route.methods
                assert 300 <= status < 500 or (open_by_get and status in (200, 204)), (
                    route.path, sent, method, status,
                )  # fmt: skip


def _routes(app: Application) -> Iterator[Route]:
    """Yield each route without its other versions."""
    for route in app.router.routes():
        if not re.match("/api/(now|sn_sc)/v[12]/", route.path):
            yield route


def _doors(app: Application, body: Body) -> Iterator[tuple[str, Attack]]:
    """Yield every door that takes a body, with the attack on it by each of two users."""
    pairs = [
        (f"{method} {route.path}", method, _path(route))
        for route in _routes(app)
        for method in route.methods
        if method in BODIES and "{rest:path}" not in route.path and route.name != "login.out"
    ]
    pairs += [(f"{method} {ECHO}", method, ECHO) for method in ("POST", "PUT")]
    pairs.append(("POST /{table}.do?JSONv2", "POST", "/incident.do?JSONv2&sysparm_action=insert"))
    for door, method, path in pairs:
        yield door, _attack(method, path, body)
        yield door, _attack(method, path, body, "nobody")


def _attack(method: str, path: str, body: Body, user: str = "admin") -> Attack:
    headers = [(b"content-type", body.media.encode())]
    headers.append((b"content-length", str(len(body.content)).encode()))
    if body.encoding:
        headers.append((b"content-encoding", body.encoding.encode()))
    place = b"table_name=incident&table_sys_id=" + RECORD.encode() + b"&file_name=a.xml"
    path, _, query = path.partition("?")
    queries = {"/api/now/attachment/file": place, "/incident.do": b"SOAP"}
    return Attack(
        kind="named",
        user=user,
        method=method,
        path=path.encode(),
        query=query.encode() or queries.get(path, b""),
        headers=tuple(headers),
        body=body.content,
    )


def _path(route: Route) -> str:
    return _filled(route.path)


def _filled(path: str) -> str:
    known = {
        "table": "incident",
        "sys_id": RECORD,
        "staging_table": "imp_user",
        "classname": "cmdb_ci",
    }
    return re.sub(r"\{([a-z_]+)(:path)?\}", lambda name: known.get(name[1], "x"), path)


def _parameters(route: Route) -> list[str]:
    described = route.description.parameters if route.description else ()
    return [one.name for one in described if one.place == "query"]


_SIEGES: dict[Application, tuple[Siege, asyncio.Runner]] = {}
"""The siege of each open application: to make one for each request costs more than the request."""


@contextmanager
def _besieged(database: str = "") -> Iterator[Application]:
    with fortress(database) as app, asyncio.Runner() as runner:
        _SIEGES[app] = (Siege(app, 1), runner)
        try:
            yield app
        finally:
            del _SIEGES[app]


def _sent(app: Application, attack: Attack) -> tuple[int, bytes]:
    siege, runner = _SIEGES[app]
    return runner.run(siege.send(attack))


def _harmless(app: Application, attack: Attack, status: int, answer: bytes, about: object) -> bool:
    found = list(_SIEGES[app][0].problems(attack, status, answer))
    assert found == [], (about, attack.method, attack.path[:200], attack.user)
    return True


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """Return the most resident bytes of this process since they were forgotten."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
