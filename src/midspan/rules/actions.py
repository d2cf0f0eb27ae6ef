"""Script actions: scripts that events start, in the transaction that ends their event."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from msgspec import Struct

from midspan.dictionary import Dictionary
from midspan.events import QueuedEvent
from midspan.kernel.errors import MidspanError
from midspan.records import Record, RecordTransaction, SnapshotPart
from midspan.sandbox import SandboxUnavailable, Script, ScriptError
from midspan.scripting import Enclosed, RecordView, ScriptRunner
from midspan.scripting.conditiontext import condition_value
from midspan.storage import Statements, Transaction
from midspan.storage.catalog import columns_of

TABLE = "sysevent_script_action"


class ScriptAction(Struct, frozen=True):
    """One active script action."""

    name: str
    script: Script
    condition: Script | None


def load_actions(transaction: Transaction, _: Dictionary) -> Mapping[str, Sequence[ScriptAction]]:
    """Read the active script actions by event name, in order."""
    # An upgrade reads the configuration before it has made the new tables.
    if not columns_of(transaction, TABLE):
        return {}
    sql = Statements("midspan.rules", "rules", transaction.dialect)
    active = (transaction.dialect.name != "sqlite" or 1,)
    found: dict[str, list[ScriptAction]] = {}
    for sys_id, name, event, condition, script in transaction.rows(sql["actions"], active):
        place = f"{TABLE}.{sys_id}"
        asked = condition_value(condition or "")
        action = ScriptAction(
            name=name or "",
            script=Script(f"{place}.script", script or ""),
            condition=Script(f"{place}.condition_script", f"Boolean({asked})")
            if (condition or "").strip()
            else None,
        )
        found.setdefault(event or "", []).append(action)
    return found


ACTIONS = SnapshotPart("script_actions", frozenset({TABLE}), load_actions)
"""The script actions; registered with the ``SnapshotHolder`` of the instance."""


class ScriptActions:
    """An ``EventHandler`` that runs script actions; they see ``event`` and ``current``.

    One that fails is in the log and does not keep the others from running; what it wrote is
    undone, and the event ends in error.
    """

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner

    def handle(self, event: QueuedEvent, transaction: RecordTransaction) -> str:
        """Run the actions of an event; return what went wrong, ``''`` for nothing."""
        failed = []
        for action in transaction.snapshot.part(ACTIONS).get(event.name, ()):
            try:
                with transaction.database.savepoint():
                    self._run(action, event, transaction)
            except SandboxUnavailable:
                raise
            except MidspanError as error:
                log_failure(transaction, action, error)
                failed.append(f"{action.name}: {error}")
        return "; ".join(failed)

    def _run(
        self, action: ScriptAction, event: QueuedEvent, transaction: RecordTransaction
    ) -> None:
        began = time.perf_counter()
        views = {"event": RecordView("sysevent", _values(event))}
        record = _about(event, transaction)
        if record is not None:
            views["current"] = RecordView(record.table, record.values)
        with self._runner.session(Enclosed(transaction)) as session:
            if action.condition is None or session.run(action.condition, views) is True:
                session.run(action.script, views, discard=True)
        spent = time.perf_counter() - began
        transaction.store.logbook.ran(action.script.name, rows=1, seconds=spent)


def log_failure(transaction: RecordTransaction, action: ScriptAction, error: MidspanError) -> None:
    """Note in the log what a script action failed with."""
    title, logbook = f"Script action {action.name!r}", transaction.store.logbook
    if isinstance(error, ScriptError):
        logbook.failure(error, title=title, user=transaction.actor.user_name)
    else:
        logbook.add("error", f"{title}: {error.explain()}", script=action.script.name)


def _values(event: QueuedEvent) -> dict[str, str]:
    names = ("sys_id", "name", "table", "instance", "parm1", "parm2", "queue", "user_id")
    values = {name: str(getattr(event, name)) for name in names}
    return {**values, "user_name": event.user_name}


def _about(event: QueuedEvent, transaction: RecordTransaction) -> Record | None:
    if not event.instance or event.table not in transaction.dictionary:
        return None
    return transaction.load(event.table, (event.instance,)).get(event.instance)
