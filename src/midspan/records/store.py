"""The record store: the only way to read or write a record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache

import msgspec
from msgspec import Struct

from midspan.dictionary import Dictionary, Field, FieldPath, Storage, Table
from midspan.jobs import JobQueue
from midspan.kernel.clock import Clock
from midspan.kernel.ids import IdSource
from midspan.records.hooks import ChangeFeed, Guard, QueryHook, RecordHook, is_query_hook
from midspan.records.judging import AccessScripts, Judging
from midspan.records.logbook import Logbook
from midspan.records.narrowing import Narrowing
from midspan.records.numbers import NumberBlocks
from midspan.records.prepared import PreparedRead
from midspan.records.properties import PROPERTY, readable_property
from midspan.records.snapshot import ACCESS, FILTER_OPTIONS, PROPERTIES, Snapshot, SnapshotHolder
from midspan.records.transaction import RecordTransaction, stored_columns
from midspan.records.writer import Writer
from midspan.security import Access, Actor, Passwords, SessionValues, Vault
from midspan.security.dynamic import asks_the_time
from midspan.storage import Database, Row, Statements, Transaction

_SEALED = ("v1:", "$argon2")
NAMES_IGNORE_ACL = "midspan.access.names_ignore_acl"
TIME_ZONE = "glide.sys.default.tz"
"""The property that names the time zone of users without one of their own."""
_ANY_TIME = datetime(1970, 1, 1, tzinfo=UTC)
"""Stands for the present where no access control asks for it."""


class Later(Enum):
    """The answer of a read that would have to wait."""

    LATER = "later"


LATER = Later.LATER


class Keepers(Struct, frozen=True):
    """Who protects secret fields: ``password`` is hashed, ``password2`` sealed."""

    passwords: Passwords
    vault: Vault


class RecordStore:
    """Reads and writes records of one database; safe to use from many threads."""

    def __init__(
        self,
        database: Database,
        holder: SnapshotHolder,
        keepers: Keepers,
        *,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self.database = database
        self.holder = holder
        self.keepers = keepers
        self.clock = clock
        self.ids = ids
        self.hooks: list[RecordHook] = []
        self.guards: list[Guard] = []
        self.feeds: list[ChangeFeed] = []
        self.jobs: JobQueue | None = None
        """Where scripts and rules put what is done later; None as long as nothing is."""
        self.access_scripts: AccessScripts | None = None
        """Who runs the scripts of access rules; None: rules with a script grant nothing."""
        self.logbook = Logbook(self)
        self.numbers = NumberBlocks(database)
        self.writer = Writer(self)
        self.sql = Statements("midspan.records", "records", database.dialect)
        self._columns = lru_cache(maxsize=2048)(stored_columns)
        self._asking = lru_cache(maxsize=1)(_query_hooks)

    @contextmanager
    def read(self, actor: Actor, *, enforce: bool = True) -> Iterator[RecordTransaction]:
        """Open a transaction that only reads."""
        with self.database.read() as transaction:
            yield RecordTransaction(self, transaction, actor, enforce=enforce)

    @contextmanager
    def write(self, actor: Actor, *, enforce: bool = True) -> Iterator[RecordTransaction]:
        """Open a transaction; everything in it is committed together or not at all."""
        with self.database.write() as transaction:
            records = RecordTransaction(self, transaction, actor, enforce=enforce)
            if not self.database.single_writer:
                records.use(self.holder.renew(transaction))
            yield records
            records.settle()

    def access(
        self,
        actor: Actor,
        snapshot: Snapshot,
        now: datetime,
        transaction: RecordTransaction | None = None,
    ) -> Access:
        """Return what an actor may do under a snapshot; the same object for the same answers.

        Where code of hooks narrows queries, or rules have scripts, it is a new one each time. It
        asks that code at most once a table, in ``transaction`` or else in one of its own.
        """
        access = self._granted(actor, snapshot, now)
        if actor.trusted:
            return access
        if self.narrows(None, snapshot):
            hooks = self._asking(tuple(self.hooks))
            narrowing = Narrowing(self, actor, snapshot, hooks, transaction)
            access = access.narrowed(narrowing.condition)
        if self.access_scripts is not None and snapshot.part(ACCESS).scripted:
            judging = Judging(self, self.access_scripts, access, snapshot, transaction)
            access = access.judged(judging)
        return access

    def narrows(self, table: str | None, snapshot: Snapshot) -> bool:
        """Tell whether code of hooks decides which rows of a table, or of any, people see."""
        for hook in self._asking(tuple(self.hooks)):  # noqa: SIM110 - a generator costs more than they do
            if hook.narrows(table, snapshot):
                return True
        return False

    def settled(self, snapshot: Snapshot) -> bool:
        """Tell whether snapshot and actor alone decide what people may do: ``settled_access``.

        So it is as long as no code of hooks narrows queries, and no rule has a script or compares
        with the present.
        """
        scripted = self.access_scripts is not None and snapshot.part(ACCESS).scripted
        return not (scripted or self.narrows(None, snapshot) or snapshot.derive(_asks_the_time))

    def _granted(self, actor: Actor, snapshot: Snapshot, now: datetime) -> Access:
        instant = now.replace(microsecond=0) if snapshot.derive(_asks_the_time) else _ANY_TIME
        return _access_at(snapshot, actor, instant)

    @property
    def prompt(self) -> bool:
        """Whether configuration and short reads never have to wait for another process."""
        return self.database.single_writer

    def read_at_once(self, prepared: PreparedRead, sys_id: str) -> Row | Later | None:
        """Return the row of a prepared read, None when there is none, or ``LATER``.

        For the event loop: it never waits for another thread, a lock or the network.
        """
        if prepared.plan.masks:
            return LATER
        rows = self.database.rows_at_once(prepared.sql, prepared.params(sys_id))
        if rows is None:
            return LATER
        return rows[0] if rows else None

    def session_values(
        self, actor: Actor, now: datetime, snapshot: Snapshot | None = None
    ) -> SessionValues:
        """Return the evaluator of ``javascript:`` values for an actor, for this instant only."""
        known = snapshot or self.holder.current()

        def property_of(name: str) -> str | None:
            narrowed = self.narrows(PROPERTY, known)
            return readable_property(
                known, self._granted(actor, known, now), name, narrowed=narrowed
            )

        options = known.part(FILTER_OPTIONS)
        return SessionValues(actor, now, _zone(known), options, property_of)

    def columns(self, dictionary: Dictionary, table: str) -> tuple[FieldPath, ...]:
        """Return the paths of a table's stored fields; cached."""
        return self._columns(dictionary, table)

    def stamp(self, transaction: RecordTransaction) -> dict[str, str]:
        """Return the system fields of a row made now by the transaction's actor."""
        now = transaction.now_text
        user = transaction.actor.user_name
        return {
            "sys_created_on": now,
            "sys_created_by": user,
            "sys_updated_on": now,
            "sys_updated_by": user,
            "sys_mod_count": "0",
        }

    def protect(self, field: Field, clear: str, place: str) -> str:
        """Return what is stored for the clear text of a secret field."""
        if not clear or clear.startswith(_SEALED):
            return clear
        if field.type == "password":
            return self.keepers.passwords.hash(clear)
        return self.keepers.vault.seal(clear, place)

    def reveal(self, record_table: str, sys_id: str, field: str, stored: str) -> str:
        """Return the clear text of a sealed field, for those who must use it."""
        if not stored:
            return ""
        return self.keepers.vault.open(stored, f"{record_table}:{sys_id}:{field}")

    def insert_rows(
        self, database: Transaction, table: Table, rows: Sequence[Mapping[str, str]]
    ) -> None:
        """Insert rows of wire texts; all rows give the same fields.

        What is empty in all of them is left to the database: a wide table is mostly empty.
        """
        if len(rows) == 1:
            self._insert_row(database, table, rows[0])
            return
        filled = {name for row in rows for name, text in row.items() if text}
        fields = [table.fields[name] for name in rows[0] if name in filled and name in table.fields]
        stored = [(field, kept) for field in fields if (kept := field.storage) is not Storage.NONE]
        dialect, bind = database.dialect, database.dialect.bind
        sql = _insert_sql(dialect.quote, table.physical, tuple(f.column for f, _ in stored))
        params = [tuple([bind(kept, row[field.name]) for field, kept in stored]) for row in rows]
        database.execute_many(sql, params)

    @staticmethod
    def _insert_row(database: Transaction, table: Table, row: Mapping[str, str]) -> None:
        """Do as ``insert_rows`` in one pass; most writes leave single rows of several tables."""
        dialect, known = database.dialect, table.fields
        columns, params = [], []
        for name, text in row.items():
            if text and name in known and (kept := known[name].storage) is not Storage.NONE:
                columns.append(known[name].column)
                params.append(dialect.bind(kept, text))
        sql = _insert_sql(dialect.quote, table.physical, tuple(columns))
        database.execute(sql, params)

    def update_row(
        self, database: Transaction, table: Table, sys_id: str, values: Mapping[str, str]
    ) -> int:
        """Update one row with wire texts; return how many rows that were."""
        dialect = database.dialect
        fields = [table.fields[name] for name in values]
        if not fields:
            return 1
        sets = ", ".join(f"{dialect.quote(field.column)} = ?" for field in fields)
        sql = f"UPDATE {dialect.quote(table.physical)} SET {sets} WHERE sys_id = ?"  # noqa: S608
        params = [dialect.bind(field.storage, values[field.name]) for field in fields]
        return database.execute(sql, (*params, sys_id))

    def delete_rows(self, database: Transaction, table: Table, sys_ids: Sequence[str]) -> None:
        """Delete rows and the journal entries that belong to them."""
        quote = database.dialect.quote
        sql = f"DELETE FROM {quote(table.physical)} WHERE sys_id = ?"  # noqa: S608 - quoted
        database.execute_many(sql, [(sys_id,) for sys_id in sys_ids])
        database.execute_many(
            "DELETE FROM sys_journal_field WHERE element_id = ?", [(sys_id,) for sys_id in sys_ids]
        )

    def lock_rows(self, database: Transaction, table: Table, sys_ids: Sequence[str]) -> None:
        """Keep other writers off these rows until the end of the transaction."""
        if self.database.single_writer:
            return
        quote = database.dialect.quote
        names = {
            self.holder.current().dictionary.table(cls).physical
            for cls in table.classes
            if cls in self.holder.current().dictionary
        }
        for name in sorted(names):
            database.rows(
                f"SELECT sys_id FROM {quote(name)} WHERE sys_id = ANY(?) "  # noqa: S608 - quoted
                "ORDER BY sys_id FOR UPDATE",
                (list(sys_ids),),
            )


