"""Host calls behind GlideRecord: queries in pages, single rows, writes, access, descriptions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from msgspec import Struct

from midspan.dictionary import Dictionary, Field, Storage, Table
from midspan.kernel.errors import (
    AccessDenied,
    InvalidRequest,
    LimitExceeded,
    MidspanError,
    RecordNotFound,
)
from midspan.query import (
    ALWAYS,
    NEVER,
    Condition,
    Operator,
    Query,
    ReadOptions,
    ReadPlan,
    Test,
    Unknown,
    evaluate,
    plan_read,
)
from midspan.records import (
    PROPERTIES,
    Applied,
    Change,
    ChangeOptions,
    Operation,
    RecordTransaction,
)
from midspan.sandbox import JsonValue, SandboxUnavailable, ScriptError
from midspan.scripting.criteria import Criteria, Joined, is_readable, read_query
from midspan.scripting.display import display_texts, journal_text, stored_text
from midspan.scripting.storable import with_storable
from midspan.scripting.unit import Unit

PAGE = 200
PAGE_SIZE = 4 * 1024 * 1024
MOST_ROWS = 500_000
MOST_JOINED = 30_000
NO_ROWS_PROPERTY = "glide.invalid_query.returns_no_rows"
_log = logging.getLogger("midspan.script")
_descriptions: WeakKeyDictionary[Dictionary, dict[str, JsonValue]] = WeakKeyDictionary()

Call = Callable[..., Any]


class Write(Struct, frozen=True, kw_only=True):
    """One write as the prelude sends it; ``query`` for those that change every matching row."""

    table: str
    secure: bool = False
    values: dict[str, str] = {}
    rules: bool = True
    system_fields: bool = True
    force: bool = False
    sys_id: str = ""
    query: Criteria | None = None

    @property
    def options(self) -> ChangeOptions:
        """How the change is carried out."""
        return ChangeOptions(rules=self.rules, system_fields=self.system_fields, force=self.force)


class Cursor(Struct):
    """A result being read: its table and the ids of all its rows, in order."""

    table: str
    secure: bool
    ids: Sequence[str]


class RecordCalls:
    """Answers the ``record.``, ``table.``, ``field.``, ``access.`` and ``query.`` calls.

    ``lend`` gives the transaction for a call: ``lend(write, enforce)`` is a context manager.
    """

    def __init__(self, unit: Unit, lend: Callable[[bool, bool], Any]) -> None:
        self._unit = unit
        self._lend = lend
        self._cursors: dict[int, Cursor] = {}
        self._opened = 0

    def calls(self) -> Mapping[str, Call]:
        """Return the functions by the name of their call."""
        calls: dict[str, Call] = {
            "table.describe": self.describe,
            "record.query": self.query,
            "record.page": self.page,
            "record.close": self.close,
            "record.get": self.get,
            "record.class": self.class_of,
            "record.defaults": self.defaults,
            "record.journal": self.journal,
            "record.reveal": self.reveal,
            "record.insert": self.insert,
            "record.update": self.update,
            "record.delete": self.delete,
            "record.updateMultiple": self.update_multiple,
            "record.deleteMultiple": self.delete_multiple,
            "field.display": self.display,
            "field.parse": self.parse,
            "access.record": self.may_record,
            "access.field": self.may_field,
            "query.check": self.check,
        }
        return {name: with_storable(call) for name, call in calls.items()}

    # Reading

    def describe(self, table: str) -> JsonValue:
        """Return the description of a table, or None."""
        with self._lend(False, False) as transaction:
            dictionary: Dictionary = transaction.dictionary
        if table not in dictionary:
            return None
        known = _descriptions.setdefault(dictionary, {})
        if table not in known:
            known[table] = _description(dictionary, dictionary.table(table))
        return known[table]

    def query(self, raw: Any) -> JsonValue:
        """Run a query; the first page comes with the answer, more through ``record.page``."""
        criteria = msgspec.convert(raw, Criteria)
        with self._lend(False, criteria.secure) as transaction:
            try:
                plan = self._plan(transaction, criteria)
            except AccessDenied as error:
                _log.warning("GlideRecordSecure reads nothing: %s", error.explain())
                return {"cursor": None, "rows": [], "count": 0, "total": 0}
            return self._result(transaction, criteria, plan)

    def page(self, number: int, start: int) -> JsonValue:
        """Return the rows from ``start`` of an open result; None for one deleted meanwhile."""
        cursor = self._cursors.pop(number, None)
        if cursor is None:
            raise LimitExceeded(
                "The result of this query was closed",
                detail=f"all open results of a script hold {MOST_ROWS} rows at most",
                hint="Query again, or read in parts with setLimit or chooseWindow.",
            )
        self._cursors[number] = cursor  # now the one used last
        ids = cursor.ids[start : start + PAGE]
        with self._lend(False, cursor.secure) as transaction:
            found = self._rows(transaction, cursor.table, ids)
        rows = [found.get(sys_id) for sys_id in ids]
        return rows[: _fitting(rows)]

    def close(self, number: int) -> None:
        """Forget a result."""
        self._cursors.pop(number, None)

    def get(self, table: str, sys_id: str, secure: bool) -> JsonValue:
        """Return one row in the table's columns, or None."""
        with self._lend(False, secure) as transaction:
            return self._rows(transaction, table, (sys_id,)).get(sys_id)

    def class_of(self, table: str, sys_id: str) -> JsonValue:
        """Return the class of a row, or None when there is no such row."""
        with self._lend(False, False) as transaction:
            if table not in transaction.dictionary:
                return None
            record = transaction.load(table, (sys_id,)).get(sys_id)
        return record.table if record else None

    def defaults(self, table: str) -> JsonValue:
        """Return the values of a new record: defaults and an id."""
        with self._lend(False, False) as transaction:
            values: dict[str, JsonValue] = {}
            for field in transaction.dictionary.table(table).fields.values():
                text = field.default
                if text.startswith("javascript:"):
                    text = transaction.values(text) or ""
                if text:
                    values[field.name] = text
        return {**values, "sys_id": self._unit.store.ids.sys_id()}

    def journal(self, table: str, sys_id: str, name: str, count: int, secure: bool) -> str:
        """Return journal entries as text, newest first."""
        if secure and not self.may_field(table, name, "read"):
            return ""
        with self._lend(False, False) as transaction:
            return journal_text(transaction, (table, sys_id, name), count, secure=secure)

    def reveal(self, table: str, sys_id: str, name: str) -> str:
        """Return the clear text of an encrypted field."""
        with self._lend(False, False) as transaction:
            record = transaction.require(table, sys_id)
            if transaction.dictionary.field(table, name).type != "password2":
                raise InvalidRequest(f"Field {name} of {table} is not encrypted (password2)")
        return self._unit.store.reveal(record.table, sys_id, name, record.get(name))

    def display(self, table: str, name: str, texts: list[str], secure: bool) -> list[str]:
        """Return the display texts of values of one field."""
        with self._lend(False, False) as transaction:
            return display_texts(transaction, table, name, texts, secure=secure)

    def parse(self, table: str, name: str, shown: str) -> str | None:
        """Return the value behind a display text, or None."""
        with self._lend(False, False) as transaction:
            if name not in transaction.dictionary.table(table).fields:
                return None
            return stored_text(transaction, table, name, shown)

    def check(self, table: str, text: str) -> bool:
        """Tell whether an encoded query can be used as it is."""
        criteria = Criteria(table, conditions=[{"text": text}])
        with self._lend(False, False) as transaction:
            try:
                self._plan(transaction, criteria, Unknown.REFUSE)
            except MidspanError:
                return False
        return is_readable(text)

    def may_record(self, table: str, sys_id: str, operation: str) -> bool:
        """Tell whether the actor may do ``operation`` to a row, or to some row without an id."""
        with self._lend(False, True) as transaction:
            record = transaction.load(table, (sys_id,)).get(sys_id) if sys_id else None
            access = transaction.access
            if operation == "create":  # a row of this very class, whatever its children ask for
                condition = access.class_rows(table, operation)
            else:
                condition = access.rows(record.table if record else table, operation)
            if condition in (ALWAYS, NEVER):
                return bool(condition == ALWAYS)
            if operation == "create":
                return evaluate(condition, lambda path: "", count=transaction.count_related)
            return record is None or bool(transaction.matches(record, condition))

    def may_field(self, table: str, name: str, operation: str) -> bool:
        """Tell whether the actor may read or write a field."""
        with self._lend(False, True) as transaction:
            return bool(transaction.access.field(table, name, operation))

    # Writing

    def insert(self, raw: Any) -> JsonValue:
        """Insert a record."""
        wanted = msgspec.convert(raw, Write)
        change = Change(
            table=wanted.table,
            operation=Operation.INSERT,
            sys_id=wanted.sys_id,
            values=wanted.values,
            options=wanted.options,
        )
        return self._write(wanted, change)

    def update(self, raw: Any) -> JsonValue:
        """Update a record; ``{"missing": true}`` when there is none."""
        wanted = msgspec.convert(raw, Write)
        change = Change(
            table=wanted.table,
            operation=Operation.UPDATE,
            sys_id=wanted.sys_id,
            values=wanted.values,
            options=wanted.options,
        )
        return self._write(wanted, change)

    def delete(self, raw: Any) -> JsonValue:
        """Delete a record."""
        wanted = msgspec.convert(raw, Write)
        change = Change(
            table=wanted.table,
            operation=Operation.DELETE,
            sys_id=wanted.sys_id,
            options=wanted.options,
        )
        return self._write(wanted, change)

    def update_multiple(self, raw: Any) -> JsonValue:
        """Give every matching row the same values."""
        return self._write_many(msgspec.convert(raw, Write), Operation.UPDATE)

    def delete_multiple(self, raw: Any) -> JsonValue:
        """Delete every matching row."""
        return self._write_many(msgspec.convert(raw, Write), Operation.DELETE)

    def _write(self, wanted: Write, change: Change) -> JsonValue:
        try:
            with self._lend(True, wanted.secure) as transaction:
                applied: Applied = transaction.apply(change)
                if change.operation is Operation.DELETE:
                    return {}
                columns = _columns(transaction.dictionary.table(wanted.table))
        except RecordNotFound as error:
            if change.operation is Operation.UPDATE and not wanted.secure:
                return {"missing": True}
            return _refused(error)
        except (ScriptError, SandboxUnavailable, LimitExceeded):
            raise
        except MidspanError as error:
            return _refused(error)
        return {"row": [applied.values.get(name) or None for name in columns]}

    def _write_many(self, wanted: Write, operation: Operation) -> JsonValue:
        """Change all matching rows in one transaction; a condition that was dropped refuses all."""
        criteria = msgspec.structs.replace(
            wanted.query or Criteria(wanted.table), limit=None, window=None
        )
        with self._lend(True, wanted.secure) as transaction:
            plan = self._plan(transaction, criteria, Unknown.REFUSE)
            changes = [
                Change(
                    table=wanted.table,
                    operation=operation,
                    sys_id=sys_id,
                    values=wanted.values,
                    options=wanted.options,
                )
                for sys_id in _ids(transaction, plan)
            ]
            for result in transaction.apply_all(changes, collect=True):
                if not isinstance(result, Applied):
                    _log.warning("not written: %s", result.error.explain())
        return {}

    # Plans

    def _plan(
        self,
        transaction: RecordTransaction,
        criteria: Criteria,
        unknown: Unknown | None = None,
    ) -> ReadPlan:
        dictionary = transaction.dictionary
        if unknown is None:
            unknown = _unknown(transaction)
        query: Query = read_query(criteria, lambda joined: self._joined(transaction, joined))
        for hook in transaction.store.hooks:
            query = hook.before_query(dictionary.table(criteria.table), query, transaction)
        options = ReadOptions(
            columns=_columns(dictionary.table(criteria.table)),
            limit=criteria.most,
            offset=criteria.offset,
            unknown=unknown,
            values=transaction.values,
        )
        plan = plan_read(dictionary, criteria.table, query, options)
        for warning in plan.warnings:
            _log.warning("query of %s: %s", criteria.table, warning)
        return transaction.restrict(plan)

    def _joined(self, transaction: RecordTransaction, joined: Joined) -> str:
        if joined.table not in transaction.dictionary:
            return ""
        criteria = Criteria(joined.table, conditions=joined.conditions, limit=MOST_JOINED + 1)
        plan = self._plan(transaction, criteria)
        path = transaction.dictionary.path(joined.table, joined.other or "sys_id")
        rows = transaction.run(msgspec.structs.replace(plan, columns=(path,)))
        found = dict.fromkeys(row[0] for row in rows if row[0])
        if len(rows) > MOST_JOINED:
            raise LimitExceeded(
                f"The join with {joined.table} matches more than {MOST_JOINED} rows",
                hint="Add conditions to the join, or query the other table first.",
            )
        return ",".join(found)

    def _result(
        self, transaction: RecordTransaction, criteria: Criteria, plan: ReadPlan
    ) -> JsonValue:
        limit = PAGE + 1 if plan.limit is None else min(plan.limit, PAGE + 1)
        rows = transaction.run(msgspec.structs.replace(plan, limit=limit))
        spread = _spread(transaction, criteria.table, plan)
        first = [spread(row) for row in rows[: min(PAGE, _fitting(rows))]]
        total = transaction.count(plan) if criteria.window else 0
        if len(rows) == len(first):
            return {"cursor": None, "rows": first, "count": len(rows), "total": total}
        ids = _ids(transaction, plan)
        cursor = self._open(Cursor(criteria.table, criteria.secure, ids))
        return {"cursor": cursor, "rows": first, "count": len(ids), "total": total}

    def _open(self, cursor: Cursor) -> int:
        """Remember a result; those that were not used for longest make room."""
        self._opened += 1
        self._cursors[self._opened] = cursor
        held = sum(len(known.ids) for known in self._cursors.values())
        for number in list(self._cursors)[:-1]:
            if held <= MOST_ROWS:
                break
            held -= len(self._cursors.pop(number).ids)
        return self._opened

    def _rows(
        self, transaction: RecordTransaction, table: str, ids: Sequence[str]
    ) -> dict[str, JsonValue]:
        """Return rows by id; those that the actor may not read are missing."""
        dictionary = transaction.dictionary
        if table not in dictionary or not ids:
            return {}
        path = dictionary.path(table, "sys_id")
        condition: Condition = Test(path, Operator.IN, tuple(ids))
        columns = tuple(dictionary.path(table, name) for name in _columns(dictionary.table(table)))
        plan = transaction.restrict(ReadPlan(table=table, columns=columns, condition=condition))
        spread = _spread(transaction, table, plan)
        names = [column.name for column in plan.columns]
        if "sys_id" not in names:
            return {}
        position = names.index("sys_id")
        return {row[position] or "": spread(row) for row in transaction.run(plan)}


