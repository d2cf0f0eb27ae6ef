"""Reads rows as an actor sees them: one statement for a page, at most one more for the count."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

import msgspec
import orjson
from msgspec import Struct, structs

from midspan.api.displayvalue import (
    Locale,
    datetime_shown,
    locale_of,
    show_all,
    show_function,
)
from midspan.api.request import Request
from midspan.api.router import api_version
from midspan.api.tablerender import Layout, Page, Shown, layout_of, render, stored_values
from midspan.api.tablerequest import Display, ListRequest, RowShape
from midspan.api.tableview import View, view_of
from midspan.api.uiviews import answered
from midspan.dictionary import Dictionary, FieldPath, Table
from midspan.kernel.errors import InvalidRequest, NotAuthorized, RecordNotFound
from midspan.query import (
    ALWAYS,
    NEVER,
    Condition,
    Operator,
    ReadOptions,
    ReadPlan,
    Sort,
    Test,
    both,
    display_path,
    paths_of,
    plan_read,
    related_in,
)
from midspan.query.functions import leaves
from midspan.query.keyset import Mark, behind_mark, mark_of, marked
from midspan.records import (
    LATER,
    PROPERTIES,
    PreparedRead,
    RecordTransaction,
    Snapshot,
    prepare_read,
    settled_access,
)
from midspan.security import Access, Actor
from midspan.storage import Dialect, Row

MOST_WALKS = 60
"""SQLite joins 64 tables in one statement; a few are left for access controls."""
COUNT_IGNORES_ACL = "midspan.table_api.count_ignores_acl"


class PageOfRows(Struct, frozen=True):
    """Rendered rows, how many there are on all pages, and what was left out of the request."""

    rows: list[dict[str, object]]
    total: int | None
    warnings: tuple[str, ...]
    found: int
    """How many rows the page has."""
    text: orjson.Fragment | None = None
    """The rows as JSON, where the database made it; then ``rows`` is empty."""


def open_table(snapshot: Snapshot, name: str) -> Table:
    """Return a table that this surface may touch.

    Raises:
        InvalidTable: there is none.
        NotAuthorized: it is closed to web services.
    """
    table = snapshot.dictionary.table(name)
    if not table.ws_access:
        raise NotAuthorized("User Not Authorized", detail="Failed API level ACL Validation")
    return table


def read_page(
    request: Request, table: str, wanted: ListRequest, *, as_text: bool = False
) -> PageOfRows:
    """Return one page of a table; ``as_text`` lets the database make JSON of it if it can.

    Raises:
        NotAuthorized: the query uses a field that the actor may not read.
    """
    records, snapshot = request.parts.records, request.snapshot
    view = shown_view(snapshot, table, wanted.shape)
    now = request.parts.clock.now()
    options = ReadOptions(
        columns=view.names,
        limit=wanted.limit,
        offset=wanted.offset,
        unknown=wanted.unknown,
        values=records.session_values(request.actor, now),
    )
    plan = plan_read(snapshot.dictionary, table, wanted.query, options)
    access = records.access(request.actor, snapshot, now)
    seen = access.restrict(plan)
    check_walks(seen)
    part = _part(request, table, wanted, seen)
    with records.read(request.actor) as transaction:
        transaction.use(snapshot)
        made = (
            part.run_json(transaction, layout_of(view, seen))
            if as_text and view.display is Display.VALUE
            else None
        )
        shown: list[dict[str, object]] = []
        if made is None:
            rows = part.run(transaction)
            found, shown = len(rows), rendered(request, transaction, view, seen, rows)
        else:
            found = made[1]
        total = None
        if wanted.count and request.property_flag(COUNT_IGNORES_ACL):
            condition = access.guarded(plan.condition)
            total = transaction.count(structs.replace(plan, condition=condition))
        elif wanted.count:
            total = part.total(transaction, found)
    warnings = (*wanted.warnings, *view.warnings, *plan.warnings)
    return PageOfRows(shown, total, warnings, found, made[0] if made else None)


class Part(Struct, frozen=True):
    """A page of a restricted plan: the rows from a number on, or behind the page before."""

    offset: int
    """Rows before it; as many as were asked to be skipped."""
    width: int
    """Columns that were asked for; others behind them tell where the page ends."""
    plan: ReadPlan
    """Its own offset is that of the statement."""
    places: tuple[int, ...]
    keep: Callable[[int, Mark], None]

    def run(self, transaction: RecordTransaction) -> list[Row]:
        """Return the rows and remember where they end."""
        rows = transaction.run(self.plan)
        if rows:
            self.keep(self.offset + len(rows), mark_of(rows[-1], self.places))
        width = max(self.width, 1)
        return rows if len(self.plan.columns) <= width else [row[:width] for row in rows]

    def run_json(
        self, transaction: RecordTransaction, layout: Layout
    ) -> tuple[orjson.Fragment, int] | None:
        """Do as ``run``; return the rows as JSON and how many, or None where they are to be run."""
        if layout.references:
            return None
        members = tuple(zip(layout.names, layout.places, strict=True))
        made = transaction.run_json(self.plan, members, self.places)
        if made is None:
            return None
        text, marks = made
        if marks:
            mark = mark_of(marks[-1], range(len(self.places)))
            self.keep(self.offset + len(marks), mark)
        return orjson.Fragment(text), len(marks)

    def total(self, transaction: RecordTransaction, found: int) -> int:
        """Return how many rows the reading has: those before the page, and those left.

        Counts, unless the page itself tells: it is the last one.
        """
        short = self.plan.limit is None or found < self.plan.limit
        if short and (found or self.plan.offset == 0):
            return self.offset + found
        return self.offset - self.plan.offset + transaction.count(self.plan)


def _part(request: Request, table: str, wanted: ListRequest, seen: ReadPlan) -> Part:
    sys_id = request.snapshot.dictionary.path(table, "sys_id")
    plan, places = marked(seen, sys_id)
    marks, reading = request.parts.page_marks, _reading(request, table, wanted)
    mark = marks.find(reading, wanted.offset)
    if mark is not None and len(mark.values) == len(plan.order):
        condition = both(plan.condition, behind_mark(plan.order, sys_id, mark))
        plan = structs.replace(plan, condition=condition, offset=0)
    return Part(
        offset=wanted.offset,
        width=len(seen.columns),
        plan=plan,
        places=places,
        keep=lambda offset, mark: marks.keep(reading, offset, mark),
    )


def _reading(request: Request, table: str, wanted: ListRequest) -> bytes:
    """Return what tells one reading from others: who reads from where, and what he asks for."""
    who = (request.actor.sys_id, request.address, request.headers.get("user-agent") or "")
    life = request.parts.records.database.lives.begun  # pages of before a reset are another's
    asked = (who, table, wanted.unknown, wanted.query, life)
    return hashlib.blake2b(msgspec.msgpack.encode(asked), digest_size=16).digest()


def check_walks(plan: ReadPlan) -> None:
    """Refuse a plan that walks more references than a database joins tables.

    Raises:
        InvalidRequest: names the number and the limit.
    """
    named = (*plan.columns, *(sort.path for sort in plan.order))
    paths = [*(leaf for path in named for leaf in leaves(path)), *paths_of(plan.condition)]
    deepest = max((len(path.steps) - 1 for path in paths), default=0)
    if deepest > MOST_WALKS:  # the names of all steps of a very long walk would fill the memory
        raise _too_many_walks(deepest)
    walked = {path.name.rpartition(".")[0] for path in paths}
    for name in list(walked):
        parts = name.split(".")
        walked.update(".".join(parts[:count]) for count in range(1, len(parts)))
    count = len(walked - {""})
    if count > MOST_WALKS:
        raise _too_many_walks(count)
    for related in related_in(plan.condition):
        inside = ReadPlan(
            table=related.table, columns=(related.other,), condition=related.condition
        )
        check_walks(inside)


def _too_many_walks(count: int) -> InvalidRequest:
    return InvalidRequest(
        f"The request walks {count} references",
        detail=f"At most {MOST_WALKS} are possible; ask for fewer dotted fields.",
    )


def read_record(
    request: Request, transaction: RecordTransaction, view: View, sys_id: str
) -> dict[str, object]:
    """Return one record as the actor of the transaction sees it.

    Raises:
        RecordNotFound: there is none, or the actor may not read it.
    """
    access = transaction.access.of_row(view.table, sys_id)
    one = _one(transaction.snapshot, access, transaction.database.dialect, view)
    rows = transaction.run_prepared(one.read, sys_id)
    if not rows:
        raise RecordNotFound(view.table, sys_id)
    if view.display is Display.VALUE:
        return stored_values(one.layout, rows[:1], link_start(request))[0]
    return rendered(request, transaction, view, one.read.plan, rows)[0]


def read_stored_at_once(request: Request, view: View, sys_id: str) -> dict[str, object] | None:
    """Return the stored values of one record without waiting; None when that cannot be done.

    Raises:
        RecordNotFound: there is none, or the actor may not read it.
    """
    if view.display is not Display.VALUE:
        return None
    records, snapshot = request.parts.records, request.snapshot
    dialect = records.database.dialect
    if view.shape.small and records.settled(snapshot):
        one = snapshot.derive(_settled, request.actor, dialect, view.table, view.shape)
    else:
        if records.narrows(view.table, snapshot):
            return None
        access = records.access(request.actor, snapshot, request.parts.clock.now())
        if access.foreknown or access.depends(view.table):
            return None
        one = _one(snapshot, access.of_row(view.table, sys_id), dialect, view)
    row = records.read_at_once(one.read, sys_id)
    if row is LATER:
        return None
    if row is None:
        raise RecordNotFound(view.table, sys_id)
    links = link_start(request) if one.layout.references else ""
    return stored_values(one.layout, (row,), links)[0]


class _One(Struct, frozen=True):
    """What it takes to read one record for one view and actor."""

    read: PreparedRead
    layout: Layout


def _one(snapshot: Snapshot, access: Access, dialect: Dialect, view: View) -> _One:
    if view.shape.small:
        return snapshot.derive(_prepared, access, dialect, view.table, view.shape)
    return _prepared(snapshot, access, dialect, view.table, view.shape)


def _settled(
    snapshot: Snapshot, actor: Actor, dialect: Dialect, table: str, shape: RowShape
) -> _One:
    return _prepared(snapshot, settled_access(snapshot, actor), dialect, table, shape)


def _prepared(
    snapshot: Snapshot, access: Access, dialect: Dialect, table: str, shape: RowShape
) -> _One:
    view = shown_view(snapshot, table, shape)
    read = prepare_read(snapshot, access, dialect, table, view.names, check_walks)
    return _One(read, layout_of(view, read.plan))


def shown_view(snapshot: Snapshot, table: str, shape: RowShape) -> View:
    """Return the view of a table that exists, remembered with the snapshot."""
    return snapshot.derive(_view, table, shape) if shape.small else _view(snapshot, table, shape)


def _view(snapshot: Snapshot, table: str, shape: RowShape) -> View:
    if not shape.view:
        return view_of(snapshot.dictionary, table, shape)
    chosen = answered(snapshot, table, shape.view)
    view = view_of(snapshot.dictionary, table, structs.replace(shape, fields=chosen.fields))
    return structs.replace(view, shape=shape, warnings=(*view.warnings, *chosen.warnings))


def rendered(
    request: Request,
    transaction: RecordTransaction,
    view: View,
    plan: ReadPlan,
    rows: Sequence[Row],
) -> list[dict[str, object]]:
    """Return rows of a restricted plan in the form of the view."""
    links = link_start(request)
    if view.display is Display.VALUE:
        return stored_values(layout_of(view, plan), rows, links)
    locale = locale_of(request.actor, transaction.snapshot.part(PROPERTIES))
    page = Page(plan, rows, transaction.dictionary, locale, links)
    return render(view, page, _shown(transaction, view, page))


def link_start(request: Request) -> str:
    """Return what the links of an answer start with; the name of a table follows."""
    version = api_version(request.path)
    return f"{request.base_url}/api/now/{f'{version}/' if version else ''}table/"


def _shown(transaction: RecordTransaction, view: View, page: Page) -> Shown:
    """Look up what the page shows and its rows do not hold."""
    if view.display is Display.VALUE or not page.rows:
        return Shown({}, {})
    wanted: dict[str, set[str]] = {}
    for column in view.columns:
        joined = column.joined is not None and column.joined.name in page.positions
        if column.target and not joined and column.target in page.dictionary:
            texts = (text for text in page.texts(column.name) if text)
            ids = {part.strip() for text in texts for part in text.split(",")}
            wanted.setdefault(column.target, set()).update(ids - {"", "global"})
    names = {
        table: _names(transaction, page.dictionary.table(table), ids, page.locale)
        for table, ids in wanted.items()
        if ids
    }
    return Shown(names, _journals(transaction, view, page) if view.journals else {})


def _names(
    transaction: RecordTransaction, table: Table, ids: set[str], locale: Locale
) -> dict[str, str]:
    """Return the display values of those records that the actor may read."""
    dictionary = transaction.dictionary
    path = dictionary.path(table.name, table.display)
    path = display_path(dictionary, table.name, path) or path
    if path.field.kind.secret:
        return {}
    access = transaction.access.names(path)
    rows = _rows_of(transaction, table.name, ("sys_id", path.name), ids, access=access)
    show = show_function(path.field, dictionary, locale)
    texts = show_all(show, [row[1] or "" for row in rows])
    return {row[0]: text for row, text in zip(rows, texts, strict=True)}


def _journals(transaction: RecordTransaction, view: View, page: Page) -> dict[tuple[str, str], str]:
    """Return the history of each journal field by record and field name, newest entry first."""
    fields = page.dictionary.table(view.table).fields
    visible = {name for name in page.positions if name in fields and fields[name].kind.journal}
    ids = set(page.texts("sys_id")) - {""}
    if not visible or not ids:
        return {}
    names = ("element_id", "element", "value", "sys_created_on", "sys_created_by")
    sorts = ("sys_created_on", "sys_id")
    newest = tuple(Sort(page.dictionary.path("sys_journal_field", name), True) for name in sorts)
    rows = _rows_of(transaction, "sys_journal_field", names, ids, newest)
    people = full_names(transaction, {row[4] for row in rows if row[4]})
    history: dict[tuple[str, str], str] = {}
    together = [name for name, field in fields.items() if field.type == "journal_list"]
    for record, element, text, created, author in rows:
        if element not in visible:
            continue
        when = datetime_shown(created or "", page.locale)
        who = people.get(author or "", author or "")
        entry = f"{when} - {who} ({fields[element].label})\n{text or ''}\n\n"
        for name in (element, *together):
            history[record, name] = history.get((record, name), "") + entry
    return history


def full_names(transaction: RecordTransaction, user_names: set[str]) -> dict[str, str]:
    """Return the names of users by user name, of those that the actor may read."""
    names = ("user_name", "name")
    access = transaction.access.names(transaction.dictionary.path("sys_user", "name"))
    rows = _rows_of(transaction, "sys_user", names, user_names, access=access)
    return {row[0]: row[1] for row in rows if row[1]}


def _rows_of(
    transaction: RecordTransaction,
    table: str,
    names: Sequence[str],
    values: Iterable[str],
    order: tuple[Sort, ...] = (),
    *,
    access: Condition = ALWAYS,
) -> list[Row]:
    """Read columns of the rows whose first is one of ``values`` and that meet ``access``."""
    dictionary: Dictionary = transaction.dictionary
    columns: tuple[FieldPath, ...] = tuple(dictionary.path(table, name) for name in names)
    if access == NEVER:
        return []
    test = Test(columns[0], Operator.IN, tuple(sorted(values)))
    condition = both(test, access)
    return transaction.run(ReadPlan(table=table, columns=columns, condition=condition, order=order))
