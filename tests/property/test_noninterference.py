"""What a user may not read influences nothing that he sees, on both databases.

Two instances hold the same cases, as far as the reader may read them. What he may not read differs
between them: cases that he does not reach, the values of hidden fields, whom references lead to,
journal entries, files of hidden cases. Every read surface has to answer both with the same bytes.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from midspan.api import Application
from midspan.api.deployment import deploy
from midspan.api.memoryfolder import MemoryFolder
from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.kernel.ids import SeededIds
from midspan.records import RecordTransaction, delete, insert, update
from midspan.security import SYSTEM
from midspan.testing import open_instance

ITIL_ROLE = "282bf1fac6112285017366cb5f867469"
READER = "a" * 31 + "1"
PASSWORD = "correct horse"
DIFFERENT_BY_NATURE = {"x-transaction-id", "set-cookie", "content-length"}
"""Headers with ids of the request itself; the length is that of the body, which is compared."""
FILES = {
    "app.yaml": "name: veil\nlabel: Veil\nversion: 1.0.0\nrequires: [platform]\n",
    "tables/u_case.yaml": """
table: u_case
extendable: true
audit: false
fields:
  u_number: {display: true}
  u_title: {}
  u_level: {type: integer, choices: {1: High, 2: Low}}
  u_visible: {type: boolean}
  u_secret: {}
  u_tick: {}
  u_rank: {type: integer}
  u_owner: {type: reference, to: u_person}
  u_team: {type: reference, to: u_team}
  u_watchers: {type: glide_list, to: u_person}
  u_notes: {type: journal_input}
  u_diary: {type: journal_input}
""",
    "tables/u_child_case.yaml": """
table: u_child_case
extends: u_case
audit: false
fields: {u_extra: {}}
""",
    "tables/u_person.yaml": """
table: u_person
audit: false
fields:
  u_name: {display: true}
  u_mail: {}
  u_public: {type: boolean}
  u_boss: {type: reference, to: u_person}
""",
    "tables/u_team.yaml": "table: u_team\naudit: false\nfields: {u_name: {display: true}}\n",
    "acls.yaml": """
- {name: u_case, operation: read, roles: [itil], condition: u_visible=true}
- {name: u_case.u_secret, operation: read, roles: [admin]}
- {name: u_case.u_notes, operation: read, roles: [admin]}
- {name: u_child_case.u_rank, operation: read, roles: [admin]}
- {name: u_person, operation: read, roles: [itil], condition: u_public=true}
- {name: u_team, operation: read, roles: [admin]}
""",
    "rest/veil/service.yaml": """
name: Veil
service_id: veil
namespace: x_veil
resources: [{name: Cases, method: GET, path: /cases, script: cases.js}]
""",
    "rest/veil/cases.js": """
