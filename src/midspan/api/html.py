"""Pieces of pages, as HTML without JavaScript; every value is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from urllib.parse import quote

from midspan.api.authentication import FORM_TOKEN
from midspan.api.frame import PAGE_HEADERS, framed
from midspan.api.request import Request
from midspan.api.response import HTML, Response
from midspan.formats import lenient_json
from midspan.records import Record

LONG = 300
"""Characters that are shown unasked."""
WIDE = 40
"""Characters that a column of a list is made for."""


def page(
    request: Request, title: str, *parts: str, status: int = 200, cookies: tuple[str, ...] = ()
) -> Response:
    """Return a page; ``parts`` are HTML in which every value is escaped already."""
    known = request.identity.scheme != ""
    body = framed(title, *parts, corner=_leave(request) if known else "")
    return Response(status, body, HTML, PAGE_HEADERS, cookies)


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table; heads are texts, cells are HTML. A wide one scrolls by itself."""
    names = [escape(text) for text in heads]
    head = "".join(f"<th scope=col>{name}</th>" for name in names)
    body = "".join(f"<tr>{_cells(names, row)}</tr>" for row in rows)
    return (
        "<div class=wide><table class=list>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cells(names: Iterable[str], row: Iterable[str]) -> str:
    """Return cells that carry their head, which a narrow window shows beside them."""
    pairs = zip(names, row, strict=True)
    return "".join(f'<td data-head="{name}"><div>{cell}</div></td>' for name, cell in pairs)


def long_text(text: str) -> str:
    """Return a text of any length: a long one is folded up, behind its beginning.

    >>> long_text("a < b")
    'a &lt; b'
    """
    if len(text) <= LONG:
        return f"<span class=long>{escape(text)}</span>" if len(text) > WIDE else escape(text)
    start = escape(" ".join(text[:WIDE].split()))
    return f"<details><summary>{start} …</summary><pre>{escape(text)}</pre></details>"


def data(name: str, value: object) -> str:
    """Return a value as JSON that no browser runs, in an element with this id.

    >>> data("pad", {"a": "</script>"})
    '<script type="application/json" id="pad">{"a":"\\\\u003c/script\\\\u003e"}</script>'
    """
    text = lenient_json.dumps(value).decode()
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return f'<script type="application/json" id="{escape(name)}">{text}</script>'


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Return a table of two columns: the name of a field, a text, and its value, HTML."""
    body = "".join(
        f"<tr><th scope=row>{escape(name)}</th><td>{cell}</td></tr>" for name, cell in rows
    )
    return f"<div class=wide><table class=record><tbody>{body}</tbody></table></div>"


def terms(rows: Iterable[tuple[str, str]]) -> str:
    """Return a short list of names, texts, and what they are, HTML."""
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{cell}</dd>' for name, cell in rows)}</dl>"


def section(title: str, *parts: str) -> str:
    """Return a titled part of a page; ``parts`` are HTML."""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def bullets(items: Iterable[str]) -> str:
    """Return a list of HTML items, or nothing for none."""
    lines = "".join(f"<li>{item}</li>" for item in items)
    return f"<ul>{lines}</ul>" if lines else ""


def badge(text: str, mood: str = "") -> str:
    """Return a short status; ``mood`` is ``good``, ``bad`` or empty.

    >>> badge("Up", "good")
    '<span class="badge good">Up</span>'
    """
    return f'<span class="badge{f" {mood}" if mood else ""}">{escape(text)}</span>'


def nav_path(table: str, sys_id: str = "") -> str:
    """Return the path of a list, or of a record's page.

    >>> nav_path("incident", "a b")
    '/nav/incident/a%20b'
    """
    path = f"/nav/{quote(table, safe='')}"
    return f"{path}/{quote(sys_id, safe='')}" if sys_id else path


def link(path: str, text: str) -> str:
    """Return a link to a path of this instance.

    >>> link("/nav/incident", "<b>")
    '<a href="/nav/incident">&lt;b&gt;</a>'
    """
    return f'<a href="{escape(path)}">{escape(text)}</a>'


def record_link(record: Record, text: str) -> str:
    """Return a link to a record's page."""
    return link(nav_path(record.table, record.sys_id), text)


def paragraph(text: str, *, problem: bool = False, soft: bool = False) -> str:
    """Return a paragraph of plain text."""
    look = " class=problem role=alert" if problem else " class=soft" if soft else ""
    return f"<p{look}>{escape(text)}</p>"


def narrow(*parts: str) -> str:
    """Return a column for a form."""
    return f"<div class='narrow card'>{''.join(parts)}</div>"


def field(name: str, label: str, *, kind: str = "text", complete: str = "off") -> str:
    """Return a labelled input that must be filled."""
    return (
        f'<label for="{escape(name)}">{escape(label)}</label>'
        f'<input id="{escape(name)}" name="{escape(name)}" type="{kind}" required'
        f' autocomplete="{complete}">'
    )


def hidden(name: str, value: str) -> str:
    """Return a hidden input."""
    return f'<input type=hidden name="{escape(name)}" value="{escape(value)}">'


def form(path: str, button: str, *inputs: str) -> str:
    """Return a form that posts to a path of this instance."""
    return (
        f'<form method=post action="{escape(path)}">{"".join(inputs)}'
        f"<button>{escape(button)}</button></form>"
    )


def _leave(request: Request) -> str:
    """Return who is signed in and, where there is a session to end, the button for it."""
    name = escape(request.actor.name)
    if request.identity.scheme != "session":
        return f"<span class=soft>{name}</span>"
    return (
        f"<form class=inline method=post action='/logout'>{name} "
        f"{hidden(FORM_TOKEN, request.identity.csrf)}<button>Log out</button></form>"
    )
