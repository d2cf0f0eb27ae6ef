"""Scheduled imports: schedule items that start the import of their data source."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from midspan.events.schedule import ItemKind, ScheduleItems, next_fire, rule_of
from midspan.importsets.relay import RelayImports
from midspan.importsets.run import ImportRunner
from midspan.jobs import Done, Failed, JobContext, JobOptions, JobQueue, Outcome, Retry
from midspan.kernel.errors import DuplicateKey, InvalidDefinition, MidspanError, Unavailable
from midspan.kernel.ids import derived_id
from midspan.records import Record, RecordStore

TABLE = "scheduled_import_set"
KIND = "import.scheduled"
_OPTIONS = JobOptions(max_attempts=5, first_delay=timedelta(seconds=30))

__all__ = ["KIND", "TABLE", "ScheduledImports", "next_fire", "rule_of"]


class ScheduledImports(ScheduleItems):
    """Starts the imports of ``scheduled_import_set``; see ``ScheduleItems``."""

    def __init__(
        self, records: RecordStore, runner: ImportRunner, relay: RelayImports, jobs: JobQueue
    ) -> None:
        self._runner = runner
        self._relay = relay
        items = ItemKind(TABLE, KIND, "scheduled_import", _OPTIONS)
        super().__init__(records, jobs, items, self._import)

    def _import(self, record: Record, slot: str, context: JobContext) -> Outcome:
        """Start the import of one slot; the set's id is derived from the slot, so it is one."""
        import_set = derived_id(TABLE, record.sys_id, slot)
        try:
            source = self._runner.source(record.get("data_source"))
            load = self._relay.start_load(source.sys_id, import_set=import_set)
        except DuplicateKey:
            return Done({"import_set": import_set})
        except MidspanError as error:
            if isinstance(error, Unavailable) and context.attempt < context.max_attempts:
                return Retry(reason=error.explain()[:1000])
            return self._refused(record, error, import_set)
        return Done({"import_set": load.import_set})

    def _refused(self, record: Record, error: MidspanError, import_set: str) -> Outcome:
        """Leave an import set in error, where the people who wait for the rows look."""
        with suppress(InvalidDefinition, DuplicateKey):
            source = self._runner.source(record.get("data_source"))
            self._relay.refuse(source, error.explain(), import_set=import_set)
        return Failed(error.explain()[:1000])
