"""A page of a plan as one JSON text that the database puts together, so that no row is a tuple.

SQLite hands out rows one by one, and each time the thread gives way to all others that run Python.
One text leaves the processor's other cores to the database for as long as the page takes.
"""

from __future__ import annotations

from collections.abc import Sequence

from midspan.dictionary import Dictionary
from midspan.query import ReadPlan
from midspan.storage.compile import Statement, compile_read
from midspan.storage.dialect import Dialect

MOST_MEMBERS = 60
"""SQLite's functions take 127 arguments, two for each member."""
MOST_ROWS = 2_000
"""A text is whole in memory, twice for a moment."""

_PAGE = '"the page"'
"""No table is called that."""


def compile_json_page(
    plan: ReadPlan,
    dictionary: Dictionary,
    dialect: Dialect,
    members: Sequence[tuple[str, int]],
    marks: Sequence[int],
) -> Statement | None:
    """Return the statement that yields one row: a JSON array of objects, and one of arrays.

    ``members`` are the names of an object's members with the places of their columns in ``plan``,
    -1 for one that is always empty; ``marks`` are the places of what the second array has of each
    row. Every value is a text; an empty one is ``""``, in the second array null.

    Returns None where rows have to be read: on PostgreSQL, which sends them all at once, and for
    pages that are too wide or too long.
    """
    rows = plan.limit if plan.limit is not None else MOST_ROWS + 1
    fits = 0 < len(members) <= MOST_MEMBERS and rows <= MOST_ROWS
    if dialect.name != "sqlite" or not fits:
        return None
    page = compile_read(plan, dictionary, dialect)
    names = ", ".join(f"c{place}" for place in range(len(plan.columns)))
    texts = (f"ifnull(c{place}, '')" if place >= 0 else "''" for _, place in members)
    pairs = (dialect.literal(name) for name, _ in members)
    made = ", ".join(f"{name}, {text}" for name, text in zip(pairs, texts, strict=True))
    ends = ", ".join(f"c{place}" for place in marks)
    sql = (
        f"WITH {_PAGE}({names}) AS ({page.sql})"  # noqa: S608 - compiled
        f" SELECT json_group_array(json_object({made})), json_group_array(json_array({ends}))"
        f" FROM {_PAGE}"
    )
    return Statement(sql, page.params)