def _fitting(rows: Sequence[Any]) -> int:
    """Return how many of the rows make up a page: one at least, PAGE_SIZE characters or less."""
    size = 0
    for position, row in enumerate(rows):
        size += sum(len(text) for text in row if text) if row else 0
        if size > PAGE_SIZE and position:
            return position
    return len(rows)


def _refused(error: MidspanError) -> JsonValue:
    _log.warning("not written: %s", error.explain())
    return {"error": error.message}


def _unknown(transaction: RecordTransaction) -> Unknown:
    properties = transaction.snapshot.part(PROPERTIES)
    strict = properties.get(NO_ROWS_PROPERTY, "").lower() == "true"
    return Unknown.NOTHING if strict else Unknown.IGNORE


def _columns(table: Table) -> list[str]:
    return [name for name, field in table.fields.items() if field.storage is not Storage.NONE]


def _spread(
    transaction: RecordTransaction, table: str, plan: ReadPlan
) -> Callable[[Sequence[str | None]], JsonValue]:
    """Return what puts a row of a restricted plan into the columns that the prelude knows."""
    wanted = _columns(transaction.dictionary.table(table))
    have = {path.name: position for position, path in enumerate(plan.columns)}
    if len(have) == len(wanted):
        return list
    places = [have.get(name) for name in wanted]
    return lambda row: [None if place is None else row[place] for place in places]


