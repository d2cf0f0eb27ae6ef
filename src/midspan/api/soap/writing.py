"""The operations that write: insert, insertMultiple, update, deleteRecord and deleteMultiple."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial

import orjson
from msgspec import Struct

from midspan.api.importset import rows_of
from midspan.api.request import Request
from midspan.api.soap.envelope import Call, Fields, SoapFault, element
from midspan.api.soap.hierarchy import insert_nested, is_hierarchical
from midspan.api.soap.reading import query_of
from midspan.api.soap.schema import IMPORTED, inserted_elements
from midspan.api.soap.style import Style
from midspan.api.tableread import check_walks, open_table
from midspan.api.tablerequest import RowShape, WriteRequest
from midspan.api.tablewrite import Incoming
from midspan.dictionary import Table
from midspan.formats import JsonValue
from midspan.importsets.pushed import RowResult, is_staging
from midspan.kernel.errors import RecordNotFound
from midspan.query import ALWAYS, ReadOptions, Unknown, plan_read
from midspan.records import Change, Operation, RecordTransaction, Refused, Result, delete


class Several(Struct, frozen=True):
    """The answer to the insert of a staging row that several maps transformed."""

    content: str


MOST_RECORDS = 10_000
"""Records of one insertMultiple."""
_CLEARS = "NULL"
"""The text by which older clients empty a field."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
"""What an element may be called of those that scripts add to an answer."""


def insert(request: Request, style: Style, call: Call) -> str | Several:
    """Insert a record; return its id and how people call it."""
    table = open_table(request.snapshot, style.table)
    if is_staging(table):
        (results,) = _pushed(request, table, [call.fields])
        if len(results) == 1:
            return _imported(results[0])
        blocks = (f"{_imported(one)}{element('map', one.map)}" for one in results)
        return Several("".join(f"<insertResponse>{block}</insertResponse>" for block in blocks))
    with request.parts.records.write(request.actor) as transaction:
        change = _insertion(request, transaction, table, call.fields)
        applied = transaction.apply(change, alone=True)
        if call.nested and is_hierarchical(request):
            insert_nested(
                request,
                transaction,
                (applied.table, applied.sys_id),
                call.nested,
                lambda other, fields: _insertion(request, transaction, other, fields),
            )
        return _inserted(transaction, table, applied.sys_id)


def insert_multiple(request: Request, style: Style, call: Call) -> str:
    """Insert all records or none; return an ``insertResponse`` for each, in their order."""
    table = open_table(request.snapshot, style.table)
    if len(call.records) > MOST_RECORDS:
        raise SoapFault(
            f"insertMultiple has {len(call.records)} records, at most {MOST_RECORDS} are taken",
            code="Client",
        )
    if is_staging(table):
        rows = _pushed(request, table, call.records, many=True)
        return "".join(
            f"<insertResponse>{_imported(one)}</insertResponse>" for row in rows for one in row
        )
    with request.parts.records.write(request.actor) as transaction:
        changes = [_insertion(request, transaction, table, one) for one in call.records]
        done = transaction.apply_all(changes)
        answers = [_inserted(transaction, table, _sys_id(one)) for one in done]
    return "".join(f"<insertResponse>{answer}</insertResponse>" for answer in answers)


def update(request: Request, style: Style, call: Call) -> str:
    """Change fields of a record; return its id."""
    table = open_table(request.snapshot, style.table)
    sys_id = call.text("sys_id")
    if not sys_id:
        raise SoapFault("update needs the sys_id of a record", code="Client")
    with request.parts.records.write(request.actor) as transaction:
        record = transaction.load(table.name, (sys_id,)).get(sys_id)
        if record is None:
            raise RecordNotFound(table.name, sys_id)
        cls = transaction.dictionary.table(record.table)
        incoming = Incoming(transaction, cls, _wanted(request, call.fields), record)
        change = Change(
            table=table.name, operation=Operation.UPDATE, sys_id=sys_id, values=incoming.values()
        )
        transaction.apply(change, alone=True)
    return element("sys_id", sys_id)


