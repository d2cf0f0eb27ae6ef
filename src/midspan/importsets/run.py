"""Runs the transform of a loaded import set: pages in order, each in one transaction.

A page's target records, row states and totals are committed together. A run that stops half-way
leaves the rest of the rows ``pending``; transforming the set again continues the same run there and
touches nothing that was done. Each page locks its run and counts on from what is stored, so two
nodes that work on one set at once share its pages and neither counts a row twice. Several maps run
one after the other; every further one gets rows of its own, copied with the page of the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import BinaryIO

from msgspec import Struct

from midspan.dictionary.values import datetime_text, parse_datetime
from midspan.importsets.load import BadRow, LoadResult, StagingLoader
from midspan.importsets.maps import TransformMap, hold_keys, load_maps
from midspan.importsets.pages import FieldScripts, begun, keep_outcomes, transform_page
from midspan.importsets.rowwise import IGNORED
from midspan.importsets.scripts import MapScripts
from midspan.importsets.transform import RowOutcome
from midspan.kernel.clock import Clock
from midspan.kernel.errors import InvalidDefinition, did_you_mean
from midspan.query import ReadOptions, Unknown, parse, plan_read
from midspan.records import Record, RecordStore, RecordTransaction, update
from midspan.security import SYSTEM, Actor

PAGE = 500
STEERED_PAGE = 100
"""Rows of a page that scripts take one by one: others wait for the end of its transaction."""
UNREADABLE = 10
"""Row error code of a source row that could not be read."""
STATES = {
    "inserted": "inserts",
    "updated": "updates",
    "ignored": "ignored",
    "skipped": "skipped",
    "error": "errors",
}


class Totals(Struct, frozen=True, kw_only=True):
    """What became of the rows; the parts always add up to ``total``."""

    inserts: int = 0
    updates: int = 0
    ignored: int = 0
    skipped: int = 0
    errors: int = 0

    @property
    def total(self) -> int:
        """Number of rows of the source."""
        return self.inserts + self.updates + self.ignored + self.skipped + self.errors

    @classmethod
    def of(cls, run: Record) -> Totals:
        """Return the totals that a stored run has so far."""
        return cls(**{name: int(run.get(name) or 0) for name in STATES.values()})

    def plus(self, outcomes: Sequence[RowOutcome]) -> Totals:
        """Return the totals with more rows counted."""
        counts = {name: getattr(self, name) for name in STATES.values()}
        for outcome in outcomes:
            counts[STATES[outcome.state]] += 1
        return Totals(**counts)


class ImportRun(Struct, frozen=True, kw_only=True):
    """One transform of one import set by one map."""

    sys_id: str
    import_set: str
    map: str
    totals: Totals
    state: str
    halted: str = ""
    """Why a script ended the run before its time; the rest of the rows is still to be done."""


class Rights(Struct, frozen=True):
    """In whose name a transform writes, and whether his access controls hold for it."""

    actor: Actor
    enforce: bool


class _Share(Struct, frozen=True):
    """What one map has to do: its own rows, and those for the maps that follow it to write."""

    definition: TransformMap
    further: tuple[TransformMap, ...] = ()


class _Work(Struct, frozen=True):
    """One map's run of a set; ``left_out`` when a script at its start wanted none of the rows."""

    loaded: LoadResult
    share: _Share
    rights: Rights
    steering: MapScripts | None
    left_out: bool

    @property
    def halted(self) -> str:
        """Why a script ended the run, or nothing."""
        return "" if self.steering is None else self.steering.halted


Progress = Callable[[int], None]
"""Is told the number of rows of each finished page."""


def _quiet(_: int) -> None:
    """Report progress to nobody."""


