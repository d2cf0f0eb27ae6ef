"""Files to records: installs and upgrades apps without overwriting what a user changed.

Each shipped record is noted in ``sys_installed_record`` with the names of the fields it was
installed with and the hash of their values. At an upgrade the record's present values of those
fields are hashed again: equal means untouched, and the new values are written; different means
customised, and it is left alone. An upgrade also leaves alone what a user made under the same id
before the app shipped it, and what a user deleted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from midspan.apps.definition import AppDefinition, RecordDefinition
from midspan.dictionary import TableSpec
from midspan.dictionary.metadata import rows_of
from midspan.dictionary.values import canonical
from midspan.kernel.errors import (
    InvalidDefinition,
    InvalidField,
    InvalidTable,
    InvalidValue,
    MidspanError,
)
from midspan.kernel.ids import derived_id
from midspan.records import Change, ChangeOptions, Operation, RecordTransaction, Refused
from midspan.rules import check_rule

OPTIONS = ChangeOptions(rules=False)
_TABLE = "sys_installed_record"


class Difference(Struct, frozen=True):
    """What installing does to one record; ``fields`` maps names to old and new texts."""

    kind: str
    """``insert``, ``update``, ``same`` or ``customized``."""
    table: str
    sys_id: str
    file: str
    fields: dict[str, tuple[str, str]] = {}


class Noted(Struct, frozen=True):
    """What is known of a record that was installed before."""

    sys_id: str
    content_hash: str
    fields: tuple[str, ...]
    """Names of the fields that the hash is of; none where an early release did not keep them."""
    customized: bool


def installable(app: AppDefinition, all_specs: Sequence[TableSpec]) -> list[RecordDefinition]:
    """Return everything an app ships as records: its tables' metadata first, then its data."""
    own = {spec.name for spec in app.tables}
    metadata = [
        RecordDefinition(table, sys_id, values, f"tables/{values.get('name', '')}.yaml")
        for table, sys_id, values in rows_of(all_specs)
        if (values.get("name") or values.get("category")) in own
    ]
    return [*metadata, *app.columns, *app.records]


def check(records: Iterable[RecordDefinition], transaction: RecordTransaction) -> None:
    """Check that every record names an existing table and existing fields, and rules what is real.

    Raises:
        InvalidDefinition: names the file, what is wrong and the nearest right name.
    """
    dictionary = transaction.dictionary
    for record in records:
        try:
            table = dictionary.table(record.table)
            for name, value in record.values.items():
                if name not in table.fields:
                    raise InvalidField(table.name, name, table.fields)
                canonical(table.fields[name], value)
            if record.table == "sys_script" and record.values.get("active") != "false":
                check_rule(dictionary, record.values)
        except (InvalidTable, InvalidField, InvalidValue, InvalidDefinition) as error:
            raise located(error, record.file) from error


def located(error: MidspanError, place: str) -> InvalidDefinition:
    """Return an error that says where in the files the cause of another one stands."""
    return InvalidDefinition(f"{place}: {error.message}", detail=error.detail, hint=error.hint)


