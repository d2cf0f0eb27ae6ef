"""Databases, plans to SQL, definitions to tables; PostgreSQL is apart, in ``storage.postgres``."""

from midspan.storage.compile import (
    Statement,
    compile_count,
    compile_ids,
    compile_read,
)
from midspan.storage.copytext import decode_copy_line, encode_copy_line
from midspan.storage.database import Database, Row, Transaction, WriteGroup
from midspan.storage.ddl import complete_indexes, migrate, migration, physical_tables
from midspan.storage.dialect import POSTGRESQL, SQLITE, Dialect
from midspan.storage.groups import compile_aggregate
from midspan.storage.jsonpage import compile_json_page
from midspan.storage.lives import Lives, StaleWork
from midspan.storage.sqlite import SqliteDatabase
from midspan.storage.statements import Statements, load_statements

__all__ = [
    "POSTGRESQL",
    "SQLITE",
    "Database",
    "Dialect",
    "Lives",
    "Row",
    "SqliteDatabase",
    "StaleWork",
    "Statement",
    "Statements",
    "Transaction",
    "WriteGroup",
    "compile_aggregate",
    "compile_count",
    "compile_ids",
    "compile_json_page",
    "compile_read",
    "complete_indexes",
    "decode_copy_line",
    "encode_copy_line",
    "load_statements",
    "migrate",
    "migration",
    "physical_tables",
]
