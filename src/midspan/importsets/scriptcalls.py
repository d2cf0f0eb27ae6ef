"""Host calls behind GlideImportSetLoader and GlideImportSetTransformer: scripts load and transform.

Both commit as they go, page by page. Where the script itself is part of a transaction, a transform
is left for a job that runs after the commit, and loading is refused.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, cast

from midspan.attachments import AttachmentStore
from midspan.importsets.load import LoadResult, open_set
from midspan.importsets.run import ImportRun, ImportRunner
from midspan.jobs import Done, Failed, Job, JobContext, JobOptions, JobQueue, Outcome, Retry
from midspan.kernel.errors import (
    Conflict,
    InvalidDefinition,
    MidspanError,
    NotAuthenticated,
    Unavailable,
)
from midspan.records import Record, RecordStore, RecordTransaction, update
from midspan.sandbox import JsonValue
from midspan.scripting import Unit
from midspan.security import Actor

KIND = "import.transform"
SETS, SOURCES = "sys_import_set", "sys_data_source"
_OPTIONS = JobOptions(max_attempts=5)
_IN_MEMORY = 8 * 1024 * 1024


class LaterTransforms:
    """Transforms that scripts leave for later; making it registers a handler with the jobs."""

    def __init__(
        self,
        records: RecordStore,
        runner: ImportRunner,
        jobs: JobQueue,
        actor_of: Callable[[str], Actor],
    ) -> None:
        self.records = records
        self.runner = runner
        self._jobs = jobs
        self._actor_of = actor_of
        jobs.register(KIND, self._work, _OPTIONS)

    def queue(self, transaction: RecordTransaction, import_set: str, only: str) -> None:
        """Leave the transform of a set to a job of the transaction; ``only`` is the id of a map."""
        actor = transaction.actor
        user = "" if actor.trusted else actor.sys_id
        payload = {"import_set": import_set, "map": only, "user": user}
        self._jobs.enqueue(transaction.database, Job(kind=KIND, payload=payload))
        transaction.after_commit(self._jobs.wake)

    def transform(
        self, import_set: str, only: str, actor: Actor, loaded: LoadResult | None = None
    ) -> list[ImportRun]:
        """Run the maps of a set; scripts are not asked for the rights of their user.

        Raises:
            RecordNotFound: there is no such set.
            InvalidDefinition: no active map reads its table, or a map has a wrong name.
        """
        with self.records.read(actor, enforce=False) as transaction:
            staging = transaction.require(SETS, import_set).get("table_name")
        known = loaded or LoadResult(import_set, staging, 0, ())
        return self.runner.transform(known, actor=actor, only=only, enforce=False)

    def _work(self, context: JobContext) -> Outcome:
        payload = context.job.payload
        try:
            actor = self._actor_of(str(payload["user"]))
            self.transform(str(payload["import_set"]), str(payload["map"]), actor)
        except Unavailable as error:
            return Retry(reason=error.message)
        except NotAuthenticated:
            return Failed("The user who asked for the transform is gone, inactive or locked out")
        except MidspanError as error:
            self.records.logbook.add("error", f"Transform of an import set: {error.explain()}")
            return Failed(error.explain()[:1000])
        return Done()


class ImportCalls:
    """Answers the ``import.`` calls of one session."""

    def __init__(self, unit: Unit, later: LaterTransforms, files: AttachmentStore) -> None:
        self._unit = unit
        self._later = later
        self._files = files
        self._loaded: dict[str, LoadResult] = {}

    def calls(self) -> Mapping[str, Callable[..., Any]]:
        """Return the functions by the name of their call."""
        return {
            "import.open": self.open,
            "import.load": self.load,
            "import.transform": self.transform,
            "import.later": self.later,
        }

    def open(self, source: str) -> str:
        """Open an import set for a data source and return its id."""
        with self._unit.writing(enforce=False) as transaction:
            record = transaction.require(SOURCES, source)
            return open_set(transaction, record.get("import_set_table_name"), record.sys_id)

    def load(self, import_set: str, source: str) -> str:
        """Load the newest file of a data source into a set; return what went wrong, or nothing.

        Raises:
            Conflict: the script is part of a transaction.
        """
        self._check_alone("Loading an import set")
        with self._unit.reading(enforce=False) as transaction:
            record = transaction.require(SOURCES, source)
        try:
            self._loaded[import_set] = self._load(import_set, record)
        except MidspanError as error:
            with self._unit.writing(enforce=False) as transaction:
                values = {"state": "error", "message": error.explain()[:4000]}
                transaction.apply(update(SETS, import_set, values))
            return error.explain()
        return ""

    def transform(self, import_set: str, only: str) -> JsonValue:
        """Transform a set; return its runs, each with id and number of rows in error.

        Inside a transaction the result is None: a job does it after the commit.
        """
        if self._unit.enclosing is not None:
            self.later(import_set, only)
            return None
        loaded = self._loaded.pop(import_set, None)
        runs = self._later.transform(import_set, only, self._unit.actor, loaded)
        return [
            {"run": run.sys_id, "errors": run.totals.errors or int(bool(run.halted))}
            for run in runs
        ]

    def later(self, import_set: str, only: str) -> None:
        """Let a job transform a set."""
        with self._unit.writing(enforce=False) as transaction:
            transaction.require(SETS, import_set)
            self._later.queue(transaction, import_set, only)

    def _load(self, import_set: str, source: Record) -> LoadResult:
        if source.get("type") != "File" or source.get("format") != "CSV":
            shown = f"{source.get('type')} {source.get('format')}".strip()
            raise InvalidDefinition(
                f"Data source {source.get('name')} is of the kind {shown}",
                hint="A script loads CSV files; a JDBC source is read by its scheduled import.",
            )
        with self._unit.reading(enforce=False) as transaction:
            query = f"table_name={SOURCES}^table_sys_id={source.sys_id}^ORDERBYDESCsys_created_on"
            found = transaction.first("sys_attachment", query)
            if found is None:
                raise InvalidDefinition(
                    f"Data source {source.get('name')} has no file", hint="Attach one to it."
                )
            file = self._files.find(transaction, found.sys_id)
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as spool:
            for piece in self._files.pieces(file):
                spool.write(piece)
            spool.seek(0)
            return self._later.runner.loader.load_csv(
                cast(BinaryIO, spool),
                source.get("import_set_table_name"),
                source=source.sys_id,
                delimiter=source.get("csv_delimiter") or ",",
                import_set=import_set,
            )

    def _check_alone(self, what: str) -> None:
        if self._unit.enclosing is not None:
            raise Conflict(
                f"{what} commits by itself, so it cannot be part of a transaction",
                hint="Let a scheduled script, a background script or a REST resource do it.",
            )
