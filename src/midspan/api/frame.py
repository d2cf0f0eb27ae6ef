"""The frame of every page: the style sheet, the policy that goes with it, header and content."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from importlib import resources

STYLE = resources.files("midspan.api").joinpath("style.css").read_text(encoding="utf-8")
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Cpath"
    " fill='none' stroke='%230b6e6e' stroke-width='4' d='M3 25V9q13 15 26 0v16'/%3E%3C/svg%3E"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()


def policy(target: str = "") -> str:
    """Return what a page may load; its forms lead to this instance, and by it to ``target``."""
    return (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:;"
        f" form-action 'self'{f' {target}' if target else ''};"
        " base-uri 'none'; frame-ancestors 'none'"
    )


PAGE_HEADERS = {
    "Content-Security-Policy": policy(),
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}


def framed(title: str, *parts: str, corner: str = "") -> bytes:
    """Return a whole document; ``parts`` and ``corner``, what is at the top right, are HTML."""
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width,initial-scale=1'>"
        f'<link rel=icon href="{_ICON}">'
        f"<title>{escape(title)} · Midspan</title><style>{STYLE}</style></head><body>"
        "<a class=skip href='#main'>Skip to the content</a>"
        "<header class=bar><div><a class=brand href='/'>mid<span>span</span></a>"
        f"{corner}</div></header>"
        f"<main id=main><h1>{escape(title)}</h1>{''.join(parts)}</main></body></html>"
    ).encode()
