"""Replies, headers and the meaning of statuses."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from midspan_sdk import (
    ActionError,
    ActionHttp,
    Headers,
    HttpReply,
    InvalidInputs,
    OutcomeUnknown,
    RetryLater,
    SdkError,
    SignInAgain,
)
from midspan_sdk.testing import PreparedReplies, json_reply


def test_headers_ignore_case_and_join_repeats() -> None:
    headers = Headers([("Set-Cookie", "a=1"), ("set-cookie", "b=2"), ("X-One", "1")])
    assert headers["SET-COOKIE"] == "a=1, b=2"
    assert "x-one" in headers
    assert headers.get("absent") is None
    assert dict(headers) == {"set-cookie": "a=1, b=2", "x-one": "1"}


def test_json_members() -> None:
    reply = json_reply({"id": 7})
    assert reply.ok
    assert reply["id"] == 7
    with pytest.raises(ActionError) as caught:
        reply["nothing"]
    assert caught.value.code == "http.unexpected_reply"
    with pytest.raises(ActionError) as caught:
        json_reply([1])["id"]
    assert caught.value.code == "http.unexpected_reply"


def test_a_body_that_is_not_json_is_shown() -> None:
    reply = HttpReply(200, {"Content-Type": "text/html"}, b"<h1>Busy</h1>")
    with pytest.raises(ActionError) as caught:
        reply.json()
    assert caught.value.code == "http.not_json"
    assert "<h1>Busy" in (caught.value.detail or "")


@pytest.mark.parametrize(
    ("content_type", "content", "text"),
    [
        ("text/plain; charset=iso-8859-1", b"\xe4", "ä"),
        ("text/plain", "ä".encode(), "ä"),
        ("text/plain; charset=nonsense", b"a", "a"),
        ("text/plain", b"\xff", "\ufffd"),
    ],
)
def test_text_follows_the_charset(content_type: str, content: bytes, text: str) -> None:
    assert HttpReply(200, {"content-type": content_type}, content).text == text


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (301, ActionError, "http.301"),
        (400, ActionError, "http.400"),
        (401, SignInAgain, "sign_in_again"),
        (404, ActionError, "http.404"),
        (408, OutcomeUnknown, "outcome_unknown"),
        (429, RetryLater, "retry_later"),
        (500, OutcomeUnknown, "outcome_unknown"),
        (503, OutcomeUnknown, "outcome_unknown"),
    ],
)
def test_what_a_status_means(status: int, kind: type[SdkError], code: str) -> None:
    error = HttpReply(status).failure()
    assert type(error) is kind
    assert error.code == code


def test_check() -> None:
    assert HttpReply(204).check().status == 204
    assert HttpReply(404).check({404}).status == 404
    with pytest.raises(ActionError) as caught:
        HttpReply(204).check({200})
    assert caught.value.code == "http.204"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "30"}, 30),
        (
            {
                "Retry-After": "Fri, 20 Nov 2026 10:00:30 GMT",
                "Date": "Fri, 20 Nov 2026 10:00:00 GMT",
            },
            30,
        ),
        (
            {
                "Retry-After": "Fri, 20 Nov 2026 09:00:00 GMT",
                "Date": "Fri, 20 Nov 2026 10:00:00 GMT",
            },
            0,
        ),
        ({"Retry-After": "Fri, 20 Nov 2026 10:00:30 GMT"}, None),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "²"}, None),
        ({"Retry-After": "9" * 40}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: int | None) -> None:
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert HttpReply(429, headers).retry_after == expected


def send(method: str = "POST", **options: object) -> None:
    http = ActionHttp(PreparedReplies([HttpReply(200)]))
    asyncio.run(http.request(method, "/x", **options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "options", "field"),
    [
        ("PO ST", {}, "method"),
        ("POST", {"json": {}, "content": "x"}, "content"),
        ("POST", {"headers": {"X-A": "1\r\nX-B: 2"}}, "headers"),
        ("POST", {"headers": {"X A": "1"}}, "headers"),
    ],
)
def test_what_cannot_be_sent_is_refused(
    method: str, options: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidInputs) as caught:
        send(method, **options)
    assert caught.value.field == field
