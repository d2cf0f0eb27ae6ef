"""Rows that others push: staged, transformed by every map and answered in one transaction.

They belong to an import set of the day and the table; many at once to one of their own. While a set
is asynchronous its rows are kept for whoever transforms it. Each further map of the table has a
staging row of its own, because a row holds what became of it. Whoever may create rows of the
staging table may do what its maps do: they run with the rights of the platform and in the caller's
name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from midspan.dictionary import Table
from midspan.importsets.load import ROOT, staged_columns
from midspan.importsets.maps import TransformMap, hold_keys, known_maps
from midspan.importsets.pages import FieldScripts, transform_whole
from midspan.importsets.transform import RowOutcome, Told
from midspan.kernel.errors import InvalidRequest, NotAuthorized, RecordNotFound
from midspan.records import (
    Record,
    RecordStore,
    RecordTransaction,
    insert,
    update,
)
from midspan.records.change import ACL_DETAIL
from midspan.security import SYSTEM, Actor

BY = "web service"
"""What ``creation_source`` says of sets that rows are pushed into."""
BY_MANY = "insertMultiple"
"""What it says of a set for the rows of one SOAP message; a rule may make it asynchronous."""
Later = Callable[[RecordTransaction, str], None]
"""Has a set transformed after the transaction that made it."""
_SET = "sys_import_set"


class RowResult(Struct, frozen=True, kw_only=True):
    """What one map made of one row."""

    map: str
    staging_row: str
    status: str
    """``inserted``, ``updated``, ``ignored``, ``skipped``, ``error``; ``pending`` without a map."""
    comment: str = ""
    table: str = ""
    sys_id: str = ""
    """The target record; empty when there is none."""
    display_name: str = ""
    """The field by which people call records of the table."""
    display_value: str = ""
    told: Told = Told()
    """What scripts have to say about it."""

    @property
    def status_message(self) -> str:
        """What is said of a row that is not in error."""
        return self.told.status or ("" if self.status == "error" else self.comment)

    @property
    def error_message(self) -> str:
        """What is said of one that is, or that a script has something to complain of."""
        return self.told.error or (self.comment if self.status == "error" else "")


class Pushed(Struct, frozen=True, kw_only=True):
    """The set that rows went into, and the results of each row in the order of the maps."""

    import_set: str
    number: str
    staging: str
    rows: tuple[tuple[RowResult, ...], ...]


class PushedRows:
    """Takes rows in and transforms them at once; safe to use from many threads."""

    def __init__(self, records: RecordStore, scripts: FieldScripts | None = None) -> None:
        self._records = records
        self._scripts = scripts

    def push(
        self,
        staging: str,
        rows: Sequence[Mapping[str, str]],
        *,
        actor: Actor,
        later: Later | None = None,
    ) -> Pushed:
        """Stage rows, whose unknown columns are left out, and run the active maps of the table.

        With ``later`` they get a set of their own, which is left to it if it is asynchronous.

        Raises:
            InvalidTable, InvalidRequest: there is no such table, or it is no staging table.
            InvalidRequest: the actor may not create its rows.
            InvalidDefinition: a map has a wrong name.
        """
        with self._records.write(actor) as transaction:
            check_staging(transaction, staging)
            check_create(transaction, staging)
            transaction.enforce = False
            maps = known_maps(transaction, staging)
            hold_keys(transaction, maps)
            opened = _own_set(transaction, staging) if later else _open_set(transaction, staging)
            waits = opened.get("mode") == "asynchronous"
            if waits:
                maps, known = (), maps
            staged = self._stage(transaction, staging, opened, rows, copies=max(1, len(maps)))
            outcomes = [
                transform_whole(transaction, self._scripts, each, page, opened.sys_id)
                for each, page in zip(maps, staged, strict=False)
            ]
            results = _results(transaction, maps, outcomes)
            if not maps:
                results = [[_waiting(row, loaded=waits) for row in staged[0]]]
            if later and waits and known and rows:
                later(transaction, opened.sys_id)
            elif later:
                transaction.apply(update(_SET, opened.sys_id, {"state": "processed"}))
        return Pushed(
            import_set=opened.sys_id,
            number=opened.get("number"),
            staging=staging,
            rows=tuple(zip(*results, strict=True)),
        )

    def find(self, staging: str, sys_id: str, *, actor: Actor) -> Pushed:
        """Return what became of a staging row.

        Raises:
            InvalidTable, InvalidRequest: there is no such table, or it is no staging table.
            RecordNotFound: there is no such row, or the actor may not read it.
        """
        with self._records.read(actor) as transaction:
            check_staging(transaction, staging)
            row = transaction.get(staging, sys_id)
            if row is None:
                raise RecordNotFound(staging, sys_id)
            outcome = RowOutcome(
                row,
                row.get("sys_import_state"),
                row.get("sys_import_state_comment"),
                target_id=row.get("sys_target_sys_id"),
                target_table=row.get("sys_target_table"),
            )
            shown = _readable(transaction, outcome)
        with self._records.read(SYSTEM) as transaction:
            opened = transaction.get(_SET, row.get("sys_import_set"))
            used = transaction.get("sys_transform_map", row.get("sys_transform_map"))
            name, target = (used.get("name"), used.get("target_table")) if used else ("", "")
            result = _result(name, target, outcome, shown)
        return Pushed(
            import_set=opened.sys_id if opened else "",
            number=opened.get("number") if opened else "",
            staging=staging,
            rows=((result,),),
        )

    def _stage(
        self,
        transaction: RecordTransaction,
        staging: str,
        opened: Record,
        rows: Sequence[Mapping[str, str]],
        *,
        copies: int,
    ) -> list[list[Record]]:
        """Write the rows, once for each map, and return them."""
        columns = staged_columns(transaction, staging)
        pages: list[list[Record]] = []
        for _ in range(copies):
            page = [
                Record(
                    staging,
                    {
                        **{name: row.get(name, "") for name in columns},
                        "sys_id": self._records.ids.sys_id(),
                        "sys_class_name": staging,
                        "sys_import_set": opened.sys_id,
                        "sys_import_row": str(place),
                        "sys_import_state": "pending",
                    },
                )
                for place, row in enumerate(rows)
            ]
            transaction.engine_insert(staging, [row.values for row in page])
            pages.append(page)
        return pages


def _open_set(transaction: RecordTransaction, staging: str) -> Record:
    """Return the set that rows go into: an asynchronous one until it is loaded, else that of today.

    The first row of a day opens a set; that of the next day closes it.
    """
    query = f"table_name={staging}^state=loading^creation_source={BY}^ORDERBYsys_created_on"
    today = transaction.now_text[:10]
    kept: Record | None = None
    found: Record | None = None
    for known in transaction.find(_SET, query):
        if known.get("mode") == "asynchronous":
            kept = kept or known
        elif known.get("sys_created_on")[:10] == today:
            found = found or known
        else:
            transaction.apply(update(_SET, known.sys_id, {"state": "processed"}))
    found = kept or found
    if found is None:
        values = {"table_name": staging, "mode": "synchronous", "creation_source": BY}
        made = transaction.apply(insert(_SET, {**values, "state": "loading"}))
        found = transaction.require(_SET, made.sys_id)
    return found


def _own_set(transaction: RecordTransaction, staging: str) -> Record:
    """Return a set for the rows of one message; rules have said whether it is asynchronous."""
    values = {
        "table_name": staging,
        "state": "loaded",
        "mode": "synchronous",
        "creation_source": BY_MANY,
        "load_completed": transaction.now_text,
    }
    return transaction.require(_SET, transaction.apply(insert(_SET, values)).sys_id)


def is_staging(table: Table) -> bool:
    """Tell whether a table takes rows that are then transformed."""
    return table.root == ROOT and table.name != ROOT


def check_staging(transaction: RecordTransaction, staging: str) -> None:
    """Refuse a table that takes no rows.

    Raises:
        InvalidTable, InvalidRequest: there is no such table, or it is no staging table.
    """
    if not is_staging(transaction.dictionary.table(staging)):
        raise InvalidRequest(
            f"{staging} is no staging table",
            hint="Push rows into a table that extends sys_import_set_row.",
        )


def check_create(transaction: RecordTransaction, staging: str) -> None:
    """Refuse an actor who may not create rows of a staging table.

    Raises:
        NotAuthorized: he may not.
    """
    if not transaction.access.allows(staging, "create", lambda _: ""):
        raise NotAuthorized("Operation Failed", detail=ACL_DETAIL.format("Insert"))


def _waiting(row: Record, *, loaded: bool) -> RowResult:
    """Return what is told of a row that was not transformed; of a loaded one that it is there."""
    status, table = ("inserted", row.table) if loaded else ("pending", "")
    return RowResult(map="", staging_row=row.sys_id, status=status, table=table)


def _results(
    transaction: RecordTransaction,
    maps: Sequence[TransformMap],
    outcomes: Sequence[Sequence[RowOutcome]],
) -> list[list[RowResult]]:
    shown = _shown(transaction, [outcome for page in outcomes for outcome in page])
    return [
        [_result(definition.name, definition.target, outcome, shown) for outcome in page]
        for definition, page in zip(maps, outcomes, strict=True)
    ]


def _result(
    name: str, target: str, outcome: RowOutcome, shown: Mapping[str, tuple[str, str]]
) -> RowResult:
    display_name, display_value = shown.get(outcome.target_id, ("", ""))
    return RowResult(
        map=name,
        staging_row=outcome.row.sys_id,
        status=outcome.state,
        comment=outcome.comment,
        table=outcome.target_table or target,
        sys_id=outcome.target_id,
        display_name=display_name,
        display_value=display_value,
        told=outcome.told,
    )


def _readable(transaction: RecordTransaction, outcome: RowOutcome) -> dict[str, tuple[str, str]]:
    """Return how people call the target of a row, where the actor may read that."""
    if outcome.target_table not in transaction.dictionary:
        return {}
    display = transaction.dictionary.table(outcome.target_table).display
    record = transaction.get(outcome.target_table, outcome.target_id)
    if record is None or not transaction.access.field(record.table, display, "read"):
        return {}
    return {outcome.target_id: (display, record.get(display))}


def _shown(
    transaction: RecordTransaction, outcomes: Sequence[RowOutcome]
) -> dict[str, tuple[str, str]]:
    """Return by target record the field by which people call it, and how they do."""
    ids: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.target_id and outcome.target_table in transaction.dictionary:
            ids.setdefault(outcome.target_table, []).append(outcome.target_id)
    found: dict[str, tuple[str, str]] = {}
    for table, wanted in ids.items():
        display = transaction.dictionary.table(table).display
        for sys_id, record in transaction.load(table, wanted).items():
            found[sys_id] = (display, record.get(display))
    return found
