"""Which columns of a table the scripts of a session may read: those that their texts mention.

A query of a wide table brings these first. That is a guess and nothing more: a column that a script
names otherwise, as ``gr['u_' + name]``, is fetched when it is read.
"""

from __future__ import annotations

import re
from functools import lru_cache

from midspan.dictionary import Table
from midspan.scripting.recordcalls_tables import Columns

NARROW = 16
"""Columns of a table that is not worth the choice."""
MOST_TEXTS = 200
"""Texts of a session whose words count."""
_SHARE = 0.75
"""The part of a table's columns from which on all of them are brought."""
_WORD = re.compile(r"\w+")
_BASE = ("sys_id", "sys_class_name")


@lru_cache(maxsize=256)
def words_of(text: str) -> frozenset[str]:
    """Return the words of a text; a walk has one for each step.

    >>> sorted(words_of("gr.caller_id.name + gr['u_x']"))
    ['caller_id', 'gr', 'name', 'u_x']
    """
    return frozenset(_WORD.findall(text))


class Mentioned:
    """The texts that a session has run or is about to run, the last ``MOST_TEXTS`` of them.

    Their words are only looked for when a wide table is queried.
    """

    def __init__(self) -> None:
        self._texts: dict[str, None] = {}
        self._version = 0
        self._chosen: dict[str, tuple[Columns, int, frozenset[str]]] = {}

    def note(self, text: str) -> None:
        """Add the words of a text."""
        if text in self._texts:
            return
        self._texts[text] = None
        self._version += 1
        if len(self._texts) > MOST_TEXTS:
            del self._texts[next(iter(self._texts))]

    def among(self, table: Table, columns: Columns, reads: list[str]) -> list[str] | None:
        """Return the columns to bring of a table, in their order; None for all of them.

        ``reads`` are names that will be read besides.
        """
        if len(columns.names) <= NARROW:
            return None
        named = self._named(table.name, columns)
        wanted = named.union(_BASE, (table.display,), reads)
        chosen = [name for name in columns.readable if name in wanted]
        return chosen if len(chosen) <= _SHARE * len(columns.names) else None

    def _named(self, table: str, columns: Columns) -> frozenset[str]:
        known = self._chosen.get(table)
        if known is not None and known[0] is columns and known[1] == self._version:
            return known[2]
        names = frozenset(columns.names)
        named = frozenset[str]().union(*(names & words_of(text) for text in self._texts))
        self._chosen[table] = (columns, self._version, named)
        return named