def delete_record(request: Request, style: Style, call: Call) -> str:
    """Delete a record; return how many were deleted, 0 when there is none."""
    table = open_table(request.snapshot, style.table)
    try:
        with request.parts.records.write(request.actor) as transaction:
            transaction.apply(delete(table.name, call.text("sys_id")), alone=True)
    except RecordNotFound:
        return "<count>0</count>"
    return "<count>1</count>"


def delete_multiple(request: Request, style: Style, call: Call) -> str:
    """Delete all records that match, or none; return how many.

    What a query cannot say must not delete more than was meant: an unknown name is refused, and
    so is a call without any test.
    """
    table = open_table(request.snapshot, style.table)
    query = query_of(call, table, request.snapshot.dictionary)
    with request.parts.records.write(request.actor) as transaction:
        options = ReadOptions(columns=["sys_id"], unknown=Unknown.REFUSE, values=transaction.values)
        plan = plan_read(transaction.dictionary, table.name, query, options)
        if plan.condition == ALWAYS:
            raise SoapFault(
                "deleteMultiple without a filter is refused",
                "To delete every record of the table send sys_idISNOTEMPTY as __encoded_query.",
                code="Client",
            )
        seen = transaction.restrict(plan)
        check_walks(seen)
        ids = [str(row[0]) for row in transaction.run(seen)]
        transaction.apply_all([delete(table.name, sys_id) for sys_id in ids])
    return f"<count>{len(ids)}</count>"


def _pushed(
    request: Request, table: Table, rows: Sequence[Fields], *, many: bool = False
) -> tuple[tuple[RowResult, ...], ...]:
    """Stage rows and transform them, or leave ``many`` to a job where their set says so.

    Returns what became of each, map by map.
    """
    values = [{name: "" if text == _CLEARS else text for name, text in row} for row in rows]
    sets = request.parts.pushed_sets if many else None
    later = partial(sets.leave, actor=request.actor) if sets is not None else None
    return rows_of(request).push(table.name, values, actor=request.actor, later=later).rows


def _imported(one: RowResult) -> str:
    """Return the answer about one staging row; without a target it is about the row itself."""
    values = {
        "sys_id": one.sys_id or one.staging_row,
        "table": one.table,
        "display_name": one.display_name,
        "display_value": one.display_value,
        "status": one.status,
        "status_message": one.status_message,
        "error_message": one.error_message,
    }
    optional = ("status_message", "error_message")
    shown = (name for name in IMPORTED if values[name] or name not in optional)
    own = "".join(element(name, values[name]) for name in shown)
    return own + "".join(
        element(name, value if isinstance(value, str) else orjson.dumps(value).decode())
        for name, value in one.told.fields.items()
        if _NAME.fullmatch(name) and name not in IMPORTED and value is not None
    )


def _insertion(
    request: Request, transaction: RecordTransaction, table: Table, fields: Fields
) -> Change:
    wanted = _wanted(request, fields)
    name = wanted.values.get("sys_class_name")
    cls = table
    if isinstance(name, str) and transaction.dictionary.is_a(name, table.name):
        cls = transaction.dictionary.table(name)
    incoming = Incoming(transaction, cls, wanted)
    return Change(
        table=table.name,
        operation=Operation.INSERT,
        sys_id=incoming.sys_id(),
        values=incoming.values(),
    )


def _wanted(request: Request, fields: Fields) -> WriteRequest:
    """Return what is to be set. Empty elements, of which tools send many, leave fields alone."""
    clears = request.flag("allow_empty_value")
    values: Mapping[str, JsonValue] = {
        name: "" if text == _CLEARS else text for name, text in fields if text or clears
    }
    return WriteRequest(
        values=dict(values),
        display_input=False,
        keep_system_fields=False,
        answer=False,
        shape=RowShape(),
    )


def _inserted(transaction: RecordTransaction, table: Table, sys_id: str) -> str:
    """Return the answer to an insert; what its sender may not read is empty."""
    record = transaction.get(table.name, sys_id)
    values = {"sys_id": sys_id}
    if record is not None:
        values[table.display] = record.get(table.display)
    return "".join(
        element(item.name, values.get(item.name, "")) for item in inserted_elements(table)
    )


def _sys_id(result: Result) -> str:
    """Return the id of a record of a set in which every one succeeded."""
    if isinstance(result, Refused):
        raise result.error
    return result.sys_id
