"""Rows of a map that scripts steer: one by one, each through all of its scripts in their order.

First the keys and with them the record to update, so that scripts know the ``action``; then
``onBefore``, the other field maps, the script of the map, the write, and ``onAfter``. What a script
set in ``target`` stays unless something after it has a value for the same field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import structs

from midspan.dictionary import Field
from midspan.importsets.maps import FieldMap, TransformMap
from midspan.importsets.scripts import MapScripts
from midspan.importsets.transform import (
    CHOICE_REJECTED,
    INVALID_TARGET,
    REFERENCE_REJECTED,
    SCRIPT_FAILED,
    SKIPPED,
    Missing,
    PageTransform,
    Ready,
    RowOutcome,
    RowRejected,
    outcome_of,
)
from midspan.kernel.errors import LimitExceeded
from midspan.records import Record, RecordTransaction
from midspan.sandbox import JsonValue, ScriptCrashed, ScriptError
from midspan.scripting import RecordView
from midspan.scripting.storable import storable

IGNORED = "Row transform ignored by {} script"
STOPPED = "The transform was stopped by an {} script"


class _Halt(Exception):
    """A script wants no more rows to go through."""


class RowTransform(PageTransform):
    """Transforms the rows of one page after another; ends early once a script halts the run."""

    def __init__(
        self, definition: TransformMap, scripts: MapScripts, time_zone: str = "UTC"
    ) -> None:
        super().__init__(definition, None, time_zone)
        self._scripts = scripts
        self._action = ""
        self._others = [each for each in definition.fields if not each.coalesce]

    def transform(self, transaction: RecordTransaction, rows: Sequence[Record]) -> list[RowOutcome]:
        """Transform rows in order; none after the one for which a script halts the run."""
        outcomes: list[RowOutcome] = []
        with self._scripts.within(transaction):
            for row in rows:
                outcomes.append(self._row(transaction, row))
                if self._scripts.halted:
                    break
        return outcomes

    def _row(self, transaction: RecordTransaction, row: Record) -> RowOutcome:
        scripts = self._scripts
        scripts.open_row(row)
        self._action = ""
        try:
            outcome = self._through(transaction, row)
        except RowRejected as error:
            outcome = RowOutcome(row, "error", error.message, error.number)
        except _Halt:
            outcome = RowOutcome(row, "error", scripts.halted, SCRIPT_FAILED)
        return structs.replace(outcome, told=scripts.wanted.told)

    def _through(self, transaction: RecordTransaction, row: Record) -> RowOutcome:
        self._found.clear()
        self._look_up(transaction, [row], self._map.keys)
        item = Ready(row, self._values(transaction, row, self._map.keys))
        found = self._decide(item, self._matches(transaction, [item]))
        if found is None:
            names = ", ".join(key.target for key in self._map.keys)
            return RowOutcome(row, "skipped", f"All coalesce fields are empty: {names}", SKIPPED)
        target = self._open_target(transaction, item, found)
        refused = self._filled(transaction, row, target)
        outcome = refused or self._written(transaction, row, target, found)
        if outcome.state == "error":
            return outcome
        return self._after(transaction, target, outcome, found)

    def _open_target(self, transaction: RecordTransaction, item: Ready, found: str) -> RecordView:
        stored = transaction.load(self._map.target, (found,)).get(found) if found else None
        self._action = "update" if stored else "insert"
        target = RecordView(
            stored.table if stored else self._map.target,
            stored.values if stored else {},
            operation=self._action,
        )
        keys = self._change(item, found).values
        target.changed = {name: text for name, text in keys.items() if text != target.get(name)}
        self._scripts.target = target
        return target

    def _filled(
        self, transaction: RecordTransaction, row: Record, target: RecordView
    ) -> RowOutcome | None:
        """Fill the target; return what becomes of a row that scripts do not want written."""
        if self._scripts.has("onBefore"):
            self._run(lambda: self._scripts.event("onBefore", self._known))
            if self._is_refused("onBefore", target):
                return RowOutcome(row, "ignored", IGNORED.format("onBefore"))
        self._look_up(transaction, [row], self._others)
        for name, text in self._values(transaction, row, self._others).items():
            target.put(name, text)
        script = self._map.script
        if script is not None:
            known = {**self._known, "isUpdate": self._action == "update"}
            self._run(lambda: self._scripts.run(script, known))
            if self._is_refused("map", target):
                return RowOutcome(row, "ignored", IGNORED.format("map"))
        return None

    def _is_refused(self, when: str, target: RecordView) -> bool:
        wanted = self._scripts.wanted
        if wanted.error:
            self._scripts.halted = wanted.error_message or STOPPED.format(when)
            raise _Halt
        return wanted.ignore or target.aborted

    def _written(
        self, transaction: RecordTransaction, row: Record, target: RecordView, found: str
    ) -> RowOutcome:
        wanted = self._scripts.wanted
        item = Ready(row, storable(target.changed))
        lacking = self._lacking(transaction, item, found)
        if lacking:
            reason = f"The following fields are mandatory: {', '.join(lacking)}"
            return RowOutcome(row, "error", reason, INVALID_TARGET)
        change = self._change(item, found)
        options = structs.replace(
            change.options,
            rules=change.options.rules and wanted.rules,
            system_fields=wanted.system_fields,
        )
        change = structs.replace(change, options=options, sys_id=found or wanted.id)
        (result,) = transaction.apply_all([change], collect=True)
        return outcome_of(row, result)

    def _after(
        self, transaction: RecordTransaction, target: RecordView, outcome: RowOutcome, found: str
    ) -> RowOutcome:
        """Run what follows a row, written or not; an error in it does not undo the write."""
        if not self._scripts.has("onAfter"):
            return outcome
        sys_id = outcome.target_id or found
        stored = transaction.load(self._map.target, (sys_id,)).get(sys_id) if sys_id else None
        if stored is not None:
            target.replace(stored.values, stored=True, table=stored.table)
        try:
            self._run(lambda: self._scripts.event("onAfter", self._known))
        except RowRejected as error:
            return structs.replace(outcome, state="error", comment=error.message, code=error.number)
        wanted = self._scripts.wanted
        if wanted.error:
            self._scripts.halted = wanted.error_message or STOPPED.format("onAfter")
        return outcome

    # Scripts in the values

    @property
    def _known(self) -> Mapping[str, JsonValue]:
        return {"action": self._action}

    def _source(self, field_map: FieldMap, row: Record) -> str:
        if not field_map.script:
            return row.get(field_map.source)
        answers: list[str] = []
        script = field_map.script_name, field_map.script
        self._run(
            lambda: answers.append(self._scripts.value(*script, self._known)), field_map.target
        )
        return answers[0]

    def _value(
        self, transaction: RecordTransaction, field_map: FieldMap, field: Field, text: str
    ) -> str | Missing | None:
        try:
            return super()._value(transaction, field_map, field, text)
        except RowRejected as error:
            if error.number in (REFERENCE_REJECTED, CHOICE_REJECTED):
                self._asked("onReject", field_map.target, text, error.number)
            raise

    def _create(self, transaction: RecordTransaction, wanted: Missing) -> str | None:
        reference = wanted.field.kind.reference
        when = "onForeignInsert" if reference else "onChoiceCreate"
        number = REFERENCE_REJECTED if reference else CHOICE_REJECTED
        if self._asked(when, wanted.field_map.target, wanted.text, number):
            return super()._create(transaction, wanted)
        return None

    def _asked(self, when: str, name: str, text: str, number: int) -> bool:
        """Ask scripts about a value; tell whether it may be created, or refuse the row."""
        if not self._scripts.has(when):
            return True
        known = {**self._known, "name": name, "value": text}
        self._run(lambda: self._scripts.event(when, known))
        wanted = self._scripts.wanted
        self._scripts.settle()  # it was about the value alone
        if wanted.error:
            raise RowRejected(
                number, wanted.error_message or f"{name}: {text!r} is refused by a script"
            )
        return not wanted.ignore

    def _run(self, step: Callable[[], object], about: str = "") -> None:
        """Let a script run; one that fails refuses its row, one that goes too far ends the run."""
        try:
            step()
        except ScriptError as error:
            self._scripts.note(error)
            if isinstance(error, LimitExceeded | ScriptCrashed):
                self._scripts.halted = error.explain()
            text = error.explain()
            raise RowRejected(SCRIPT_FAILED, f"{about}: {text}" if about else text) from error
