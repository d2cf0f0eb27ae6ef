"""Host calls that read rows: results in pages that grow, single rows, rows behind references."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec
from msgspec import Struct

from midspan.kernel.errors import AccessDenied, InvalidRequest, LimitExceeded
from midspan.query import Condition, Operator, ReadPlan, Test
from midspan.query.functions import is_function
from midspan.records import RecordTransaction
from midspan.sandbox import JsonValue
from midspan.scripting import recordcalls_plans as plans
from midspan.scripting.criteria import Criteria
from midspan.scripting.mentioned import Mentioned
from midspan.scripting.recordcalls_tables import columns_of
from midspan.scripting.unit import Unit

PAGE = 100
"""Rows of a first page; each further one has twice as many, up to ``LARGEST_PAGE``."""
LARGEST_PAGE = 1000
PAGE_SIZE = 4 * 1024 * 1024
FEW = 3
"""Rows that are brought with all columns where a query asks for no more."""
PATIENCE = 3
"""How often pages of a table are completed before its queries bring all columns at once."""
_NOTHING: JsonValue = {"cursor": None, "rows": [], "count": 0, "total": 0}
_log = logging.getLogger("midspan.script")


class Cursor(Struct):
    """A result being read: its table, the ids of all its rows in order, the size of a page."""

    table: str
    secure: bool
    ids: Sequence[str]
    size: int


class RowCalls:
    """Answers ``record.query`` and its pages, and reads rows by id.

    ``lend`` gives the transaction for a call: ``lend(write, enforce)`` is a context manager.
    ``mentioned`` says which columns the scripts may read.
    """

    def __init__(self, unit: Unit, lend: Callable[[bool, bool], Any], mentioned: Mentioned) -> None:
        self._unit = unit
        self._lend = lend
        self._mentioned = mentioned
        self._completed: Counter[str] = Counter()
        self._cursors: dict[int, Cursor] = {}
        self._opened = 0

    def calls(self) -> Mapping[str, Callable[..., Any]]:
        """Return the functions by the name of their call."""
        return {
            "record.query": self.query,
            "record.page": self.page,
            "record.close": self.close,
            "record.columns": self.columns,
            "record.get": self.get,
            "record.rows": self.rows,
            "record.class": self.class_of,
            "record.defaults": self.defaults,
            "record.reveal": self.reveal,
        }

    def query(self, raw: Any) -> JsonValue:
        """Run a query; the first page comes with the answer, more through ``record.page``.

        ``columns`` of the answer names the columns of its rows; without it they have all.
        """
        criteria = msgspec.convert(raw, Criteria)
        with self._lend(False, criteria.secure) as transaction:
            names = self._chosen(transaction, criteria)
            try:
                plan = plans.plan(transaction, criteria, names=names)
            except AccessDenied as error:
                _log.warning("GlideRecordSecure reads nothing: %s", error.explain())
                return _NOTHING
            return self._result(transaction, criteria, plan, names)

    def page(self, number: int, start: int, names: list[str]) -> JsonValue:
        """Return rows from ``start`` of an open result; None for one deleted meanwhile.

        The answer is ``{"columns": [..], "rows": [[..], ..]}``: the columns ``names`` and the id.
        """
        cursor = self._cursors.pop(number, None)
        if cursor is None:
            raise LimitExceeded(
                "The result of this query was closed",
                detail=f"all open results of a script hold {plans.MOST_ROWS} rows at most",
                hint="Query again, or read in parts with setLimit or chooseWindow.",
            )
        self._cursors[number] = cursor  # now the one used last
        cursor.size = min(2 * cursor.size, LARGEST_PAGE)
        ids = cursor.ids[start : start + cursor.size]
        columns = ["sys_id", *(name for name in names if name != "sys_id")]
        with self._lend(False, cursor.secure) as transaction:
            found = self._found(transaction, cursor.table, ids, columns)
        rows = [found.get(sys_id) for sys_id in ids]
        return {"columns": list(columns), "rows": rows[: _fitting(rows)]}

    def columns(
        self, table: str, ids: list[str], names: list[str], secure: bool
    ) -> list[JsonValue]:
        """Return rows in the columns ``names``; None for each that cannot be read any more.

        Fewer than were asked for where they are too long for one answer, but one at least.
        """
        self._completed[table] += 1
        found: dict[str, Any] = {}
        with self._lend(False, secure) as transaction:
            try:
                found = self._found(transaction, table, ids, ["sys_id", *names])
            except AccessDenied as error:
                _log.warning("GlideRecordSecure reads nothing: %s", error.explain())
        rows = [found.get(sys_id) for sys_id in ids]
        return [row and row[1:] for row in rows[: _fitting(rows)]]

    def close(self, number: int) -> None:
        """Forget a result."""
        self._cursors.pop(number, None)

    def get(self, table: str, sys_id: str, secure: bool) -> JsonValue:
        """Return one row in the table's columns, or None."""
        return self.rows(table, [sys_id], secure)[0]

    def rows(self, table: str, ids: list[str], secure: bool) -> list[JsonValue]:
        """Return rows in the table's columns; None for each that cannot be read."""
        with self._lend(False, secure) as transaction:
            found = self._found(transaction, table, ids)
        return [found.get(sys_id) for sys_id in ids]

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

    def reveal(self, table: str, sys_id: str, name: str) -> str:
        """Return the clear text of an encrypted field."""
        with self._lend(False, False) as transaction:
            record = transaction.require(table, sys_id)
            if transaction.dictionary.field(table, name).type != "password2":
                raise InvalidRequest(f"Field {name} of {table} is not encrypted (password2)")
        return self._unit.store.reveal(record.table, sys_id, name, record.get(name))

    def _chosen(self, transaction: RecordTransaction, criteria: Criteria) -> list[str] | None:
        """Return the columns that the first page is to have, None for all."""
        few = criteria.most is not None and criteria.most <= FEW
        if few or criteria.whole or self._completed[criteria.table] >= PATIENCE:
            return None
        dictionary = transaction.dictionary
        columns = columns_of(dictionary, criteria.table)
        if criteria.secure and not transaction.access.path(
            dictionary.path(criteria.table, "sys_id")
        ):
            return None  # without its id nothing more of a row can be fetched
        table = dictionary.table(criteria.table)
        chosen = self._mentioned.among(table, columns, criteria.reads)
        return None if chosen is None else [*chosen, *criteria.functions]

    def _result(
        self,
        transaction: RecordTransaction,
        criteria: Criteria,
        plan: ReadPlan,
        names: list[str] | None,
    ) -> JsonValue:
        limit = PAGE + 1 if plan.limit is None else min(plan.limit, PAGE + 1)
        rows = transaction.run(msgspec.structs.replace(plan, limit=limit))
        columns = columns_of(transaction.dictionary, criteria.table).names
        wanted = (*columns, *criteria.functions)
        spread = plans.spread(plan, wanted if names is None else names)
        first = [spread(row) for row in rows[: min(PAGE, _fitting(rows))]]
        total = transaction.count(plan) if criteria.window else 0
        answer: dict[str, JsonValue] = {"rows": first, "total": total}
        if names is not None:
            answer["columns"] = [*names]
        if len(rows) == len(first):
            return {**answer, "cursor": None, "count": len(rows)}
        ids = plans.ids_of(transaction, plan)
        cursor = self._open(Cursor(criteria.table, criteria.secure, ids, PAGE))
        return {**answer, "cursor": cursor, "count": len(ids)}

    def _open(self, cursor: Cursor) -> int:
        """Remember a result; those that were not used for longest make room."""
        self._opened += 1
        self._cursors[self._opened] = cursor
        held = sum(len(known.ids) for known in self._cursors.values())
        for number in list(self._cursors)[:-1]:
            if held <= plans.MOST_ROWS:
                break
            held -= len(self._cursors.pop(number).ids)
        return self._opened

    def _found(
        self,
        transaction: RecordTransaction,
        table: str,
        ids: Sequence[str],
        names: Sequence[str] | None = None,
    ) -> dict[str, JsonValue]:
        """Return rows by id; those that the actor may not read are missing."""
        dictionary = transaction.dictionary
        if table not in dictionary or not ids:
            return {}
        path = dictionary.path(table, "sys_id")
        known = columns_of(dictionary, table)
        wanted: Sequence[str] = known.names
        if names is not None:
            wanted = [name for name in names if name in known.names or is_function(name)]
        condition: Condition = Test(path, Operator.IN, tuple(ids))
        readable = frozenset(known.readable)
        columns = tuple(
            plans.function(transaction, table, name)
            if is_function(name)
            else dictionary.path(table, name)
            for name in wanted
            if name in readable or is_function(name)
        )
        plan = transaction.restrict(ReadPlan(table=table, columns=columns, condition=condition))
        spread = plans.spread(plan, wanted if names is None else names)
        have = [column.name for column in plan.columns]
        if "sys_id" not in have:
            return {}
        position = have.index("sys_id")
        return {row[position] or "": spread(row) for row in transaction.run(plan)}


def _fitting(rows: Sequence[Any]) -> int:
    """Return how many of the rows make up a page: one at least, PAGE_SIZE characters or less."""
    if sum(map(len, filter(None, chain.from_iterable(filter(None, rows))))) <= PAGE_SIZE:
        return len(rows)
    size = 0
    for position, row in enumerate(rows):
        size += sum(map(len, filter(None, row))) if row else 0
        if size > PAGE_SIZE and position:
            return position
    return len(rows)
