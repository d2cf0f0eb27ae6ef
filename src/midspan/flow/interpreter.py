"""Runs one segment of a flow run: from where the journal ends to a wait or to the end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NoReturn

from msgspec import Struct, structs

from midspan.dictionary import Dictionary
from midspan.dictionary.values import datetime_text
from midspan.flow.check import SpokeCatalogue, actions_of
from midspan.flow.definition import ActionStep, Flow, IfStep, LogStep, Step, parse_flow
from midspan.flow.journal import Entry, Journal, JournalMismatch, Run
from midspan.flow.pills import as_text, fill, run_dictionary
from midspan.flow.values import RunValues
from midspan.jobs import Done, Failed, JobContext, Outcome, Wait
from midspan.kernel.errors import FenceLost, MidspanError
from midspan.kernel.ids import derived_id
from midspan.outbound import CallSource, Outbound
from midspan.records import RecordStore, RecordTransaction
from midspan.security.actor import SYSTEM
from midspan_link.logs import redact
from midspan_sdk import (
    Action,
    ActionContext,
    ActionError,
    ActionHttp,
    OutcomeUnknown,
    RetryLater,
    RetryPolicy,
    SdkError,
)

log = logging.getLogger(__name__)
PATIENCE = 5
"""How often a segment may fail for a reason that is no step's before its run ends as an error."""
Checkpoint = Callable[[str], None]
"""For crash tests: called with ``intent``, ``effect`` and ``answer`` around each outside effect,
and with ``end`` between the end of a step and that of its segment, which are one transaction."""
_ENDINGS = {"unknown": "OUTCOME_UNKNOWN", "error": "ERROR"}
"""How a run ends with a step that ended so."""


class _StepEnd(Struct, frozen=True):
    """The last change of a step; written together with what it means for its run."""

    entry: Entry
    values: dict[str, str]


class _Pause(Exception):
    """The segment ends with a waiting step, and another one goes on later."""

    def __init__(self, after: timedelta, step: _StepEnd) -> None:
        super().__init__()
        self.after = after
        self.step = step


class _Ended(Exception):
    """The run ends with a step that ended as ``error`` or ``unknown``."""

    def __init__(self, why: str, step: _StepEnd) -> None:
        super().__init__(why)
        self.state = _ENDINGS[step.entry.state]
        self.error = f"Step {step.entry.path!r}: {why}"
        self.step = step


class Interpreter:
    """The handler of ``flow.run`` jobs. Holds no transaction while an action runs."""

    def __init__(
        self,
        records: RecordStore,
        outbound: Outbound,
        spokes: SpokeCatalogue,
        node: str,
        checkpoint: Checkpoint = lambda _: None,
    ) -> None:
        self.records = records
        self.outbound = outbound
        self.spokes = spokes
        self.journal = Journal(records)
        self.node = node
        self.checkpoint = checkpoint
        self.policy = RetryPolicy()

    def handle(self, context: JobContext) -> Outcome:
        """Run a segment; returns ``Wait`` when another one has to follow."""
        with self.records.write(SYSTEM, enforce=False) as transaction:
            context.hold(transaction.database)
            sys_id = context.job.payload["run"]
            run = self.journal.begin(transaction, sys_id, self.node)
            if run is None:
                return Done()
            definition = self.journal.definition(transaction, run.snapshot)
            entries = self.journal.entries(transaction, sys_id)
        try:
            flow = parse_flow(definition, f"flow {run.name!r}")
            segment = _Segment(self, run, flow, entries)
            segment.walk(flow.steps, "")
            segment.check_used_up()
        except _Pause as pause:
            return self._wait(run, pause)
        except _Ended as ended:
            return self._finish(run, ended.state, ended.error, ended.step)
        except (JournalMismatch, ActionError) as error:
            return self._finish(run, "ERROR", error.message)
        except FenceLost:
            raise
        except Exception as error:
            if context.attempt < PATIENCE:
                raise
            return self._finish(run, "ERROR", f"The run cannot go on: {error}")
        return self._finish(run, "COMPLETE", "")

    def given_up(self, context: JobContext, why: str) -> None:
        """End a run whose segments ended too many processes.

        What a step that was under way did outside is not known, and with it how the run ended.
        """
        told = f"The run cannot go on: {why}"
        with self.records.write(SYSTEM, enforce=False) as transaction:
            context.finish(transaction.database, Failed(why))
            run = self.journal.begin(transaction, context.job.payload["run"], self.node)
            if run is None:
                return
            state = "error"
            for entry in self.journal.entries(transaction, run.sys_id):
                if entry.state == "intended":
                    state = "unknown"
                    values = {"error": told, "ended": datetime_text(self.records.clock.now())}
                    ended = structs.replace(entry, state=state)
                    self.journal.change(transaction, run, ended, **values)
            self.journal.finish(transaction, run, _ENDINGS[state], told)

    def _wait(self, run: Run, pause: _Pause) -> Outcome:
        until = self.records.clock.now() + pause.after
        with self.records.write(SYSTEM, enforce=False) as transaction:
            self._end_step(transaction, run, pause.step)
            self.journal.wait(transaction, run, until)
        return Wait(until)

    def _finish(self, run: Run, state: str, error: str, step: _StepEnd | None = None) -> Outcome:
        """End the run and the step it ends with at once: no crash may leave one without the other,
        or the next segment would have to guess what the run's end was going to be."""
        with self.records.write(SYSTEM, enforce=False) as transaction:
            if step is not None:
                self._end_step(transaction, run, step)
            self.journal.finish(transaction, run, state, error)
        if error:
            log.warning("flow run %s ended as %s: %s", run.sys_id, state, error)
        return Done({"state": state})

    def _end_step(self, transaction: RecordTransaction, run: Run, step: _StepEnd) -> None:
        self.journal.change(transaction, run, step.entry, **step.values)
        self.checkpoint("end")


