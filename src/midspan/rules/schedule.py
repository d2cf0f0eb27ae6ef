"""Scheduled scripts: schedule items that run a script, as a user and with his rights."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

from midspan.events.schedule import SCRIPT_ITEMS, ScheduleItems
from midspan.jobs import Done, Failed, JobContext, JobQueue, Outcome, Retry
from midspan.kernel.errors import NotAuthenticated
from midspan.records import Record, RecordStore
from midspan.sandbox import Limits, SandboxUnavailable, Script, ScriptError
from midspan.scripting import PerWrite, RecordView, ScriptRunner
from midspan.scripting.conditiontext import condition_value
from midspan.security import Actor

LIMITS = Limits(wall=timedelta(minutes=15), cpu=timedelta(minutes=15), host_calls=2_000_000)


class ScheduledScripts(ScheduleItems):
    """Runs the scripts of ``sysauto_script``; see ``ScheduleItems``.

    A script is a unit of its own: each of its writes is committed by itself. One whose process
    dies is run again from its beginning, so what it had written may meet its own traces.
    """

    def __init__(
        self,
        records: RecordStore,
        runner: ScriptRunner,
        jobs: JobQueue,
        actor_of: Callable[[str], Actor],
    ) -> None:
        self._runner = runner
        self._actor_of = actor_of
        super().__init__(records, jobs, SCRIPT_ITEMS, self._script)

    def _script(self, record: Record, slot: str, context: JobContext) -> Outcome:
        """Run the script of one slot, if its condition holds."""
        logbook = self._records.logbook
        place = f"{record.table}.{record.sys_id}"
        title = f"Scheduled script {record.get('name')!r}"
        try:
            actor = self._actor_of(record.get("run_as"))
        except NotAuthenticated:
            reason = "the user it runs as is gone, inactive or locked out"
            logbook.add("error", f"{title}: {reason}", script=f"{place}.script")
            return Failed(f"{title}: {reason}")
        began = time.perf_counter()
        views = {"current": RecordView(record.table, record.values)}
        unit = PerWrite(self._records, actor)
        try:
            with self._runner.session(unit, limits=LIMITS) as session:
                if record.get("conditional") == "true" and record.get("condition").strip():
                    condition = Script(f"{place}.condition", record.get("condition"))
                    if session.run(_truth(condition), views) is not True:
                        return Done({"skipped": "its condition did not hold"})
                script = Script(f"{place}.script", record.get("script"))
                session.run(script, views, discard=True)
        except SandboxUnavailable as error:
            return Retry(reason=error.explain())
        except ScriptError as error:
            logbook.failure(error, title=title, user=actor.user_name)
            return Failed(f"{title}: {error}")
        spent = time.perf_counter() - began
        logbook.ran(f"{place}.script", rows=1, seconds=spent)
        return Done({"milliseconds": round(spent * 1000)})


def _truth(condition: Script) -> Script:
    """Return a condition whose value is a boolean."""
    return Script(condition.name, f"Boolean({condition_value(condition.text)})")
