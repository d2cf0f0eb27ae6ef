"""Papers of two authors, and what their access rules are about."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from midspan.api import create_app
from midspan.api.deployment import deploy
from midspan.api.memoryfolder import MemoryFolder
from midspan.kernel.clock import ManualClock
from midspan.records import Record, insert, update
from midspan.security import SYSTEM
from midspan.testing import open_instance

from .conftest import ADMIN, Site, parts_of

ITIL_ROLE = "282bf1fac6112285017366cb5f867469"
PASSWORD = "correct horse"
BO = "b" * 31 + "0"
ANN = "a" * 31 + "0"
FILES = {
    "app.yaml": "name: papers\nlabel: Papers\nversion: 1.0.0\nrequires: [platform]\n",
    "tables/u_paper.yaml": """
table: u_paper
extendable: true
audit: false
fields:
  u_number: {display: true}
  u_owner: {}
  u_pages: {type: integer}
  u_shelf: {}
  u_diary: {type: journal_input}
  u_other: {type: reference, to: u_paper}
""",
    "tables/u_map.yaml": "table: u_map\nextends: u_paper\naudit: false\nfields: {u_scale: {}}\n",
    "acls.yaml": "- {name: u_paper, operation: create, roles: [itil], condition: u_shelf=new}\n",
}
TABLE = "/api/now/table/u_paper"
STATS = "/api/now/stats/u_paper"
OWN = "answer = false; if (current.u_owner == gs.getUserName()) { answer = true; }"
RULE = {
    "sys_id": "f" * 31 + "0",
    "name": "u_paper",
    "operation": "read",
    "type": "record",
    "advanced": "true",
    "active": "true",
    "script": OWN,
}
ROLE = {"sys_security_acl": RULE["sys_id"], "sys_user_role": ITIL_ROLE}
PAPERS = {
    "1" * 32: {"u_number": "P1", "u_owner": "bo", "u_pages": "10", "u_shelf": "a"},
    "2" * 32: {"u_number": "P2", "u_owner": "al", "u_pages": "20", "u_shelf": "a"},
    "3" * 32: {"u_number": "P3", "u_owner": "bo", "u_pages": "40", "u_shelf": "b"},
    "4" * 32: {"u_number": "P4", "u_owner": "al", "u_pages": "80", "u_shelf": "b"},
}
MINE, THEIRS = "1" * 32, "2" * 32


@contextmanager
def open_library(url: str) -> Iterator[Site]:
    """Open an instance with the tables, the rule of new papers, and two people."""
    with open_instance(url, clock=ManualClock()) as instance, asyncio.Runner() as runner:
        folder = MemoryFolder({name: text.encode() for name, text in FILES.items()}, "papers")
        deploy(instance.records, SYSTEM, folder, dry_run=False)
        with instance.records.write(SYSTEM, enforce=False) as records:
            records.apply(update("sys_user", ADMIN, {"user_password": PASSWORD}))
            for sys_id, name in ((BO, "bo"), (ANN, "ann")):
                person = {"user_name": name, "name": name, "user_password": PASSWORD}
                records.apply(insert("sys_user", person, sys_id=sys_id))
            records.apply(insert("sys_user_has_role", {"user": BO, "role": ITIL_ROLE}))
        app = create_app(parts_of(instance))
        yield Site(instance, app, runner)
        app.close()


def add(site: Site, **values: str) -> None:
    """Add a rule of the role itil."""
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        made = {**RULE, "sys_id": "", **values}
        sys_id = records.apply(insert("sys_security_acl", made)).sys_id
        records.apply(insert("sys_security_acl_role", {**ROLE, "sys_security_acl": sys_id}))


def logged(site: Site) -> list[Record]:
    """Return the lines that scripts of access rules left, and forget them."""
    site.instance.records.logbook.flush()
    with site.instance.records.read(SYSTEM) as records:
        found = records.find("syslog", "messageLIKEAccess rule")
    with site.instance.database.write() as transaction:
        transaction.execute("DELETE FROM syslog")
    return found
