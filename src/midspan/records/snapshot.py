"""The immutable view of all configuration that a transaction works with, and its renewal.

A snapshot has parts: the dictionary, access controls, roles, properties, and what other packages
register (business rules, REST services, flow triggers). A part names the tables it is read from;
a write to one of them raises the part's version in the same transaction. Every write transaction
reads the versions first; readers look at most once a second, and a commit of this process makes
the next look immediate.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Hashable, Iterable, Mapping
from datetime import timedelta
from functools import lru_cache, partial
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, cast
from weakref import WeakValueDictionary

import msgspec
from msgspec import Struct

from midspan.dictionary import Dictionary
from midspan.dictionary.metadata import Metadata, specs_of
from midspan.kernel.clock import Clock
from midspan.query import ReadOptions, parse, plan_read
from midspan.security import (
    load_access,
    load_origins,
    load_policies,
    load_rate_rules,
    load_rights,
)
from midspan.security.policies import TABLES as POLICY_TABLES
from midspan.storage import Database, Statements, Transaction, compile_read
from midspan.storage.catalog import columns_of

Loaded = TypeVar("Loaded")
_Key = ParamSpec("_Key")
STALE_AFTER = timedelta(seconds=1)
FILTER_OPTION = "sys_filter_option_dynamic"
MOST_DERIVED = 256
"""Answers that a snapshot remembers for each question."""

_IN_USE: WeakValueDictionary[bytes, Dictionary] = WeakValueDictionary()
"""Dictionaries by a hash of the rows that they were made of."""
SECRET_PROPERTIES = frozenset({"password", "password2"})
"""Types of system properties whose values nobody compares with."""


class SnapshotPart(Struct, Generic[Loaded], frozen=True):
    """A piece of configuration: its name, the tables it comes from, and how it is read.

    ``load`` gets the dictionary; that of the dictionary itself gets the former one.
    """

    name: str
    tables: frozenset[str]
    load: Callable[[Transaction, Dictionary], Loaded]


class Snapshot:
    """One state of the configuration; never changes."""

    def __init__(self, versions: Mapping[str, int], parts: Mapping[str, Any]) -> None:
        self.versions = versions
        self._parts = parts
        self._derived: dict[Hashable, Callable[..., Any]] = {}

    @property
    def dictionary(self) -> Dictionary:
        """All tables and fields."""
        return cast(Dictionary, self._parts["dictionary"])

    def part(self, part: SnapshotPart[Loaded]) -> Loaded:
        """Return what ``part`` loaded."""
        return cast(Loaded, self._parts[part.name])

    def derive(
        self,
        make: Callable[Concatenate[Snapshot, _Key], Loaded],
        *key: _Key.args,
        **_: _Key.kwargs,
    ) -> Loaded:
        """Return ``make(self, *key)``, remembered as long as this snapshot is in use.

        ``make`` is a function of a module that looks at nothing else, so that a change of
        configuration, which makes another snapshot, is all that can make an answer wrong. Only the
        last 256 keys are kept; keys must be hashable and small.
        """
        remembered = self._derived.get(make)
        if remembered is None:
            remembered = lru_cache(maxsize=MOST_DERIVED)(partial(make, self))
            remembered = self._derived.setdefault(make, remembered)
        return cast(Loaded, remembered(*key))

    def raw(self, name: str) -> Any:
        """Return a part by name, for renewal."""
        return self._parts.get(name)


def load_dictionary(transaction: Transaction, former: Dictionary | None = None) -> Dictionary:
    """Read the dictionary from its tables; what is as in ``former`` is taken from there.

    A change of it is read three times: for the tables, for the rest of its transaction, and for
    everybody after the commit. To make a dictionary takes longer than to read its rows, so the
    same rows give the same one, as long as somebody uses it.
    """
    sql = Statements("midspan.records", "records", transaction.dialect)
    metadata = Metadata(
        tables=transaction.rows(sql["tables"]),
        fields=transaction.rows(sql["fields"]),
        overrides=transaction.rows(sql["overrides"]),
        choices=transaction.rows(sql["choices"]),
        numbers=transaction.rows(sql["numbers"]),
    )
    digest = hashlib.blake2b(msgspec.msgpack.encode(metadata)).digest()
    found = _IN_USE.get(digest)
    if found is None:
        found = _IN_USE[digest] = Dictionary.build(specs_of(metadata), former)
    return found


def load_properties(transaction: Transaction) -> Mapping[str, str]:
    """Read all system properties by name."""
    sql = Statements("midspan.records", "records", transaction.dialect)
    return {name: value or "" for name, value in transaction.rows(sql["properties"])}


def load_readers(transaction: Transaction) -> Mapping[str, str]:
    """Read who may compare with system properties: by name the roles that are said to read it.

    Passwords and private properties are left out.
    """
    sql = Statements("midspan.records", "records", transaction.dialect)
    return {
        name: roles or ""
        for name, kind, private, roles in transaction.rows(sql["property_readers"])
        if not private and kind not in SECRET_PROPERTIES
    }


def load_filter_options(transaction: Transaction, dictionary: Dictionary) -> Mapping[str, str]:
    """Read the expressions of dynamic filter options by sys_id."""
    # An upgrade reads the dictionary of the new release before it has made the new tables.
    if FILTER_OPTION not in dictionary or not columns_of(transaction, FILTER_OPTION):
        return {}
    query = parse("active=true^available_for_filter=true")
    plan = plan_read(dictionary, FILTER_OPTION, query, ReadOptions(columns=["sys_id", "script"]))
    statement = compile_read(plan, dictionary, transaction.dialect)
    rows = transaction.rows(statement.sql, statement.params)
    return {sys_id: script or "" for sys_id, script in rows}


DICTIONARY = SnapshotPart(
    "dictionary",
    frozenset(
        {"sys_db_object", "sys_dictionary", "sys_dictionary_override", "sys_choice", "sys_number"}
    ),
    load_dictionary,
)
ACCESS = SnapshotPart(
    "access",
    frozenset({"sys_security_acl", "sys_security_acl_role"}),
    lambda transaction, _: load_access(transaction),
)
RIGHTS = SnapshotPart(
    "rights",
    frozenset({"sys_user_role", "sys_user_role_contains"}),
    lambda transaction, _: load_rights(transaction),
)
PROPERTIES = SnapshotPart(
    "properties",
    frozenset({"sys_properties"}),
    lambda transaction, _: load_properties(transaction),
)
READERS = SnapshotPart(
    "property_readers",
    frozenset({"sys_properties"}),
    lambda transaction, _: load_readers(transaction),
)
FILTER_OPTIONS = SnapshotPart("filter_options", frozenset({FILTER_OPTION}), load_filter_options)
USERS = SnapshotPart(
    "users",
    frozenset({"sys_user", "sys_user_has_role", "sys_group_has_role", "sys_user_grmember"}),
    lambda transaction, _: None,
)
"""Holds nothing: its version tells that remembered credentials and actors must be forgotten."""
ORIGINS = SnapshotPart("origins", frozenset({"sys_cors_rule", "sys_ws_definition"}), load_origins)

RATE_LIMITS = SnapshotPart(
    "rate_limits",
    frozenset({"sys_rate_limit_rules", "sys_ws_definition", "sys_user_role"}),
    load_rate_rules,
)
POLICIES = SnapshotPart("policies", POLICY_TABLES, load_policies)


class SnapshotHolder:
    """Keeps the current snapshot and renews the parts whose version moved."""

    def __init__(
        self, database: Database, clock: Clock, parts: Iterable[SnapshotPart[Any]] = ()
    ) -> None:
        self._database = database
        self._clock = clock
        self._sql = Statements("midspan.records", "records", database.dialect)
        self._parts: list[SnapshotPart[Any]] = [
            DICTIONARY,
            ACCESS,
            RIGHTS,
            PROPERTIES,
            READERS,
            FILTER_OPTIONS,
            USERS,
            ORIGINS,
            RATE_LIMITS,
            POLICIES,
            *parts,
        ]
        self._by_table: dict[str, list[str]] = {}
        for part in self._parts:
            for table in part.tables:
                self._by_table.setdefault(table, []).append(part.name)
        self._lock = threading.Lock()
        self._current: Snapshot | None = None
        self._checked = 0.0
        self._listeners: list[Callable[[Snapshot, frozenset[str]], None]] = []

    def seed(self, snapshot: Snapshot) -> None:
        """Start from a snapshot that was not read from the database; for a first installation."""
        with self._lock:
            self._current = snapshot

    def put(self, snapshot: Snapshot) -> None:
        """Go on with a snapshot of the state that the database was put into."""
        self._publish(snapshot, frozenset(part.name for part in self._parts))

    def load(self, transaction: Transaction) -> Snapshot:
        """Return the snapshot of what ``transaction`` sees, read anew and not published."""
        versions = self._versions(transaction)
        return self._load(transaction, None, versions)[0]

    def on_renewal(self, listener: Callable[[Snapshot, frozenset[str]], None]) -> None:
        """Call ``listener`` with each new snapshot and the names of its renewed parts."""
        self._listeners.append(listener)

    def affected(self, table: str) -> tuple[str, ...]:
        """Return the parts that are read from ``table``."""
        return tuple(self._by_table.get(table, ()))

    def current(self) -> Snapshot:
        """Return a snapshot that is at most a second old."""
        snapshot = self._current
        if snapshot is not None and (
            self._database.single_writer
            or self._clock.monotonic() - self._checked < STALE_AFTER.total_seconds()
        ):
            return snapshot
        with self._database.read() as transaction:
            return self.renew(transaction)

    def renew(self, transaction: Transaction, *, publish: bool = True) -> Snapshot:
        """Return the snapshot of what ``transaction`` sees, loading only what moved.

        With ``publish`` False the result stays private, for a transaction that changed
        configuration and is not committed yet.
        """
        versions = self._versions(transaction)
        with self._lock:
            known = self._current
        if known is not None and known.versions == versions:
            self._checked = self._clock.monotonic()
            return known
        snapshot, renewed = self._load(transaction, known, versions)
        self._publish(snapshot, renewed)
        return snapshot

    def ahead(self, transaction: Transaction, dictionary: Dictionary | None) -> Snapshot:
        """Return the snapshot of a transaction that changed configuration and is not committed.

        Nobody else gets it. ``dictionary`` is the one it changed and read, if it did.
        """
        versions = self._versions(transaction)
        with self._lock:
            known = self._current
        return self._load(transaction, known, versions, dictionary)[0]

    def refresh(self) -> None:
        """Read the committed configuration now; called after a commit that changed some."""
        with self._database.read() as transaction:
            self.renew(transaction)

    def _versions(self, transaction: Transaction) -> dict[str, int]:
        return {name: int(value) for name, value in transaction.rows(self._sql["versions"])}

    def _load(
        self,
        transaction: Transaction,
        known: Snapshot | None,
        versions: Mapping[str, int],
        dictionary: Dictionary | None = None,
    ) -> tuple[Snapshot, frozenset[str]]:
        loaded: dict[str, Any] = {}
        former = known.dictionary if known else Dictionary({})
        renewed = set()
        for part in self._parts:
            dictionary_moved = "dictionary" in renewed
            if (
                known is None
                or dictionary_moved
                or known.versions.get(part.name) != versions.get(part.name)
            ):
                if part is DICTIONARY and dictionary is not None:
                    loaded[part.name] = dictionary
                else:
                    loaded[part.name] = part.load(transaction, loaded.get("dictionary") or former)
                renewed.add(part.name)
            else:
                loaded[part.name] = known.raw(part.name)
        return Snapshot(versions, loaded), frozenset(renewed)

    def _publish(self, snapshot: Snapshot, renewed: frozenset[str]) -> None:
        with self._lock:
            self._current = snapshot
            self._checked = self._clock.monotonic()
        for listener in self._listeners:
            listener(snapshot, renewed)
