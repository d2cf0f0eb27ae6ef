"""Is the instance being looked after? Jobs, backups, and the tables against their dictionary."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

from midspan.api.backup import LAST_BACKUP
from midspan.api.checks import Check, Examined
from midspan.dictionary.values import datetime_text, parse_datetime
from midspan.kernel.errors import InvalidValue
from midspan.records import PROPERTIES
from midspan.security import SYSTEM
from midspan.storage import Transaction, migration, physical_tables

LATE = timedelta(minutes=5)
OLD_BACKUP = timedelta(days=7)
FAILED_WITHIN = timedelta(days=1)
_MOST = 20
_INDEX = re.compile(r'INDEX IF NOT EXISTS "([^"]+)"')
_COLUMNS = {
    "sqlite": (
        "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c"
        " WHERE m.type = 'table'"
    ),
    "postgresql": (
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = current_schema()"
    ),
}
_INDEXES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'index'",
    "postgresql": "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema()",
}


def jobs(examined: Examined) -> Iterator[Check]:
    """Say which jobs nobody carries out, and which gave up."""
    now = examined.clock.now()
    late, recent = datetime_text(now - LATE), datetime_text(now - FAILED_WITHIN)
    with examined.records.read(SYSTEM) as transaction:
        waiting = transaction.find(
            "sys_job", f"stateINscheduled,waiting^run_at<{late}^ORDERBYrun_at", limit=_MOST
        )
        abandoned = transaction.find(
            "sys_job", f"state=running^lease_until<{late}^ORDERBYlease_until", limit=_MOST
        )
        failed = transaction.find(
            "sys_job", f"state=error^sys_updated_on>{recent}^ORDERBYDESCsys_updated_on", limit=_MOST
        )
    for job in waiting:
        message = f"{job.get('kind')} {job.sys_id} was due at {job.get('run_at')} UTC"
        yield Check("jobs", "warning", message, "Does a worker run? Start a node, read its log.")
    for job in abandoned:
        message = f"{job.get('kind')} {job.sys_id}: {job.get('claimed_by')} has it and is silent"
        yield Check("jobs", "warning", message, "Start that node again, or any other worker.")
    for job in failed:
        message = f"{job.get('kind')} {job.sys_id} gave up: {job.get('error')[:200]}"
        hint = f"Remove the cause, then start what it belongs to again: /nav/sys_job/{job.sys_id}"
        yield Check("jobs", "warning", message, hint)
    if not (waiting or abandoned or failed):
        yield Check("jobs", "ok", "None is late, none gave up within a day")


def backups(examined: Examined) -> Iterator[Check]:
    """Say how old the newest backup is."""
    if examined.settings.ephemeral:
        yield Check("backup", "ok", "An ephemeral instance keeps nothing to back up")
        return
    hint = "midspan backup FILE"
    noted = examined.records.holder.current().part(PROPERTIES).get(LAST_BACKUP, "")
    try:
        taken = parse_datetime(noted) if noted else None
    except InvalidValue:
        taken = None
    if taken is None:
        yield Check("backup", "warning", "No backup was taken yet", hint)
        return
    age = examined.clock.now() - taken
    message = f"The newest is of {noted} UTC, {age.days} days old"
    if age > OLD_BACKUP:
        yield Check("backup", "warning", message, hint)
    else:
        yield Check("backup", "ok", message)


def schema(examined: Examined) -> Iterator[Check]:
    """Compare the database's tables, columns and indexes with the dictionary.

    What the dictionary no longer names keeps its data on purpose and is no finding.
    """
    dictionary = examined.records.holder.current().dictionary
    with examined.records.database.read() as transaction:
        missing = list(_missing(transaction, examined))
    for what, statement in missing:
        hint = f"Restore a backup, or run in the database: {statement}"
        yield Check("schema", "failed", f"{what} is missing", hint)
    if not missing:
        yield Check("schema", "ok", f"All {len(dictionary.tables)} tables are as defined")


def _missing(transaction: Transaction, examined: Examined) -> Iterator[tuple[str, str]]:
    """Yield what is not there, and the statement that makes it."""
    dialect = transaction.dialect
    dictionary = examined.records.holder.current().dictionary
    present = set(transaction.rows(_COLUMNS[dialect.name]))
    tables = {table for table, _ in present}
    wanted = (
        (name, field)
        for name, fields in physical_tables(dictionary).items()
        for column, field in fields.items()
        if name in tables and (name, column) not in present
    )
    for name, field in wanted:
        kind = dialect.column_type(field.storage, field.max_length)
        column = dialect.quote(field.column)
        statement = f"ALTER TABLE {dialect.quote(name)} ADD COLUMN {column} {kind}"
        yield f"Column {name}.{field.column}", statement
    indexes = {row[0] for row in transaction.rows(_INDEXES[dialect.name])}
    for statement in migration(None, dictionary, dialect):
        index = _INDEX.search(statement)
        if index and index[1] not in indexes:
            yield f"Index {index[1]}", statement
        elif index is None and (name := _created(statement)) not in tables:
            yield f"Table {name}", " ".join(statement.split())


def _created(statement: str) -> str:
    return statement.split('"')[1]
