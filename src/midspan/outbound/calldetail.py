"""How much of a call the log keeps: levels, secret headers, the length of bodies. Pure."""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Iterable

from midspan.outbound.call import CallDetail
from midspan_link.http import HttpCall, HttpReply
from midspan_link.logs import redact

BASIC, ELEVATED, ALL = "basic", "elevated", "all"
LEVELS = (BASIC, ELEVATED, ALL)
LONGEST_BODY = 1000
"""Characters of a body; the vendor's own upper limit."""
_SHORTEST = 4
"""Characters of a secret that is looked for in texts; a shorter one would turn up everywhere."""
_SECRET = re.compile(r"auth|cookie|token|secret|password|key|signature|credential", re.IGNORECASE)
_TEXTS = ("text/", "application/json", "application/xml", "application/x-www-form-urlencoded")
_MEMBER = re.compile(
    r"""((?:["'<&?]|^)[\w.:-]*(?:password|passwd|secret|token|api_?key|credential)[\w.:-]*"""
    r"""(?:["']?\s*[:=]\s*["']?|(?:\s[^<>]*)?>))([^"'&<\s]+)""",
    re.IGNORECASE,
)


def detail_of(level: str, call: HttpCall, reply: HttpReply | None) -> CallDetail | None:
    """Return what a level above basic keeps besides; None when that is nothing.

    Headers that prove who asks are named and not shown; they are in no body, but a body that names
    a password or a token is not trusted to be harmless, so such members are replaced, too.
    """
    if level not in (ELEVATED, ALL):
        return None
    proofs = (call.authentication.headers if call.authentication else {}).items()
    sent = (*call.headers.items(), *proofs)
    hidden = _hidden(sent)
    bodies = level == ALL
    return CallDetail(
        level=level,
        request_headers=_shown_headers(sent, hidden),
        response_headers=_shown_headers(reply.pairs, hidden) if reply else "",
        request_body=_shown_body(call.content, _type(sent), hidden) if bodies else "",
        response_body=_shown_body(reply.body, _type(reply.pairs), hidden)
        if bodies and reply
        else "",
    )


def shown_text(text: str) -> str:
    """Return a text without what looks like a secret, cut to the length that the log keeps.

    >>> shown_text('{"user": "a", "password": "x1"}'), shown_text("a=1&api_key=abc")
    ('{"user": "a", "password": "***"}', 'a=1&api_key=***')
    >>> shown_text("<p><password>x1</password></p>")
    '<p><password>***</password></p>'
    >>> shown_text('<w:Password Type="text#1">x1</w:Password>')
    '<w:Password Type="text#1">***</w:Password>'
    """
    return _MEMBER.sub(r"\1***", redact(text))[:LONGEST_BODY]


def _hidden(sent: Iterable[tuple[str, str]]) -> list[str]:
    """Return what was sent as a secret, the longest first: a peer may repeat it in its answer."""
    found: set[str] = set()
    for name, value in sent:
        if not _SECRET.search(name):
            continue
        scheme, _, token = value.partition(" ")
        found |= {value, token}
        if scheme.lower() == "basic":
            with contextlib.suppress(ValueError):
                found.add(base64.b64decode(token).decode().partition(":")[2])
    return sorted((text for text in found if len(text) >= _SHORTEST), key=len, reverse=True)


def _without(text: str, hidden: Iterable[str]) -> str:
    for secret in hidden:
        text = text.replace(secret, "***")
    return text


def _shown_headers(pairs: Iterable[tuple[str, str]], hidden: Iterable[str]) -> str:
    lines = (
        f"{name}: {'***' if _SECRET.search(name) else redact(_without(value, hidden))}"
        for name, value in pairs
    )
    return "\n".join(lines)[:4000]


def _type(pairs: Iterable[tuple[str, str]]) -> str:
    return next((text for name, text in pairs if name.lower() == "content-type"), "").lower()


def _shown_body(content: bytes, kind: str, hidden: Iterable[str]) -> str:
    if not content:
        return ""
    name = kind.partition(";")[0].strip()
    if not name.startswith(_TEXTS) and not name.endswith(("+json", "+xml")):
        return f"({len(content)} bytes of {name or 'unknown type'})"
    text = content[: LONGEST_BODY * 8].decode(errors="replace")
    return shown_text(_without(text, hidden))
