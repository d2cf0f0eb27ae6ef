"""Both actions against the receiver, and against every answer Slack documents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from midspan_sdk import (
    ActionError,
    ConnectionInfo,
    HttpReply,
    InvalidInputs,
    OutcomeUnknown,
    RetryLater,
    SignInAgain,
)
from midspan_sdk.spoke import check_spoke, load_spoke
from midspan_sdk.testing import (
    ActionHarness,
    AsgiTransport,
    SocketTransport,
    json_reply,
    text_reply,
)
from midspan_spokes.slack.client import ADVICE
from midspan_spokes.slack.loopback import LoopbackServer
from midspan_spokes.slack.receiver import Fault, SlackReceiver

SPOKE = load_spoke("midspan_spokes.slack")
MESSAGE, WEBHOOK = SPOKE.action("post_message"), SPOKE.action("post_webhook")
HOOK = ConnectionInfo(name="hook", base_url="https://hooks.slack.com", auth="webhook")
API = ConnectionInfo(name="app", base_url="https://slack.com/api", auth="bearer")
HEADER = {"type": "header", "text": {"type": "plain_text", "text": "Approved"}}


@pytest.fixture
def receiver() -> SlackReceiver:
    return SlackReceiver()


def hook(receiver: SlackReceiver, path: str = "") -> ActionHarness:
    url = f"http://slack.test{path or receiver.webhook_path}"
    return ActionHarness(AsgiTransport(receiver), connection=HOOK, url=url)


def api(receiver: SlackReceiver, token: str = "") -> ActionHarness:
    headers = {"Authorization": f"Bearer {token or receiver.bot_token}"}
    return ActionHarness(
        AsgiTransport(receiver), connection=API, url="http://slack.test/api", headers=headers
    )


def test_webhook_delivers(receiver: SlackReceiver) -> None:
    harness = hook(receiver)
    assert harness.run(WEBHOOK, text="Approved", blocks=[HEADER]) == {"delivered": True}
    (message,) = receiver.messages
    assert (message.via, message.text, message.payload["blocks"]) == (
        "webhook",
        "Approved",
        [HEADER],
    )
    assert harness.requests[0].url == ""  # the secret URL is not the spoke's to know


def test_message_delivers_into_a_thread(receiver: SlackReceiver) -> None:
    first = api(receiver).run(MESSAGE, channel="C024BE91L", text="Approved")
    assert first["channel"] == "C024BE91L"
    api(receiver).run(MESSAGE, channel="C024BE91L", text="Done", thread_ts=first["ts"])
    one, two = receiver.messages
    assert one.ts == first["ts"] != two.ts
    assert two.payload["thread_ts"] == first["ts"]
    assert "thread_ts" not in one.payload


def test_blocks_may_be_json_text_from_a_flow(receiver: SlackReceiver) -> None:
    hook(receiver).run(WEBHOOK, text="x", blocks='[{"type": "divider"}]')
    assert receiver.messages[0].payload["blocks"] == [{"type": "divider"}]


@pytest.mark.parametrize(("escape", "text"), [(False, "<!here> a & b"), (True, None)])
def test_escaping_is_the_callers_choice(
    receiver: SlackReceiver, escape: bool, text: str | None
) -> None:
    hook(receiver).run(WEBHOOK, text="<!here> a & b", escape=escape)
    api(receiver).run(MESSAGE, channel="C1", text="<!here> a & b", escape=escape)
    wanted = text or "&lt;!here&gt; a &amp; b"
    assert [each.text for each in receiver.messages] == [wanted, wanted]


@pytest.mark.parametrize("inputs", [{"text": ""}, {"text": "x" * 40_001}, {"text": None}])
def test_what_slack_would_refuse_or_cut_is_not_sent(
    receiver: SlackReceiver, inputs: dict[str, Any]
) -> None:
    harness = hook(receiver)
    with pytest.raises(InvalidInputs) as caught:
        harness.run(WEBHOOK, **inputs)
    assert caught.value.field == "text"
    with pytest.raises(InvalidInputs):
        harness.run(WEBHOOK, text="x", blocks=[{"type": "divider"}] * 51)
    assert harness.requests == []


def test_a_text_that_escaping_makes_too_long_is_not_sent(receiver: SlackReceiver) -> None:
    harness = hook(receiver)
    with pytest.raises(ActionError) as caught:
        harness.run(WEBHOOK, text="&" * 10_000, escape=True)
    assert caught.value.code == "slack.msg_too_long"
    assert harness.requests == []


def test_refusals_of_the_receiver_become_codes(receiver: SlackReceiver) -> None:
    with pytest.raises(ActionError) as caught:
        hook(receiver).run(WEBHOOK, text="x", blocks=[{"type": "sectoin"}])
    assert caught.value.code == "slack.invalid_blocks"
    with pytest.raises(ActionError) as caught:
        hook(receiver, "/services/T000/B000/wrong").run(WEBHOOK, text="x")
    assert caught.value.code == "slack.invalid_token"
    with pytest.raises(ActionError) as caught:
        hook(receiver, "/services/T1/B1/wrong").run(WEBHOOK, text="x")
    assert caught.value.code == "slack.no_service"
    with pytest.raises(ActionError) as caught:
        api(receiver, "xoxb-wrong").run(MESSAGE, channel="C1", text="x")
    assert caught.value.code == "slack.invalid_auth"
    assert receiver.messages == []


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (400, "invalid_payload"),
        (400, "no_text"),
        (400, "too_many_attachments"),
        (400, "user_not_found"),
        (403, "action_prohibited"),
        (403, "posting_to_general_channel_denied"),
        (404, "channel_not_found"),
        (404, "no_active_hooks"),
        (410, "channel_is_archived"),
    ],
)
def test_webhook_error_words(status: int, word: str) -> None:
    harness = ActionHarness([text_reply(word, status)], connection=HOOK)
    with pytest.raises(ActionError) as caught:
        harness.run(WEBHOOK, text="x")
    assert caught.value.code == f"slack.{word}"
    assert ADVICE[word] in caught.value.message


@pytest.mark.parametrize("action", [MESSAGE, WEBHOOK], ids=lambda each: each.name)
def test_slow_down_is_tried_again_after_the_time_asked(action: Any) -> None:
    connection = HOOK if action is WEBHOOK else API
    inputs = {"text": "x"} if action is WEBHOOK else {"text": "x", "channel": "C1"}
    busy = text_reply("rate_limited", 429, retry_after="30")
    with pytest.raises(RetryLater) as caught:
        ActionHarness([busy], connection=connection).run(action, **inputs)
    assert caught.value.after == timedelta(seconds=30)


@pytest.mark.parametrize("action", [MESSAGE, WEBHOOK], ids=lambda each: each.name)
@pytest.mark.parametrize(
    "answer",
    [
        text_reply("rollup_error", 500),
        text_reply("<html>Bad gateway</html>", 502),
        text_reply("", 408),
        OutcomeUnknown("time-out"),
    ],
    ids=["500", "502", "408", "time-out"],
)
def test_what_may_have_arrived_is_unknown(action: Any, answer: Any) -> None:
    connection = HOOK if action is WEBHOOK else API
    inputs = {"text": "x"} if action is WEBHOOK else {"text": "x", "channel": "C1"}
    with pytest.raises(OutcomeUnknown):
        ActionHarness([answer], connection=connection).run(action, **inputs)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (json_reply({"ok": False, "error": "not_in_channel"}), ActionError),
        (json_reply({"ok": False, "error": "a_word_of_next_year"}), ActionError),
        (json_reply({"ok": False, "error": "token_expired"}), SignInAgain),
        (json_reply({"ok": False, "error": "ratelimited"}), RetryLater),
        (json_reply({"ok": False, "error": "fatal_error"}), OutcomeUnknown),
        (json_reply({"ok": True}), OutcomeUnknown),
        (json_reply([]), OutcomeUnknown),
        (HttpReply(200, {"Content-Type": "text/html"}, b"<html>"), OutcomeUnknown),
        (text_reply("", 401), SignInAgain),
        (text_reply("moved", 301), ActionError),
    ],
)
def test_message_answers(reply: HttpReply, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        ActionHarness([reply], connection=API).run(MESSAGE, channel="C1", text="x")
    assert type(caught.value) is kind


def test_a_strange_success_of_a_webhook_is_unknown() -> None:
    with pytest.raises(OutcomeUnknown):
        ActionHarness([text_reply("<html>sign in</html>")], connection=HOOK).run(WEBHOOK, text="x")


def test_the_wrong_connection_sends_nothing() -> None:
    for action, connection, inputs in (
        (MESSAGE, HOOK, {"channel": "C1", "text": "x"}),
        (WEBHOOK, API, {"text": "x"}),
    ):
        harness = ActionHarness([], connection=connection)
        with pytest.raises(ActionError) as caught:
            harness.run(action, **inputs)
        assert caught.value.code == "slack.wrong_connection"
        assert harness.requests == []


@pytest.fixture
def server(receiver: SlackReceiver) -> Iterator[LoopbackServer]:
    with LoopbackServer(receiver) as running:
        yield running


def test_a_second_run_posts_twice_so_it_is_declared_never(
    receiver: SlackReceiver, server: LoopbackServer
) -> None:
    harness = ActionHarness(
        SocketTransport(), connection=HOOK, url=f"{server.url}{receiver.webhook_path}"
    )
    harness.run(WEBHOOK, text="x")
    harness.run(WEBHOOK, text="x")
    assert [each.text for each in receiver.messages] == ["x", "x"]
    assert WEBHOOK.repeat == MESSAGE.repeat == "never"


def test_an_answer_lost_on_the_wire_is_unknown_and_the_message_is_there(
    receiver: SlackReceiver, server: LoopbackServer
) -> None:
    receiver.inject(Fault(drop=True, stored=True))
    harness = ActionHarness(
        SocketTransport(), connection=HOOK, url=f"{server.url}{receiver.webhook_path}"
    )
    with pytest.raises(OutcomeUnknown):
        harness.run(WEBHOOK, text="x")
    assert len(receiver.messages) == 1


def test_nobody_listening_is_tried_again() -> None:
    server = LoopbackServer(SlackReceiver())
    with server:
        url = server.url
    with pytest.raises(RetryLater):
        ActionHarness(SocketTransport(), connection=HOOK, url=url).run(WEBHOOK, text="x")


def test_the_folder_is_in_order_and_the_page_lists_the_codes() -> None:
    assert check_spoke(SPOKE.folder) == []
    page = (Path(SPOKE.folder) / "README.md").read_text()
    listed = set(re.findall(r"`slack\.([a-z_]+)`", page))
    assert set(ADVICE) - listed == set()
