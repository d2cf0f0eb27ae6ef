"""What may be asked of a foreign database: one reading statement, or a whole table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta

from msgspec import Struct

from midspan_link.blocks import Column
from midspan_link.errors import QueryRefused

READ_VERBS = ("select", "with")
MAX_QUERY = 100_000
_LEADING = re.compile(r"(?:\s+|--[^\n]*(?:\n|\Z)|/\*(?:[^*]|\*(?!/))*\*/)*")
_WORD = re.compile(r"[A-Za-z]+")
_PART = re.compile(r"[^\W\d][\w$]{0,127}\Z")


class ReadRequest(Struct, frozen=True):
    """One reading statement and its bounds; ``statement_timeout`` None means the server's own."""

    statement: str
    statement_timeout: timedelta | None = timedelta(minutes=10)
    connect_timeout: timedelta = timedelta(seconds=10)


def checked_statement(statement: str) -> str:
    """Return the statement without its final semicolon when it begins with an allowed verb.

    The reader's read-only session and the server's own parser do the rest.

    >>> checked_statement("SELECT 1;")
    'SELECT 1'

    Raises:
        QueryRefused: empty, too long, holding NUL, or another verb.
    """
    text = statement.strip().rstrip(";").rstrip()
    if not text or len(text) > MAX_QUERY or "\0" in text:
        raise QueryRefused(f"A statement has 1 to {MAX_QUERY} characters and no NUL")
    start = _LEADING.match(text)
    word = _WORD.match(text, start.end() if start else 0)
    verb = word[0].lower() if word else text[:10]
    if verb not in READ_VERBS:
        raise QueryRefused(
            f"Statements that begin with {verb!r} are not sent",
            hint=f"Allowed: {', '.join(READ_VERBS)}.",
        )
    return text


def table_statement(table: str) -> str:
    """Return the statement that reads all rows of ``table`` or ``schema.table``.

    >>> table_statement("public.assets")
    'SELECT * FROM "public"."assets"'

    Raises:
        QueryRefused: not one or two plain names.
    """
    parts = table.strip().split(".")
    if len(parts) > 2 or not all(_PART.match(part) for part in parts):
        raise QueryRefused(
            f"{table[:100]!r} is no table name", hint="Write table or schema.table, or use a query."
        )
    quoted = ".".join(f'"{part}"' for part in parts)
    return f"SELECT * FROM {quoted}"  # noqa: S608 - each part is a plain name


def checked_columns(columns: Sequence[Column]) -> tuple[Column, ...]:
    """Return the columns when each has a name of its own.

    Raises:
        QueryRefused: no column, a column without name, or a name used twice.
    """
    seen: set[str] = set()
    for place, column in enumerate(columns, 1):
        if not column.name or column.name == "?column?":
            raise QueryRefused(f"Column {place} has no name", hint="Name it: SELECT … AS name.")
        if column.name in seen:
            raise QueryRefused(
                f"Two columns are named {column.name!r}", hint="Name them apart with AS."
            )
        seen.add(column.name)
    if not columns:
        raise QueryRefused("The statement returns no columns")
    return tuple(columns)
