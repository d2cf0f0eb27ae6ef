"""Many rows that others push at once: an import set of their own, transformed now or by a job.

Rows, set and job are written in one transaction, so what was answered is never lost. A set may wait
for another one: its job looks again every few seconds until that one has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from msgspec import Struct

from midspan.importsets.load import LoadResult, RowCopier
from midspan.importsets.maps import load_maps
from midspan.importsets.pushed import BY, check_create, check_staging
from midspan.importsets.run import ImportRunner
from midspan.jobs import Done, Failed, Job, JobContext, JobOptions, JobQueue, Outcome, Retry, Wait
from midspan.kernel.errors import InvalidRequest, MidspanError, Unavailable
from midspan.records import Record, RecordStore, RecordTransaction, insert, update
from midspan.security import SYSTEM, Actor

KIND = "import.pushed"
SETS = "sys_import_set"
MULTI_SETS = "sys_multi_import_set"
CONFIGURATIONS = "sys_rest_insert_multiple"
_OPTIONS = JobOptions(max_attempts=20, lease=timedelta(minutes=2))
_PATIENCE = timedelta(seconds=2)
"""How soon a set looks again for the one that it waits for."""
_UNDER_WAY = frozenset({"loading", "loaded", "processing"})


class Rows(Struct, frozen=True, kw_only=True):
    """Rows with their columns; each row has a text, or None, for each of them."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str | None]]


class Grouping(Struct, frozen=True, kw_only=True):
    """What a new set belongs to and waits for; empty: a group of its own, and for nothing."""

    multi_import_set: str = ""
    run_after: str = ""


class Configuration(Struct, frozen=True, kw_only=True):
    """How rows of one table are read and when they are transformed."""

    synchronous: bool = False
    by_column_name: bool = False
    source_format: bool = False
    """Bodies look like the files of a data source."""
    row_path: str = ""
    """Where in such a body the rows are, ``/a/b``."""


class PushedSet(Struct, frozen=True):
    """The ids of the set that rows went into, and of the group that it belongs to."""

    import_set: str
    multi_import_set: str