def _query_hooks(hooks: tuple[RecordHook, ...]) -> tuple[QueryHook, ...]:
    return tuple(hook for hook in hooks if is_query_hook(hook))


def _asks_the_time(snapshot: Snapshot) -> bool:
    """Tell whether some access control compares with the present."""
    rules = snapshot.part(ACCESS).by_id.values()
    options = snapshot.part(FILTER_OPTIONS)
    return any(asks_the_time(rule.condition, options) for rule in rules)


def _zone(snapshot: Snapshot) -> str:
    return snapshot.part(PROPERTIES).get(TIME_ZONE, "")


def settled_access(snapshot: Snapshot, actor: Actor) -> Access:
    """Return what an actor may do under a snapshot for which ``RecordStore.settled`` holds."""
    return _access_at(snapshot, actor, _ANY_TIME)


def _access_at(snapshot: Snapshot, actor: Actor, instant: datetime) -> Access:
    zone = _zone(snapshot)
    if zone and not actor.time_zone:
        actor = msgspec.structs.replace(actor, time_zone=zone)
    return snapshot.derive(_access, actor, instant)


def _access(snapshot: Snapshot, actor: Actor, now: datetime) -> Access:
    shows_names = snapshot.part(PROPERTIES).get(NAMES_IGNORE_ACL, "").strip().lower() == "true"
    rules = snapshot.part(ACCESS)
    return Access(
        actor,
        snapshot.dictionary,
        rules,
        now,
        shows_names=shows_names,
        options=snapshot.part(FILTER_OPTIONS),
    )


@lru_cache(maxsize=1024)
def _insert_sql(quote: Callable[[str], str], table: str, columns: tuple[str, ...]) -> str:
    names = ", ".join(quote(column) for column in columns)
    marks = ", ".join("?" * len(columns))
    return f"INSERT INTO {quote(table)} ({names}) VALUES ({marks})"  # noqa: S608 - quoted