(function process(request, response) {
  var found = [];
  var cases = new GlideRecordSecure('u_case');
  cases.orderBy('u_number');
  cases.query();
  while (cases.next()) {
    found.push([cases.getUniqueValue(), cases.getValue('u_secret'), cases.getValue('u_title'),
      cases.getValue('u_rank'), cases.getDisplayValue('u_owner'), cases.getDisplayValue('u_team'),
      cases.getDisplayValue('u_watchers'), cases.u_owner.u_name.toString(),
      cases.u_notes.getJournalEntry(-1), cases.u_diary.getJournalEntry(-1)]);
  }
  response.setBody({rows: found, count: cases.getRowCount()});
})(request, response);
""",
}
PEOPLE = [f"{n:032x}" for n in range(0x100, 0x104)]
TEAMS = [f"{n:032x}" for n in range(0x200, 0x202)]
SEEDS = itertools.count(1)
WORDS = ["", "a", "B", "ab", "x y"]


@dataclass(frozen=True)
class World:
    """Rows of an instance by table and sys_id, and journal entries by case."""

    rows: dict[tuple[str, str], dict[str, str]]
    notes: list[tuple[str, str, str]] = field(default_factory=list)


class Ids(SeededIds):
    """Ids that can begin again, so that two instances give the same ones to visible rows."""

    def begin(self, seed: int) -> None:
        super().__init__(seed)


class Side:
    """One of the two instances, with the requests of its reader."""

    def __init__(self, instance: Instance, ids: Ids, runner: asyncio.Runner) -> None:
        self.instance = instance
        self.ids = ids
        self.app: Application = instance.application()
        self._runner = runner
        folder = MemoryFolder({name: text.encode() for name, text in FILES.items()}, "veil")
        deploy(instance.records, SYSTEM, folder, dry_run=False)
        with instance.records.write(SYSTEM, enforce=False) as records:
            person = {"user_name": "bo", "name": "Bo", "user_password": PASSWORD}
            records.apply(insert("sys_user", person, sys_id=READER))
            records.apply(insert("sys_user_has_role", {"user": READER, "role": ITIL_ROLE}))

    def hold(self, seed: int, visible: World, hidden: World) -> None:
        """Make these the rows; what is hidden comes last and so leaves the ids of others alone."""
        with self.instance.records.write(SYSTEM, enforce=False) as records:
            for table in ("u_case", "u_person", "u_team"):
                for record in records.find(table, ""):
                    records.apply(delete(record.table, record.sys_id))
        self.ids.begin(seed)
        with self.instance.records.write(SYSTEM, enforce=False) as records:
            for world in (visible, hidden):
                _store(records, world)

    def send(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of a GET of the reader."""
        status, found, body = self._runner.run(self._send("GET", path, headers, None))
        kept = {k: v for k, v in found.items() if k not in DIFFERENT_BY_NATURE}
        return status, kept, body

    def batch(self, paths: list[str]) -> bytes:
        """Return the parts of a batch of GETs."""
        requests = [{"id": str(n), "method": "GET", "url": path} for n, path in enumerate(paths)]
        body = {"batch_request_id": "1", "rest_requests": requests}
        answer = self._runner.run(self._send("POST", "/api/now/batch", {}, body))
        served = httpx.Response(200, content=answer[2]).json()["serviced_requests"]
        return repr(
            [(part["status_code"], base64.b64decode(part["body"])) for part in served]
        ).encode()

    async def _send(
        self, method: str, path: str, headers: dict[str, str], body: Any
    ) -> tuple[int, dict[str, str], bytes]:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://inst.example") as client:
            got = await client.request(
                method, path, headers=headers, json=body, auth=("bo", PASSWORD)
            )
        return got.status_code, dict(got.headers), got.content


def _store(records: RecordTransaction, world: World) -> None:
    for (table, sys_id), values in world.rows.items():
        if table != "changed":
            records.apply(insert(table, values, sys_id=sys_id))
    for (table, sys_id), values in world.rows.items():
        if table == "changed":
            records.apply(update("u_case", sys_id, values))
    for sys_id, name, text in world.notes:
        records.apply(update("u_case", sys_id, {name: text}))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def sides(request: pytest.FixtureRequest) -> Iterator[tuple[Side, Side]]:
    new_database: Callable[[], str] = (
        request.getfixturevalue("new_database") if request.param == "postgresql" else str
    )
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        found = []
        for _ in range(2):
            ids = Ids()
            instance = stack.enter_context(
                open_instance(new_database(), clock=ManualClock(), ids=ids)
            )
            side = Side(instance, ids, runner)
            stack.callback(side.app.close)
            found.append(side)
        yield found[0], found[1]


# What is in the two worlds

SHOWN = st.fixed_dictionaries(
    {
        "u_title": st.sampled_from(WORDS),
        "u_level": st.sampled_from(["", "1", "2", "3"]),
        "u_owner": st.sampled_from(["", *PEOPLE]),
        "u_team": st.sampled_from(["", *TEAMS]),
        "u_watchers": st.lists(st.sampled_from(PEOPLE), max_size=2, unique=True).map(",".join),
    }
)
SECRET = st.fixed_dictionaries({"u_secret": st.sampled_from(WORDS)})
NAMED = st.fixed_dictionaries({"u_name": st.sampled_from(WORDS), "u_mail": st.sampled_from(WORDS)})


