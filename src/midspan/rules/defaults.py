"""Default values that are scripts: ``javascript:`` in the dictionary, beyond the known expressions.

Known ones, such as ``javascript:gs.getUserID()``, need no script; they are part of every new record
(``midspan.security.dynamic``).
"""

from __future__ import annotations

from midspan.dictionary import Field, Storage, Table
from midspan.kernel.errors import InvalidValue
from midspan.query import Query
from midspan.records import Draft, Operation, RecordTransaction, Snapshot
from midspan.rules.rule import SCRIPT_PREFIX
from midspan.sandbox import SandboxUnavailable, Script, ScriptError
from midspan.scripting import DraftView, Enclosed, ScriptRunner
from midspan.scripting.conditiontext import condition_value
from midspan.security import PROBE

_NUMBERS = "getNextObjNumber"
"""Part of the default of numbers, which are given out elsewhere."""
_TEXT = "(function (value) { return value === null || value === undefined ? '' : String(value); })"


class ScriptedDefaults:
    """A ``RecordHook`` of the tables with such fields; it goes before business rules.

    Fields that were given a value, an empty one included, keep it. A script that fails is in the
    log and leaves its field empty.
    """

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner

    def wants(self, table: Table, operation: Operation, transaction: RecordTransaction) -> bool:
        """Take new records of those tables."""
        return operation is Operation.INSERT and bool(
            transaction.snapshot.derive(_scripted, table.name)
        )

    def before(self, draft: Draft, transaction: RecordTransaction, *, late: bool) -> None:
        """Fill in what was not given."""
        if late:
            return
        for field in transaction.snapshot.derive(_scripted, draft.table.name):
            if field.name not in draft.change.values and not draft.get(field.name):
                self._fill(draft, field, transaction)

    def after(self, draft: Draft, transaction: RecordTransaction) -> None:
        """Nothing follows."""

    def before_query(self, table: Table, query: Query, transaction: RecordTransaction) -> Query:
        """Leave queries as they are."""
        return query

    def _fill(self, draft: Draft, field: Field, transaction: RecordTransaction) -> None:
        value = condition_value(field.default.removeprefix(SCRIPT_PREFIX))
        script = Script(f"sys_dictionary.{field.table}.{field.name}", f"{_TEXT}({value})")
        title = f"Default value of {field.name}"
        logbook = transaction.store.logbook
        try:
            with self._runner.session(Enclosed(transaction)) as session:
                draft.set(field.name, str(session.run(script, {"current": DraftView(draft)})))
        except SandboxUnavailable:
            raise
        except ScriptError as error:
            logbook.failure(error, title=title, user=transaction.actor.user_name)
        except InvalidValue as error:
            logbook.add("error", f"{title}: {error.explain()}", script=script.name)


def _scripted(snapshot: Snapshot, name: str) -> tuple[Field, ...]:
    """Return the fields of a table whose default is a script, for ``Snapshot.derive``."""
    return tuple(
        field
        for field in snapshot.dictionary.table(name).fields.values()
        if field.storage is not Storage.NONE
        and field.default.startswith(SCRIPT_PREFIX)
        and PROBE(field.default) is None
        and _NUMBERS not in field.default
    )
