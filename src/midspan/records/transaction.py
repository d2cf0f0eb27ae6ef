"""One unit of work on records: reads under access control, writes through rules, one commit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import orjson

from midspan.dictionary import Dictionary, FieldPath, Storage, Table
from midspan.dictionary.values import datetime_text
from midspan.kernel.errors import Conflict, InvalidTable, RecordNotFound
from midspan.query import (
    NEVER,
    AggregatePlan,
    Operator,
    ReadOptions,
    ReadPlan,
    Related,
    Test,
    Unknown,
    belonging,
    parse,
    plan_read,
)
from midspan.records.change import Applied, Change, Result
from midspan.records.masking import covered, meeting, run_masked
from midspan.records.prepared import PreparedRead, prepare_read
from midspan.records.record import Record
from midspan.records.snapshot import Snapshot, SnapshotPart, load_dictionary
from midspan.security import Access, Actor, SessionValues, grouped
from midspan.storage import (
    Row,
    Transaction,
    compile_aggregate,
    compile_count,
    compile_json_page,
    compile_read,
    migrate,
)

if TYPE_CHECKING:
    from midspan.records.store import RecordStore

CHUNK = 500


class RecordTransaction:
    """Reads and writes of one actor inside one database transaction; used by one thread.

    With ``enforce`` the actor's access controls apply to everything; trusted code that acts for a
    user, such as a script's GlideRecord, works without.
    """

    def __init__(
        self, store: RecordStore, database: Transaction, actor: Actor, *, enforce: bool
    ) -> None:
        self.store = store
        self.database = database
        self.actor = actor
        self.enforce = enforce
        self.now = store.clock.now()
        self._snapshot: Snapshot | None = None
        self._access: Access | None = None
        self._touched: set[str] = set()
        self._stale = False
        self.locals: dict[str, Any] = {}
        """Room for hooks to remember something until the end of the transaction."""

    @cached_property
    def now_text(self) -> str:
        """The instant of this transaction as a wire text."""
        return datetime_text(self.now)

    @property
    def snapshot(self) -> Snapshot:
        """The configuration this transaction works with, including its own changes to it."""
        if self._snapshot is None:
            self._snapshot = self.store.holder.current()
        return self._snapshot

    @property
    def dictionary(self) -> Dictionary:
        """The tables this transaction works with."""
        return self.snapshot.dictionary

    @property
    def access(self) -> Access:
        """What the actor may do."""
        if self._access is None:
            self._access = self.store.access(self.actor, self.snapshot, self.now, self)
        return self._access

    @contextmanager
    def acting(self, actor: Actor) -> Iterator[None]:
        """Let somebody else act for the time of the block."""
        former, self.actor, self._access = self.actor, actor, None
        try:
            yield
        finally:
            self.actor, self._access = former, None

    @contextmanager
    def unrestricted(self) -> Iterator[None]:
        """Work without access control for the time of the block: what follows from a change that
        was allowed is allowed."""
        before, self.enforce = self.enforce, False
        try:
            yield
        finally:
            self.enforce = before

    @contextmanager
    def under(self, access: Access) -> Iterator[None]:
        """Let another access decide for the time of the block."""
        former, self._access = self._access, access
        try:
            yield
        finally:
            self._access = former

    def use(self, snapshot: Snapshot) -> None:
        """Work with another snapshot from here on; access is derived anew."""
        self._snapshot = snapshot
        self._access = None

    # Reading

    def run(self, plan: ReadPlan) -> list[Row]:
        """Return the rows of a plan: a tuple of wire texts (None: empty) in the plan's columns.

        A plan that names a column the actor may not read must be restricted first, so that the
        caller knows the columns that are left; see ``restrict``. A value that is hidden in its row
        is ``HIDDEN``.
        """
        if plan.masks:
            return run_masked(self, plan)
        statement = compile_read(plan, self.dictionary, self.database.dialect)
        return self.database.rows(statement.sql, statement.params)

    def run_json(
        self, plan: ReadPlan, members: Sequence[tuple[str, int]], marks: Sequence[int]
    ) -> tuple[str, list[list[str | None]]] | None:
        """Return the rows of a plan as the JSON text of an array of objects, and their marks.

        See ``compile_json_page`` for ``members`` and ``marks``. None where that is no gain: ``run``
        the plan.
        """
        if plan.masks:
            return None
        statement = compile_json_page(plan, self.dictionary, self.database.dialect, members, marks)
        row = self.database.row(statement.sql, statement.params) if statement else None
        return (str(row[0]), orjson.loads(row[1])) if row else None

    def prepare(
        self, table: str, columns: tuple[str, ...], *, enforce: bool = True
    ) -> PreparedRead:
        """Return the read of one record by id, restricted as ``restrict`` does; remembered."""
        access = self.access if enforce and self.enforce else None
        return self.snapshot.derive(prepare_read, access, self.database.dialect, table, columns)

    def run_prepared(self, prepared: PreparedRead, sys_id: str) -> list[Row]:
        """Return the row of a prepared read, in a list that is empty when there is none."""
        rows = self.database.rows(prepared.sql, prepared.params(sys_id))
        if not prepared.plan.masks:
            return rows
        return covered(self, prepared.plan, rows, [sys_id] * len(rows))

    def restrict(self, plan: ReadPlan) -> ReadPlan:
        """Return the plan reduced to what the actor may see.

        Raises:
            NotAuthorized: the query uses a field that the actor may not read.
        """
        return self.access.restrict(plan) if self.enforce else plan

    def count(self, plan: ReadPlan) -> int:
        """Return how many rows match the plan's condition, whatever its page."""
        statement = compile_count(plan, self.dictionary, self.database.dialect)
        row = self.database.row(statement.sql, statement.params)
        return int(row[0]) if row else 0

    def count_related(self, related: Related, text: str) -> int:
        """Return how many related rows belong to the own value ``text``, whoever asks."""
        condition = belonging(related, text)
        if condition == NEVER:
            return 0
        return self.count(ReadPlan(table=related.table, columns=(), condition=condition))

    def aggregate(self, plan: AggregatePlan) -> list[Row]:
        """Return the groups of an aggregate plan as wire texts."""
        statement = compile_aggregate(plan, self.dictionary, self.database.dialect)
        return self.database.rows(statement.sql, statement.params)

    def get(self, table: str, sys_id: str) -> Record | None:
        """Return a record by id, of its real class with all stored fields, or None.

        A record that the actor may not read is None, too; unreadable fields are left out.
        """
        record = self.load(table, (sys_id,)).get(sys_id)
        if record is None or not self.enforce:
            return record
        if not self._readable(record):
            return None
        names = self.allowed(record, tuple(record.values), "read")
        return Record(record.table, {name: record.values[name] for name in names})

    def allowed(self, record: Record, fields: Sequence[str], operation: str) -> list[str]:
        """Return those fields that the actor may read or write in a stored record of his."""
        asked = [(self.access.field_rows(record.table, name, operation), name) for name in fields]
        decided = [
            (condition != NEVER and self.matches(record, condition), names)
            for condition, names in grouped(asked)
        ]
        granted = {name for holds, names in decided if holds for name in names}
        return [name for name in fields if name in granted]

    def require(self, table: str, sys_id: str) -> Record:
        """Return a record by id.

        Raises:
            RecordNotFound: there is none, or the actor may not read it.
        """
        record = self.get(table, sys_id)
        if record is None:
            raise RecordNotFound(table, sys_id)
        return record

    def find(self, table: str, query: str, *, limit: int | None = None) -> list[Record]:
        """Return the records that match an encoded query, every name in it must exist.

        For code of the instance itself; what comes from outside is planned with its own options.
        """
        options = ReadOptions(
            columns=self._stored(table), limit=limit, unknown=Unknown.REFUSE, values=self.values
        )
        plan = self.restrict(plan_read(self.dictionary, table, parse(query), options))
        names = [path.name for path in plan.columns]
        hierarchy = self.dictionary.table(table).hierarchy
        found = []
        for row in self.run(plan):
            values = {name: text or "" for name, text in zip(names, row, strict=True)}
            found.append(Record(values["sys_class_name"] if hierarchy else table, values))
        return found

    def first(self, table: str, query: str) -> Record | None:
        """Return the first record that matches an encoded query, or None."""
        found = self.find(table, query, limit=1)
        return found[0] if found else None

    @property
    def values(self) -> SessionValues:
        """The evaluator of ``javascript:`` values for the actor at this transaction's instant."""
        return self.store.session_values(self.actor, self.now, self.snapshot)

    def load(self, table: str, sys_ids: Sequence[str]) -> dict[str, Record]:
        """Return records by id without access control, each of its real class, all stored fields.

        Raises:
            InvalidTable: there is no such table.
        """
        records: dict[str, Record] = {}
        known = self.dictionary.table(table)
        for start in range(0, len(sys_ids), CHUNK):
            chunk = tuple(sys_ids[start : start + CHUNK])
            others: dict[str, list[str]] = {}
            for record in self._load(table, chunk):
                cls = record.get("sys_class_name") if known.hierarchy else table
                if cls == table or cls not in self.dictionary:
                    records[record.sys_id] = record
                else:
                    others.setdefault(cls, []).append(record.sys_id)
            for cls, ids in others.items():
                records.update((record.sys_id, record) for record in self._load(cls, tuple(ids)))
        return records

    def hold(self, table: str, sys_id: str) -> Record:
        """Load one record as ``load`` does, and keep other writers off it until the end.

        Raises:
            InvalidTable: there is no such table.
            RecordNotFound: there is no such record.
        """
        self.store.lock_rows(self.database, self.dictionary.table(table), (sys_id,))
        record = self.load(table, (sys_id,)).get(sys_id)
        if record is None:
            raise RecordNotFound(table, sys_id)
        return record

    def _load(self, table: str, sys_ids: tuple[str, ...]) -> list[Record]:
        if len(sys_ids) == 1:
            return self._load_one(table, sys_ids[0])
        columns = self.store.columns(self.dictionary, table)
        path = self.dictionary.path(table, "sys_id")
        plan = ReadPlan(table=table, columns=columns, condition=Test(path, Operator.IN, sys_ids))
        names = [column.name for column in columns]
        return [
            Record(table, {name: text or "" for name, text in zip(names, row, strict=True)})
            for row in self.run(plan)
        ]

    def _load_one(self, table: str, sys_id: str) -> list[Record]:
        """Load by a statement that is compiled once for each table."""
        names = self._stored(table)
        prepared = self.prepare(table, names, enforce=False)
        return [
            Record(table, {name: text or "" for name, text in zip(names, row, strict=True)})
            for row in self.run_prepared(prepared, sys_id)
        ]

    def _stored(self, table: str) -> tuple[str, ...]:
        return self.snapshot.derive(_stored_names, table)

    def _readable(self, record: Record) -> bool:
        """Ask the database, because a condition may walk references."""
        condition = self.access.rows(record.table, "read")
        return self.matches(record, condition)

    def matches(self, record: Record, condition: Any) -> bool:
        """Tell whether a stored record meets a resolved condition, with what scripts decide."""
        return bool(meeting(self, record.table, [record.sys_id], condition))

    # Writing

    def apply(self, change: Change, *, alone: bool = False, held: Record | None = None) -> Applied:
        """Carry out one change.

        ``alone`` saves two round trips to the database: it says that an error ends the transaction.
        ``held`` saves two more: it is the record that changes, as ``hold`` has just returned it.

        Raises:
            InvalidTable, RecordNotFound, InvalidValue, NotAuthorized, OperationAborted,
            DuplicateKey: nothing of this change was written; the transaction goes on.
        """
        return self.store.writer.apply_one(self, change, alone=alone, held=held)

    def apply_all(self, changes: Sequence[Change], *, collect: bool = False) -> list[Result]:
        """Carry out many changes in order; set-based where no row-wise code is attached.

        With ``collect`` a refused change becomes a ``Refused`` result and the others go on;
        otherwise the first refusal raises and leaves the transaction to be rolled back.
        """
        return self.store.writer.apply(self, changes, collect=collect)

    def engine_insert(self, table: str, rows: Iterable[Mapping[str, str]]) -> None:
        """Insert rows of an engine table: no rules, no audit, no access control.

        Each row gives wire texts by field name and must have the same fields; ``sys_id`` is made
        when missing, the sys_created/updated fields are filled.
        """
        known, given = self._engine(table), list(rows)
        if given:
            stamp, ids = self.store.stamp(self), self.store.ids
            complete = [
                {**stamp, "sys_id": row.get("sys_id") or ids.sys_id(), **row} for row in given
            ]
            self.store.insert_rows(self.database, known, complete)

    def engine_update(self, table: str, sys_id: str, values: Mapping[str, str]) -> bool:
        """Update one row of an engine table; return whether it exists."""
        return self.store.update_row(self.database, self._engine(table), sys_id, values) == 1

    def engine_delete(self, table: str, sys_id: str) -> bool:
        """Delete one row of an engine table; return whether it existed."""
        known = self._engine(table)
        quote = self.database.dialect.quote
        sql = f"DELETE FROM {quote(known.physical)} WHERE sys_id = ?"  # noqa: S608 - quoted
        return self.database.execute(sql, (sys_id,)) == 1

    def _engine(self, table: str) -> Table:
        known = self.dictionary.table(table)
        if known.engine is None:
            raise Conflict(f"{table} is no engine table", hint="Write it through apply().")
        return known

    # Configuration

    def touch(self, tables: Iterable[str]) -> None:
        """Note that rows of these tables changed; called by the writer."""
        parts = {part for table in tables for part in self.store.holder.affected(table)}
        if parts:
            if not self._touched:
                self.database.after_commit(self.store.holder.refresh)
                self.database.end_group()
            self._touched |= parts
            self._stale = True

    def outdated(self, part: SnapshotPart[Any]) -> bool:
        """Tell whether this transaction wrote what a part of its snapshot was read from."""
        return self._stale and part.name in self._touched

    def settle(self) -> None:
        """Bring snapshot and physical tables in line with changed configuration.

        Called before the commit, and by code that needs a table it just defined.
        """
        if not self._stale:
            return
        self._stale = False
        before, after = self.dictionary, None
        # Only here, where no savepoint can take it back together with the change it stands for.
        for part in sorted(self._touched):
            self.database.execute(self.store.sql["raise_version"], (part,))
        if "dictionary" in self._touched:
            # First, because other parts are read from tables that may be new.
            after = load_dictionary(self.database, before)
            migrate(self.database, before, after)
        self.use(self.store.holder.ahead(self.database, after))

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once everything here is durable."""
        self.database.after_commit(callback)


def _stored_names(snapshot: Snapshot, table: str) -> tuple[str, ...]:
    return tuple(path.name for path in stored_columns(snapshot.dictionary, table))


def stored_columns(dictionary: Dictionary, table: str) -> tuple[FieldPath, ...]:
    """Return the paths of all stored fields of a table.

    Raises:
        InvalidTable: there is no such table.
    """
    known = dictionary.table(table)
    if not known.fields:
        raise InvalidTable(table, dictionary.tables)
    return tuple(
        FieldPath(name, (field,), (table,))
        for name, field in known.fields.items()
        if field.storage is not Storage.NONE
    )
