"""``/api/midspan/v1/scripts/run``: a background script, run at once for whoever sent it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import orjson

from midspan.api.app import Lane
from midspan.api.description import (
    ANYTHING,
    NUMBER,
    TEXT,
    Answer,
    Body,
    Description,
    listed,
    members,
    result,
    texts,
)
from midspan.api.explaining import user_named
from midspan.api.request import Request
from midspan.api.response import Response, json_response
from midspan.api.router import Role, Route
from midspan.kernel.errors import InvalidRequest, MalformedBody, did_you_mean
from midspan.records import RecordStore, RecordTransaction
from midspan.sandbox import SandboxUnavailable, Script, ScriptError
from midspan.scripting import PerWrite, ScriptRunner
from midspan.security import Actor

PATH = "/api/midspan/v1/scripts/run"
MOST_LINES = 10_000
LONGEST_LINE = 8_000
LARGEST = 1024 * 1024
_KEYS = frozenset({"script", "name", "user"})
_RUN = Description(
    summary="Run a background script",
    tag="Scripts",
    body=Body(
        members(
            ("script",),
            script=TEXT,
            name={"type": "string", "description": "What errors call it."},
            user={"type": "string", "description": "Whom it acts for; whoever asks."},
        )
    ),
    answers={
        200: Answer(
            "How it ended. What it wrote before an error stays written.",
            result(
                members(
                    ("user", "value", "error", "log", "milliseconds", "writes"),
                    user=TEXT,
                    value=ANYTHING,
                    error={
                        "anyOf": [
                            {"type": "null"},
                            members(
                                ("message", "script", "line"),
                                message=TEXT,
                                script=TEXT,
                                line={"type": ["integer", "null"]},
                            ),
                        ]
                    },
                    log=listed(texts("level", "text")),
                    milliseconds=NUMBER,
                    writes=NUMBER,
                )
            ),
        )
    },
    refuses=(400, 404),
)


class _Counted(PerWrite):
    """Counts the writes that were committed."""

    def __init__(self, store: RecordStore, actor: Actor) -> None:
        super().__init__(store, actor)
        self.writes = 0

    def writing(self, *, enforce: bool) -> AbstractContextManager[RecordTransaction]:
        """Open a write transaction, committed when the block ends."""
        self.writes += 1
        return super().writing(enforce=enforce)


class ScriptRoutes:
    """Runs background scripts in threads of their own, so that they hold up no request."""

    def __init__(self, runner: ScriptRunner, *, threads: int = 1, waiting: int = 16) -> None:
        self._runner = runner
        self._lane = Lane(threads, waiting)
        self.route = Route(
            name="scripts.run",
            methods=("POST",),
            path=PATH,
            handler=self.handle,
            access=Role("admin"),
            description=_RUN,
            max_body=LARGEST,
        )

    def close(self) -> None:
        """Finish what runs and stop the threads."""
        self._lane.close()

    async def handle(self, request: Request) -> Response:
        """Run the script in the body."""
        return await self._lane.run(self._run, request)

    def _run(self, request: Request) -> Response:
        text, name, user = _asked(request)
        parts = request.parts
        actor = request.actor
        if user:
            actor = user_named(request, user)
        unit = _Counted(parts.records, actor)
        lines: list[dict[str, str]] = []
        started = parts.clock.monotonic()
        value, error = None, None
        try:
            with self._runner.session(unit) as session:
                value = session.run(Script(name, text), calls={"log": _collector(lines)})
        except SandboxUnavailable:
            raise
        except ScriptError as failure:
            error = {
                "message": failure.message,
                "script": failure.script,
                "line": failure.line,
            }
        return json_response(
            {
                "result": {
                    "user": actor.user_name,
                    "value": value,
                    "error": error,
                    "log": lines,
                    "milliseconds": round((parts.clock.monotonic() - started) * 1000),
                    "writes": unit.writes,
                }
            }
        )


def _collector(lines: list[dict[str, str]]) -> Callable[..., None]:
    """Return what takes the script's log; after 10,000 lines it says so once and keeps no more."""

    def keep(level: str, text: str, *_: Any) -> None:
        if len(lines) < MOST_LINES:
            lines.append({"level": level, "text": text[:LONGEST_LINE]})
        elif len(lines) == MOST_LINES:
            lines.append({"level": "warning", "text": f"More than {MOST_LINES} lines"})

    return keep


def _asked(request: Request) -> tuple[str, str, str]:
    try:
        body = orjson.loads(request.body or b"{}")
    except orjson.JSONDecodeError as error:
        raise MalformedBody("The body is not JSON", detail=str(error)) from error
    if not isinstance(body, dict):
        raise MalformedBody("Expected a JSON object")
    wrong = next((name for name in body if name not in _KEYS), None)
    if wrong is not None:
        raise InvalidRequest(
            f"Unknown member {wrong[:80]!r}", hint=did_you_mean(wrong, sorted(_KEYS))
        )
    if not isinstance(body.get("script"), str) or not body["script"].strip():
        raise InvalidRequest("There is no script", hint='Send {"script": "gs.info(1)"}.')
    return body["script"], str(body.get("name") or "script"), str(body.get("user") or "")
