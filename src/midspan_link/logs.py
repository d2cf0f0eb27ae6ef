"""JSON log lines that hide what looks like a secret: one rule for instance and agent."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TextIO

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
    >>> redact("connect postgresql://app:s3cret@db/x password=abc")
    'connect postgresql://app:***@db/x password=***'
    """
    return _SECRET_TEXT.sub(
        lambda match: f"{next(group for group in match.groups() if group)}***", text
    )


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, context and the record's extras."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its newline; secrets are replaced by key and by pattern."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
            **self.context(),
        }
        for key, value in vars(record).items():
            if key not in _STANDARD:
                line[key] = "***" if _SECRET_KEY.search(key) else redact(str(value))
        if record.exc_info:
            line["exception"] = redact(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)

    def context(self) -> dict[str, object]:
        """Return what every line says of the moment it is written in; here nothing."""
        return {}


def send_logs(
    formatter: logging.Formatter, level: str, quiet: Iterable[str], stream: TextIO | None = None
) -> None:
    """Send all logs of the process to ``stream`` (standard error when None).

    Args:
        formatter: makes the lines.
        level: the least severe one that is written, such as ``info``.
        quiet: loggers of libraries that speak from warnings upwards only.
        stream: where the lines go.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in quiet:
        logging.getLogger(name).setLevel(logging.WARNING)
