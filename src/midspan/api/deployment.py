"""Files of an app to records, live: what ``midspan apply`` asks for.

Everything happens in one write transaction with the caller's rights and with rules on. A dry run
does the same and takes it back, so what it shows is what would happen, refusals included.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any, cast

from midspan.api.memoryfolder import MemoryFolder
from midspan.apps.definition import AppDefinition, RecordDefinition
from midspan.apps.entries import Keys
from midspan.apps.installer import Difference, Installer, check, installable
from midspan.apps.load import BUILT_IN, builtin_apps, load_app
from midspan.dictionary import TableSpec
from midspan.dictionary.metadata import Metadata, specs_of
from midspan.kernel.errors import Conflict, InvalidDefinition, did_you_mean
from midspan.kernel.ids import derived_id
from midspan.query import (
    Operator,
    Query,
    ReadOptions,
    Term,
    Unknown,
    plan_aggregate,
    plan_read,
)
from midspan.records import ChangeOptions, RecordStore, RecordTransaction
from midspan.security import Actor
from midspan.storage import Statements

OPTIONS = ChangeOptions(rules=True)
INSTALLED = "sys_installed_record"
_METADATA = ("tables", "fields", "overrides", "choices", "numbers")


class _TakenBack(Exception):
    """Ends the transaction of a dry run."""


class KnownKeys(dict[tuple[str, str], str]):
    """Named records: of the built-in apps, of this app, and of whatever is installed."""

    def __init__(self, built_in: Keys, transaction: RecordTransaction) -> None:
        super().__init__(built_in)
        self._transaction = transaction

    def get(self, key: tuple[str, str], default: Any = None) -> Any:
        """Return the id of a record; one that another app made is found by its derived id."""
        found = super().get(key)
        if found is None and key[0] in self._transaction.dictionary:
            sys_id = derived_id(*key)
            found = sys_id if self._transaction.load(key[0], (sys_id,)) else None
        return default if found is None else found


def deploy(
    records: RecordStore, actor: Actor, folder: MemoryFolder, *, dry_run: bool
) -> tuple[AppDefinition, list[Difference]]:
    """Install an app from its files; return it with what was (or would be) done to each record.

    Raises:
        InvalidDefinition: a file is wrong, or the app takes over what belongs to another.
        NotAuthorized, OperationAborted, InvalidValue, DuplicateKey: a record was refused.
    """
    named = builtin_keys()
    try:
        with records.write(actor) as transaction:
            app = load_app(cast(Any, folder), KnownKeys(named, transaction))
            done = install_app(transaction, app)
            if dry_run:
                raise _TakenBack
    except _TakenBack:
        pass
    return app, done


def summary(differences: Sequence[Difference]) -> dict[str, int]:
    """Return how many records there are of each kind of difference."""
    counts = Counter(difference.kind for difference in differences)
    return {kind: counts[kind] for kind in ("insert", "update", "same", "customized")}


def load_specs(transaction: RecordTransaction) -> list[TableSpec]:
    """Return the specifications of all tables as they are now."""
    sql = Statements("midspan.records", "records", transaction.database.dialect)
    rows = {name: transaction.database.rows(sql[name]) for name in _METADATA}
    return specs_of(Metadata(**rows))


@cache
def builtin_keys() -> Keys:
    """Return the named records of the built-in apps.

    To read their files takes a third of a second; nobody should wait for that to write.
    """
    keys: Keys = {}
    builtin_apps(keys)
    return keys


def install_app(
    transaction: RecordTransaction, app: AppDefinition, *, locate: bool = False
) -> list[Difference]:
    """Install an app in the caller's transaction: tables first, then records, with rules on.

    With ``locate`` the error of a refused record names its place in the files.
    """
    _check_name(transaction, app)
    own = {spec.name for spec in app.tables}
    others = [spec for spec in load_specs(transaction) if spec.name not in own]
    _check_parents(app, others)
    everything = installable(app, (*others, *app.tables))
    _check_ownership(transaction, app, everything)
    split = len(everything) - len(app.records)
    installer = Installer(transaction, app, locate=locate)
    done = _step(transaction, installer, everything[:split])
    return done + _step(transaction, installer, everything[split:])


def _step(
    transaction: RecordTransaction, installer: Installer, records: Sequence[RecordDefinition]
) -> list[Difference]:
    check(records, transaction)
    done = installer.install(records, options=OPTIONS)
    transaction.settle()
    return done


def installed_apps(transaction: RecordTransaction) -> set[str]:
    """Return the names of the apps of which anything is installed; there are thousands of rows."""
    options = ReadOptions(columns=("app",), unknown=Unknown.REFUSE)
    plan = plan_aggregate(transaction.dictionary, INSTALLED, Query(), (("COUNT", None),), options)
    if transaction.enforce:
        plan = transaction.access.restrict_groups(plan)
    return {str(row[0]) for row in transaction.aggregate(plan) if row[0]}


def _check_name(transaction: RecordTransaction, app: AppDefinition) -> None:
    if app.app.name in BUILT_IN:
        raise InvalidDefinition(
            f"app.yaml: {app.app.name} is the name of a built-in app", hint="Choose another name."
        )
    known = installed_apps(transaction) | set(BUILT_IN)
    for name in app.app.requires:
        if name not in known:
            raise InvalidDefinition(
                f"app.yaml: the app {name} that this one requires is not installed",
                hint=did_you_mean(name, known) or f"Apply {name} first.",
            )


def _check_parents(app: AppDefinition, others: Sequence[TableSpec]) -> None:
    known = {spec.name for spec in (*others, *app.tables)}
    for spec in app.tables:
        if spec.extends and spec.extends not in known:
            raise InvalidDefinition(
                f"tables/{spec.name}.yaml: there is no table {spec.extends} to extend",
                hint=did_you_mean(spec.extends, known),
            )


def _check_ownership(
    transaction: RecordTransaction, app: AppDefinition, records: Sequence[RecordDefinition]
) -> None:
    """Refuse records that another app brought; each has one owner, whose upgrades decide."""
    places = {(record.table, record.sys_id): record.file for record in records}
    query = Query(condition=Term("app", Operator.DIFFERS, app.app.name))
    options = ReadOptions(columns=("table_name", "record_id", "app"), unknown=Unknown.REFUSE)
    plan = plan_read(transaction.dictionary, INSTALLED, query, options)
    for table, sys_id, owner in transaction.run(transaction.restrict(plan)):
        file = places.get((str(table), str(sys_id)))
        if file is not None:
            raise Conflict(
                f"{file}: this record of {table} belongs to the app {owner}",
                hint="Change it through that app, or give yours another key.",
            )
