"""Loads rows into a staging table: makes table and columns as needed, then copies in bulk.

Staging columns are text. Every load is one ``sys_import_set``; rows carry its id, their number in
the source and the state ``pending``. A row that the source's reader could not make sense of
becomes an entry of ``sys_import_set_row_error`` and counts as an error of the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

from msgspec import Struct

from midspan.dictionary import Storage
from midspan.dictionary.metadata import table_id
from midspan.dictionary.values import datetime_text
from midspan.formats.csv import BadCsvRow, CsvReader, CsvRow, read_csv
from midspan.formats.names import column_names
from midspan.importsets.maps import load_maps
from midspan.kernel.errors import Conflict, InvalidDefinition
from midspan.records import RecordStore, RecordTransaction, insert, update
from midspan.security import SYSTEM
from midspan.storage import encode_copy_line

ROOT = "sys_import_set_row"
BLOCK_ROWS = 1000
FIRST_LENGTH = 40
LENGTHS = (40, 100, 255, 1000, 4000, 65_000, 1_000_000)
SYSTEM_COLUMNS = (
    "sys_id", "sys_created_on", "sys_created_by", "sys_updated_on", "sys_updated_by",
    "sys_mod_count", "sys_class_name", "sys_import_set", "sys_import_row", "sys_import_state",
)  # fmt: skip


class BadRow(Struct, frozen=True):
    """A row of the source that never reached the staging table."""

    row: int
    """Number in the source: the physical line for files."""
    reason: str


class LoadResult(Struct, frozen=True):
    """What a load left behind."""

    import_set: str
    staging: str
    loaded: int
    bad: tuple[BadRow, ...]


class StagingLoader:
    """Loads sources into staging tables; safe to use from many threads."""

    def __init__(self, records: RecordStore) -> None:
        self._records = records

    def load_csv(
        self,
        stream: BinaryIO,
        staging: str,
        *,
        source: str = "",
        delimiter: str = ",",
        import_set: str = "",
    ) -> LoadResult:
        """Load a CSV file, into a set as ``load_rows`` does; its first row names the columns.

        Raises:
            InvalidDefinition: the file has no header, or ``staging`` is no staging table.
        """
        reader = read_csv(stream, delimiter=delimiter)
        names = column_names(reader.header)
        rows = _numbered(reader)
        return self.load_rows(rows, names, staging, source=source, import_set=import_set)

    def load_rows(
        self,
        rows: Iterable[tuple[int, Sequence[str | None]] | BadRow],
        names: Sequence[str],
        staging: str,
        *,
        source: str = "",
        import_set: str = "",
    ) -> LoadResult:
        """Load numbered rows with these staging column names; one transaction, all or nothing.

        ``import_set`` is one that ``open_set`` made; empty: a new one is made here.

        Raises:
            Conflict: that set is not loading any more.
            InvalidDefinition: ``staging`` is no staging table, or a map of it has a wrong name.
        """
        with self._records.write(SYSTEM, enforce=False) as transaction:
            self._ensure_table(transaction, staging, names)
            _check_maps(transaction, staging, names)
            if import_set:
                _check_loading(transaction, import_set)
            else:
                import_set = open_set(transaction, staging, source)
            bad: list[BadRow] = []
            copier = RowCopier(self._records, transaction, staging, names, import_set)
            copier.copy(_good(rows, bad))
            self._grow(transaction, staging, copier.longest)
            transaction.apply(update("sys_import_set", import_set, {"state": "loaded"}))
        return LoadResult(import_set, staging, copier.count, tuple(bad))

    def _ensure_table(
        self, transaction: RecordTransaction, staging: str, names: Sequence[str]
    ) -> None:
        """Define the staging table and the columns it lacks."""
        dictionary = transaction.dictionary
        if staging in dictionary and not dictionary.is_a(staging, ROOT):
            raise InvalidDefinition(
                f"{staging} is no staging table",
                hint="Import into a table that extends sys_import_set_row, or name a new one.",
            )
        if staging not in dictionary:
            if not staging.startswith(("u_", "x_", "imp_")):
                raise InvalidDefinition(
                    f"There is no table {staging}",
                    hint="A new staging table's name starts with u_, x_ or imp_.",
                )
            transaction.apply(
                insert(
                    "sys_db_object",
                    {"name": staging, "label": staging, "super_class": table_id(ROOT)},
                    sys_id=table_id(staging),
                )
            )
        known = dictionary.tables[staging].fields if staging in dictionary else {}
        for name in names:
            if name not in known:
                transaction.apply(
                    insert(
                        "sys_dictionary",
                        {
                            "name": staging,
                            "element": name,
                            "internal_type": "string",
                            "max_length": str(FIRST_LENGTH),
                            "active": "true",
                        },
                    )
                )
        transaction.settle()

    @staticmethod
    def _grow(transaction: RecordTransaction, staging: str, longest: dict[str, int]) -> None:
        """Note the length that each column needs; the database itself does not limit it."""
        fields = transaction.dictionary.table(staging).fields
        for name, length in longest.items():
            if length > fields[name].max_length:
                wanted = next(size for size in (*LENGTHS, length) if size >= length)
                row = transaction.first("sys_dictionary", f"name={staging}^element={name}")
                if row is not None:
                    transaction.apply(
                        update("sys_dictionary", row.sys_id, {"max_length": str(wanted)})
                    )


class RowCopier:
    """Writes rows of one load as blocks of COPY text."""

    def __init__(
        self,
        records: RecordStore,
        transaction: RecordTransaction,
        staging: str,
        names: Sequence[str],
        import_set: str,
    ) -> None:
        self._records = records
        self._transaction = transaction
        self._names = names
        now = datetime_text(transaction.now)
        user = transaction.actor.user_name
        self._fixed = (now, user, now, user, "0", staging, import_set)
        self._table = transaction.dictionary.table(staging)
        self.count = 0
        self.longest = dict.fromkeys(names, 0)

    def copy(self, rows: Iterator[tuple[int, Sequence[str | None]]]) -> None:
        """Copy all rows."""
        columns = [self._table.fields[name].column for name in (*SYSTEM_COLUMNS, *self._names)]
        self._transaction.database.copy_blocks(self._table.physical, columns, self._blocks(rows))

    def _blocks(self, rows: Iterator[tuple[int, Sequence[str | None]]]) -> Iterator[bytes]:
        lines: list[str] = []
        for number, cells in rows:
            lines.append(encode_copy_line(self._line(number, cells)))
            if len(lines) == BLOCK_ROWS:
                yield ("\n".join(lines) + "\n").encode()
                lines.clear()
        if lines:
            yield ("\n".join(lines) + "\n").encode()

    def _line(self, number: int, cells: Sequence[str | None]) -> list[str | None]:
        self.count += 1
        data: list[str | None] = []
        for name, cell in zip(self._names, cells, strict=True):
            text = cell.replace("\0", "") if cell else None
            if text and len(text) > self.longest[name]:
                self.longest[name] = len(text)
            data.append(text)
        sys_id = self._records.ids.sys_id()
        return [sys_id, *self._fixed, str(number), "pending", *data]


def _numbered(reader: CsvReader) -> Iterator[tuple[int, Sequence[str | None]] | BadRow]:
    for row in reader:
        match row:
            case CsvRow():
                yield row.line, row.cells
            case BadCsvRow():
                yield BadRow(row.line, row.reason)


def _good(
    rows: Iterable[tuple[int, Sequence[str | None]] | BadRow], bad: list[BadRow]
) -> Iterator[tuple[int, Sequence[str | None]]]:
    for row in rows:
        if isinstance(row, BadRow):
            bad.append(row)
        else:
            yield row


def open_set(transaction: RecordTransaction, staging: str, source: str, *, sys_id: str = "") -> str:
    """Open an import set in state ``loading`` and return its id."""
    values = {
        "table_name": staging,
        "state": "loading",
        "mode": "asynchronous",
        "data_source": source,
    }
    return transaction.apply(insert("sys_import_set", values, sys_id=sys_id)).sys_id


def _check_maps(transaction: RecordTransaction, staging: str, names: Sequence[str]) -> None:
    """Refuse to load what no map could transform, before anything of it is stored."""
    maps = load_maps(transaction, staging)
    read = {each.source for definition in maps for each in definition.fields if not each.script}
    if read and not read & set(names):
        raise InvalidDefinition(
            f"None of the columns {', '.join(names)} is read by a map of {staging}",
            hint=f"The maps read {', '.join(sorted(read))}. Is the delimiter of the file another?",
        )


def _check_loading(transaction: RecordTransaction, import_set: str) -> None:
    table = transaction.dictionary.table("sys_import_set")
    transaction.store.lock_rows(transaction.database, table, (import_set,))
    state = transaction.load("sys_import_set", (import_set,))[import_set].get("state")
    if state != "loading":
        raise Conflict(f"Import set {import_set} is {state} and takes no rows any more")


def staged_columns(transaction: RecordTransaction, staging: str) -> list[str]:
    """Return the data columns of a staging table."""
    table = transaction.dictionary.table(staging)
    inherited = transaction.dictionary.table(ROOT).fields
    return [
        name
        for name, field in table.fields.items()
        if name not in inherited and field.storage is not Storage.NONE
    ]
