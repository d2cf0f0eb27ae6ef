"""Reads records for a page as its viewer sees them; what he may not see is not there."""

from __future__ import annotations

from collections.abc import Mapping

from midspan.api.displayvalue import locale_of, show_function
from midspan.api.request import Request
from midspan.api.tableread import read_record
from midspan.api.tablerequest import Display, RowShape
from midspan.api.tableview import view_of
from midspan.dictionary import Table
from midspan.kernel.errors import NotAuthorized, RecordNotFound
from midspan.query import NEVER, ReadOptions, Unknown, parse, plan_read
from midspan.records import PROPERTIES, Record, RecordTransaction


class Viewer:
    """One look at the records, in one transaction with the access controls of the actor."""

    def __init__(self, request: Request, transaction: RecordTransaction) -> None:
        self.request = request
        self.transaction = transaction
        self._locale = locale_of(request.actor, transaction.snapshot.part(PROPERTIES))

    def may_read(self, table: str) -> bool:
        """Tell whether the table exists, is open to this surface, and has rows for the actor."""
        known = self.transaction.dictionary.tables.get(table)
        if known is None or not known.ws_access:
            return False
        return self.transaction.access.rows(table, "read") != NEVER

    def find(self, table: str, query: str = "", *, limit: int | None = None) -> list[Record]:
        """Return the records that match, none when the actor may not ask for them."""
        if not self.may_read(table):
            return []
        try:
            return self.transaction.find(table, query, limit=limit)
        except NotAuthorized:
            return []

    def first(self, table: str, query: str) -> Record | None:
        """Return the first record that matches, or None."""
        return next(iter(self.find(table, query, limit=1)), None)

    def count(self, table: str, query: str = "") -> int:
        """Return how many records match."""
        if not self.may_read(table):
            return 0
        options = ReadOptions(
            columns=["sys_id"], unknown=Unknown.NOTHING, values=self.transaction.values
        )
        plan = plan_read(self.transaction.dictionary, table, parse(query), options)
        try:
            return self.transaction.count(self.transaction.restrict(plan))
        except NotAuthorized:
            return 0

    def text(self, record: Record, name: str) -> str:
        """Return what people see of a field that is no reference."""
        field = self.transaction.dictionary.table(record.table).fields.get(name)
        stored = record.get(name)
        if field is None or not stored:
            return stored
        show = show_function(field, self.transaction.dictionary, self._locale)
        return show(stored) if show else stored

    def shown(self, table: str, sys_id: str) -> tuple[str, str] | None:
        """Return a record's display value and its state, if it has one; None: it is not seen."""
        known = self.transaction.dictionary.tables.get(table)
        if known is None or not known.ws_access:
            return None
        wanted = (known.display, "state", "sys_created_on")
        names = tuple(name for name in wanted if name in known.fields and name != "sys_id")
        shape = RowShape(fields=("sys_id", *names), display=Display.SHOWN)
        view = view_of(self.transaction.dictionary, table, shape)
        try:
            row = read_record(self.request, self.transaction, view, sys_id)
        except (RecordNotFound, NotAuthorized):
            return None
        texts = {name: _plain(cell) for name, cell in row.items()}
        return self.title(known, texts), texts.get("state", "")

    @staticmethod
    def title(table: Table, texts: Mapping[str, str]) -> str:
        """Return what a record is called; one without a name, by its table and when it was made."""
        if table.display != "sys_id" and texts.get(table.display):
            return texts[table.display]
        return " ".join(filter(None, (table.label, texts.get("sys_created_on"))))


def _plain(cell: object) -> str:
    return str(cell.get("display_value", "")) if isinstance(cell, dict) else str(cell or "")
