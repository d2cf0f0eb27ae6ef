"""From one dictionary to the next: the statements that bring the database's tables along."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping

from midspan.dictionary import (
    SYSTEM_FIELDS,
    Dictionary,
    Field,
    Storage,
    Strategy,
    Table,
    check_evolution,
)
from midspan.kernel.errors import InvalidDefinition
from midspan.query.comparison import is_folded
from midspan.storage.catalog import Present, columns_of
from midspan.storage.database import Transaction
from midspan.storage.dialect import Dialect

Columns = dict[str, Field]
_ALWAYS = frozenset(field.name for field in SYSTEM_FIELDS if field.type != "related_tags")
"""Columns of every table that a dictionary defines, and of no other table."""


def physical_tables(tables: Iterable[Table]) -> dict[str, Columns]:
    """Return the columns of each physical table of some classes by name, ``sys_id`` first."""
    found: dict[str, Columns] = {}
    for table in tables:
        columns = found.setdefault(table.physical, {})
        for field in table.fields.values():
            if field.storage is not Storage.NONE:
                columns.setdefault(field.column, field)
    return found


def migrate(transaction: Transaction, before: Dictionary, after: Dictionary) -> None:
    """Bring the tables of a database in use from ``before`` to ``after``.

    Looks at what is there: a definition that was deleted left its columns, and another node may
    have added some since ``before`` was read.

    Raises:
        InvalidDefinition: a name is none, or a column that is there keeps other values; the
            transaction has to be rolled back.
    """
    check_evolution(before, after)
    dialect = transaction.dialect
    for statement in migration(before, after, dialect, lambda name: columns_of(transaction, name)):
        transaction.execute(statement)


def complete_indexes(transaction: Transaction, dictionary: Iterable[Table]) -> None:
    """Make the indexes that an earlier release did not make for the same definitions."""
    for statement in _indexes(dictionary, transaction.dialect):
        transaction.execute(statement)


def migration(
    before: Dictionary | None,
    after: Dictionary,
    dialect: Dialect,
    present: Callable[[str], Present] = lambda _: {},
) -> Iterator[str]:
    """Yield the statements that lead from ``before`` (None: an empty database) to ``after``.

    ``present`` tells what is there of a table that needs something. Tables and columns are only
    ever added here: what a definition no longer names keeps its data until somebody drops it on
    purpose. Physical tables all of whose classes are as they were are not looked at.
    """
    known = before.tables if before else {}
    moved = {table.physical for table in after if known.get(table.name) != table}
    given = [table for table in known.values() if table.physical in moved]
    wanted = [table for table in after if table.physical in moved]
    old = physical_tables(given)
    for name, columns in physical_tables(wanted).items():
        had = old.get(name, {})
        missing = {column: field for column, field in columns.items() if column not in had}
        found = present(name) if missing else {}
        if missing and not had and not found:
            yield _create(name, columns, dialect)
        elif missing:
            yield from _completed(name, missing, found, dialect, own=bool(had))
    made = set(_indexes(given, dialect))
    for statement in _indexes(wanted, dialect):
        if statement not in made:
            yield statement


def _completed(
    name: str,
    missing: Columns,
    found: Mapping[str, frozenset[Storage]],
    dialect: Dialect,
    *,
    own: bool,
) -> Iterator[str]:
    """Yield what adds the missing columns to a table; those that are there are taken over."""
    if not own and not found.keys() >= _ALWAYS:
        raise InvalidDefinition(
            f"A table cannot be called {name}: the platform keeps something else under this name",
            hint="Give the table another name.",
        )
    for column, field in missing.items():
        if column not in found:
            yield _add(name, column, field, dialect)
        elif field.storage not in found[column]:
            raise InvalidDefinition(
                f"Field {field.name} of table {field.table} cannot be {field.type}: values of an "
                "earlier field of this name are still there, and they are of another type",
                hint="Give the field another name.",
            )


def _create(name: str, columns: Columns, dialect: Dialect) -> str:
    lines = [f"{dialect.quote('sys_id')} {dialect.column_type(Storage.TEXT, 32)} PRIMARY KEY"]
    lines += [
        f"{dialect.quote(column)} {dialect.column_type(field.storage, field.max_length)}"
        for column, field in columns.items()
        if column != "sys_id"
    ]
    ending = " WITHOUT ROWID" if dialect.name == "sqlite" and len(columns) < 12 else ""
    body = ",\n  ".join(lines)
    return f"CREATE TABLE {dialect.quote(name)} (\n  {body}\n){ending}"


def _add(name: str, column: str, field: Field, dialect: Dialect) -> str:
    kind = dialect.column_type(field.storage, field.max_length)
    return f"ALTER TABLE {dialect.quote(name)} ADD COLUMN {dialect.quote(column)} {kind}"


def _indexes(tables: Iterable[Table], dialect: Dialect) -> Iterator[str]:
    seen: set[tuple[str, tuple[str, ...], bool]] = set()
    for table in tables:
        for columns, unique in _wanted(table, dialect):
            key = (table.physical, columns, unique)
            if key not in seen:
                seen.add(key)
                yield _index(table, columns, unique, dialect)


def _wanted(table: Table, dialect: Dialect) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Yield the indexed field names of one class, and whether the index is unique."""
    yield from ((names, False) for names in _of_classes(table, dialect))
    for field in table.fields.values():
        if field.storage is Storage.NONE or field.name == "sys_id":
            continue
        if table.strategy is Strategy.SINGLE and field.name not in table.own:
            continue
        if field.unique:
            yield (field.name,), True
        elif field.indexed or field.kind.reference or field.name == "number":
            yield (field.name,), False
    for names in table.indexes:
        unique = names[0].startswith("!")
        yield (names[0].removeprefix("!"), *names[1:]), unique


def _of_classes(table: Table, dialect: Dialect) -> Iterator[tuple[str, ...]]:
    """Yield what finds the rows of one class where several are in a table, in order."""
    if not table.hierarchy or table.strategy is not Strategy.SINGLE or table.parent is not None:
        return
    yield "sys_class_name", "sys_id"
    if dialect.name == "sqlite" and "number" in table.own:
        # SQLite does not weigh that a page is short: it would find the class and sort it all.
        yield "sys_class_name", "number", "sys_id"


def _index(table: Table, names: tuple[str, ...], unique: bool, dialect: Dialect) -> str:
    """Return the statement that makes an index.

    A reference is looked up by a value and never sorted by its own; rows where it is empty, most
    of a wide table, stay out of its index, so that an insert pays for what it fills in.
    """
    parts = []
    for name in names:
        field = table.fields[name]
        expression = dialect.comparable(dialect.quote(field.column), field)
        parts.append(dialect.index_term(f"({expression})" if is_folded(field) else expression))
    digest = hashlib.sha256("\x1f".join((table.physical, *names)).encode()).hexdigest()[:8]
    label = f"ix_{table.physical[:30]}_{'_'.join(names)[:20]}_{digest}"
    kind = "UNIQUE INDEX" if unique else "INDEX"
    filled = "" if unique else _filled(table, names, dialect)
    return (
        f"CREATE {kind} IF NOT EXISTS {dialect.quote(label)} "
        f"ON {dialect.quote(table.physical)} ({', '.join(parts)}){filled}"
    )


def _filled(table: Table, names: tuple[str, ...], dialect: Dialect) -> str:
    field = table.fields[names[0]]
    if len(names) > 1 or not field.kind.reference:
        return ""
    return f" WHERE {dialect.quote(field.column)} IS NOT NULL"
