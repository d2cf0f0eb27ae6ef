"""``/api/midspan/v1/flows``: flows, their runs with every step, and a rehearsal; for admins."""

from __future__ import annotations

import orjson

from midspan.api.description import (
    ANYTHING,
    TEXT,
    Answer,
    Body,
    Description,
    listed,
    members,
    query,
    result,
    segment,
    texts,
)
from midspan.api.request import Request
from midspan.api.response import Response, json_response
from midspan.api.router import Role, Route
from midspan.flow.service import FlowService
from midspan.formats import lenient_json
from midspan.kernel.errors import InvalidRequest, MalformedBody
from midspan.records import Record
from midspan.security import Actor

BASE = "/api/midspan/v1/flows"
MOST = 1_000
_RUN = (
    "sys_id", "name", "state", "source_table", "source_record", "started", "ended", "run_time",
    "error",
)  # fmt: skip
_STEP_HIDDEN = frozenset({"context", "sys_domain", "sys_domain_path", "fence", "claimed_by"})


def flow_routes(flows: FlowService) -> tuple[Route, ...]:
    """Return the routes over the instance's flows."""
    surface = _Flows(flows)
    admin = Role("admin")
    return (
        Route(
            name="flows.list",
            methods=("GET",),
            path=BASE,
            handler=surface.flows,
            access=admin,
            description=_FLOWS,
        ),
        Route(
            name="flows.runs",
            methods=("GET",),
            path=f"{BASE}/runs",
            handler=surface.runs,
            access=admin,
            description=_RUNS,
        ),
        Route(
            name="flows.show",
            methods=("GET",),
            path=f"{BASE}/runs/{{run}}",
            handler=surface.show,
            access=admin,
            description=_SHOW,
        ),
        Route(
            name="flows.test",
            methods=("POST",),
            path=f"{BASE}/test",
            handler=surface.test,
            access=admin,
            description=_TEST,
        ),
    )


_TAG = "Flows"
_ONE_RUN = texts(*_RUN)
_FLOWS = Description(
    summary="List flows",
    tag=_TAG,
    answers={
        200: Answer(
            "Flows by name.",
            result(listed(texts("sys_id", "internal_name", "name", "active", "description"))),
        )
    },
    refuses=(400,),
)
_RUNS = Description(
    summary="List runs",
    tag=_TAG,
    parameters=(
        query("flow", "Name of a flow."),
        query("limit", "Most runs; 20.", {"type": "integer", "minimum": 1, "maximum": MOST}),
    ),
    answers={200: Answer("Runs, the newest first.", result(listed(_ONE_RUN)))},
    refuses=(400,),
)
_SHOW = Description(
    summary="Show a run",
    tag=_TAG,
    parameters=(segment("run", "Id of the run."),),
    answers={
        200: Answer(
            "The run with its steps and log.",
            result(
                {
                    "allOf": [
                        _ONE_RUN,
                        members(
                            ("steps", "log"),
                            steps=listed({"type": "object"}),
                            log=listed({"type": "object"}),
                        ),
                    ]
                }
            ),
        )
    },
    refuses=(400, 404),
)
_TEST = Description(
    summary="Rehearse a flow without effects",
    tag=_TAG,
    body=Body(texts("flow", "record")),
    answers={
        200: Answer(
            "What each step would do.",
            result(
                members(
                    ("flow", "record", "steps"),
                    flow=TEXT,
                    record=TEXT,
                    steps=listed(
                        members(
                            ("path", "kind", "inputs", "problem"),
                            path=TEXT,
                            kind=TEXT,
                            inputs=ANYTHING,
                            problem=ANYTHING,
                        )
                    ),
                )
            ),
        )
    },
    refuses=(400, 404),
)


class _Flows:
    """The handlers."""

    def __init__(self, flows: FlowService) -> None:
        self._flows = flows

    def flows(self, request: Request) -> Response:
        """Return all flows by name."""
        with self._flows.records.read(request.actor) as transaction:
            found = transaction.find("sys_hub_flow", "ORDERBYname")
        names = ("sys_id", "internal_name", "name", "active", "description")
        return _result([{name: flow.get(name) for name in names} for flow in found])

    def runs(self, request: Request) -> Response:
        """Return runs, the newest first: ``?flow=NAME&limit=N``."""
        limit = request.parameter("limit", "20")
        if not limit.isdecimal() or not 1 <= int(limit) <= MOST:
            raise InvalidRequest(f"limit has to be a number from 1 to {MOST}")
        query = self._query(request.actor, request.parameter("flow"))
        found = self._flows.runs(request.actor, query, int(limit))
        return _result([_picked(run) for run in found])

    def show(self, request: Request) -> Response:
        """Return a run with its steps and its log lines."""
        view = self._flows.show(request.actor, request.arguments["run"])
        steps = [_step(step) for step in view.steps]
        log = [dict(line.values) for line in view.log]
        return _result({**_picked(view.run), "steps": steps, "log": log})

    def test(self, request: Request) -> Response:
        """Rehearse a flow for a record without effects: ``{"flow", "record"}``."""
        try:
            body = lenient_json.loads(request.body)
            flow, record = body["flow"], body["record"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise MalformedBody('Expected {"flow": "…", "record": "…"}') from error
        if not isinstance(flow, str) or not isinstance(record, str):
            raise MalformedBody("flow and record have to be texts")
        steps = self._flows.test(request.actor, flow, record)
        shown = [
            {"path": s.path, "kind": s.kind, "inputs": s.inputs, "problem": s.problem}
            for s in steps
        ]
        return _result({"flow": flow, "record": record, "steps": shown})

    def _query(self, actor: Actor, flow: str) -> str:
        if not flow:
            return ""
        with self._flows.records.read(actor) as transaction:
            found = (
                transaction.first("sys_hub_flow", f"internal_name={flow}^ORname={flow}")
                if "^" not in flow
                else None
            )
        if found is None:
            raise InvalidRequest(f"There is no flow {flow!r}", hint="List them: midspan flow list")
        return f"flow={found.sys_id}"


def _result(value: object) -> Response:
    return json_response({"result": value})


def _picked(run: Record) -> dict[str, str]:
    return {name: run.get(name) for name in _RUN}


def _step(step: Record) -> dict[str, object]:
    """Return a step; its JSON columns as JSON."""
    shown: dict[str, object] = {}
    for name, text in step.values.items():
        if name in _STEP_HIDDEN or name.startswith("sys_"):
            continue
        shown[name] = _parsed(text) if name in ("inputs", "outputs") else text
    return shown


def _parsed(text: str) -> object:
    try:
        return orjson.loads(text) if text else None
    except orjson.JSONDecodeError:
        return text
