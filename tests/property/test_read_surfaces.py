"""Every read surface of the live router under two instances that differ in what is hidden.

``read_surfaces.txt`` is the reviewed list: each path that answers GET is compared here, or it says
why not. A route that comes new has no line and fails the test. Compared are answers to a user with
the role itil, to one without roles, and to somebody unknown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from midspan.attachments import Attributes, NewFile
from midspan.kernel.errors import MidspanError
from midspan.query import NEVER
from midspan.records import delete, insert
from midspan.security import SYSTEM

from .surfaces import (
    ACTING,
    ASKED,
    CASES,
    HIDDEN,
    JSONV2,
    LITTLE,
    MISSING,
    MUCH,
    SOAP,
    VISIBLE,
    WRITES,
    reports,
)
from .veil import AS_JSON, SEEDS, TEAMS, Side, World

REVIEWED = Path(__file__).with_name("read_surfaces.txt")


@pytest.fixture
def pair(sides: tuple[Side, Side]) -> tuple[tuple[Side, Side], dict[str, str]]:
    """The two instances with little and much hidden in them, and the ids of two files."""
    seed, files = next(SEEDS), {}
    for side, hidden in zip(sides, (LITTLE, MUCH), strict=True):
        side.hold(seed, VISIBLE, World({}))
        files["shown"] = _attach(side, CASES[0], "visible.txt", b"visible")
        side.add(hidden)
    _fill_what_is_closed(sides[1])
    files["hidden"] = _attach(sides[1], HIDDEN[0], "hidden.txt", b"hidden" * 9)
    return sides, files


def _attach(side: Side, case: str, name: str, content: bytes) -> str:
    new = NewFile(table="u_case", record=case, name=name, content_type="text/plain")
    files = side.instance.attachments
    sys_id = files.write(SYSTEM, new, [content])
    with side.instance.records.write(SYSTEM, enforce=False) as records:
        Attributes(files.sql, records, sys_id).add("a", name)
    return sys_id


def _closed(side: Side) -> Iterator[str]:
    """Yield the tables of which neither reader may read a row."""
    records = side.instance.records
    snapshot = records.holder.current()
    actors = [side.actor(name) for name in ("bo", "al")]
    accesses = [records.access(actor, snapshot, side.instance.clock.now()) for actor in actors]
    for table in snapshot.dictionary:
        if all(access.rows(table.name, "read") == NEVER for access in accesses):
            yield table.name


def _fill_what_is_closed(side: Side) -> None:
    """Put a row into each closed table that takes one."""
    filled = 0
    for table in sorted(set(_closed(side)) - ACTING):
        try:
            with side.instance.records.write(SYSTEM, enforce=False) as records:
                display = records.dictionary.table(table).display
                given = {} if display == "sys_id" else {display: "hidden"}
                records.apply(insert(table, given))
            filled += 1
        except MidspanError:
            continue
    assert filled > 20


VERSIONS = {"/api/now": ("", "/v1", "/v2"), "/api/sn_sc": ("", "/v1")}


def _urls(path: str) -> Iterator[str]:
    for asked in ASKED[path]:
        match = re.match(r"(/api/(?:now|sn_sc))((?:/[a-z_]+)+)", path)
        if match is None:
            yield asked
            continue
        for version in VERSIONS[match[1]]:
            yield f"{match[1]}{version}{match[2]}{asked}"


def test_every_path_that_answers_get_is_reviewed(sides: tuple[Side, Side]) -> None:
    reviewed = dict(_reviewed())
    assert set(reviewed) == set(_paths(sides[0])), "Add a line to read_surfaces.txt, and to ASKED"
    assert {path for path, how in reviewed.items() if how == "compared"} == set(ASKED)
    for path, how in reviewed.items():
        assert how == "compared" or re.fullmatch(r"exempt: .{20,}", how), path


def test_every_read_surface_is_blind_for_what_is_hidden(
    pair: tuple[tuple[Side, Side], dict[str, str]],
) -> None:
    sides, files = pair
    for path in ASKED:
        answered = set()
        for url in _urls(path):
            asked = url.format_map(files)
            route = sides[0].app.router.find("GET", asked.partition("?")[0]).route
            assert re.sub("/v[12](?=/)", "", route.path) == path, asked
            for accept in ("application/json", "application/xml"):
                answered.add(_compared(sides, asked, "bo", accept))
            _compared(sides, asked, "al", "application/json")
            _compared(sides, asked, "", "text/html")
        assert 200 in answered, f"{path} was never answered"


def test_every_closed_table_is_blind(pair: tuple[tuple[Side, Side], dict[str, str]]) -> None:
    sides, _ = pair
    for table in sides[0].instance.records.holder.current().dictionary:
        if table.name in set(_closed(sides[0])):
            for user in ("bo", "al"):
                _compared(sides, f"/api/now/table/{table.name}?sysparm_limit=3", user)
                _compared(sides, f"/api/now/stats/{table.name}?sysparm_count=true", user)
                _compared(sides, f"/nav/{table.name}", user)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("midspan.access.names_ignore_acl", "/api/now/table/u_case?sysparm_display_value=true"),
        ("midspan.access.names_ignore_acl", f"/nav/u_case/{CASES[0]}"),
        ("midspan.table_api.count_ignores_acl", "/api/now/table/u_case?sysparm_fields=u_title"),
        ("midspan.table_api.count_ignores_acl", "/api/now/attachment"),
    ],
)
def test_the_two_instances_do_differ(
    pair: tuple[tuple[Side, Side], dict[str, str]], name: str, path: str
) -> None:
    """Where a property says that what is hidden counts, as it does at the vendor's, it is seen."""
    sides, _ = pair
    made = []
    for side in sides:
        with side.instance.records.write(SYSTEM, enforce=False) as records:
            values = {"name": name, "value": "true"}
            made.append(records.apply(insert("sys_properties", values)).sys_id)
    first, second = (side.send(path) for side in sides)
    for side, sys_id in zip(sides, made, strict=True):
        with side.instance.records.write(SYSTEM, enforce=False) as records:
            records.apply(delete("sys_properties", sys_id))
    assert first != second
    _compared(sides, path, "bo")


