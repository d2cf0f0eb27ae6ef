"""JSON log lines on standard error; what looks like a secret is hidden in each of them."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import TextIO

_SECRET_KEY = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|authorization|api_?key|credential$", re.IGNORECASE
)
_SECRET_TEXT = re.compile(
    r"(?i)((?:basic|bearer)\s+)[A-Za-z0-9+/=._~-]{6,}"
    r"|((?:password|passwd|secret|token|api_?key)[\"']?\s*[:=]\s*[\"']?)[^\s\"'&,;}]+"
    r"|(://[^\s:/@]+:)[^\s@/]+(?=@)"
)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def redact(text: str) -> str:
    """Hide what looks like a secret.

    >>> redact("connect postgresql://app:s3cret@db/x password=abc")
    'connect postgresql://app:***@db/x password=***'
    """
    return _SECRET_TEXT.sub(
        lambda match: f"{next(group for group in match.groups() if group)}***", text
    )


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message and the record's extras."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its newline."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
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
    for noisy in ("httpx", "httpcore", "psycopg"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
