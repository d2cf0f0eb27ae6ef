"""Plans to SQL: pure, one statement per plan, every value a parameter."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from midspan.dictionary import Dictionary, FieldPath, Storage
from midspan.query import AggregatePlan, Condition, ReadPlan, Sort
from midspan.storage.dialect import Dialect, Value
from midspan.storage.source import Source
from midspan.storage.where import Where


class Statement(Struct, frozen=True):
    """SQL text with ``?`` placeholders, and its parameters in their order."""

    sql: str
    params: tuple[Value, ...]


def compile_read(plan: ReadPlan, dictionary: Dictionary, dialect: Dialect) -> Statement:
    """Return the statement that yields one page of ``plan``.

    A row has one entry per column of the plan: canonical wire text, or None when it is empty.

    Raises:
        ValueError: the plan has masks, which no statement applies.
    """
    if plan.masks:
        raise ValueError(f"the plan for {plan.table} has masks: see midspan.records.masking")
    source = Source(dictionary, dialect, plan.table)
    columns = ", ".join(_wire(source, dialect, path) for path in plan.columns) or "NULL"
    condition, params = where_clause(source, dialect, plan.condition)
    order = _order(source, dialect, plan.order)
    page, bounds = dialect.page(plan.limit, plan.offset)
    sql = f"SELECT {columns} FROM {source.sql()}{condition} ORDER BY {order}{page}"  # noqa: S608
    return Statement(sql, (*params, *bounds))


def compile_count(
    plan: ReadPlan | AggregatePlan, dictionary: Dictionary, dialect: Dialect
) -> Statement:
    """Return the statement that yields one row with the number of rows of ``plan``, all pages."""
    source = Source(dictionary, dialect, plan.table)
    condition, params = where_clause(source, dialect, plan.condition)
    return Statement(f"SELECT COUNT(*) FROM {source.sql()}{condition}", tuple(params))  # noqa: S608


def compile_ids(
    table: str, condition: Condition, dictionary: Dictionary, dialect: Dialect
) -> Statement:
    """Return the statement that yields ``(sys_id, class)`` of every matching row, by ``sys_id``."""
    source = Source(dictionary, dialect, table)
    known = dictionary.table(table)
    sys_id = source.column(table, known.fields["sys_id"])
    cls = (
        source.column(table, known.fields["sys_class_name"])
        if known.hierarchy
        else dialect.literal(table)
    )
    where, params = where_clause(source, dialect, condition)
    sql = f"SELECT {sys_id}, {cls} FROM {source.sql()}{where} ORDER BY {sys_id}"  # noqa: S608
    return Statement(sql, tuple(params))


def where_clause(source: Source, dialect: Dialect, condition: Condition) -> tuple[str, list[Value]]:
    """Return the WHERE part with a leading space, or ``''``, and its parameters."""
    where = Where(source, dialect)
    parts = [part for part in (source.restriction(), where.compile(condition)) if part]
    return (f" WHERE {' AND '.join(parts)}" if parts else ""), where.params


def _order(source: Source, dialect: Dialect, order: Sequence[Sort]) -> str:
    terms = [
        dialect.order(compared(source, dialect, sort.path), descending=sort.descending)
        for sort in order
    ]
    return ", ".join((*terms, source.key))


def compared(source: Source, dialect: Dialect, path: FieldPath) -> str:
    """Return what is compared and sorted at the end of a walk."""
    return dialect.comparable(source.path(path), path.field)


def _wire(source: Source, dialect: Dialect, path: FieldPath) -> str:
    if path.field.storage is Storage.NONE:
        return "NULL"
    return dialect.read(source.path(path), path.field.storage)
