"""``/api/midspan/v1/reset`` and ``/snapshots``: back to a saved state, for tests that need one.

Only for administrators, and only where the instance was started for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from msgspec import Struct

from midspan.api.app import in_thread
from midspan.api.description import (
    TEXT,
    Answer,
    Body,
    Description,
    listed,
    members,
    result,
    segment,
    texts,
)
from midspan.api.request import Request
from midspan.api.response import Response, json_response
from midspan.api.router import Role, Route
from midspan.formats import lenient_json
from midspan.kernel.errors import Conflict, MalformedBody
from midspan.records import START, SavedState, SavedStates

BASE = "/api/midspan/v1"
PATIENCE = 1.0
"""Seconds that requests under way get to finish before a reset cuts them off."""


class NotResettable(Conflict):
    """The instance was not started so that its state can be replaced."""

    code = "MS430"


class StateParts(Struct, frozen=True):
    """What these routes work with; ``refusal`` says why there are no states."""

    states: SavedStates | None
    refusal: str = ""


def state_routes(parts: StateParts) -> tuple[Route, ...]:
    """Return the routes; all are for the role admin."""
    surface, described = _States(parts), _descriptions()

    def route(name: str, method: str, path: str, handler: Callable[..., Any]) -> Route:
        return Route(
            name=f"admin.{name}",
            methods=(method,),
            path=BASE + path,
            handler=handler,
            access=Role("admin"),
            max_body=64 * 1024,
            cut_off=True,
            description=described[name],
        )

    return (
        route("reset", "POST", "/reset", surface.reset),
        route("snapshots", "GET", "/snapshots", surface.show),
        route("snapshot", "POST", "/snapshots", surface.save),
        route("restore_snapshot", "POST", "/snapshots/{name}/restore", surface.restore),
        route("delete_snapshot", "DELETE", "/snapshots/{name}", surface.delete),
    )


def _descriptions() -> dict[str, Description]:
    state = texts("name", "created")
    restored = members(
        ("name", "created", "milliseconds"),
        name=TEXT,
        created=TEXT,
        milliseconds={"type": "number", "minimum": 0},
    )
    named = segment("name", "The name of a snapshot")
    tag = "Administration"
    return {
        "reset": Description(
            summary="Go back to the state right after the start",
            tag=tag,
            answers={200: Answer("The state, and how long it took", result(restored))},
            refuses=(400, 409, 503),
        ),
        "snapshots": Description(
            summary="List the snapshots",
            tag=tag,
            answers={200: Answer("That of the start first", result(listed(state)))},
            refuses=(409,),
        ),
        "snapshot": Description(
            summary="Save the present state",
            tag=tag,
            body=Body(texts("name")),
            answers={201: Answer("What was saved", result(state))},
            refuses=(400, 409, 503),
        ),
        "restore_snapshot": Description(
            summary="Go back to a snapshot",
            tag=tag,
            parameters=(named,),
            answers={200: Answer("The state, and how long it took", result(restored))},
            refuses=(400, 409, 503),
        ),
        "delete_snapshot": Description(
            summary="Forget a snapshot",
            tag=tag,
            parameters=(named,),
            answers={200: Answer("The snapshot that is gone", result(texts("name")))},
            refuses=(400, 409),
        ),
    }


class _States:
    """The handlers."""

    def __init__(self, parts: StateParts) -> None:
        self._parts = parts

    async def reset(self, request: Request) -> Response:
        """Go back to the state right after the start."""
        return await self._go_back(request, START)

    async def restore(self, request: Request) -> Response:
        """Go back to a snapshot."""
        return await self._go_back(request, request.arguments["name"])

    async def _go_back(self, request: Request, name: str) -> Response:
        states = self._states()
        clock = request.parts.clock
        async with request.parts.door.closed(PATIENCE):
            began = clock.monotonic()
            state = await in_thread(states.restore, name)
            took = clock.monotonic() - began
        return _result({**_shown(state), "milliseconds": round(took * 1000, 1)})

    def show(self, request: Request) -> Response:
        """Return the snapshots, that of the start first."""
        return _result([_shown(state) for state in self._states().states()])

    def save(self, request: Request) -> Response:
        """Save the present state as ``{"name"}``."""
        states = self._states()
        try:
            name = lenient_json.loads(request.body or b"{}")["name"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise MalformedBody("The body names no snapshot", hint='{"name": "NAME"}') from error
        return _result(_shown(states.save(str(name))), 201)

    def delete(self, request: Request) -> Response:
        """Forget a snapshot."""
        name = request.arguments["name"]
        self._states().delete(name)
        return _result({"name": name})

    def _states(self) -> SavedStates:
        if self._parts.states is None:
            raise NotResettable("This instance cannot go back", hint=self._parts.refusal)
        return self._parts.states


def _shown(state: SavedState) -> dict[str, str]:
    return {"name": state.name, "created": state.created}


def _result(value: object, status: int = 200) -> Response:
    return json_response({"result": value}, status)
