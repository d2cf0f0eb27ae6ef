"""Scripts behind addresses of the old style: processors, and script includes that clients call."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from midspan.dictionary import Dictionary
from midspan.records import SnapshotPart
from midspan.sandbox import JsonValue, Script
from midspan.scripting.includes import GLOBAL, Include, IncludeIndex
from midspan.storage import Statements, Transaction
from midspan.storage.catalog import columns_of

_TABLE = "sys_processor"
_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")


class Processor(Struct, frozen=True, kw_only=True):
    """One active processor with a script."""

    sys_id: str
    name: str
    text: str
    roles: str = ""
    """Comma-separated; the caller needs one of them. Empty: none."""
    csrf: bool = False
    """Whether even a GET with a session has to repeat the session's token."""

    @property
    def script(self) -> Script:
        """The script under the name that errors report; what it evaluates to is no answer."""
        return Script(f"{_TABLE}.{self.sys_id}.script", f"{self.text}\n;null")


class Processors(Struct, frozen=True):
    """The active processors by what leads to them; the oldest of one path or word counts.

    ``words`` are those without a path: a word in the query of any table's address.
    """

    paths: Mapping[str, Processor] = {}
    words: Mapping[str, Processor] = {}


def load_processors(transaction: Transaction, _: Dictionary) -> Processors:
    """Read all active processors."""
    # An upgrade reads the dictionary of the new release before it has made the new table.
    if not columns_of(transaction, _TABLE):
        return Processors()
    sql = Statements("midspan.scripting", "processors", transaction.dialect)
    active = (transaction.dialect.name != "sqlite" or 1,)
    paths: dict[str, Processor] = {}
    words: dict[str, Processor] = {}
    for row in transaction.rows(sql["processors"], active):
        path, parameters = row[2] or "", row[3] or ""
        if path:
            paths.setdefault(path, _processor(row))
        for word in parameters.split(",") if not path else ():
            if word.strip():
                words.setdefault(word.strip(), _processor(row))
    return Processors(paths, words)


def _processor(row: tuple[Any, ...]) -> Processor:
    sys_id, name, _, _, text, roles, csrf = row
    return Processor(
        sys_id=sys_id, name=name or "", text=text or "", roles=roles or "", csrf=bool(csrf)
    )


PROCESSORS = SnapshotPart("processors", frozenset({_TABLE}), load_processors)
"""The processors; registered with the ``SnapshotHolder`` of the instance."""


def client_include(index: IncludeIndex, name: str, scope: str) -> Include | None:
    """Return the include that a client of a scope means, if clients may call it; else None.

    >>> own = Include("1", "Tool", "x_a", False, "", callable=True)
    >>> index = IncludeIndex({"Tool": (own,)})
    >>> client_include(index, "x_a.Tool", "x_a") == own
    True
    >>> client_include(index, "x_a.Tool", "global")
    """
    named, _, own = name.rpartition(".")
    if not _NAME.fullmatch(own):
        return None
    include = index.named(named, own) if named else index.find(own, scope or GLOBAL)
    if include is None or not include.callable:
        return None
    return include if include.public or include.scope == (scope or GLOBAL) else None


def client_call(include: Include, *, guest: bool) -> Script:
    """Return a script that calls an include for a client; its value is what ``answered`` reads.

    With ``guest`` only a class whose ``isPublic()`` is true answers.
    """
    told = "true" if guest else "false"
    text = f"global.AbstractAjaxProcessor.__answer({include.name}, {told})"
    return Script(f"{include.table}.{include.sys_id}.client", text)


def answered(value: JsonValue) -> Mapping[str, Any] | None:
    """Return the element that a called include filled; None where a guest may not ask."""
    return value if isinstance(value, dict) else None