class PushedSets:
    """Takes many rows in; safe to use from many threads. Making it registers its job.

    ``acting`` returns who somebody is that left work behind, or raises.
    """

    def __init__(
        self,
        records: RecordStore,
        runner: ImportRunner,
        jobs: JobQueue,
        acting: Callable[[str], Actor],
    ) -> None:
        self._records = records
        self._runner = runner
        self._jobs = jobs
        self._acting = acting
        jobs.register(KIND, self._transform, _OPTIONS, self._given_up)

    def configuration(self, staging: str) -> Configuration:
        """Return how rows of a table are taken; most tables have no record that says so."""
        with self._records.read(SYSTEM) as transaction:
            record = transaction.first(CONFIGURATIONS, f"source_table={staging}^active=true")
            if record is None:
                return Configuration()
            source = transaction.get("sys_data_source", record.get("data_source"))
        return Configuration(
            synchronous=record.get("transformation") == "synchronous",
            by_column_name=record.get("column_mapping") == "column_name",
            source_format=record.get("use_data_source_format") == "true",
            row_path=source.get("jpath_root_node") if source else "",
        )

    def push(
        self,
        staging: str,
        rows: Rows,
        grouping: Grouping,
        *,
        actor: Actor,
        synchronous: bool = False,
    ) -> PushedSet:
        """Stage rows as one set and transform them, or leave that to a job.

        Raises:
            InvalidTable, InvalidRequest: there is no such table, or it is no staging table.
            InvalidRequest: the set to wait for or the group does not exist.
            NotAuthorized: the actor may not create rows of the table.
            InvalidDefinition: a map of the table has a wrong name.
        """
        with self._records.write(actor) as transaction:
            check_staging(transaction, staging)
            check_create(transaction, staging)
            transaction.enforce = False
            waits = bool(load_maps(transaction, staging)) and bool(rows.rows)
            pushed = self._open(transaction, staging, grouping, waits, synchronous)
            copier = RowCopier(self._records, transaction, staging, rows.columns, pushed.import_set)
            copier.copy(enumerate(rows.rows))
            if waits and not synchronous:
                self.leave(transaction, pushed.import_set, actor)
        if waits and synchronous:
            try:
                self._run(staging, pushed.import_set, actor)
            except MidspanError as error:
                with self._records.write(SYSTEM, enforce=False) as transaction:
                    _end(transaction, pushed.import_set, error.explain())
                raise
        return pushed

    def leave(self, transaction: RecordTransaction, import_set: str, actor: Actor) -> None:
        """Have a job transform a loaded set in somebody's name, once the transaction is done."""
        payload = {"import_set": import_set, "user": actor.sys_id}
        job = Job(kind=KIND, payload=payload, key=f"{KIND}:{import_set}")
        self._jobs.enqueue(transaction.database, job)

    @staticmethod
    def _open(
        transaction: RecordTransaction,
        staging: str,
        grouping: Grouping,
        waits: bool,
        synchronous: bool,
    ) -> PushedSet:
        _check_known(transaction, SETS, "run_after", grouping.run_after)
        _check_known(transaction, MULTI_SETS, "multi_import_set_id", grouping.multi_import_set)
        multi = grouping.multi_import_set
        if not multi:
            multi = transaction.apply(insert(MULTI_SETS, {"short_description": staging})).sys_id
        values = {
            "table_name": staging,
            "state": "loaded" if waits else "processed",
            "mode": "synchronous" if synchronous else "asynchronous",
            "creation_source": BY,
            "load_completed": transaction.now_text,
            "multi_import_set": multi,
            "run_after": "" if synchronous else grouping.run_after,
        }
        return PushedSet(transaction.apply(insert(SETS, values)).sys_id, multi)

    def _transform(self, context: JobContext) -> Outcome:
        """Transform a set once the one before it has ended; goes on where a crash left off."""
        import_set = str(context.job.payload["import_set"])
        with self._records.read(SYSTEM) as transaction:
            known = transaction.load(SETS, (import_set,)).get(import_set)
            if known is None or known.get("state") not in _UNDER_WAY:
                return Done()
            if _is_under_way(transaction, known.get("run_after")):
                return Wait(until=transaction.now + _PATIENCE)
        try:
            actor = self._acting(str(context.job.payload["user"]))
            self._run(known.get("table_name"), import_set, actor)
        except Unavailable as error:
            return Retry(reason=error.message)
        except MidspanError as error:
            return Failed(error.explain())
        return Done()

    def _given_up(self, context: JobContext, why: str) -> None:
        """Leave the set in error with its job, unless the set has ended."""
        import_set = str(context.job.payload["import_set"])
        with self._records.write(SYSTEM, enforce=False) as transaction:
            context.finish(transaction.database, Failed(why))
            record = transaction.get(SETS, import_set)
            if record is not None and record.get("state") in _UNDER_WAY:
                _end(transaction, import_set, why)

    def _run(self, staging: str, import_set: str, actor: Actor) -> None:
        """Run the maps of a set with the rights of the platform, in the name of its sender."""
        self._runner.transform(LoadResult(import_set, staging, 0, ()), actor=actor, enforce=False)


def _end(transaction: RecordTransaction, import_set: str, why: str) -> None:
    values = {"state": "error", "message": why[:4000], "short_description": why[:160]}
    transaction.apply(update(SETS, import_set, values))


def _check_known(transaction: RecordTransaction, table: str, parameter: str, sys_id: str) -> None:
    if sys_id and transaction.get(table, sys_id) is None:
        raise InvalidRequest(
            f"{parameter}: there is no {table} {sys_id[:32]}",
            hint="Send an id that insertMultiple answered.",
        )


def _is_under_way(transaction: RecordTransaction, import_set: str) -> bool:
    """Tell whether a set still has rows to transform; the set of a day's single rows has none."""
    record: Record | None = transaction.get(SETS, import_set) if import_set else None
    if record is None or record.get("state") not in _UNDER_WAY:
        return False
    return not (record.get("mode") == "synchronous" and record.get("state") == "loading")
