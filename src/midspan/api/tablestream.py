"""Rows of a table page by page: long answers that never hold more than one page in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from msgspec import Struct, structs

from midspan.api.request import Request
from midspan.api.response import Body
from midspan.api.tableread import check_walks, rendered, shown_view
from midspan.api.tablerequest import RowShape
from midspan.api.tableview import View
from midspan.api.waiting import in_thread
from midspan.dictionary import Table
from midspan.query import Query, ReadOptions, ReadPlan, Unknown, both, plan_read
from midspan.query.keyset import Mark, behind_mark, mark_of, marked
from midspan.records import Snapshot

PAGE = 500
"""Rows that are read by one statement."""
WHOLE = 256 * 1024
"""Bytes of an answer up to which it is sent as a whole, with its length."""

Rows = list[dict[str, object]]


class Selection(Struct, frozen=True, kw_only=True):
    """What is wanted of a table: which rows, at most how many, and what they look like."""

    table: Table
    query: Query
    unknown: Unknown
    shape: RowShape
    limit: int


class Reading:
    """The rows of one selection as the sender of a request sees them.

    Pages are read one after the other, each in its own transaction, behind the last row of the one
    before. So a row that is written meanwhile may be missing, but none comes twice.
    """

    def __init__(self, request: Request, snapshot: Snapshot, view: View, plan: ReadPlan) -> None:
        self._request = request
        self._snapshot = snapshot
        self._plan = plan
        self.view = view
        self.visible = frozenset(path.name for path in plan.columns)
        """Names of the columns that the sender may read."""
        self.warnings = (*view.warnings, *plan.warnings)

    def pages(self) -> Iterator[Rows]:
        """Yield pages of at most 500 rows; the last one may be empty."""
        sys_id = self._snapshot.dictionary.path(self.view.table, "sys_id")
        plan, places = marked(self._plan, sys_id)
        width = max(len(self._plan.columns), 1)
        left, mark = self._plan.limit or 0, Mark((), "")
        while left > 0:
            size = min(PAGE, left)
            rows, mark = self._page(structs.replace(plan, limit=size), mark, places, width)
            yield rows
            if len(rows) < size:
                return
            left -= size

    def goes_on(self) -> bool:
        """Tell whether there are rows behind the most that were asked for."""
        behind = structs.replace(self._plan, offset=self._plan.limit or 0, limit=1)
        with self._request.parts.records.read(self._request.actor) as transaction:
            transaction.use(self._snapshot)
            return bool(transaction.run(behind))

    def _page(
        self, plan: ReadPlan, mark: Mark, places: tuple[int, ...], width: int
    ) -> tuple[Rows, Mark]:
        if mark.sys_id:
            sys_id = self._snapshot.dictionary.path(self.view.table, "sys_id")
            condition = both(plan.condition, behind_mark(plan.order, sys_id, mark))
            plan = structs.replace(plan, condition=condition)
        with self._request.parts.records.read(self._request.actor) as transaction:
            transaction.use(self._snapshot)
            rows = transaction.run(plan)
            if rows:
                mark = mark_of(rows[-1], places)
            cut = rows if len(plan.columns) <= width else [row[:width] for row in rows]
            return rendered(self._request, transaction, self.view, self._plan, cut), mark


def open_reading(request: Request, wanted: Selection) -> Reading:
    """Return the reading of a selection; nothing is read yet.

    Raises:
        NotAuthorized: the query uses a field that the sender may not read.
        InvalidRequest: it walks too many references.
    """
    records, snapshot = request.parts.records, request.snapshot
    view = shown_view(snapshot, wanted.table.name, wanted.shape)
    now = request.parts.clock.now()
    options = ReadOptions(
        columns=view.names,
        limit=wanted.limit,
        unknown=wanted.unknown,
        values=records.session_values(request.actor, now),
    )
    plan = plan_read(snapshot.dictionary, wanted.table.name, wanted.query, options)
    seen = records.access(request.actor, snapshot, now).restrict(plan)
    check_walks(seen)
    return Reading(request, snapshot, view, seen)


def body_of(pieces: Iterator[bytes]) -> Body:
    """Return a body: a short one as a whole, the pieces of a long one as they are asked for."""
    begun: list[bytes] = []
    size = 0
    for piece in pieces:
        begun.append(piece)
        size += len(piece)
        if size > WHOLE:
            return _stream(begun, pieces)
    return b"".join(begun)


async def _stream(begun: list[bytes], pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    yield b"".join(begun)
    begun.clear()
    while True:
        piece = await in_thread(next, pieces, None)
        if piece is None:
            return
        if piece:
            yield piece
