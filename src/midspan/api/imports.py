"""Runs imports through MID servers on request: by data source or by schedule, with their totals."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
from msgspec import Struct

from midspan.api.admindescription import RUN
from midspan.api.app import in_thread
from midspan.api.description import Answer, Body, Description, listed, members, result
from midspan.api.request import Request
from midspan.api.response import Response, json_response
from midspan.api.router import Role, Route
from midspan.formats import lenient_json
from midspan.importsets.relay import RelayedLoad, RelayImports
from midspan.kernel.errors import InvalidRequest
from midspan.records import RecordStore, RecordTransaction
from midspan.security import SYSTEM

PATH = "/api/midspan/v1/imports/run"
WITHIN = timedelta(minutes=5)
"""How long a request waits for the end of its import; the import goes on all the same."""
COUNTS = ("total", "inserts", "updates", "ignored", "skipped", "errors")
MOST_ERRORS = 1000


class ImportParts(Struct, frozen=True):
    """What this route works with."""

    records: RecordStore
    relay: RelayImports


def import_routes(parts: ImportParts) -> tuple[Route, ...]:
    """Return the route that runs an import now."""
    surface = _Imports(parts)
    return (
        Route(
            name="imports.run",
            methods=("POST",),
            path=PATH,
            handler=surface.run,
            access=Role("import_admin"),
            description=_RUN_NOW,
        ),
    )


_RUN_NOW = Description(
    summary="Run an import now",
    tag="Imports",
    body=Body(members(("name",), name={"type": "string", "minLength": 1})),
    answers={200: Answer("Its runs, at its end.", result(members(("runs",), runs=listed(RUN))))},
    refuses=(400, 404, 409),
)


class _Imports:
    """Starts an import and answers when it ended."""

    def __init__(self, parts: ImportParts) -> None:
        self._records = parts.records
        self._relay = parts.relay

    async def run(self, request: Request) -> Response:
        """Run the import named in the body: ``{"name": …}``, a data source or a schedule."""
        name = _name(request.body)
        source = await in_thread(self._source, name)
        load = await in_thread(self._relay.run_now, source, actor=request.actor)
        state = await self._relay.finished(load, within=WITHIN)
        return await in_thread(self._answer, load, state)

    def _source(self, name: str) -> str:
        """Return the data source of a schedule with this name, or the name itself."""
        with self._records.read(SYSTEM) as transaction:
            schedule = transaction.first("scheduled_import_set", f"name={name}")
        return schedule.get("data_source") if schedule else name

    def _answer(self, load: RelayedLoad, state: str) -> Response:
        with self._records.read(SYSTEM) as transaction:
            runs = transaction.find("sys_import_set_run", f"set={load.import_set}")
            found = [_run(transaction, run.values, load, state) for run in runs]
            if not found:
                opened = transaction.require("sys_import_set", load.import_set)
                found = [_unstarted(load, state, opened.get("message"))]
        return json_response({"result": {"runs": found}})


def _name(body: bytes) -> str:
    try:
        given = lenient_json.loads(body or b"{}")
    except orjson.JSONDecodeError:
        given = None
    name = given.get("name") if isinstance(given, dict) else None
    if not isinstance(name, str) or not name:
        raise InvalidRequest(
            "Expected the name of an import", hint='Send {"name": "Nightly assets"}.'
        )
    return name


def _run(
    transaction: RecordTransaction, run: Any, load: RelayedLoad, state: str
) -> dict[str, object]:
    query = f"import_set_run={run['sys_id']}^ORDERBYrow"
    problems = transaction.find("sys_import_set_row_error", query, limit=MOST_ERRORS)
    used = transaction.get("sys_transform_map", run["sys_transform_map"])
    return {
        "sys_id": run["sys_id"],
        "import_set": load.import_set,
        "map": used.get("name") if used else "",
        "state": run["state"] if state == "processed" else state,
        "totals": {name: int(run[name] or 0) for name in COUNTS},
        "errors": [
            {"row": int(each.get("row") or 0), "reason": each.get("error_message")}
            for each in problems
        ],
    }


def _unstarted(load: RelayedLoad, state: str, why: str) -> dict[str, object]:
    """Describe an import that ended before any map ran."""
    return {
        "sys_id": "",
        "import_set": load.import_set,
        "state": state,
        "totals": dict.fromkeys(COUNTS, 0),
        "errors": [{"row": 0, "reason": why}] if why else [],
    }
