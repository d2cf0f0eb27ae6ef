"""JSON logs with a request id, and the redaction that every line passes through."""

from __future__ import annotations

import json
import logging
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO

request_id: ContextVar[str] = ContextVar("request_id", default="")

_SECRET_KEY = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|authorization|api_?key|credential|cookie", re.IGNORECASE
)
_SECRET_TEXT = re.compile(
    r"(?i)((?:basic|bearer)\s+)[A-Za-z0-9+/=._~-]{6,}"
    r"|((?:password|passwd|secret|token|api_?key)[\"']?\s*[:=]\s*[\"']?)[^\s\"'&,;}]+"
    r"|(://[^\s:/@]+:)[^\s@/]+(?=@)"
)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def redact(text: str) -> str:
    """Replace what looks like a secret by ``***``.

    >>> redact("Authorization: Basic YWRtaW46YWRtaW4=")
    'Authorization: Basic ***'
    >>> redact("postgresql://app:s3cret@db/x")
    'postgresql://app:***@db/x'
    """
    return _SECRET_TEXT.sub(
        lambda match: f"{next(group for group in match.groups() if group)}***", text
    )


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, request id and the record's extras."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its newline; secrets are replaced by key and by pattern."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        if request_id.get():
            line["request_id"] = request_id.get()
        for key, value in vars(record).items():
            if key not in _STANDARD:
                line[key] = "***" if _SECRET_KEY.search(key) else redact(str(value))
        if record.exc_info:
            line["exception"] = redact(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def configure_logging(level: str = "info", stream: TextIO | None = None) -> None:
    """Send all logs as JSON lines to ``stream`` (standard error when None)."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("authlib", "httpx", "httpcore", "dbos", "_granian", "granian.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
