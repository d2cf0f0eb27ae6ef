"""Patterns with ``*`` for any characters and ``?`` for one; everything else stands for itself.

The time is at most that of finding each part once: a part between two stars is looked for where it
comes first, and there is nothing to go back to. Source: the vendor's page "Pattern matching".
"""

from __future__ import annotations

import re
from functools import lru_cache

LONGEST_PATTERN = 1_000
"""Characters; a longer one is not used."""


def matches(pattern: str, text: str) -> bool:
    """Tell whether a pattern stands for the whole of a text; both are folded already.

    >>> [matches("st?ry*", text) for text in ("story", "stories", "storys end", "a story")]
    [True, False, True, False]
    >>> matches("*a*a*", "a"), matches("*a*a*", "ba-a"), matches("*", ""), matches("a.c", "abc")
    (False, True, True, False)
    """
    first, middle, last, shortest = _parts(pattern)
    end = len(text) - len(last)
    if len(text) < shortest or not _begins(first, text, 0):
        return False
    if middle is None:
        return len(text) == shortest
    place = len(first)
    for part in middle:
        found = part.search(text, place, end)
        if found is None:
            return False
        place = found.end()
    return _begins(last, text, end)


def like(pattern: str) -> str:
    """Return the pattern as SQL's LIKE writes it, with the backslash as its escape character.

    >>> like("50%_*?")
    '50\\\\%\\\\_%_'
    """
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("?", "_")


@lru_cache(maxsize=256)
def _parts(pattern: str) -> tuple[str, tuple[re.Pattern[str], ...] | None, str, int]:
    """Return the part before the first star, those between, that behind the last, and how many
    characters they have together. Without a star all is the first part, and None is between."""
    first, *others = pattern.split("*")
    shortest = len(first) + sum(map(len, others))
    if not others:
        return first, None, "", shortest
    between = tuple(re.compile(_expression(part), re.DOTALL) for part in others[:-1] if part)
    return first, between, others[-1], shortest


def _expression(part: str) -> str:
    return "".join("." if letter == "?" else re.escape(letter) for letter in part)


def _begins(part: str, text: str, place: int) -> bool:
    if "?" not in part:
        return text.startswith(part, place)
    return len(text) - place >= len(part) and all(
        wanted in ("?", found)
        for wanted, found in zip(part, text[place : place + len(part)], strict=True)
    )