def _ids(transaction: RecordTransaction, plan: ReadPlan) -> list[str]:
    path = transaction.dictionary.path(plan.table, "sys_id")
    most = MOST_ROWS + 1 if plan.limit is None else plan.limit
    rows = transaction.run(msgspec.structs.replace(plan, columns=(path,), limit=most))
    if len(rows) > MOST_ROWS:
        raise LimitExceeded(
            f"The query of {plan.table} matches more than {MOST_ROWS} rows",
            hint="Add conditions, or read in parts with setLimit or chooseWindow.",
        )
    return [row[0] for row in rows if row[0]]


def _description(dictionary: Dictionary, table: Table) -> JsonValue:
    return {
        "name": table.name,
        "label": table.label,
        "plural": table.plural,
        "display": table.display,
        "ancestors": list(dictionary.ancestors(table.name)),
        "columns": list(_columns(table)),
        "fields": {field.name: _field(field) for field in table.fields.values()},
    }


def _field(field: Field) -> JsonValue:
    return {
        "type": field.type,
        "storage": field.storage.value,
        "label": field.label,
        "table": field.table,
        "reference": field.reference if field.kind.reference else None,
        "max_length": field.max_length,
        "mandatory": field.mandatory,
        "journal": field.kind.journal,
        "choices": [choice.value for choice in field.choices],
    }
