"""What both Slack actions share: text escaping, and the meaning of Slack's error words."""

from __future__ import annotations

import re
from typing import Any

from midspan_sdk import (
    ActionContext,
    ActionError,
    HttpReply,
    OutcomeUnknown,
    RetryLater,
    SdkError,
    SignInAgain,
)

MAX_TEXT = 40_000  # Slack cuts longer text, so it is refused here where somebody can see it
MAX_BLOCKS = 50

ADVICE = {
    "account_inactive": "The token's app or user was removed; install the app again.",
    "action_prohibited": "The workspace forbids posting here; ask its administrator.",
    "channel_is_archived": "The channel is archived; choose another.",
    "channel_not_found": "There is no such channel, or the app may not see it; use the channel ID.",
    "invalid_auth": "The token is wrong; put the app's bot token into the connection.",
    "invalid_blocks": "The blocks do not follow Slack's rules; try them in Block Kit Builder.",
    "invalid_payload": "Slack could not read the message; check blocks and text.",
    "invalid_token": "The webhook's URL is wrong or was revoked; copy it again.",
    "is_archived": "The channel is archived; choose another.",
    "missing_scope": "Give the app the scope chat:write and install it again.",
    "msg_blocks_too_long": "The blocks hold too much text; split the message.",
    "msg_too_long": "The text is too long; split the message.",
    "no_active_hooks": "The webhook is disabled; enable it in the app's settings.",
    "no_service": "The webhook is disabled or was removed; make a new one.",
    "no_text": "The message has no text.",
    "not_authed": "No token reached Slack; give the connection a bearer credential.",
    "not_in_channel": "Invite the app to the channel first.",
    "posting_to_general_channel_denied": "Posting to #general is restricted; choose another.",
    "team_disabled": "The workspace is disabled.",
    "token_revoked": "The token was revoked; install the app again.",
    "too_many_attachments": "A message has at most 100 attachments.",
    "user_not_found": "There is no such user.",
}

# Slack says of the first two that part of the work may have been done.
_UNKNOWN = frozenset({"fatal_error", "internal_error", "service_unavailable", "rollup_error"})
_NOT_DONE = frozenset({"ratelimited", "rate_limited", "request_timeout"})
_WORD = re.compile(r"[a-z][a-z0-9_]{1,80}")


def escape_text(text: str) -> str:
    """Return ``text`` with Slack's three control characters as entities; nothing else changes.

    >>> escape_text("a < b & <!channel>")
    'a &lt; b &amp; &lt;!channel&gt;'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def worded(text: str, *, escape: bool) -> str:
    """Return the text to send, escaped on wish.

    Raises:
        ActionError: ``slack.msg_too_long``: escaping made it longer than Slack keeps.
    """
    sent = escape_text(text) if escape else text
    if len(sent) > MAX_TEXT:
        reason = f"The escaped text has {len(sent)} characters, Slack keeps {MAX_TEXT}"
        raise ActionError("slack.msg_too_long", f"{reason}. {ADVICE['msg_too_long']}")
    return sent


def require_auth(ctx: ActionContext, unfit: str, remedy: str) -> None:
    """Refuse a connection whose scheme is ``unfit`` before anything is sent to a wrong URL.

    Raises:
        ActionError: ``slack.wrong_connection``.
    """
    if ctx.connection.auth == unfit:
        name = ctx.connection.name or "without a name"
        raise ActionError("slack.wrong_connection", f"Connection {name} is {unfit}: {remedy}")


def error_for(word: str, reply: HttpReply) -> SdkError:
    """Return what Slack's error ``word`` means for the step."""
    text = f"Slack answered {word} (HTTP {reply.status})"
    if word in _NOT_DONE:
        return RetryLater(text, reply.retry_after)
    if word in _UNKNOWN:
        return OutcomeUnknown(text, reply.retry_after)
    if word == "token_expired":
        return SignInAgain(text)
    advice = ADVICE.get(word)
    return ActionError(f"slack.{word}", f"{text}. {advice}" if advice else text)


def decoded(reply: HttpReply) -> Any:
    """Return the JSON of a success, or None where something else than Slack answered."""
    try:
        return reply.json()
    except ActionError:
        return None


def error_word(text: str) -> str | None:
    """Return ``text`` when it is one of Slack's error words by form, else None.

    >>> error_word("no_text"), error_word("<html>busy</html>")
    ('no_text', None)
    """
    word = text.strip()
    return word if _WORD.fullmatch(word) else None
