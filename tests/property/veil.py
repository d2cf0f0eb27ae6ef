"""Two instances whose reader may read the same: tables, rows, and the requests of their readers."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import dataclass, field
from typing import TypeAlias

import httpx

from midspan.api import Application
from midspan.api.deployment import deploy
from midspan.api.memoryfolder import MemoryFolder
from midspan.instance import Instance
from midspan.kernel.ids import SeededIds
from midspan.records import RIGHTS, RecordTransaction, delete, insert, update
from midspan.security import SYSTEM, Actor

ITIL_ROLE = "282bf1fac6112285017366cb5f867469"
READER = "a" * 31 + "1"
ROLELESS = "a" * 31 + "2"
PASSWORD = "correct horse"
DIFFERENT_BY_NATURE = {"x-transaction-id", "set-cookie", "content-length"}
"""Headers with ids of the request itself; the length is that of the body, which is compared."""
AS_JSON = {"Content-Type": "application/json"}
Seen: TypeAlias = tuple[int, dict[str, str], bytes]
"""Status, headers and body of an answer."""
FILES = {
    "app.yaml": "name: veil\nlabel: Veil\nversion: 1.0.0\nrequires: [platform, cmdb]\n",
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
  u_dim: {}
  u_dusk: {type: reference, to: u_person}
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
- {name: u_case.u_dim, operation: read, roles: [itil], script: answer = current.u_level == '1'}
- {name: u_case.u_dusk, operation: read, roles: [itil], condition: u_level=1}
- {name: u_child_case, operation: read, roles: [itil], script: answer = current.u_visible == true}
- {name: u_person, operation: read, roles: [itil], condition: u_public=true}
- {name: u_team, operation: read, roles: [admin]}
- {name: u_case, operations: [create, write, delete], roles: [itil], condition: u_visible=true}
- {name: u_case.u_secret, operations: [create, write], roles: [admin]}
- {name: u_person, operations: [create, write], roles: [itil], condition: u_public=true}
- {name: cmdb_ci_linux_server, operation: read, roles: [itil], condition: environment!=Test}
- {name: cmdb_ci_linux_server.ram, operation: read, roles: [admin]}
""",
    "data/views.yaml": """
- table: sys_ui_view
  records: [{key: probe, name: probe, title: Probe}]
- table: sys_ui_section
  records: [{key: case, name: u_case, view: "ref:sys_ui_view/probe"}]
- table: sys_ui_element
  records:
    - {key: secret, sys_ui_section: "ref:sys_ui_section/case", element: u_secret, position: 1}
    - {key: title, sys_ui_section: "ref:sys_ui_section/case", element: u_title, position: 2}
    - {key: owner, sys_ui_section: "ref:sys_ui_section/case", element: u_owner.u_mail, position: 3}
    - {key: team, sys_ui_section: "ref:sys_ui_section/case", element: u_team, position: 4}
    - {key: blue, sys_ui_section: "ref:sys_ui_section/case", element: u_team.u_name, position: 5}
    - {key: dim, sys_ui_section: "ref:sys_ui_section/case", element: u_dim, position: 6}
    - {key: dusk, sys_ui_section: "ref:sys_ui_section/case", element: u_dusk, position: 7}
    - {key: notes, sys_ui_section: "ref:sys_ui_section/case", element: u_notes, position: 8}
- table: sys_ui_list
  records: [{key: cases, name: u_case, view: "ref:sys_ui_view/probe"}]
- table: sys_ui_list_element
  records:
    - {key: team, list_id: "ref:sys_ui_list/cases", element: u_team.u_name, position: 1}
    - {key: secret, list_id: "ref:sys_ui_list/cases", element: u_secret, position: 2}
    - {key: number, list_id: "ref:sys_ui_list/cases", element: u_number, position: 3}
    - {key: dim, list_id: "ref:sys_ui_list/cases", element: u_dim, position: 4}
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
      cases.getValue('u_rank'), cases.getValue('u_dim'), cases.u_dim.canRead(),
      cases.getDisplayValue('u_dusk'), cases.getDisplayValue('u_owner'),
      cases.getDisplayValue('u_team'), cases.getDisplayValue('u_watchers'),
      cases.u_owner.u_name.toString(),
      cases.u_notes.getJournalEntry(-1), cases.u_diary.getJournalEntry(-1)]);
  }
  response.setBody({rows: found, count: cases.getRowCount()});
})(request, response);
""",
}
PEOPLE = [f"{n:032x}" for n in range(0x100, 0x104)]
TEAMS = [f"{n:032x}" for n in range(0x200, 0x202)]
HOSTS = [f"{n:032x}" for n in range(0x300, 0x303)]
"""Configuration items: two that are seen, and one that is not."""
SEEDS = itertools.count(1)
WORDS = ["", "a", "B", "ab", "x y"]
HELD = (
    *("label_entry", "label", "u_case", "u_person", "u_team", "cmdb_rel_ci", "cmdb_ci"),
    *("sc_cart_item", "sc_cart", "sc_cat_item", "sc_category"),
)
"""Tables that ``hold`` empties first."""


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
            stranger = {"user_name": "al", "name": "Al", "user_password": PASSWORD}
            records.apply(insert("sys_user", stranger, sys_id=ROLELESS))
            soap = records.first("sys_user_role", "name=soap")
            assert soap is not None
            for role in (ITIL_ROLE, soap.sys_id):
                records.apply(insert("sys_user_has_role", {"user": READER, "role": role}))

    def hold(self, seed: int, visible: World, hidden: World) -> None:
        """Make these the rows; what is hidden comes last and so leaves the ids of others alone."""
        with self.instance.records.write(SYSTEM, enforce=False) as records:
            for table in HELD:
                for record in records.find(table, ""):
                    records.apply(delete(record.table, record.sys_id))
        self.ids.begin(seed)
        for world in (visible, hidden):
            self.add(world)

    def add(self, world: World) -> None:
        """Store further rows."""
        with self.instance.records.write(SYSTEM, enforce=False) as records:
            _store(records, world)

    def actor(self, name: str) -> Actor:
        """Return a reader as the instance knows him."""
        sys_id = self.instance.identities.find(name)
        assert sys_id is not None
        rights = self.instance.holder.current().part(RIGHTS)
        return self.instance.identities.actor(sys_id, rights)

    def send(self, path: str, user: str = "bo", **headers: str) -> Seen:
        """Return status, headers and body of a GET of a reader; of nobody without a name."""
        return self.ask("GET", path, headers=headers, user=user)

    def ask(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        *,
        headers: dict[str, str] | None = None,
        user: str = "bo",
    ) -> Seen:
        """Return status, headers and body of any request."""
        got = self._runner.run(self._ask(method, path, content, headers or {}, user))
        kept = {k: v for k, v in got.headers.items() if k not in DIFFERENT_BY_NATURE}
        return got.status_code, kept, got.content

    def batch(self, paths: list[str], user: str = "bo") -> bytes:
        """Return the parts of a batch of GETs."""
        requests = [{"id": str(n), "method": "GET", "url": path} for n, path in enumerate(paths)]
        body = json.dumps({"batch_request_id": "1", "rest_requests": requests}).encode()
        _, _, answer = self.ask("POST", "/api/now/batch", body, headers=AS_JSON, user=user)
        found = json.loads(answer)
        for part in found["serviced_requests"]:
            del part["execution_time"]
            part["headers"] = [
                pair for pair in part["headers"] if pair["name"].lower() not in DIFFERENT_BY_NATURE
            ]
        return json.dumps(found).encode()

    async def _ask(
        self, method: str, path: str, content: bytes | None, headers: dict[str, str], user: str
    ) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://inst.example") as client:
            return await client.request(
                method,
                path,
                headers=headers,
                content=content,
                auth=(user, PASSWORD) if user else None,
            )


def _store(records: RecordTransaction, world: World) -> None:
    for (table, sys_id), values in world.rows.items():
        if table != "changed":
            records.apply(insert(table, values, sys_id=sys_id))
    for (table, sys_id), values in world.rows.items():
        if table == "changed":
            records.apply(update("u_case", sys_id, values))
    for sys_id, name, text in world.notes:
        records.apply(update("u_case", sys_id, {name: text}))
