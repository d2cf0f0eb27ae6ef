"""Log lines: what looks like a secret is hidden, by key and by pattern, on both sides."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from midspan.kernel import telemetry
from midspan_link.logs import JsonFormatter, send_logs


@pytest.fixture
def _root_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def _line(formatter: logging.Formatter, **extra: object) -> dict[str, object]:
    record = logging.makeLogRecord(
        {"name": "midspan.x", "levelno": logging.INFO, "levelname": "INFO", "msg": "m", **extra}
    )
    shown: dict[str, object] = json.loads(formatter.format(record))
    return shown


@pytest.mark.parametrize("key", ["password", "api_key", "Cookie", "client_secret", "credentials"])
@pytest.mark.parametrize("formatter", [JsonFormatter(), telemetry.JsonFormatter()])
def test_hidden_by_key(formatter: logging.Formatter, key: str) -> None:
    line = _line(formatter, **{key: "s3cret"})
    assert line[key] == "***"


def test_hidden_by_pattern() -> None:
    try:
        raise ValueError("token=abcdef")
    except ValueError as error:
        raised = (ValueError, error, error.__traceback__)
    line = _line(JsonFormatter(), msg="to postgresql://a:s3cret@db/x", exc_info=raised)
    assert line["message"] == "to postgresql://a:***@db/x"
    assert "abcdef" not in str(line["exception"])
    assert "ValueError: token=***" in str(line["exception"])


def test_only_the_instance_knows_requests() -> None:
    token = telemetry.request_id.set("r1")
    try:
        assert _line(telemetry.JsonFormatter())["request_id"] == "r1"
        assert "request_id" not in _line(JsonFormatter())
    finally:
        telemetry.request_id.reset(token)
    assert "request_id" not in _line(telemetry.JsonFormatter())


@pytest.mark.usefixtures("_root_as_before")
def test_libraries_speak_from_warnings_upwards() -> None:
    stream = io.StringIO()
    send_logs(JsonFormatter(), "info", ("chatty",), stream)
    logging.getLogger("chatty").info("not shown")
    logging.getLogger("chatty").warning("shown")
    logging.getLogger("own").info("shown too")
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == [
        "shown",
        "shown too",
    ]
