"""Refuses records whose scripts do not compile, when they are saved: rules, jobs, APIs, maps.

Every field of the type ``script`` is a script, in whichever table; so are some short ones, which
are one expression. What is switched off is not looked at: an inactive record, and a script that
counts only where another field says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from midspan.dictionary import Dictionary, Table
from midspan.query import Query
from midspan.records import Draft, Operation, RecordTransaction, Snapshot
from midspan.rules.rule import script_of
from midspan.sandbox import SandboxUnavailable, Script, ScriptError
from midspan.scripting import Enclosed, ScriptRunner
from midspan.scripting.conditiontext import compiled_condition

_SCRIPT = "script"
_EXPRESSIONS: Mapping[str, str] = {
    "sys_script": "condition",
    "sysevent_script_action": "condition_script",
    "sysauto": "condition",
}
"""Fields that hold one expression, by the table that has them."""
_SWITCHES: Mapping[tuple[str, str], str] = {
    ("sys_script", "script"): "advanced",
    ("sys_script", "condition"): "advanced",
    ("sys_security_acl", "script"): "advanced",
    ("sys_transform_map", "script"): "run_script",
    ("sys_transform_entry", "source_script"): "use_source_script",
    ("scheduled_import_set", "pre_script"): "pre_script_enabled",
    ("scheduled_import_set", "post_script"): "post_script_enabled",
}
"""The field that has to be true so that a script counts."""


class Column(Struct, frozen=True):
    """A field with a script, or with one expression."""

    name: str
    expression: bool = False
    switch: str = ""
    """The field that says whether it counts; ``''``: it always does."""

    def compiled(self, text: str) -> Script:
        """Return a script that compiles where the text does, and of which nothing runs."""
        if self.expression:
            text = compiled_condition(text)
        return Script(self.name, f"return; {text}")


class ScriptCheck:
    """A ``RecordHook`` of the tables whose records have scripts."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner

    def wants(self, table: Table, operation: Operation, transaction: RecordTransaction) -> bool:
        """Take what is written to those tables."""
        if operation is Operation.DELETE:
            return False
        return bool(transaction.snapshot.derive(_columns, table.name))

    def set_based(self, table: Table, operation: Operation, transaction: RecordTransaction) -> bool:
        """Only the draft itself is looked at."""
        return True

    def before(self, draft: Draft, transaction: RecordTransaction, *, late: bool) -> None:
        """Refuse an active record with a script that does not compile."""
        if late or draft.get("active") == "false":
            return
        columns = transaction.snapshot.derive(_columns, draft.table.name)
        for column, text in _changed(draft, columns):
            problem = self._problem(column.compiled(text), transaction)
            if problem:
                draft.refuse(
                    f"Could not save record because of a compile error in {column.name}: {problem}"
                )

    def after(self, draft: Draft, transaction: RecordTransaction) -> None:
        """Nothing follows."""

    def before_query(self, table: Table, query: Query, transaction: RecordTransaction) -> Query:
        """Leave queries as they are."""
        return query

    def _problem(self, script: Script, transaction: RecordTransaction) -> str:
        try:
            with self._runner.session(Enclosed(transaction)) as session:
                session.run(script, discard=True)
        except ScriptError as error:
            where = f"line {error.line}: " if error.line else ""
            source = error.failure.source.strip().removeprefix("return; ")
            return f"{where}{error.message}{f': {source}' if source else ''}"
        except SandboxUnavailable:
            return ""  # it is not checked then; a script that fails is in the log
        return ""


def _columns(snapshot: Snapshot, name: str) -> tuple[Column, ...]:
    return tuple(_found(snapshot.dictionary, name))


def _found(dictionary: Dictionary, name: str) -> Iterator[Column]:
    tables = dictionary.ancestors(name)
    expressions = {field for table, field in _EXPRESSIONS.items() if table in tables}
    for field in dictionary.table(name).fields.values():
        if field.type == _SCRIPT or field.name in expressions:
            switches = (_SWITCHES.get((table, field.name), "") for table in tables)
            yield Column(field.name, field.name in expressions, next(filter(None, switches), ""))


def _changed(draft: Draft, columns: tuple[Column, ...]) -> Iterator[tuple[Column, str]]:
    """Yield the scripts that count and that this change wrote or switched on."""
    for column in columns:
        if column.switch and draft.get(column.switch) != "true":
            continue
        if any(map(draft.changed, filter(None, ("active", column.switch, column.name)))):
            rule = draft.table.name == "sys_script" and column.name == "script"
            text = script_of(draft.values) if rule else draft.get(column.name)
            if text.strip():
                yield column, text
