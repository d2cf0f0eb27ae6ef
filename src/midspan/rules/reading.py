"""Values of a draft for conditions and copies, following references into the database."""

from __future__ import annotations

from collections.abc import Callable

from midspan.dictionary import FieldPath, Storage
from midspan.query import Operator, ReadPlan, Test
from midspan.records import Draft, RecordTransaction


class DraftReader:
    """Reads paths of one draft as it will be, and as it was, inside its transaction.

    The first step of a walk is the draft's own value, stored or not yet; the rest is read without
    access control, because a rule works for the instance and not for who triggered it.
    """

    def __init__(self, draft: Draft, transaction: RecordTransaction) -> None:
        self._draft = draft
        self._transaction = transaction
        self._read: dict[tuple[str, str], str] = {}

    def now(self, path: FieldPath) -> str:
        """Return the value at a path as the draft says; ``''`` when the walk leads nowhere."""
        return self._value(path, self._draft.get)

    def then(self, path: FieldPath) -> str:
        """Return the value at a path as it was before the change; ``''`` on insert."""
        return self._value(path, self._draft.old)

    def _value(self, path: FieldPath, get: Callable[[str], str]) -> str:
        first = get(path.steps[0].name)
        if len(path.steps) == 1 or not first:
            return first
        key = (path.name, first)
        if key not in self._read:
            self._read[key] = self._walk(path, first)
        return self._read[key]

    def _walk(self, path: FieldPath, sys_id: str) -> str:
        """Read everything behind the first reference."""
        dictionary = self._transaction.dictionary
        table = path.tables[1]
        rest = ".".join(step.name for step in path.steps[1:])
        if path.field.storage is Storage.NONE:
            return ""
        own = Test(dictionary.path(table, "sys_id"), Operator.EQUALS, (sys_id,))
        column = dictionary.path(table, rest)
        plan = ReadPlan(table=table, columns=(column,), condition=own, limit=1)
        rows = self._transaction.run(plan)
        return (rows[0][0] or "") if rows else ""