def test_parts_of_a_batch_are_blind(pair: tuple[tuple[Side, Side], dict[str, str]]) -> None:
    sides, files = pair
    asked = [url.format_map(files) for path in ASKED for url in _urls(path)]
    paths = [url for url in asked if url.startswith("/api/") and "openapi" not in url]
    for user in ("bo", "al"):
        first, second = (side.batch(paths, user) for side in sides)
        assert first == second
        assert json.loads(first)["unserviced_requests"] == []


def test_errors_of_writes_are_blind(pair: tuple[tuple[Side, Side], dict[str, str]]) -> None:
    sides, files = pair
    seed = next(SEEDS)
    statuses = set()
    uploads = [
        ("PATCH", f"/api/now/attachment/{files['hidden']}", {"file_name": "x"}),
        ("DELETE", f"/api/now/attachment/{files['hidden']}", None),
        *(
            (
                "POST",
                f"/api/now/attachment/file?table_name={table}&table_sys_id={one}&file_name=a",
                {},
            )
            for table, one in (("u_case", HIDDEN[0]), ("u_team", TEAMS[0]), ("u_case", MISSING))
        ),
        ("POST", "/api/now/tinyurl", {"url": "/x?sysparm_query=u_team=Blue"}),
        *reports(),
    ]
    tables = [(method, f"/api/now/table/{rest}", body) for method, rest, body in WRITES]
    for number, (method, path, body) in enumerate([*tables, *uploads]):
        if method == "POST" and isinstance(body, dict) and "/table/" in path:
            body = {"u_title": "w", "u_visible": "true", **body}
        content = None if body is None else json.dumps(body).encode()
        for user in ("bo", "al"):
            found = []
            for side in sides:
                side.ids.begin(seed * 1_000 + number)
                found.append(side.ask(method, path, content, headers=AS_JSON, user=user))
            assert found[0] == found[1], (method, path, body, user)
            statuses.add(found[0][0])
    assert {201, 200, 204, 403, 404} <= statuses | {204}
    _compared(sides, "/api/now/table/u_case?sysparm_display_value=all", "bo")
    _compared(sides, "/api/now/table/u_person", "bo")


def test_soap_is_blind(pair: tuple[tuple[Side, Side], dict[str, str]]) -> None:
    sides, _ = pair
    head = '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
    headers = {"Content-Type": "text/xml"}
    for call in SOAP:
        content = f"{head}{call}</e:Body></e:Envelope>".encode()
        seed, answered = next(SEEDS), set()
        for table in ("u_case", "u_child_case", "u_person", "u_team", "sys_journal_field"):
            for query in ("SOAP", "SOAP&displayvalue=all"):
                found = []
                for side in sides:
                    side.ids.begin(seed)
                    path = f"/{table}.do?{query}"
                    found.append(side.ask("POST", path, content, headers=headers))
                assert found[0] == found[1], (call, table, query)
                answered.add((table, found[0][0]))
        if call == "<getRecords/>":
            assert {("u_case", 200), ("u_person", 200)} <= answered


def test_jsonv2_is_blind(pair: tuple[tuple[Side, Side], dict[str, str]]) -> None:
    sides, _ = pair
    for query, members in JSONV2:
        content, seed = json.dumps(members).encode(), next(SEEDS)
        for table in ("u_case", "u_team"):
            for user in ("bo", "al"):
                found = []
                for side in sides:
                    side.ids.begin(seed)
                    path = f"/{table}.do?JSONv2&{query}"
                    found.append(side.ask("POST", path, content, headers=AS_JSON, user=user))
                assert found[0] == found[1], (query, table, user)
    _compared(sides, "/u_case.do?JSONv2", "bo")


def test_a_short_address_of_somebody_else_cannot_be_guessed(sides: tuple[Side, Side]) -> None:
    """The id was made of user and query, so that one could see who had asked what."""
    side, query = sides[0], "sysparm_query=u_secret=x"
    made = [
        httpx.URL(json.loads(answer[2])["result"]).params["sysparm_tiny"]
        for answer in (
            side.ask("POST", "/api/now/tinyurl", body, headers=AS_JSON, user="al")
            for body in [json.dumps({"url": f"/x?{query}"}).encode()] * 2
        )
    ]
    assert made[0] == made[1]
    with side.instance.records.read(SYSTEM, enforce=False) as records:
        kept = records.find("sys_tiny_url", f"tiny_url={made[0]}")
    assert len(kept) == 1
    assert kept[0].sys_id != made[0]


def _compared(
    sides: tuple[Side, Side], path: str, user: str, accept: str = "application/json"
) -> int:
    first, second = (side.send(path, user, Accept=accept) for side in sides)
    assert first == second, (path, user, accept)
    assert first[0] < 500, path
    return first[0]


def _reviewed() -> Iterator[tuple[str, str]]:
    for line in REVIEWED.read_text().splitlines():
        if line and line[0] != "#":
            path, _, how = line.removeprefix("GET ").partition(" | ")
            yield path, how


def _paths(side: Side) -> Iterator[str]:
    for route in side.app.router.routes():
        if "GET" in route.methods:
            yield (
                re.sub("/v[12](?=/)", "", route.path, count=1)
                if route.path.startswith(tuple(f"{root}/" for root in VERSIONS))
                else route.path
            )
