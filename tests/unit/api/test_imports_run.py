"""What the route that runs an import tells of one that ended before any row was there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

from midspan.api.imports import PATH, ImportParts, import_routes
from midspan.importsets.relay import RelayedLoad, RelayImports
from midspan.records import insert
from midspan.security import SYSTEM

from .conftest import Site

WHY = "postgresql://db.corp:5432/x cannot be reached: " + "connection refused " * 12 + "the end"


class Ended:
    """A relay whose load ended already."""

    def __init__(self, import_set: str) -> None:
        self.load = RelayedLoad(import_set, "")

    def run_now(self, source: str, **_: Any) -> RelayedLoad:
        return self.load

    async def finished(self, load: RelayedLoad, *, within: timedelta) -> str:
        return "error"


def test_the_whole_reason_is_told(site: Site, make_app: Callable[..., Site]) -> None:
    instance = site.instance
    values = {"name": "Racks", "type": "JDBC", "import_set_table_name": "u_racks"}
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        transaction.apply(insert("sys_data_source", values))
    refused = instance.relay.refuse(instance.imports.source("Racks"), WHY)
    relay = cast(RelayImports, Ended(refused))
    routes = import_routes(ImportParts(instance.records, relay))
    answer = make_app(extra_routes=routes).send("POST", PATH, user="admin", json={"name": "Racks"})
    (run,) = answer.json()["result"]["runs"]
    assert (run["state"], run["errors"]) == ("error", [{"row": 0, "reason": WHY}])
