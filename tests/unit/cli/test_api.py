"""``midspan api call`` against a served instance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., Any]


def test_a_request_goes_out_as_it_was_written(midspan: Run, tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    body.write_text('{"short_description": "by call"}')
    done = midspan("api", "call", "post", "/api/now/table/incident", "--data", f"@{body}")
    assert done.status == 0, done.err
    number = done.json["result"]["number"]
    query = ("-q", f"sysparm_query=number={number}", "-q", "sysparm_fields=short_description")
    found = midspan("api", "call", "GET", "now/table/incident", *query)
    assert found.json == {"result": [{"short_description": "by call"}]}


def test_status_headers_and_other_forms(midspan: Run) -> None:
    done = midspan("api", "call", "GET", "now/table/nothing", "-i", "-H", "Accept: application/xml")
    assert done.status == 1
    first, *_ = done.out.splitlines()
    assert first == "400 Bad Request"
    assert "content-type: application/xml;charset=UTF-8" in done.out
    assert "<status>failure</status>" in done.out


def test_what_cannot_be_sent_is_said(midspan: Run) -> None:
    for arguments, words in (
        (("-H", "no colon"), "Name: value"),
        (("-q", "=5"), "name=value"),
        (("-d", "@nowhere.json"), "nowhere.json cannot be read"),
    ):
        done = midspan("api", "call", "GET", "now/table/incident", *arguments)
        assert done.status != 0
        assert words in done.err
