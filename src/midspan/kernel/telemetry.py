"""The instance's log lines: those of ``midspan_link.logs``, each with the id of its request."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TextIO

from midspan_link import logs

request_id: ContextVar[str] = ContextVar("request_id", default="")

_QUIET = ("authlib", "httpx", "httpcore", "dbos", "_granian", "granian.access")


class JsonFormatter(logs.JsonFormatter):
    """Adds ``request_id`` to the lines that are written while a request is answered."""

    def context(self) -> dict[str, object]:
        """Return the id of the request, or nothing outside of one."""
        current = request_id.get()
        return {"request_id": current} if current else {}


def configure_logging(level: str = "info", stream: TextIO | None = None) -> None:
    """Send all logs as JSON lines to ``stream`` (standard error when None)."""
    logs.send_logs(JsonFormatter(), level, _QUIET, stream)
