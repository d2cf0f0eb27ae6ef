"""Host calls behind GlideRecord that are no rows: tables, values of fields, access, filters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from midspan.dictionary import FieldPath
from midspan.kernel.errors import MidspanError
from midspan.query import ALWAYS, NEVER, Or, Query, Unknown, evaluate, parse, resolve_query
from midspan.query.condition import And
from midspan.query.functions import is_function
from midspan.records import RecordTransaction
from midspan.sandbox import JsonValue
from midspan.scripting import recordcalls_plans as plans
from midspan.scripting.criteria import Criteria, is_readable
from midspan.scripting.display import display_texts, journal_text, stored_text
from midspan.scripting.mentioned import Mentioned
from midspan.scripting.recordcalls_groups import GroupCalls
from midspan.scripting.recordcalls_rows import RowCalls
from midspan.scripting.recordcalls_tables import describe, described
from midspan.scripting.recordcalls_writes import WriteCalls
from midspan.scripting.storable import with_storable
from midspan.scripting.template import Copy, FieldValue, fields_set
from midspan.scripting.unit import Unit

Call = Callable[..., Any]


class RecordCalls:
    """Answers the ``record.``, ``table.``, ``field.``, ``access.`` and ``query.`` calls.

    ``lend`` gives the transaction for a call: ``lend(write, enforce)`` is a context manager.
    ``mentioned`` knows the texts of the scripts.
    """

    def __init__(self, unit: Unit, lend: Callable[[bool, bool], Any], mentioned: Mentioned) -> None:
        self._unit = unit
        self._lend = lend
        self._rows = RowCalls(unit, lend, mentioned)
        rows = self._rows
        self._writes = WriteCalls(unit, lend, lambda table, sys_id: rows.get(table, sys_id, True))
        self._groups = GroupCalls(lend)

    def calls(self) -> Mapping[str, Call]:
        """Return the functions by the name of their call."""
        calls: dict[str, Call] = {
            **self._rows.calls(),
            **self._writes.calls(),
            **self._groups.calls(),
            "table.describe": self.describe,
            "function.describe": self.describe_function,
            "record.journal": self.journal,
            "record.template": self.template,
            "field.display": self.display,
            "field.parse": self.parse,
            "access.record": self.may_record,
            "access.field": self.may_field,
            "query.check": self.check,
            "query.matches": self.matches,
        }
        return {name: with_storable(call) for name, call in calls.items()}

    def describe(self, table: str) -> JsonValue:
        """Return the description of a table, or None."""
        if self._unit.enclosing is None:  # nobody has changed the tables and not committed it
            return describe(self._unit.store.holder.current().dictionary, table)
        with self._lend(False, False) as transaction:
            return describe(transaction.dictionary, table)

    def describe_function(self, table: str, text: str) -> JsonValue:
        """Return the description of a function of a table's fields; raises as its reader does."""
        with self._lend(False, False) as transaction:
            return described(plans.function(transaction, table, text))

    def journal(self, table: str, sys_id: str, name: str, count: int, secure: bool) -> str:
        """Return journal entries as text, newest first."""
        if secure and not self.may_field(table, name, "read", sys_id):
            return ""
        with self._lend(False, False) as transaction:
            return journal_text(transaction, (table, sys_id, name), count, secure=secure)

    def template(self, table: str, name: str) -> list[JsonValue]:
        """Return what a template sets, each field with its text and, for a copy, the path.

        The template of the table itself goes before those of the tables it extends. Nothing where
        there is no active one of the name.

        Raises:
            InvalidDefinition: the template cannot be read.
        """
        with self._lend(False, False) as transaction:
            line = transaction.dictionary.ancestors(table)
            known = transaction.find("sys_template", "active=true^ORDERBYname^ORDERBYsys_id")
            found = [each for each in known if each.get("name") == name]
            found.sort(key=lambda each: _rank(line, each.get("table")))
            if not found or _rank(line, found[0].get("table")) == len(line):
                return []
            return [
                _set(transaction, each)
                for each in fields_set(found[0].get("template"))
                if each.field in transaction.dictionary.table(table).fields
            ]

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
                plans.plan(transaction, criteria, Unknown.REFUSE)
            except MidspanError:
                return False
        return is_readable(text)

    def matches(self, table: str, values: dict[str, str], text: str, every: bool) -> bool:
        """Tell whether a record with these values, stored or not, meets an encoded query.

        Without ``every`` one of the query's conditions is enough.
        """
        query: Query = parse(text)
        if not every and isinstance(query.condition, And):
            query = Query(condition=Or(query.condition.parts), invalid=query.invalid)
        with self._lend(False, False) as transaction:
            condition, warnings = resolve_query(
                transaction.dictionary, table, query, plans.policy(transaction), transaction.values
            )
            plans.warn(table, warnings)
            return evaluate(
                condition,
                lambda path: _walked(transaction, values, path),
                lambda path: values.get(path.name, ""),
                transaction.count_related,
            )

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
                settled = access.settled_new(condition, {})
                return evaluate(settled, lambda path: "", count=transaction.count_related)
            return record is None or bool(transaction.matches(record, condition))

    def may_field(self, table: str, name: str, operation: str, sys_id: str) -> bool:
        """Tell whether the actor may read or write a field of a row; of some row without an id."""
        with self._lend(False, True) as transaction:
            access = transaction.access
            if is_function(name):
                path = plans.function(transaction, table, name)
                return operation == "read" and bool(access.path(path))
            if sys_id and operation != "create":
                record = transaction.load(table, (sys_id,)).get(sys_id)
                if record is not None:
                    return bool(transaction.allowed(record, (name,), operation))
            return bool(access.reaches(table, name, operation))


def _rank(line: Sequence[str], table: str) -> int:
    """Return how far a table is up the line; one beyond its end when it is not in it."""
    return line.index(table) if table in line else len(line)


def _set(transaction: RecordTransaction, given: FieldValue) -> JsonValue:
    match given.value:
        case Copy(path=path):
            return [given.field, "", path]
        case str(text) if text.startswith("javascript:"):
            return [given.field, transaction.values(text) or "", ""]
        case text:
            return [given.field, text, ""]


def _walked(transaction: RecordTransaction, values: Mapping[str, str], path: FieldPath) -> str:
    """Return the value at the end of a path that begins in a record with these values."""
    *references, last = path.steps
    for field in references:
        record = transaction.load(field.reference or "", (values.get(field.name, ""),))
        values = next((found.values for found in record.values()), {})
    return values.get(last.name, "")
