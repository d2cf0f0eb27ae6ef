"""Makes a database ready: the first installation of the built-in apps, and upgrades of it."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from midspan.apps.definition import AppDefinition
from midspan.apps.installer import Difference, Installer, installable
from midspan.dictionary import Dictionary, TableSpec
from midspan.dictionary.values import datetime_text
from midspan.kernel.clock import Clock
from midspan.kernel.ids import derived_id
from midspan.records import RecordStore, RecordTransaction, Snapshot
from midspan.security import SYSTEM, AccessControls, KeyVault, Rights, unwrap, wrap
from midspan.storage import Database, Statements, complete_indexes, migration

log = logging.getLogger(__name__)
_LOCK = 0x6D696473
"""Number of the advisory lock that nodes take to install; any number nobody else uses will do."""


def _upgrade(
    records: RecordTransaction, app: AppDefinition, specs: Sequence[TableSpec]
) -> list[Difference]:
    """Bring tables along first: the app's records may need what is new in them."""
    everything = installable(app, specs)
    split = len(everything) - len(app.records)
    installer = Installer(records, app, upgrade=True)
    done = installer.install(everything[:split])
    records.settle()
    done += installer.install(everything[split:])
    records.settle()
    return done


@contextmanager
def alone(database: Database) -> Iterator[None]:
    """Keep other nodes of the same database from installing or upgrading meanwhile; they wait."""
    if database.single_writer:
        yield
        return
    with database.read() as transaction:
        transaction.row("SELECT pg_advisory_lock(?)", (_LOCK,))
        try:
            yield
        finally:
            transaction.row("SELECT pg_advisory_unlock(?)", (_LOCK,))


def is_empty(database: Database) -> bool:
    """Tell whether nothing was ever installed into a database."""
    if database.dialect.name == "sqlite":
        sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'sys_version'"
    else:
        sql = "SELECT tablename FROM pg_tables WHERE tablename = 'sys_version'"
    with database.read() as transaction:
        return transaction.row(sql) is None


def install(store: RecordStore, apps: Sequence[AppDefinition]) -> None:
    """Create all tables of ``apps`` in an empty database and fill in their records."""
    specs = [spec for app in apps for spec in app.tables]
    dictionary = Dictionary.build(specs)
    seed = Snapshot(
        {},
        {
            "dictionary": dictionary,
            "access": AccessControls(),
            "rights": Rights({}, {}),
            "properties": {},
            "filter_options": {},
        },
    )
    with store.database.write() as transaction:
        transaction.execute(store.sql["create_versions"])
        for statement in migration(None, dictionary, store.database.dialect):
            transaction.execute(statement)
    store.holder.seed(seed)
    with store.write(SYSTEM, enforce=False) as records:
        records.use(seed)
        for app in apps:
            Installer(records, app).install(installable(app, specs))


def upgrade(store: RecordStore, apps: Sequence[AppDefinition]) -> list[str]:
    """Bring an installed database to the shipped apps; return the names of those that changed."""
    specs: list[TableSpec] = [spec for app in apps for spec in app.tables]
    changed = []
    with store.write(SYSTEM, enforce=False) as records:
        for app in apps:
            done = _upgrade(records, app, specs)
            if any(difference.kind in ("insert", "update") for difference in done):
                changed.append(app.app.name)
            for difference in done:
                if difference.kind == "customized":
                    log.warning(
                        "kept a customised record",
                        extra={"table": difference.table, "record": difference.sys_id},
                    )
        complete_indexes(records.database, records.dictionary)
    return changed


def open_vault(database: Database, master: bytes, clock: Clock) -> KeyVault:
    """Return the vault over the database's data keys; the first key is made here."""
    sql = Statements("midspan.security", "sign_in", database.dialect)
    with database.read() as transaction:
        rows = transaction.rows(sql["data_keys"])
    if not rows:
        key_id = derived_id("sys_data_key", secrets.token_hex(16))
        wrapped = wrap(master, key_id, secrets.token_bytes(32))
        with database.write() as transaction:
            transaction.execute(sql["add_data_key"], (key_id, wrapped, datetime_text(clock.now())))
        rows = [(key_id, wrapped, None)]
    keys = {str(row[0]): unwrap(master, str(row[0]), str(row[1])) for row in rows}
    return KeyVault(keys, str(rows[-1][0]))
