"""Rows of staging tables that scripts write: they wait for a transform, and no rule sees them."""

from __future__ import annotations

from midspan.dictionary import Dictionary
from midspan.dictionary.values import canonical
from midspan.kernel.errors import NotAuthorized, RecordNotFound
from midspan.records import Applied, Change, Operation, RecordTransaction

ROOT = "sys_import_set_row"


def is_staged(dictionary: Dictionary, table: str) -> bool:
    """Tell whether a table is one of rows that an import brought."""
    return table in dictionary and dictionary.is_a(table, ROOT)


def apply_staged(transaction: RecordTransaction, change: Change) -> Applied:
    """Carry out a change of a staging row.

    A new row has the number after the last one of its import set, and waits to be transformed.

    Raises:
        NotAuthorized: it is a row of the table of all rows.
        RecordNotFound: there is no such row.
        InvalidValue: a value does not fit the type of its field.
    """
    table, sys_id = change.table, change.sys_id
    if table == ROOT:
        raise NotAuthorized(
            "Operation Failed", detail=f"{ROOT} is no table of its own; name the staging table"
        )
    fields = transaction.dictionary.table(table).fields
    values = {
        name: canonical(fields[name], text)
        for name, text in change.values.items()
        if name in fields
    }
    match change.operation:
        case Operation.INSERT:
            sys_id = sys_id or transaction.store.ids.sys_id()
            place = {"sys_import_row": _next(transaction, table, values), "sys_class_name": table}
            row = {"sys_import_state": "pending", **place, **values, "sys_id": sys_id}
            transaction.engine_insert(table, [row])
        case Operation.UPDATE:
            if not transaction.engine_update(table, sys_id, values):
                raise RecordNotFound(table, sys_id)
        case Operation.DELETE:
            if not transaction.engine_delete(table, sys_id):
                raise RecordNotFound(table, sys_id)
            return Applied(table, change.operation, sys_id, True, {})
    stored = transaction.load(table, (sys_id,))[sys_id]
    return Applied(table, change.operation, sys_id, True, stored.values)


def _next(transaction: RecordTransaction, table: str, values: dict[str, str]) -> str:
    query = f"sys_import_set={values.get('sys_import_set', '')}^ORDERBYDESCsys_import_row"
    last = transaction.first(table, query)
    return str(int(last.get("sys_import_row") or 0) + 1 if last is not None else 0)