class ImportRunner:
    """Loads and transforms; safe to use from many threads."""

    def __init__(
        self, records: RecordStore, clock: Clock, scripts: FieldScripts | None = None
    ) -> None:
        self._records = records
        self._clock = clock
        self._scripts = scripts
        self.loader = StagingLoader(records)

    def import_csv(
        self, stream: BinaryIO, source: str, *, actor: Actor = SYSTEM, progress: Progress = _quiet
    ) -> list[ImportRun]:
        """Load a CSV file through a data source and run its maps with the actor's rights.

        Raises:
            InvalidDefinition: no such data source, no map, or an unknown name in a map.
        """
        record = self.source(source)
        staging = record.get("import_set_table_name")
        loaded = self.loader.load_csv(
            stream,
            staging,
            source=record.sys_id,
            delimiter=record.get("csv_delimiter") or ",",
        )
        return self.transform(loaded, actor=actor, progress=progress)

    def source(self, name: str) -> Record:
        """Return the data source with this name or id."""
        with self._records.read(SYSTEM) as transaction:
            found = transaction.get("sys_data_source", name) if len(name) == 32 else None
            found = found or transaction.first("sys_data_source", f"name={name}")
            if found is None:
                known = [record.get("name") for record in transaction.find("sys_data_source", "")]
                raise InvalidDefinition(
                    f"There is no data source {name}", hint=did_you_mean(name, known)
                )
        return found

    def transform(
        self,
        loaded: LoadResult,
        *,
        actor: Actor = SYSTEM,
        enforce: bool = True,
        progress: Progress = _quiet,
        only: str = "",
    ) -> list[ImportRun]:
        """Run the active maps of the set's staging table in their order, or ``only`` the one.

        Without ``enforce`` the maps have the rights of the platform, in the actor's name.
        """
        with self._records.read(SYSTEM) as transaction:
            maps = load_maps(transaction, loaded.staging)
        maps = [definition for definition in maps if only in ("", definition.sys_id)]
        if not maps:
            raise InvalidDefinition(
                f"No active transform map reads {loaded.staging}",
                hint="Add one, or check its source table.",
            )
        rights = Rights(actor, enforce and not actor.trusted)
        shares = [_Share(maps[0], tuple(maps[1:])), *(_Share(each) for each in maps[1:])]
        runs: list[ImportRun] = []
        for share in shares:
            runs.append(self._run(loaded, share, rights, progress))
            if runs[-1].halted:
                break
        values = {"state": "processed"}
        if runs[-1].halted:
            values = {"state": "error", "message": runs[-1].halted[:4000]}
        with self._records.write(SYSTEM, enforce=False) as transaction:
            transaction.apply(update("sys_import_set", loaded.import_set, values))
        return runs

    def _run(
        self, loaded: LoadResult, share: _Share, rights: Rights, progress: Progress
    ) -> ImportRun:
        """Run one map; what scripts of its start left in variables is there until its end."""
        definition = share.definition
        run_id = self._open(loaded, definition)
        with begun(self._scripts, definition, loaded.import_set, long=True) as steering:
            work = _Work(loaded, share, rights, steering, self._is_left_out(rights, steering))
            while not work.halted and (done := self._page(run_id, work)):
                progress(done)
            run = self._close(run_id, work)
        return ImportRun(
            sys_id=run_id,
            import_set=loaded.import_set,
            map=definition.name,
            totals=Totals.of(run),
            state=run.get("state"),
            halted=work.halted,
        )

    def _is_left_out(self, rights: Rights, steering: MapScripts | None) -> bool:
        """Run what comes before the first row; tell whether it wants no row of the run."""
        if steering is None:
            return False
        with self._records.write(rights.actor, enforce=rights.enforce) as transaction:
            wanted = steering.start(transaction)
        return wanted.ignore and not wanted.error

    def _page(self, run_id: str, work: _Work) -> int:
        """Transform the next pending rows in the order of the source; return how many there were.

        They are read under the lock of the run: who comes second finds the first one's rows done.
        """
        loaded, share, rights = work.loaded, work.share, work.rights
        definition = share.definition
        query = (
            f"sys_import_set={loaded.import_set}^sys_import_state=pending"
            f"^sys_transform_mapISEMPTY^ORsys_transform_map={definition.sys_id}"
            "^ORDERBYsys_import_row"
        )
        with self._records.write(rights.actor, enforce=rights.enforce) as transaction:
            run = _locked(transaction, run_id)
            hold_keys(transaction, (definition,))
            size = PAGE if work.steering is None else STEERED_PAGE
            rows = self._staged(transaction, loaded.staging, query, size)
            if rows:
                self._copy(transaction, rows, share.further)
                outcomes = self._transformed(transaction, work, rows, run_id)
                self._save(transaction, run, Totals.of(run).plus(outcomes), "running")
        return len(rows)

    def _transformed(
        self, transaction: RecordTransaction, work: _Work, rows: Sequence[Record], run_id: str
    ) -> list[RowOutcome]:
        definition = work.share.definition
        if work.left_out:
            outcomes = [RowOutcome(row, "ignored", IGNORED.format("onStart")) for row in rows]
            keep_outcomes(transaction, definition, outcomes, run_id)
            return outcomes
        return transform_page(
            transaction, self._scripts, definition, rows, run=run_id, steering=work.steering
        )

    def _copy(
        self, transaction: RecordTransaction, rows: Sequence[Record], maps: Sequence[TransformMap]
    ) -> None:
        """Write rows once more for each of the maps, which take only their own."""
        for definition in maps:
            own = {"sys_transform_map": definition.sys_id}
            copies = [
                {**row.values, **own, "sys_id": self._records.ids.sys_id()}
                for row in rows
                if not row.get("sys_transform_map")
            ]
            transaction.engine_insert(rows[0].table, copies)

    @staticmethod
    def _staged(
        transaction: RecordTransaction, staging: str, query: str, size: int
    ) -> list[Record]:
        """Return a page of staging rows, which the actor of the import need not be able to read."""
        options = ReadOptions(columns=["sys_id"], limit=size, unknown=Unknown.REFUSE)
        plan = plan_read(transaction.dictionary, staging, parse(query), options)
        ids = [str(row[0]) for row in transaction.run(plan)]
        rows = transaction.load(staging, ids)
        return [rows[sys_id] for sys_id in ids]

    def _open(self, loaded: LoadResult, definition: TransformMap) -> str:
        """Return the run of a set by a map: the one that was broken off, or else a new one."""
        with self._records.write(SYSTEM, enforce=False) as transaction:
            _lock(transaction, "sys_import_set", loaded.import_set)
            known = f"set={loaded.import_set}^sys_transform_map={definition.sys_id}"
            state = transaction.require("sys_import_set", loaded.import_set).get("state")
            begun = transaction.first("sys_import_set_run", f"{known}^ORDERBYDESCstarted")
            if begun is not None and (begun.get("state") == "running" or state != "processed"):
                return begun.sys_id
            run_id = self._records.ids.sys_id()
            values = {
                "sys_id": run_id,
                "set": loaded.import_set,
                "sys_transform_map": definition.sys_id,
                "state": "running",
                "started": datetime_text(self._clock.now()),
                "errors": str(len(loaded.bad)),
                "total": str(len(loaded.bad)),
            }
            transaction.engine_insert("sys_import_set_run", [values])
            transaction.engine_insert(
                "sys_import_set_row_error",
                [_bad_row(run_id, loaded.import_set, bad) for bad in loaded.bad],
            )
        return run_id

    def _close(self, run_id: str, work: _Work) -> Record:
        """End a run that has no rows left, unless another node did; return it."""
        rights = work.rights
        with self._records.write(rights.actor, enforce=rights.enforce) as transaction:
            run = _locked(transaction, run_id)
            if run.get("state") == "running":
                if work.steering is not None and not work.halted and not work.left_out:
                    work.steering.complete(transaction)
                totals = Totals.of(run)
                wrong = bool(totals.errors or work.halted)
                state = "complete_with_errors" if wrong else "complete"
                self._save(transaction, run, totals, state)
        with self._records.read(SYSTEM) as transaction:
            return transaction.require("sys_import_set_run", run_id)

    def _save(
        self, transaction: RecordTransaction, run: Record, totals: Totals, state: str
    ) -> None:
        values = {name: str(getattr(totals, name)) for name in STATES.values()}
        values |= {"total": str(totals.total), "state": state}
        if state != "running":
            now = self._clock.now()
            took = now - parse_datetime(run.get("started"))
            values["completed"] = datetime_text(now)
            values["run_time"] = str(int(took.total_seconds() * 1000))
        transaction.engine_update("sys_import_set_run", run.sys_id, values)


def _lock(transaction: RecordTransaction, table: str, sys_id: str) -> None:
    """Keep other nodes off a record until the end of the transaction."""
    definition = transaction.dictionary.table(table)
    transaction.store.lock_rows(transaction.database, definition, (sys_id,))


def _locked(transaction: RecordTransaction, run_id: str) -> Record:
    """Lock a run and return it as it then stands."""
    _lock(transaction, "sys_import_set_run", run_id)
    return transaction.load("sys_import_set_run", (run_id,))[run_id]


def _bad_row(run_id: str, import_set: str, bad: BadRow) -> dict[str, str]:
    return {
        "import_set_run": run_id,
        "sys_import_set": import_set,
        "row": str(bad.row),
        "error_code": str(UNREADABLE),
        "error_message": bad.reason[:4000],
        "staging_row": "",
    }
