"""The actions that write: insert, insertMultiple, update, deleteRecord and deleteMultiple.

A record that is refused does not keep the others of its request from being written; the answer
says for each what became of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from midspan.api.exports.wanted import query_of, table_of
from midspan.api.importset import rows_of, staged_text
from midspan.api.jsonv2.call import MOST_RECORDS, Call, Members
from midspan.api.jsonv2.shown import failure, shape_of, success
from midspan.api.request import Request
from midspan.api.strict import PREFIX
from midspan.api.table import wanted_class
from midspan.api.tableread import check_walks, read_record, shown_view
from midspan.api.tablerequest import RowShape, WriteRequest
from midspan.api.tablewrite import Incoming, as_text, choice_value
from midspan.dictionary import Table
from midspan.formats import JsonValue
from midspan.importsets.pushed import RowResult, is_staging
from midspan.kernel.errors import InvalidRequest, MidspanError, RecordNotFound
from midspan.query import ALWAYS, ReadOptions, Unknown, plan_read
from midspan.records import (
    Change,
    Operation,
    Record,
    RecordTransaction,
    Refused,
    Result,
    delete,
)

Shown = list[dict[str, object]]
Warnings = list[str]


def insert(request: Request, call: Call, warnings: Warnings) -> Shown:
    """Insert the records; rows of a staging table go through its maps."""
    table = table_of(request)
    if is_staging(table):
        return _pushed(request, table, call.records)
    with request.writing() as transaction:
        return _Writer(request, transaction, table, call, warnings).insert()


def update(request: Request, call: Call, warnings: Warnings) -> Shown:
    """Give the same values to every record that matches."""
    table = table_of(request)
    with request.writing() as transaction:
        ids = _matching(request, transaction, table, call, "update")
        return _Writer(request, transaction, table, call, warnings).update(ids)


def delete_record(request: Request, call: Call, warnings: Warnings) -> Shown:
    """Delete the record with an id; one that does not exist is a record that failed."""
    table = table_of(request)
    name = f"{PREFIX}sys_id"
    one = call.records[0].get("sys_id") if call.records else None
    sys_id = call.parameters.get(name) or request.parameter(name) or as_text(one)
    if not sys_id:
        raise InvalidRequest("Cannot delete with empty sysparm_sys_id")
    with request.writing() as transaction:
        return _Writer(request, transaction, table, call, warnings).delete([sys_id])


def delete_multiple(request: Request, call: Call, warnings: Warnings) -> Shown:
    """Delete every record that matches."""
    table = table_of(request)
    with request.writing() as transaction:
        ids = _matching(request, transaction, table, call, "delete")
        return _Writer(request, transaction, table, call, warnings).delete(ids)


class _Writer:
    """Carries out the changes of one request, and shows what became of each record."""

    def __init__(
        self,
        request: Request,
        transaction: RecordTransaction,
        table: Table,
        call: Call,
        warnings: Warnings,
    ) -> None:
        self._request = request
        self._transaction = transaction
        self._table = table
        self._call = call
        self._warnings = warnings
        snapshot = transaction.snapshot
        shape, left_out = shape_of(snapshot, table.name, call.display, call.view)
        warnings += left_out
        self._view = shown_view(snapshot, table.name, shape)

    def insert(self) -> Shown:
        """Insert all records of the call."""
        planned = [self._insertion(record) for record in self._call.records]
        done = iter(self._applied([one for one in planned if isinstance(one, Change)]))
        results = (next(done) if isinstance(one, Change) else one for one in planned)
        return [
            self._shown("insert", result, record)
            for result, record in zip(results, self._call.records, strict=True)
        ]

    def update(self, ids: Sequence[str]) -> Shown:
        """Give the values of the call to the records with these ids."""
        given = self._call.records[0] if self._call.records else {}
        changes = [
            Change(
                table=self._table.name,
                operation=Operation.UPDATE,
                sys_id=sys_id,
                values=self._incoming(record.table, given, record).values(),
            )
            for sys_id, record in self._transaction.load(self._table.name, ids).items()
        ]
        results = zip(changes, self._applied(changes), strict=True)
        return [self._shown("update", result, {"sys_id": one.sys_id}) for one, result in results]

    def delete(self, ids: Sequence[str]) -> Shown:
        """Delete the records with these ids; shown is what they were."""
        before = {sys_id: self._read(sys_id) for sys_id in ids}
        found = [sys_id for sys_id in ids if before[sys_id] is not None]
        changes = [delete(self._table.name, sys_id) for sys_id in found]
        results: dict[str, Result | MidspanError] = {
            sys_id: RecordNotFound(self._table.name, sys_id) for sys_id in ids
        }
        results |= zip(found, self._applied(changes), strict=True)
        return [
            self._shown("delete", results[sys_id], {"sys_id": sys_id}, before[sys_id])
            for sys_id in ids
        ]

    def _insertion(self, record: Members) -> Change | MidspanError:
        """Return the change that inserts a record, or why there is none."""
        cls = wanted_class(self._transaction, self._table, _wish(record))
        try:
            incoming = self._incoming(cls.name, record)
            return Change(
                table=self._table.name,
                operation=Operation.INSERT,
                sys_id=incoming.sys_id(),
                values=incoming.values(),
            )
        except MidspanError as error:
            return error

    def _incoming(self, cls: str, members: Members, stored: Record | None = None) -> Incoming:
        """Return what is wanted of a record: of one that is ``stored``, or of a new one."""
        table = self._transaction.dictionary.table(cls)
        values = {name: _stored(table, name, value) for name, value in members.items()}
        incoming = Incoming(self._transaction, table, _wish(values), stored)
        incoming.warnings = self._warnings
        return incoming

    def _applied(self, changes: Sequence[Change]) -> list[Result]:
        return self._transaction.apply_all(changes, collect=True)

    def _shown(
        self,
        verb: str,
        result: Result | MidspanError,
        values: Members,
        row: dict[str, object] | None = None,
    ) -> dict[str, object]:
        """Return what became of a record; ``row`` is how it was, for one that is gone."""
        match result:
            case Refused():
                return failure(self._table.name, verb, result.error, values)
            case MidspanError():
                return failure(self._table.name, verb, result, values)
        row = row or self._read(result.sys_id)
        return success(self._view, row or {"sys_id": result.sys_id})

    def _read(self, sys_id: str) -> dict[str, object] | None:
        """Return a record as the sender sees it, which may be not at all."""
        try:
            return read_record(self._request, self._transaction, self._view, sys_id)
        except RecordNotFound:
            return None


def _wish(record: Members) -> WriteRequest:
    return WriteRequest(
        values=record,
        display_input=False,
        keep_system_fields=False,
        answer=True,
        shape=RowShape(),
    )


def _stored(table: Table, name: str, value: JsonValue) -> JsonValue:
    """Return the stored value of a choice that is given by its label; other values as they are."""
    field = table.fields.get(name)
    if field is None or not field.choices:
        return value
    text = as_text(value)
    found = choice_value(field, text)
    return text if found is None else found


def _matching(
    request: Request, transaction: RecordTransaction, table: Table, call: Call, verb: str
) -> list[str]:
    """Return the ids of the records that a query matches and that the sender may read.

    What a query cannot say must not change more than was meant: an unknown name is refused, and so
    is a query without any test.

    Raises:
        InvalidRequest: there is no test, or too many records match.
        InvalidField, InvalidQuery, InvalidValue: a part of the query cannot be used.
    """
    options = ReadOptions(
        columns=["sys_id"],
        limit=MOST_RECORDS + 1,
        unknown=Unknown.REFUSE,
        values=transaction.values,
    )
    query = query_of(request, call.parameters)
    plan = plan_read(transaction.dictionary, table.name, query, options)
    if plan.condition == ALWAYS:
        raise InvalidRequest(f"Cannot {verb} with empty sysparm_query")
    seen = transaction.restrict(plan)
    check_walks(seen)
    ids = [str(row[0]) for row in transaction.run(seen)]
    if len(ids) > MOST_RECORDS:
        raise InvalidRequest(
            f"More than {MOST_RECORDS} records match", hint="Narrow the query and repeat it."
        )
    return ids


def _pushed(request: Request, table: Table, records: Sequence[Members]) -> Shown:
    """Stage rows and transform them; return what each map made of each."""
    rows = [{name: staged_text(value) for name, value in one.items()} for one in records]
    pushed = rows_of(request).push(table.name, rows, actor=request.actor)
    return [_imported(one) for row in pushed.rows for one in row]


def _imported(one: RowResult) -> dict[str, object]:
    failed = one.status == "error"
    shown: dict[str, object] = {
        "sys_id": one.sys_id or one.staging_row,
        "transform_map": one.map,
        "table": one.table,
        "display_name": one.display_name,
        "display_value": one.display_value,
        "status": one.status,
        "__status": "failure" if failed else "success",
    }
    if failed:
        shown["__error"] = {"message": f"Invalid Insert into: {one.table}", "reason": one.comment}
    return shown
