"""Sends payloads to an instance and looks at what is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from midspan.cmdb import Options, answer_of, read_payload
from midspan.instance import Instance
from midspan.records import Record, insert
from midspan.security import SYSTEM, Actor


class Lab:
    """Sends payloads to one instance and looks at what is stored."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.clock = instance.clock

    def send(
        self,
        *items: Mapping[str, Any],
        source: str = "ServiceNow",
        actor: Actor = SYSTEM,
        relations: Any = (),
        references: Any = (),
        dry: bool = False,
        **options: bool,
    ) -> Any:
        """Hand a payload in; options make it an enhanced one."""
        engine = self.instance.identification
        payload = read_payload(
            {
                "items": [dict(item) for item in items],
                "relations": list(relations),
                "referenceItems": list(references),
            }
        )
        call = engine.query if dry else engine.commit
        chosen = Options(enhanced=bool(options), **options)
        return answer_of(call(actor, payload, source, chosen))

    def stored(self, table: str, query: str) -> list[Record]:
        """Return the stored records that match."""
        with self.instance.records.read(SYSTEM, enforce=False) as records:
            return records.find(table, query)

    def add(self, table: str, **values: str) -> str:
        """Insert a record; return its id."""
        with self.instance.records.write(SYSTEM, enforce=False) as records:
            return records.apply(insert(table, values)).sys_id


def server(name: str, **values: str) -> dict[str, Any]:
    """Return an item: a server of this name."""
    return {"className": "cmdb_ci_linux_server", "values": {"name": name, **values}}