@st.composite
def visible_worlds(draw: st.DrawFn) -> tuple[World, list[str]]:
    """Draw what the reader may read, with the ids of its cases."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for sys_id in PEOPLE[:2]:
        rows["u_person", sys_id] = {**draw(NAMED), "u_public": "true", "u_boss": PEOPLE[2]}
    cases = [f"{n:032x}" for n in range(draw(st.integers(0, 4)))]
    for place, sys_id in enumerate(cases):
        table = draw(st.sampled_from(["u_case", "u_child_case"]))
        number = {"u_number": f"C{place}", "u_visible": "true"}
        rows[table, sys_id] = {**draw(SHOWN), **number}
    return World(rows, [(sys_id, "u_diary", "dear") for sys_id in cases[:2]]), cases


@st.composite
def hidden_worlds(draw: st.DrawFn, cases: list[str], tables: dict[str, str]) -> World:
    """Draw what the reader may not read: rows, values of fields, targets, entries."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for sys_id in draw(st.lists(st.sampled_from(PEOPLE[2:]), unique=True)):
        rows["u_person", sys_id] = {**draw(NAMED), "u_public": "false"}
    for sys_id in draw(st.lists(st.sampled_from(TEAMS), unique=True)):
        rows["u_team", sys_id] = {"u_name": draw(st.sampled_from(WORDS))}
    hidden = [f"{n:032x}" for n in range(0x10, 0x10 + draw(st.integers(0, 3)))]
    for sys_id in hidden:
        values = {**draw(SHOWN), **draw(SECRET), "u_number": "C1", "u_visible": "false"}
        rows[draw(st.sampled_from(["u_case", "u_child_case"])), sys_id] = values
    for sys_id in cases:
        rank = {"u_rank": draw(st.sampled_from(["1", "2"]))}
        rows["changed", sys_id] = {
            **draw(SECRET),
            **(rank if tables[sys_id] == "u_child_case" else {}),
            "u_notes": draw(st.sampled_from(WORDS)),
            "u_tick": "the case counts its changes, which the reader may see",
        }
    about = st.sampled_from(hidden) if hidden else st.nothing()
    entries = [(draw(about), "u_diary", "hush") for _ in range(draw(st.integers(0, 1))) if hidden]
    return World(rows, entries)


# What is asked

FIELDS = (
    "u_number", "u_title", "u_level", "u_secret", "u_rank", "u_owner", "u_owner.u_name",
    "u_owner.u_mail", "u_owner.u_boss", "u_owner.u_boss.u_name", "u_team", "u_team.u_name",
    "u_watchers", "u_notes", "u_diary", "sys_id", "sys_class_name", "sys_mod_count", "no_such",
)  # fmt: skip
OPERATORS = ("=", "!=", ">", "<=", "LIKE", "NOT LIKE", "STARTSWITH", "IN", "NOT IN", "SAMEAS")
VALUES = (*WORDS, "C1", "1", "2", PEOPLE[0], PEOPLE[2], TEAMS[0], "u_secret", "u_owner.u_name")
TERMS = st.one_of(
    st.builds("{}{}{}".format, *map(st.sampled_from, (FIELDS, OPERATORS, VALUES))),
    st.builds("{}{}".format, st.sampled_from(FIELDS), st.sampled_from(["ISEMPTY", "ISNOTEMPTY"])),
    st.builds("{}{}".format, st.sampled_from(["ORDERBY", "ORDERBYDESC"]), st.sampled_from(FIELDS)),
)
OTHERS = ("u_case", "u_case", "u_child_case", "u_person", "u_team", "sys_journal_field")
KEYS = ("u_owner", "u_owner", "u_team", "u_boss", "sys_id", "u_number", "u_secret", "u_name",
        "element_id", "u_owner.u_boss", "u_title")  # fmt: skip
