"""Refuses active rules and other scripts that do not compile, when they are saved."""

from __future__ import annotations

from msgspec import Struct

from midspan.dictionary import Table
from midspan.query import Query
from midspan.records import Draft, Operation, RecordTransaction
from midspan.rules.rule import expression_of, script_of
from midspan.sandbox import SandboxUnavailable, Script, ScriptError
from midspan.scripting import Enclosed, ScriptRunner


class Text(Struct, frozen=True):
    """A script of a record, as a function that is compiled and not called."""

    field: str
    text: str

    @property
    def script(self) -> Script:
        """The script; its lines keep their numbers."""
        return Script(self.field, self.text)


class ScriptCheck:
    """A ``RecordHook`` of the tables whose records are scripts."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner

    def wants(self, table: Table, operation: Operation, transaction: RecordTransaction) -> bool:
        """Take what is written to those tables."""
        return table.name in _TABLES and operation is not Operation.DELETE

    def set_based(self, table: Table, operation: Operation, transaction: RecordTransaction) -> bool:
        """Only the draft itself is looked at."""
        return True

    def before(self, draft: Draft, transaction: RecordTransaction, *, late: bool) -> None:
        """Refuse an active record with a script that does not compile."""
        if late or draft.get("active") == "false":
            return
        changed = ("active", "advanced", *_TABLES[draft.table.name])
        if not any(draft.changed(name) for name in changed):
            return
        for text in _texts(draft):
            problem = self._problem(text, transaction)
            if problem:
                draft.refuse(
                    f"Could not save record because of a compile error in {text.field}: {problem}"
                )

    def after(self, draft: Draft, transaction: RecordTransaction) -> None:
        """Nothing follows."""

    def before_query(self, table: Table, query: Query, transaction: RecordTransaction) -> Query:
        """Leave queries as they are."""
        return query

    def _problem(self, text: Text, transaction: RecordTransaction) -> str:
        try:
            with self._runner.session(Enclosed(transaction)) as session:
                session.run(text.script, discard=True)
        except ScriptError as error:
            where = f"line {error.line}: " if error.line else ""
            return f"{where}{error.message}"
        except SandboxUnavailable:
            return ""  # it is not checked then; a rule that fails is in the log
        return ""


_TABLES: dict[str, tuple[str, ...]] = {
    "sys_script": ("script", "condition"),
    "sysevent_script_action": ("script", "condition_script"),
    "sysauto_script": ("script", "condition"),
    "sys_web_service": ("script", "condition"),
}


def _texts(draft: Draft) -> list[Text]:
    if draft.table.name == "sys_script":
        script, expression = script_of(draft.values), expression_of(draft.values)
    else:
        script = draft.get("script")
        expression = draft.get(_TABLES[draft.table.name][1])
    found = []
    if script.strip():
        found.append(Text("script", f"(function () {{{script}\n}})"))
    if expression.strip():
        bare = expression.strip().rstrip("; ")
        found.append(Text("condition", f"(function () {{return ({bare}\n)}})"))
    return found
