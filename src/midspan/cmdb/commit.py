"""Carries out what was planned: items, rows of side tables, relations, and who said what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from midspan.cmdb.outcome import ItemOutcome, Operation, Problem, RelationOutcome
from midspan.cmdb.payload import SourceInfo
from midspan.cmdb.plan import ItemPlan, Reporting, Write
from midspan.cmdb.reconcile import LastWord
from midspan.cmdb.search import Search
from midspan.dictionary.values import is_valid, parse_datetime
from midspan.kernel.errors import MidspanError
from midspan.records import Change, ChangeOptions, RecordTransaction, insert
from midspan.records import Operation as Writing
from midspan.security import SYSTEM

HISTORY = "cmdb_datasource_last_update"
_BATCHED = "glide.identification_engine.batch_update_last_discovered"
_KEEPS_NEWER = "glide.identification_engine.skip_updating_last_scan_if_older"
_QUIET = ChangeOptions(rules=False, system_fields=False)


class Word(Struct, frozen=True):
    """A stored line of the history: its id, and who wrote a field last."""

    sys_id: str
    last: LastWord


class Committer:
    """Writes in the caller's transaction; an item that is refused takes nothing with it."""

    def __init__(
        self, transaction: RecordTransaction, search: Search, reporting: Reporting
    ) -> None:
        self._transaction = transaction
        self._search = search
        self._by = reporting

    def item(self, outcome: ItemOutcome, plan: ItemPlan) -> None:
        """Write an item and its side rows; what refuses it becomes its error."""
        try:
            with self._transaction.database.savepoint():
                for write in (plan.write, *(write for _, write in plan.subs)):
                    if write is not None:
                        self._write(write)
        except MidspanError as error:
            outcome.cause = error
            verb = "INSERT" if plan.operation is Operation.INSERT else "UPDATE"
            told = "Insertion" if verb == "INSERT" else "Update"
            detail = error.detail or error.message
            outcome.errors.append(Problem(f"{verb}_FAILED", f"{told} failed with error {detail}"))

    def relation(self, outcome: RelationOutcome, values: Mapping[str, str]) -> None:
        """Insert a relation; what refuses it becomes its error."""
        try:
            self._transaction.apply(insert("cmdb_rel_ci", values, sys_id=outcome.sys_id))
        except MidspanError as error:
            detail = error.detail or error.message
            outcome.errors.append(Problem("INSERT_FAILED", f"Insertion failed with error {detail}"))

    def reference(self, table: str, sys_id: str, field: str, to: str) -> None:
        """Set a reference that could not be known when its record was written."""
        self._write(
            Write(table=table, sys_id=sys_id, operation=Operation.UPDATE, values={field: to})
        )

    def _write(self, write: Write) -> None:
        if write.operation is Operation.INSERT:
            self._transaction.apply(insert(write.table, write.values, sys_id=write.sys_id))
            return
        quiet = write.quiet and self._by.on(_BATCHED)
        self._transaction.apply(
            Change(
                table=write.table,
                operation=Writing.UPDATE,
                sys_id=write.sys_id,
                values=write.values,
                to_class=write.cls,
                options=_QUIET if quiet else ChangeOptions(),
            )
        )

    def said(self, sys_id: str, fields: Iterable[str], words: Mapping[str, Word]) -> None:
        """Note that the source has the last word on fields of an item."""
        fresh = []
        for field in sorted(fields):
            word = words.get(field)
            row = {"discovery_source": self._by.source, "last_update": self._by.now_text}
            if word is None:
                fresh.append({"cmdb_ci": sys_id, "attribute": field, **row})
            else:
                self._transaction.engine_update(HISTORY, word.sys_id, row)
        self._transaction.engine_insert(HISTORY, fresh)

    def source(self, info: SourceInfo, cls: str, sys_id: str) -> None:
        """Note how the source calls a record."""
        scanned = info.recency if self._is_time(info.recency) else self._by.now_text
        values = {
            "target_table": cls,
            "target_sys_id": sys_id,
            "source_feed": info.feed,
            "last_scan": scanned,
            "source_recency_timestamp": scanned if info.recency else "",
        }
        rows = self._search.source_rows(info)
        with self._transaction.acting(SYSTEM):
            if not rows:
                named = {"name": info.name, "id": info.key, **values}
                self._transaction.apply(insert("sys_object_source", named))
                return
            older = scanned < rows[0].get("last_scan") and self._by.on(_KEEPS_NEWER)
            if older or (self._by.keeps_scan and scanned != info.recency):
                del values["last_scan"], values["source_recency_timestamp"]
            self._transaction.apply(
                Change(
                    table="sys_object_source",
                    operation=Writing.UPDATE,
                    sys_id=rows[0].sys_id,
                    values=values,
                    options=_QUIET,
                )
            )

    def _is_time(self, text: str) -> bool:
        field = self._transaction.dictionary.field("sys_object_source", "last_scan")
        return bool(text) and is_valid(field, text)


def words_of(search: Search, sys_ids: Sequence[str]) -> dict[str, dict[str, Word]]:
    """Return who wrote fields last, by item and field."""
    return {
        sys_id: {
            row.get("attribute"): Word(
                row.sys_id,
                LastWord(row.get("discovery_source"), parse_datetime(row.get("last_update"))),
            )
            for row in search.rows(HISTORY, {"cmdb_ci": sys_id})
        }
        for sys_id in sys_ids
    }