INSIDE = st.one_of(st.just(""), TERMS)
RELATED = st.one_of(
    st.builds(
        "RLQUERY{}.{},{}{}^{}^ENDRLQUERY".format,
        *map(st.sampled_from, (OTHERS, KEYS, ("=", "!=", ">=", "<"), (0, 1, 2))),
        INSIDE,
    ),
    st.builds("SUBQUERY{},{},{}^{}^ENDSUBQUERY".format,
              *map(st.sampled_from, (KEYS, KEYS, OTHERS)), INSIDE),
    st.builds("JOINu_case.{}={}.{}!{}".format,
              *map(st.sampled_from, (KEYS, OTHERS, KEYS)), INSIDE),
    st.builds("RLQUERYu_case.u_owner,{}1^RLQUERY{}.{},=0^{}^ENDRLQUERY^ENDRLQUERY".format,
              *map(st.sampled_from, (("<", ">="), OTHERS, KEYS)), INSIDE),
)  # fmt: skip
QUERIES = st.lists(st.one_of(TERMS, TERMS, RELATED), max_size=3).flatmap(
    lambda terms: st.sampled_from(["^", "^OR", "^NQ"]).map(lambda glue: glue.join(terms))
)
NAMES = st.lists(st.sampled_from(FIELDS), max_size=5, unique=True).map(",".join)
TABLES = st.sampled_from(
    ["u_case", "u_case", "u_child_case", "u_person", "u_team", "sys_journal_field"]
)
IDS = st.sampled_from([f"{n:032x}" for n in (0, 1, 2, 0x10, 0x11)] + PEOPLE + TEAMS)


