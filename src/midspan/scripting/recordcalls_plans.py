"""Plans behind the host calls: criteria to a read, rows in the columns that the prelude knows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import msgspec

from midspan.kernel.errors import LimitExceeded
from midspan.query import Query, ReadOptions, ReadPlan, Unknown, plan_read
from midspan.query.functions import Computed, function_path
from midspan.records import HIDDEN, PROPERTIES, RecordTransaction
from midspan.sandbox import JsonValue
from midspan.scripting.criteria import Criteria, read_query
from midspan.scripting.recordcalls_tables import columns_of

MOST_ROWS = 500_000
NO_ROWS_PROPERTY = "glide.invalid_query.returns_no_rows"
_log = logging.getLogger("midspan.script")


def narrowed(transaction: RecordTransaction, criteria: Criteria) -> Query:
    """Return the query of a script with what the hooks of reading, such as rules, add to it."""
    query = read_query(criteria)
    if not criteria.rules:
        return query
    table = transaction.dictionary.table(criteria.table)
    for hook in transaction.store.hooks:
        query = hook.before_query(table, query, transaction)
    return query


def plan(
    transaction: RecordTransaction,
    criteria: Criteria,
    unknown: Unknown | None = None,
    names: Sequence[str] | None = None,
) -> ReadPlan:
    """Return the restricted plan of a query of columns ``names``, or of all that are readable.

    ``unknown`` None: as the system property says.

    Raises:
        InvalidTable, InvalidRequest, NotAuthorized: as for ``plan_read`` and ``restrict``.
    """
    dictionary = transaction.dictionary
    if names is None:
        names = [*columns_of(dictionary, criteria.table).readable, *criteria.functions]
    options = ReadOptions(
        columns=names,
        limit=criteria.most,
        offset=criteria.offset,
        unknown=policy(transaction) if unknown is None else unknown,
        values=transaction.values,
    )
    found = plan_read(dictionary, criteria.table, narrowed(transaction, criteria), options)
    warn(criteria.table, found.warnings)
    return transaction.restrict(found)


def function(transaction: RecordTransaction, table: str, text: str) -> Computed:
    """Return a function of a table's fields at the time of the transaction.

    Raises:
        InvalidQuery, InvalidField: it cannot be used; says what was expected.
    """
    now = transaction.values("gs.nowDateTime()")
    return function_path(transaction.dictionary, table, text, now)


def warn(table: str, warnings: Sequence[str]) -> None:
    """Log what was left out of a query."""
    for warning in warnings:
        _log.warning("query of %s: %s", table, warning)


def policy(transaction: RecordTransaction) -> Unknown:
    """Return what becomes of a condition that cannot be used: dropped, or nothing is found."""
    properties = transaction.snapshot.part(PROPERTIES)
    strict = properties.get(NO_ROWS_PROPERTY, "").lower() == "true"
    return Unknown.NOTHING if strict else Unknown.IGNORE


def spread(plan: ReadPlan, wanted: Sequence[str]) -> Callable[[Sequence[str | None]], JsonValue]:
    """Return what puts a row of a restricted plan into the ``wanted`` columns."""
    have = {path.name: position for position, path in enumerate(plan.columns)}
    places = [have.get(name) for name in wanted]
    if plan.masks:
        return lambda row: [
            None if place is None or row[place] is HIDDEN else row[place] for place in places
        ]
    if places == list(range(len(plan.columns))):
        return list
    return lambda row: [None if place is None else row[place] for place in places]


def ids_of(transaction: RecordTransaction, plan: ReadPlan) -> list[str]:
    """Return the ids of all rows of a plan, in its order.

    Raises:
        LimitExceeded: there are more than half a million.
    """
    path = transaction.dictionary.path(plan.table, "sys_id")
    most = MOST_ROWS + 1 if plan.limit is None else plan.limit
    rows = transaction.run(msgspec.structs.replace(plan, columns=(path,), limit=most))
    if len(rows) > MOST_ROWS:
        raise LimitExceeded(
            f"The query of {plan.table} matches more than {MOST_ROWS} rows",
            hint="Add conditions, or read in parts with setLimit or chooseWindow.",
        )
    return [row[0] for row in rows if row[0]]
