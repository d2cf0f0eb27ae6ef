"""Calls in ``javascript:`` values, read as a name with literal arguments; nothing is ever run."""

from __future__ import annotations

import re
from typing import TypeAlias

from msgspec import Struct

Literal: TypeAlias = str | int | bool

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_LITERAL = r"""'[^'\\]*'|"[^"\\]*"|[+-]?[0-9]{1,9}|true|false"""
_CALL = re.compile(
    rf"(?:return\s)?\s*({_NAME}(?:\s*\(\s*\))?(?:\.{_NAME}(?:\(\s*\))?)*)"
    rf"(?:\(\s*((?:{_LITERAL})(?:\s*,\s*(?:{_LITERAL}))*)?\s*\))?\s*;?"
)
_ARGUMENT = re.compile(_LITERAL)
_BRACKETS = re.compile(r"\s*\(\s*\)")


class Call(Struct, frozen=True):
    """A function's dotted name, without brackets inside it, and its arguments."""

    name: str
    arguments: tuple[Literal, ...] = ()


def parse_call(text: str) -> Call | None:
    """Read one call, or return None when the text is anything else.

    Empty brackets may be left out, also in the middle of a name.

    >>> parse_call("gs.dateGenerate('2026-01-31', \\"start\\");")
    Call(name='gs.dateGenerate', arguments=('2026-01-31', 'start'))
    >>> parse_call("return gs.getUser().getMyGroups()")
    Call(name='gs.getUser.getMyGroups', arguments=())
    >>> parse_call("gs.daysAgo(-2)").arguments, parse_call("gs.daysAgo(1+1)")
    ((-2,), None)
    """
    match = _CALL.fullmatch(text.strip())
    if match is None:
        return None
    arguments = tuple(_literal(found) for found in _ARGUMENT.findall(match[2] or ""))
    return Call(_BRACKETS.sub("", match[1]), arguments)


def _literal(text: str) -> Literal:
    if text[0] in "'\"":
        return text[1:-1]
    return text == "true" if text in ("true", "false") else int(text)
