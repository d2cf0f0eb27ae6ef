"""Readers of foreign databases: a target, one reading statement, blocks out."""

from midspan_link.databases.query import ReadRequest, checked_statement, table_statement
from midspan_link.databases.reader import (
    READERS,
    DatabaseReader,
    Reading,
    read_blocks,
    reader_for,
)
from midspan_link.databases.target import DatabaseTarget, parse_target

__all__ = [
    "READERS",
    "DatabaseReader",
    "DatabaseTarget",
    "ReadRequest",
    "Reading",
    "checked_statement",
    "parse_target",
    "read_blocks",
    "reader_for",
    "table_statement",
]