class _Segment:
    """One walk through the document; used once."""

    def __init__(
        self, interpreter: Interpreter, run: Run, flow: Flow, entries: Sequence[Entry]
    ) -> None:
        self._to = interpreter
        self._run = run
        self._actions = actions_of(flow, interpreter.spokes)
        self._flow = flow
        self._entries = list(entries)
        self._position = 0
        self._outputs: dict[str, dict[str, Any]] = {}
        self._seen: tuple[object, Dictionary] | None = None

    def walk(self, steps: Sequence[Step], parent: str) -> None:
        """Carry out steps in order, skipping what the journal holds."""
        for step in steps:
            path = f"{parent}{step.id}"
            entry = self._recorded(path, step)
            match step:
                case LogStep():
                    self._log(step, path, entry)
                case IfStep():
                    branch = self._decide(step, path, entry)
                    chosen = step.then if branch == "then" else step.otherwise
                    self.walk(chosen, f"{path}.{branch}.")
                case ActionStep():
                    self._outputs[step.id] = self._act(step, path, entry)

    def check_used_up(self) -> None:
        """Refuse to end while the journal knows more than the definition."""
        if self._position < len(self._entries):
            extra = self._entries[self._position].path
            raise JournalMismatch(f"The journal holds {extra!r}, where the flow has ended")

    def _recorded(self, path: str, step: Step) -> Entry | None:
        """Return the journal's entry of the step that comes now, or None at the journal's end."""
        self._position += 1
        if self._position > len(self._entries):
            return None
        entry = self._entries[self._position - 1]
        if (entry.path, entry.kind, entry.position) != (path, kind_of(step), self._position):
            raise JournalMismatch(
                f"The journal holds {entry.kind} {entry.path!r} at position {entry.position}, "
                f"the flow has {kind_of(step)} {path!r} at {self._position}"
            )
        return entry

    def _entry(self, path: str, step: Step, state: str, **values: Any) -> Entry:
        sys_id = derived_id("flow step", self._run.sys_id, path, "1")
        return Entry(
            sys_id=sys_id,
            path=path,
            position=self._position,
            kind=kind_of(step),
            state=state,
            attempts=1,
            **values,
        )

    def _values(self, transaction: RecordTransaction) -> RunValues:
        if self._seen is None or self._seen[0] is not transaction.dictionary:
            built = run_dictionary(transaction.dictionary, self._flow, self._actions)
            self._seen = (transaction.dictionary, built)
        record = self._run.inputs.get("record", {})
        return RunValues(transaction, self._seen[1], record, self._outputs)

    def _log(self, step: LogStep, path: str, entry: Entry | None) -> None:
        if entry is not None:
            return
        with self._to.records.write(SYSTEM, enforce=False) as transaction:
            message = as_text(fill(step.message, self._values(transaction).pill))
            made = self._entry(path, step, "complete", inputs={"message": message})
            self._to.journal.add(transaction, self._run, made, **self._ended(None))
            self._to.journal.say(transaction, self._run, made, "info", message)

    def _decide(self, step: IfStep, path: str, entry: Entry | None) -> str:
        if entry is not None:
            return str(entry.decision["branch"])
        with self._to.records.write(SYSTEM, enforce=False) as transaction:
            branch = "then" if self._values(transaction).holds(step.condition) else "else"
            made = self._entry(path, step, "complete", decision={"branch": branch})
            self._to.journal.add(transaction, self._run, made, **self._ended(None))
        return branch

    # Actions

    def _act(self, step: ActionStep, path: str, entry: Entry | None) -> dict[str, Any]:
        """Return the outputs of an action, running it unless the journal has them."""
        action = self._actions[step.id]
        if entry is not None and entry.state == "complete":
            return entry.outputs
        if entry is None:
            entry = self._intend(step, path)
        elif entry.state == "intended":
            entry = self._after_crash(action, entry)
        elif entry.state == "waiting":
            entry = structs.replace(entry, state="intended", attempts=entry.attempts + 1)
            self._change(entry)
        else:
            raise JournalMismatch(
                f"The journal holds {path!r} as {entry.state}, yet the run goes on"
            )
        self._to.checkpoint("intent")
        return self._attempt(step, action, entry)

    def _intend(self, step: ActionStep, path: str) -> Entry:
        """Commit what is going to be done before anything leaves."""
        with self._to.records.write(SYSTEM, enforce=False) as transaction:
            inputs = fill(step.inputs, self._values(transaction).pill)
            entry = self._entry(path, step, "intended", inputs=inputs)
            self._to.journal.add(transaction, self._run, entry, effect_key=self._group(path))
        return entry

    def _after_crash(self, action: Action, entry: Entry) -> Entry:
        """Decide about an effect that was begun and whose outcome nobody wrote down."""
        repeats = int(entry.decision.get("repeats", 0))
        if action.repeat == "never" or (action.repeat == "keyed" and repeats >= 1):
            why = "The instance stopped while the step was under way"
            self._end("unknown", entry, why)
        again = structs.replace(
            entry, attempts=entry.attempts + 1, decision={"repeats": repeats + 1}
        )
        self._change(again)
        return again

    def _attempt(self, step: ActionStep, action: Action, entry: Entry) -> dict[str, Any]:
        started = self._to.records.clock.monotonic()
        notes = StepLog()
        try:
            outputs = self._perform(step, action, entry, notes)
        except OutcomeUnknown as error:
            self._end("unknown", entry, error.explain(), notes)
        except RetryLater as error:
            self._again(action, entry, error, notes)
        except (SdkError, MidspanError) as error:
            self._end("error", entry, error.explain(), notes, started)
        self._to.checkpoint("answer")
        done = structs.replace(entry, state="complete", outputs=outputs)
        self._change(done, log=notes.text, **self._ended(started))
        return outputs

    def _perform(
        self, step: ActionStep, action: Action, entry: Entry, notes: StepLog
    ) -> dict[str, Any]:
        """Run the action; the connection is resolved anew each time, so a repaired one counts."""
        inputs: Mapping[str, Any] = entry.inputs or {}
        action.check(inputs)
        connection = self._to.outbound.connection(step.connection)
        source = CallSource("sys_flow_context", self._run.sys_id)
        transport = self._to.outbound.transport(connection, source)
        http = ActionHttp(transport, self._group(entry.path))
        context = ActionContext(http=http, log=notes, connection=connection.info)
        self._to.checkpoint("effect")
        return self._to.outbound.run(action.run(inputs, context))

    def _again(self, action: Action, entry: Entry, error: RetryLater, notes: StepLog) -> NoReturn:
        """Let the step wait for its next try, or fail when the tries are used up."""
        repeats = int(entry.decision.get("repeats", 0))
        unsure = isinstance(error.__cause__, OutcomeUnknown)
        if unsure and action.repeat == "keyed" and repeats >= 1:
            self._end("unknown", entry, error.explain(), notes)
        delay = (action.retry or self._to.policy).delay(entry.attempts, error.after)
        if delay is None:
            self._end("error", entry, error.explain(), notes)
        decision = {"repeats": repeats + unsure}
        waiting = structs.replace(entry, state="waiting", decision=decision)
        values = {"error": error.explain(), "log": notes.text}
        raise _Pause(delay, _StepEnd(waiting, values)) from error

    def _end(
        self,
        state: str,
        entry: Entry,
        why: str,
        notes: StepLog | None = None,
        started: float | None = None,
    ) -> NoReturn:
        """Let the step end in ``state`` and the run with it."""
        values = {"error": why, "log": notes.text if notes else "", **self._ended(started)}
        raise _Ended(why, _StepEnd(structs.replace(entry, state=state), values))

    def _change(self, entry: Entry, **values: str) -> None:
        with self._to.records.write(SYSTEM, enforce=False) as transaction:
            self._to.journal.change(transaction, self._run, entry, **values)

    def _group(self, path: str) -> str:
        return f"{self._run.sys_id}/{path}/1/1"

    def _ended(self, started: float | None) -> dict[str, str]:
        clock = self._to.records.clock
        took = 0.0 if started is None else clock.monotonic() - started
        return {"ended": datetime_text(clock.now()), "duration_ms": str(round(took * 1000))}


class StepLog:
    """The lines an action writes; kept with its step."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    @property
    def text(self) -> str:
        """All lines, one below the other."""
        return "\n".join(self._lines)

    def info(self, text: str, **fields: object) -> None:
        """Keep a line."""
        self._add("info", text, fields)

    def warning(self, text: str, **fields: object) -> None:
        """Keep a warning."""
        self._add("warning", text, fields)

    def error(self, text: str, **fields: object) -> None:
        """Keep an error."""
        self._add("error", text, fields)

    def _add(self, level: str, text: str, fields: Mapping[str, object]) -> None:
        details = "".join(f" {name}={value}" for name, value in fields.items())
        self._lines.append(redact(f"{level}: {text}{details}"))


def kind_of(step: Step) -> str:
    match step:
        case LogStep():
            return "log"
        case IfStep():
            return "if"
        case ActionStep():
            return f"action {step.spoke}.{step.action}"