class Installer:
    """Installs one app inside one transaction.

    With ``upgrade`` nobody asked for this very change: what a user made or deleted stays. With
    ``locate`` the first record that is refused is named by its place in the files.
    """

    def __init__(
        self,
        transaction: RecordTransaction,
        app: AppDefinition,
        *,
        upgrade: bool = False,
        locate: bool = False,
    ) -> None:
        self._transaction = transaction
        self._app = app
        self._upgrade = upgrade
        self._locate = locate

    def differences(self, records: Sequence[RecordDefinition]) -> list[Difference]:
        """Return what installing ``records`` would do, in their order; nothing is written."""
        installed = self._installed()
        found = []
        for table, group in _by_table(records).items():
            present = self._transaction.load(table, [record.sys_id for record in group])
            for record in group:
                before = present.get(record.sys_id)
                values = dict(before.values) if before else None
                found.append(self._difference(record, values, installed.get(record.sys_id)))
        order = {record.sys_id: position for position, record in enumerate(records)}
        return sorted(found, key=lambda difference: order[difference.sys_id])

    def install(
        self, records: Sequence[RecordDefinition], *, options: ChangeOptions = OPTIONS
    ) -> list[Difference]:
        """Write what differs and note what was installed; return what was done."""
        differences = self.differences(records)
        shipped = {record.sys_id: record for record in records}
        changes = []
        for difference in differences:
            if difference.kind in ("insert", "update"):
                record = shipped[difference.sys_id]
                insert = difference.kind == "insert"
                changes.append(
                    Change(
                        table=record.table,
                        operation=Operation.INSERT if insert else Operation.UPDATE,
                        sys_id=record.sys_id,
                        values=record.values,
                        options=options,
                    )
                )
        for result in self._transaction.apply_all(changes, collect=self._locate):
            if isinstance(result, Refused):
                place = shipped[result.change.sys_id or ""].file
                raise located(result.error, place) from result.error
        self._note(differences, shipped)
        return differences

    def _difference(
        self, record: RecordDefinition, before: dict[str, str] | None, noted: Noted | None
    ) -> Difference:
        values = self._canonical(record)
        if before is None:
            fields = {name: ("", value) for name, value in values.items() if value}
            kind = "customized" if self._upgrade and noted is not None else "insert"
            return Difference(kind, record.table, record.sys_id, record.file, fields)
        changed = {
            name: (before.get(name, ""), value)
            for name, value in values.items()
            if before.get(name, "") != value
        }
        if not changed:
            kind = "same"
        elif self._is_customized(before, noted, values):
            kind = "customized"
        else:
            kind = "update"
        return Difference(kind, record.table, record.sys_id, record.file, changed)

    def _is_customized(
        self, before: Mapping[str, str], noted: Noted | None, values: Mapping[str, str]
    ) -> bool:
        if noted is None:
            return self._upgrade
        return noted.content_hash != content_hash(before, noted.fields or values)

    def _canonical(self, record: RecordDefinition) -> dict[str, str]:
        fields = self._transaction.dictionary.table(record.table).fields
        return {name: canonical(fields[name], value) for name, value in record.values.items()}

    def _installed(self) -> dict[str, Noted]:
        """Return what is noted of each record this app installed, by record id."""
        found = self._transaction.find(_TABLE, f"app={self._app.app.name}")
        return {
            record.get("record_id"): Noted(
                record.sys_id,
                record.get("content_hash"),
                tuple(filter(None, record.get("fields").split(","))),
                record.get("customized") == "true",
            )
            for record in found
        }

    def _note(
        self, differences: Sequence[Difference], shipped: Mapping[str, RecordDefinition]
    ) -> None:
        known = self._installed()
        columns = self._transaction.dictionary.table(_TABLE).fields
        rows = []
        for difference in differences:
            whole = self._row(difference, shipped[difference.sys_id])
            # While an early release is upgraded, its table lacks what this one adds to it.
            row = {name: text for name, text in whole.items() if name in columns}
            noted = known.get(difference.sys_id)
            if noted is None:
                rows.append(row)
            elif difference.kind == "customized":
                kept = {"version": self._app.app.version, "customized": "true"}
                self._transaction.engine_update(_TABLE, noted.sys_id, kept)
            elif difference.kind == "update" or _is_stale(noted, whole):
                self._transaction.engine_update(_TABLE, noted.sys_id, row)
        self._transaction.engine_insert(_TABLE, rows)

    def _row(self, difference: Difference, record: RecordDefinition) -> dict[str, str]:
        values = self._canonical(record)
        return {
            "sys_id": derived_id(_TABLE, difference.table, difference.sys_id),
            "table_name": difference.table,
            "record_id": difference.sys_id,
            "app": self._app.app.name,
            "version": self._app.app.version,
            "content_hash": content_hash(values, values),
            "fields": ",".join(sorted(values)),
            "customized": "true" if difference.kind == "customized" else "false",
        }


def _is_stale(noted: Noted, row: Mapping[str, str]) -> bool:
    """Tell whether a record came to be as shipped by another way than being installed so."""
    fields = ",".join(noted.fields)
    return (noted.content_hash, fields) != (row["content_hash"], row["fields"]) or noted.customized


def content_hash(values: Mapping[str, str], names: Iterable[str]) -> str:
    """Return the hash of the named fields' values."""
    text = "\x1e".join(f"{name}\x1f{values.get(name, '')}" for name in sorted(names))
    return hashlib.sha256(text.encode()).hexdigest()


def _by_table(records: Sequence[RecordDefinition]) -> dict[str, list[RecordDefinition]]:
    groups: dict[str, list[RecordDefinition]] = {}
    for record in records:
        groups.setdefault(record.table, []).append(record)
    return groups
