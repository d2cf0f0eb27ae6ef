"""Which global names a script defines, told from its text alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"""//[^\n]*|/\*.*?\*/                                     # comments
    |"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`   # texts
    |(?P<open>[{(\[])|(?P<close>[})\]])
    |\b(?:function\s*\*?|class|var|let|const)\s+(?P<declared>[A-Za-z_$][\w$]*)
    |(?P<assigned>(?<![\w$.])[A-Za-z_$][\w$]*)\s*=(?![=>])
    """,
    re.DOTALL | re.VERBOSE,
)


def defined_names(text: str) -> tuple[str, ...]:
    """Return the names of the functions and variables that a text defines outside any block.

    >>> defined_names("function a(x) { var y = 1; b = 2; }\\nvar c = '}', d; E = Class.create();")
    ('a', 'c', 'E')
    """
    return tuple(dict.fromkeys(_outermost(text)))


def _outermost(text: str) -> Iterator[str]:
    depth = 0
    for found in _TOKEN.finditer(text):
        if found["open"]:
            depth += 1
        elif found["close"]:
            depth = max(0, depth - 1)
        elif depth == 0 and (name := found["declared"] or found["assigned"]):
            yield name
