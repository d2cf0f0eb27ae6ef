"""Conditions in JavaScript: most are one expression, others statements whose last value counts."""

from __future__ import annotations

import json
import re

_PIECE = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`(?:\\.|[^`\\])*`"""
    r"""|(?P<open>[({\[])|(?P<close>[)}\]])|(?P<end>;)|(?P<word>(?<![\w$.])[A-Za-z_$][\w$]*)|\s+|.""",
    re.DOTALL,
)
_STATEMENTS = frozenset(
    {"var", "let", "const", "if", "for", "while", "do", "try", "switch", "class", "throw"}
)
_ANSWER = re.compile(r"\banswer\b\s*=(?!=)")


def condition_value(text: str) -> str:
    """Return an expression for the value of a condition; its statements see the scope around them.

    What it gives the variable ``answer`` is its value, too.

    >>> condition_value("current.active == true; // yes")
    '(current.active == true\\n)'
    >>> condition_value("var a = 1; a == 1")
    'eval("var a = 1; a == 1")'
    """
    bare, is_expression = _read(text)
    if is_expression and not _ANSWER.search(bare):
        return f"({bare}\n)"
    if _ANSWER.search(bare):
        text = f"var answer;\n{text}\n;answer"
    return f"eval({json.dumps(text)})"


def compiled_condition(text: str) -> str:
    """Return a text that compiles where a condition does.

    >>> compiled_condition("a;"), compiled_condition("var a; a")
    ('(a\\n)', 'var a; a')
    """
    bare, is_expression = _read(text)
    return f"({bare}\n)" if is_expression else text


def _read(text: str) -> tuple[str, bool]:
    """Return a condition without comments and what ends it, and whether it is one expression."""
    depth = 0
    ended = False
    is_expression = True
    kept: list[str] = []
    for found in _PIECE.finditer(text):
        kind = found.lastgroup
        piece = "\n" * found.group().count("\n") if kind == "comment" else found.group()
        if kind == "end" and depth == 0:
            ended = True
            continue
        kept.append(piece)
        if kind == "comment" or piece.isspace():
            continue
        word = depth == 0 and kind == "word"
        if ended or (word and piece in _STATEMENTS) or (word and piece == "function"):
            is_expression = False
        depth += (kind == "open") - (kind == "close")
    return "".join(kept).strip() or "undefined", is_expression
