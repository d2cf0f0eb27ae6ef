"""The receiver refuses what Slack's published description refuses, in process and on a socket."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest

from midspan_spokes.slack.contract import PayloadError, check_message
from midspan_spokes.slack.loopback import LoopbackServer
from midspan_spokes.slack.receiver import Fault, SlackReceiver

PLAIN = {"type": "plain_text", "text": "x"}
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
Sent = tuple[int, str, dict[str, str]]


@pytest.fixture
def receiver() -> SlackReceiver:
    return SlackReceiver(now=lambda: NOON)


@pytest.fixture
def url(receiver: SlackReceiver) -> Iterator[str]:
    with LoopbackServer(receiver) as server:
        yield server.url


def call(
    url: str, body: bytes | None = None, media: str = "application/json", **headers: str
) -> Sent:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    method = named.pop("method", "GET" if body is None else "POST")
    if body is not None and media:
        named["Content-Type"] = media
    request = urllib.request.Request(url, body, named, method=method)  # noqa: S310  # loopback
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310  # loopback
            return reply.status, reply.read().decode(), dict(reply.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), dict(error.headers)


def section(**more: Any) -> dict[str, Any]:
    return {"type": "section", "text": PLAIN, **more}


@pytest.mark.parametrize(
    "payload",
    [
        {"text": "x"},
        {"blocks": [section()]},
        {"blocks": [{"type": "section", "fields": [PLAIN] * 10}]},
        {"blocks": [section(text={"type": "mrkdwn", "text": "x" * 3000}, block_id="b" * 255)]},
        {"blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x" * 150}}]},
        {"blocks": [{"type": "divider"}] * 50},
        {"blocks": [{"type": "image", "image_url": "https://a.example/b.png", "alt_text": "b"}]},
        {"blocks": [{"type": "context", "elements": [PLAIN] * 10}]},
        {"blocks": [{"type": "actions", "elements": [{"type": "button", "text": PLAIN}]}]},
        {"blocks": [{"type": "rich_text", "elements": [{"type": "rich_text_section"}]}]},
        {"blocks": [{"type": "markdown", "text": "x" * 12_000}]},
        {"blocks": [{"type": "table", "rows": []}]},
        {"attachments": [{"text": "x"}] * 100},
    ],
)
def test_accepted(payload: dict[str, Any]) -> None:
    assert check_message(payload) == payload.get("text", "")


@pytest.mark.parametrize(
    ("payload", "word"),
    [
        ({}, "no_text"),
        ({"text": "  "}, "no_text"),
        ({"text": "", "blocks": []}, "no_text"),
        ({"text": 7}, "invalid_payload"),
        ({"text": "x", "attachments": {}}, "invalid_payload"),
        ({"text": "x", "attachments": [{}] * 101}, "too_many_attachments"),
        ({"blocks": {"type": "divider"}}, "invalid_blocks_format"),
        ({"blocks": ["divider"]}, "invalid_blocks_format"),
        ({"blocks": [{"type": "divider"}] * 51}, "invalid_blocks"),
        ({"blocks": [{}]}, "invalid_blocks"),
        ({"blocks": [{"type": ["divider"]}]}, "invalid_blocks"),
        ({"blocks": [{"type": "sectoin"}]}, "invalid_blocks"),
        ({"blocks": [{"type": "section"}]}, "invalid_blocks"),
        ({"blocks": [section(text="x")]}, "invalid_blocks"),
        ({"blocks": [section(text={"type": "markdown", "text": "x"})]}, "invalid_blocks"),
        ({"blocks": [section(text={"type": "mrkdwn", "text": ""})]}, "invalid_blocks"),
        ({"blocks": [section(text={"type": "mrkdwn", "text": "x" * 3001})]}, "invalid_blocks"),
        ({"blocks": [section(fields=[PLAIN] * 11)]}, "invalid_blocks"),
        ({"blocks": [section(fields=[{**PLAIN, "text": "x" * 2001}])]}, "invalid_blocks"),
        ({"blocks": [section(block_id="b" * 256)]}, "invalid_blocks"),
        ({"blocks": [section(block_id="b"), section(block_id="b")]}, "invalid_blocks"),
        ({"blocks": [section(accessory="x")]}, "invalid_blocks"),
        (
            {"blocks": [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]},
            "invalid_blocks",
        ),
        ({"blocks": [{"type": "header", "text": {**PLAIN, "text": "x" * 151}}]}, "invalid_blocks"),
        ({"blocks": [{"type": "image", "image_url": "https://a.example"}]}, "invalid_blocks"),
        ({"blocks": [{"type": "context", "elements": [PLAIN] * 11}]}, "invalid_blocks"),
        ({"blocks": [{"type": "context", "elements": []}]}, "invalid_blocks"),
        ({"blocks": [{"type": "actions", "elements": [{"type": "button"}]}]}, "invalid_blocks"),
        ({"blocks": [{"type": "rich_text", "elements": [{"type": "x"}]}]}, "invalid_blocks"),
        ({"blocks": [{"type": "input", "label": PLAIN}]}, "invalid_blocks"),
        ({"blocks": [{"type": "file", "external_id": "a"}]}, "invalid_blocks"),
        ({"blocks": [{"type": "video", "title": PLAIN}]}, "invalid_blocks"),
        ({"blocks": [{"type": "markdown", "text": "x" * 6001}] * 2}, "msg_blocks_too_long"),
    ],
)
def test_refused(payload: dict[str, Any], word: str) -> None:
    with pytest.raises(PayloadError) as caught:
        check_message(payload)
    assert caught.value.word == word


def test_webhook_on_the_wire(receiver: SlackReceiver, url: str) -> None:
    hook = f"{url}{receiver.webhook_path}"
    assert call(hook, b'{"text": "x"}')[:2] == (200, "ok")
    form = urlencode({"payload": '{"text": "y"}'}).encode()
    assert call(hook, form, "application/x-www-form-urlencoded")[:2] == (200, "ok")
    assert call(hook, b"{", "application/json")[:2] == (400, "invalid_payload")
    assert call(hook, b"[]", "application/json")[:2] == (400, "invalid_payload")
    assert call(hook, b'{"text": "x"}', "text/plain")[:2] == (400, "invalid_payload")
    assert call(hook, b'{"text": ""}')[:2] == (400, "no_text")
    assert call(f"{url}/services/T000/B000/nope", b'{"text": "x"}')[:2] == (403, "invalid_token")
    assert call(f"{url}/services/T1/B1/x", b'{"text": "x"}')[:2] == (404, "no_service")
    assert call(hook)[0] == 405
    assert call(hook, b"x" * 1_000_001)[0] == 413
    assert [each.text for each in receiver.messages] == ["x", "y"]
    assert [each.error for each in receiver.refused][-2:] == ["invalid_token", "no_service"]


def test_api_on_the_wire(receiver: SlackReceiver, url: str) -> None:
    api = f"{url}/api/chat.postMessage"
    bearer = {"Authorization": f"Bearer {receiver.bot_token}"}

    def post(body: bytes, media: str = "application/json", **headers: str) -> dict[str, Any]:
        status, text, _ = call(api, body, media, **headers)
        assert status == 200
        answer: dict[str, Any] = json.loads(text)
        return answer

    good = post(b'{"channel": "C1", "text": "x"}', **bearer)
    assert (good["ok"], good["channel"], good["ts"]) == (True, "C1", "1795176000.000001")
    form_media = "application/x-www-form-urlencoded"
    fields = {"token": receiver.bot_token, "channel": "C1", "blocks": '[{"type": "divider"}]'}
    assert post(urlencode(fields).encode(), form_media)["ok"]
    assert "token" not in receiver.messages[1].payload

    def word(body: bytes, media: str = "application/json", **headers: str) -> str:
        answer = post(body, media, **headers)
        assert answer["ok"] is False
        return str(answer["error"])

    token_in_json = json.dumps({"token": receiver.bot_token, "channel": "C1", "text": "x"})
    assert word(token_in_json.encode()) == "not_authed"
    assert word(b'{"channel": "C1", "text": "x"}', Authorization="Bearer no") == "invalid_auth"
    assert word(b'{"text": "x"}', **bearer) == "channel_not_found"
    assert word(b'{"channel": "C1"}', **bearer) == "no_text"
    assert word(b'{"channel"', **bearer) == "invalid_json"
    assert word(b"[]", **bearer) == "json_not_object"
    assert word(b"x", "text/plain", **bearer) == "invalid_post_type"
    assert word(b"channel=C1&blocks=x", form_media, **bearer) == "invalid_blocks_format"
    assert len(receiver.messages) == 2


def test_long_text_is_cut_as_slack_says(receiver: SlackReceiver, url: str) -> None:
    body = json.dumps({"text": "x" * 40_001}).encode()
    assert call(f"{url}{receiver.webhook_path}", body)[0] == 200
    assert (len(receiver.messages[0].text), receiver.messages[0].truncated) == (40_000, True)


def test_messages_can_be_read_and_forgotten(receiver: SlackReceiver, url: str) -> None:
    call(f"{url}{receiver.webhook_path}", b'{"text": "x"}')
    call(f"{url}{receiver.webhook_path}", b"{}")
    shown = json.loads(call(f"{url}/messages")[1])
    assert shown["messages"][0]["time"] == "2026-11-20T12:00:00.000+00:00"
    assert shown["refused"][0]["error"] == "no_text"
    assert json.loads(call(f"{url}/messages", method="DELETE")[1]) == {
        "messages": [],
        "refused": [],
    }
    assert call(f"{url}/messages", b"")[0] == 405
    assert call(f"{url}/else")[0] == 404


def test_faults(receiver: SlackReceiver, url: str) -> None:
    hook = f"{url}{receiver.webhook_path}"
    receiver.inject(Fault(status=429, retry_after=3, times=2))
    assert call(f"{url}/faults", b'{"status": 500, "stored": true}')[:2] == (200, "ok")
    receiver.inject(Fault(drop=True))
    receiver.inject(Fault(delay=0.01))
    assert call(f"{url}/faults", b'{"stat": 500}')[0] == 400
    for _ in range(2):
        status, text, headers = call(hook, b'{"text": "x"}')
        assert (status, text, headers["retry-after"]) == (429, "ratelimited", "3")
    assert receiver.messages == []
    assert call(hook, b'{"text": "stored"}')[:2] == (500, "internal_error")
    with pytest.raises((ConnectionError, urllib.error.URLError)):
        call(hook, b'{"text": "dropped"}')
    assert call(hook, b'{"text": "late"}')[:2] == (200, "ok")
    assert [each.text for each in receiver.messages] == ["stored", "late"]


def test_as_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "midspan_spokes.slack.receiver", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            assert ready["pid"] == process.pid
            assert call(ready["webhook"], b'{"text": "x"}')[:2] == (200, "ok")
            port = ready["url"].rpartition(":")[2]
            second = subprocess.run(  # noqa: S603
                [*command[:-1], port], capture_output=True, text=True, timeout=30, check=False
            )
            assert (second.returncode, second.stdout) == (2, "")
            assert "cannot listen" in second.stderr
        finally:
            os.kill(process.pid, signal.SIGTERM)
        assert process.wait(timeout=10) == 0
