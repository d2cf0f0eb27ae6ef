"""Reads of one record by its id: planned, restricted and compiled once, run many times."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Struct

from midspan.query import Operator, Query, ReadOptions, ReadPlan, Test, plan_read
from midspan.records.snapshot import Snapshot
from midspan.security import Access
from midspan.storage import Dialect, Statement, compile_read

_OPEN = "\0"
"""Stands for the id until it is known. No stored text and no parameter of a request holds NUL."""


class PreparedRead(Struct, frozen=True):
    """The statement that reads one record of a table as one actor sees it."""

    plan: ReadPlan
    """What is read; its columns are those of the row, and its masks have yet to be applied."""
    sql: str
    _before: tuple[object, ...]
    _after: tuple[object, ...]

    def params(self, sys_id: str) -> tuple[object, ...]:
        """Return the parameters that read the record with this id."""
        return (*self._before, sys_id or None, *self._after)


def prepare_read(
    snapshot: Snapshot,
    access: Access | None,
    dialect: Dialect,
    table: str,
    columns: tuple[str, ...],
    check: Callable[[ReadPlan], None] | None = None,
) -> PreparedRead:
    """Prepare the read of ``columns`` of one record, with everything ``access`` leaves out.

    Remember it with ``Snapshot.derive``: the access object stands for the actor. ``check`` may
    refuse the restricted plan. Rows that scripts decide about are left out: see ``Access.of_row``.

    Raises:
        NotAuthorized: the actor may not even ask for a sys_id of this table.
    """
    dictionary = snapshot.dictionary
    every = plan_read(dictionary, table, Query(), ReadOptions(columns=columns))
    one = Test(dictionary.path(table, "sys_id"), Operator.EQUALS, (_OPEN,))
    plan = msgspec.structs.replace(every, condition=one, limit=1)
    if access is not None:
        plan = access.restrict(plan)
    if check is not None:
        check(plan)
    statement = compile_read(msgspec.structs.replace(plan, masks=()), dictionary, dialect)
    place = _place(statement)
    params = statement.params
    return PreparedRead(plan, statement.sql, params[:place], params[place + 1 :])


def _place(statement: Statement) -> int:
    return next(place for place, value in enumerate(statement.params) if value == _OPEN)