def _parameters(**more: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    known = {
        "sysparm_fields": NAMES,
        "sysparm_display_value": st.sampled_from(["false", "true", "all"]),
        "sysparm_exclude_reference_link": st.sampled_from(["", "true"]),
        **more,
    }
    return st.fixed_dictionaries(known).map(lambda given: str(httpx.QueryParams(given)))


LISTS = _parameters(
    sysparm_query=QUERIES,
    sysparm_limit=st.sampled_from(["", "1", "2"]),
    sysparm_offset=st.sampled_from(["", "1", "2"]),
    u_owner=st.sampled_from(["", "a", PEOPLE[2]]),
).map(lambda text: text.replace("u_owner=&", "").removesuffix("&u_owner="))
STATS = _parameters(
    sysparm_query=QUERIES,
    sysparm_count=st.just("true"),
    sysparm_group_by=NAMES,
    sysparm_min_fields=NAMES,
    sysparm_avg_fields=st.sampled_from(["", "u_level", "u_rank"]),
    sysparm_order_by=st.sampled_from(["", "COUNT", *FIELDS[:8]]),
    sysparm_having=st.sampled_from(["", "count^u_secret^>^1", "count^u_title^>^1"]),
)
PATHS = st.one_of(
    st.builds("/api/now/table/{}?{}".format, TABLES, LISTS),
    st.builds("/api/now/v1/table/{}?{}".format, TABLES, LISTS),
    st.builds("/api/now/table/{}/{}?{}".format, TABLES, IDS, _parameters()),
    st.builds("/api/now/stats/{}?{}".format, TABLES, STATS),
    st.builds("/nav/{}?{}".format, TABLES, LISTS),
    st.builds("/nav/{}/{}".format, TABLES, IDS),
)
RELATING = [
    "RLQUERYu_case.u_owner,{}^ENDRLQUERY",
    "RLQUERYu_case.u_owner,{}^u_levelISNOTEMPTY^ENDRLQUERY",
    "RLQUERYu_person.u_boss,{}^ENDRLQUERY",
    "RLQUERYsys_journal_field.element_id,{}^ENDRLQUERY",
    "RLQUERYu_case.u_owner,{}^RLQUERYsys_journal_field.element_id,=0^ENDRLQUERY^ENDRLQUERY",
]
FIXED = (
    "/",
    *(
        f"/api/now/table/{table}?{httpx.QueryParams(sysparm_query=text.format(count))}"
        for table in ("u_person", "u_case")
        for text in RELATING
        for count in ("=0", ">=1", "<2", "!=1")
    ),
    *(
        f"/api/now/table/{table}?{httpx.QueryParams(sysparm_query=query)}"
        for table in ("u_case", "u_person", "u_team")
        for query in (
            f"u_ownerIN_HIERARCHYu_boss@{PEOPLE[2]}",
            f"sys_idIN_HIERARCHYu_boss@{PEOPLE[2]}",
            "u_ownerDYNAMIC90d1921e5f510100a9ad2572f2b477fe",
            "123TEXTQUERY321=a",
            "IR_OR_QUERY=a b",
        )
    ),
    "/api/now/table/u_person?sysparm_query=JOINu_person.sys_id=u_case.u_owner!u_title=a",
    "/api/now/table/u_case?sysparm_query=u_ownerSUBQUERYu_boss,u_person",
    "/api/now/stats/u_person?sysparm_count=true&sysparm_query=RLQUERYu_case.u_owner,=0^ENDRLQUERY",
    "/api/x_veil/veil/cases",
    "/api/now/table/u_case?sysparm_display_value=all",
    "/api/now/table/u_child_case?sysparm_display_value=true",
    "/api/now/table/sys_journal_field",
    "/api/now/stats/u_case?sysparm_count=true&sysparm_group_by=u_owner&sysparm_display_value=all",
    "/nav/u_case",
    "/nav/u_person",
)


@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_what_may_not_be_read_influences_no_answer(
    sides: tuple[Side, Side], data: st.DataObject
) -> None:
    visible, cases = data.draw(visible_worlds())
    tables = {sys_id: table for table, sys_id in visible.rows}
    seed = next(SEEDS)
    for side in sides:
        side.hold(seed, visible, data.draw(hidden_worlds(cases, tables)))
    paths = [*FIXED, *data.draw(st.lists(PATHS, min_size=12, max_size=12))]
    for path in paths:
        accept = data.draw(st.sampled_from(["application/json", "application/xml"]))
        first, second = (side.send(path, Accept=accept) for side in sides)
        event(f"{path.partition('?')[0].split('/')[1]} {first[0]}")
        assert first == second, path
        assert first[0] < 500, path
    first_batch, second_batch = (
        side.batch([path for path in paths if path.startswith("/api/now/")]) for side in sides
    )
    assert first_batch == second_batch


@pytest.mark.parametrize(
    ("name", "path", "ours", "vendors"),
    [
        (
            "midspan.access.names_ignore_acl",
            "/api/now/table/u_case?sysparm_fields=u_team&sysparm_display_value=true"
            "&sysparm_exclude_reference_link=true",
            '{"result":[{"u_team":""}]} 1',
            '{"result":[{"u_team":"Blue"}]} 1',
        ),
        (
            "midspan.table_api.count_ignores_acl",
            "/api/now/table/u_case?sysparm_fields=u_number",
            '{"result":[{"u_number":"C0"}]} 1',
            '{"result":[{"u_number":"C0"}]} 2',
        ),
    ],
)
def test_properties_choose_what_the_vendor_shows(
    sides: tuple[Side, Side], name: str, path: str, ours: str, vendors: str
) -> None:
    side = sides[0]
    shown = {"u_number": "C0", "u_visible": "true", "u_team": TEAMS[0]}
    hidden = {("u_case", PEOPLE[0]): {"u_number": "C1"}, ("u_team", TEAMS[0]): {"u_name": "Blue"}}
    side.hold(next(SEEDS), World({("u_case", PEOPLE[1]): shown}), World(hidden))
    assert _shown(side, path) == ours
    values = {"name": name, "value": "true"}
    with side.instance.records.write(SYSTEM, enforce=False) as records:
        made = records.apply(insert("sys_properties", values)).sys_id
    assert _shown(side, path) == vendors
    with side.instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(delete("sys_properties", made))
    assert _shown(side, path) == ours


def _shown(side: Side, path: str) -> str:
    _, headers, body = side.send(path)
    return f"{body.decode()} {headers['x-total-count']}"
