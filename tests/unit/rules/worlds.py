"""What the tests of scripted rules share: writing rules and records, reading the log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from midspan.instance import Instance
from midspan.records import Applied, Change, Record, delete, insert
from midspan.security import SYSTEM, Actor

ANN = Actor(sys_id="a1" * 16, user_name="ann", roles=frozenset({"itil"}))
FLAGS = {"action_insert": "true", "action_update": "true", "advanced": "true"}


def write(instance: Instance, change: Change, actor: Actor = SYSTEM) -> Applied:
    with instance.records.write(actor, enforce=False) as transaction:
        return transaction.apply(change)


def find(instance: Instance, table: str, query: str = "") -> list[Record]:
    with instance.records.read(SYSTEM) as transaction:
        return transaction.find(table, query)


def logged(instance: Instance, query: str = "") -> list[tuple[str, str]]:
    """Return level and text of the lines that scripts left, and forget them."""
    instance.records.logbook.flush()
    found = find(instance, "syslog", query or "level!=-1")
    with instance.database.write() as transaction:
        transaction.execute("DELETE FROM syslog")
    ordered = sorted(found, key=lambda record: record.sys_id)
    return [(record.get("level"), record.get("message")) for record in ordered]


@contextmanager
def rules(instance: Instance, *rows: Mapping[str, str]) -> Iterator[list[str]]:
    """Add rules for incidents for the time of a test; yield their ids."""
    made: list[str] = []
    logged(instance)
    for row in rows:
        values = {"collection": "incident", **FLAGS, **row}
        values.setdefault("name", f"rule {len(made)}")
        values.setdefault("order", str(100 + len(made)))
        made.append(write(instance, insert("sys_script", values)).sys_id)
    try:
        yield made
    finally:
        for sys_id in made:
            write(instance, delete("sys_script", sys_id))
