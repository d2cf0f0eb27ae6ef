"""What a database really has: the columns of a table and what each of them can keep."""

from __future__ import annotations

from midspan.dictionary import Storage
from midspan.storage.database import Transaction

Present = dict[str, frozenset[Storage]]
"""The storages that each column of a table can keep, by column; empty when there is no table."""

_QUERIES = {
    "sqlite": "SELECT name, upper(type) FROM pragma_table_info(?)",
    "postgresql": (
        "SELECT column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = current_schema() AND table_name = ?"
    ),
}
_KEPT = {
    "TEXT": frozenset({Storage.TEXT, Storage.DECIMAL, Storage.DATETIME, Storage.DATE}),
    "INTEGER": frozenset({Storage.INTEGER, Storage.BOOLEAN}),
    "text": frozenset({Storage.TEXT}),
    "bigint": frozenset({Storage.INTEGER}),
    "numeric": frozenset({Storage.DECIMAL}),
    "boolean": frozenset({Storage.BOOLEAN}),
    "timestamp without time zone": frozenset({Storage.DATETIME}),
    "date": frozenset({Storage.DATE}),
}


def columns_of(transaction: Transaction, table: str) -> Present:
    """Return the columns that a table has now, with those of definitions that are gone."""
    rows = transaction.rows(_QUERIES[transaction.dialect.name], (table,))
    return {str(name): _KEPT.get(str(kind), frozenset()) for name, kind in rows}
