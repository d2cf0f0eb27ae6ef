"""What pills and conditions of a run read: its trigger, its journal, and records behind both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from midspan.dictionary import Dictionary, FieldPath
from midspan.flow.pills import DISPLAY, RUN, pill_path
from midspan.query import Unknown, evaluate, parse, resolve_query
from midspan.records import RecordTransaction


class RunValues:
    """Reads inside one transaction; ``outputs`` are those of finished steps by step id."""

    def __init__(
        self,
        transaction: RecordTransaction,
        dictionary: Dictionary,
        record: Mapping[str, str],
        outputs: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self._transaction = transaction
        self._dictionary = dictionary
        self._record = record
        self._outputs = outputs

    def pill(self, pill: str) -> Any:
        """Return the value of a pill: an output as the action gave it, a field as its wire text.

        With ``.display_value`` at its end a choice gives its label, a reference its display value.
        """
        path = pill_path(self._dictionary, pill)
        names = path.name.split(".")
        if names[0] == "steps":
            return self._outputs.get(names[1], {}).get(names[2]) if len(names) > 2 else None
        text = self.text(path)
        return self._display(path, text) if pill.endswith(DISPLAY) else text

    def holds(self, condition: str) -> bool:
        """Tell whether a condition on pills holds."""
        resolved, _ = resolve_query(
            self._dictionary, RUN, parse(condition), Unknown.REFUSE, self._transaction.values
        )
        return evaluate(resolved, self.text, count=self._transaction.count_related)

    def text(self, path: FieldPath) -> str:
        """Return the wire text at a path."""
        names = path.name.split(".")
        if names[0] == "steps":
            value = self._outputs.get(names[1], {}).get(names[2]) if len(names) > 2 else None
            if isinstance(value, bool):
                return "true" if value else "false"
            return "" if value is None else str(value)
        if len(path.steps) == 2:
            return self._record.get("sys_id", "")
        return walk(self._transaction, self._record, path, 2)

    def _display(self, path: FieldPath, text: str) -> str:
        if not path.field.kind.reference or not path.field.reference:
            return path.field.label_of(text) or text
        found = self._transaction.load(path.field.reference, (text,)).get(text) if text else None
        if found is None:
            return text
        return found.get(self._transaction.dictionary.table(found.table).display)


def walk(
    transaction: RecordTransaction, values: Mapping[str, str], path: FieldPath, first: int = 0
) -> str:
    """Return the text at a path that starts with field number ``first`` of a record's values."""
    here = values
    for step in path.steps[first:-1]:
        target = here.get(step.name, "")
        if not target or not step.reference:
            return ""
        record = transaction.load(step.reference, (target,)).get(target)
        if record is None:
            return ""
        here = record.values
    return here.get(path.field.name, "")
