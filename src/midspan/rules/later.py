"""Async rules: queued with the change that they follow, run after its commit, once for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import msgspec
from msgspec import Struct

from midspan.jobs import Done, Failed, Job, JobContext, JobOptions, JobQueue, Outcome
from midspan.kernel.errors import MidspanError, NotAuthenticated
from midspan.records import Operation, Record, RecordStore, RecordTransaction
from midspan.rules.index import RULES
from midspan.rules.phase import Phase
from midspan.rules.rule import Rule
from midspan.rules.scripted import ScriptedRules
from midspan.sandbox import SandboxUnavailable, ScriptError
from midspan.security import Actor

KIND = "rules.async"
ITEMS = 20
"""Records of one job; they share a transaction, so that all of them happen once."""
_OPTIONS = JobOptions(max_attempts=5, first_delay=timedelta(seconds=5))


class Item(Struct, frozen=True, kw_only=True):
    """One record and the async rules that were due for its change, in order."""

    table: str
    sys_id: str
    operation: str
    rules: list[str]
    values: dict[str, str] | None = None
    """What a deleted record was; others are read again."""


class LaterRules:
    """Queues async rules and runs them; one per instance.

    A job's scripts, their writes and the end of the job are one transaction: a process that dies
    in the middle has done nothing, and one that dies right after it has done all of it.
    """

    def __init__(
        self,
        records: RecordStore,
        scripts: ScriptedRules,
        jobs: JobQueue,
        actor_of: Callable[[str], Actor],
    ) -> None:
        self._records = records
        self._scripts = scripts
        self._jobs = jobs
        self._actor_of = actor_of
        jobs.register(KIND, self._work, _OPTIONS)

    def queue(self, phase: Phase, rules: Sequence[Rule]) -> None:
        """Queue async rules for the stored drafts whose conditions hold now."""
        due: dict[int, list[str]] = {}
        for rule in rules:
            for at in phase.ask(rule, phase.concerned(rule)):
                due.setdefault(at, []).append(rule.sys_id)
        items = [_item(phase, at, due[at]) for at in phase.left if at in due]
        actor = phase.transaction.actor
        user = "" if actor.trusted else actor.sys_id
        for start in range(0, len(items), ITEMS):
            part = [msgspec.to_builtins(item) for item in items[start : start + ITEMS]]
            job = Job(kind=KIND, payload={"user": user, "items": part}, queue="rules")
            self._jobs.enqueue(phase.transaction.database, job)

    def _work(self, context: JobContext) -> Outcome:
        payload = context.job.payload
        try:
            actor = self._actor_of(str(payload["user"]))
        except NotAuthenticated:
            self._records.logbook.add(
                "error", f"Async rules of a user who is gone or locked: {payload['user']}"
            )
            return Failed("The user who made the change is gone, inactive or locked out")
        items = msgspec.convert(payload["items"], list[Item])
        try:
            with self._records.write(actor, enforce=False) as transaction:
                context.hold(transaction.database)
                for item in items:
                    self._run(item, transaction)
                context.finish(transaction.database, Done({"records": len(items)}))
        except BaseException:
            context.reopen()
            raise
        return Done()

    def _run(self, item: Item, transaction: RecordTransaction) -> None:
        """Run the rules of one record; one whose script fails keeps no other from running."""
        record = self._record(item, transaction)
        known = transaction.snapshot.part(RULES).by_id
        for sys_id in item.rules:
            rule = known.get(sys_id)
            if rule is None or rule.script is None or record is None:
                continue
            try:
                with transaction.database.savepoint():
                    self._scripts.run_later(rule, record, Operation(item.operation), transaction)
            except SandboxUnavailable:
                raise
            except ScriptError:
                continue  # it is in the log, and what it had written is undone
            except MidspanError as error:
                transaction.store.logbook.add("error", error.explain(), script=rule.script.name)

    def _record(self, item: Item, transaction: RecordTransaction) -> Record | None:
        if item.values is not None:
            return Record(item.table, item.values)
        if item.table not in transaction.dictionary:
            return None
        return transaction.load(item.table, (item.sys_id,)).get(item.sys_id)


def _item(phase: Phase, at: int, rules: list[str]) -> Item:
    draft = phase.drafts[at]
    values: dict[str, str] | None = None
    if draft.operation is Operation.DELETE and draft.before is not None:
        fields: Any = draft.table.fields
        values = {
            name: text
            for name, text in draft.before.values.items()
            if text and not fields[name].kind.secret
        }
    return Item(
        table=draft.table.name,
        sys_id=draft.sys_id,
        operation=draft.operation.value,
        rules=rules,
        values=values,
    )
