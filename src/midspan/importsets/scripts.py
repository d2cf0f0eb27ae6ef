"""Scripts of field maps: run in the sandbox, inside the transaction of their page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from midspan.importsets.maps import TransformMap
from midspan.importsets.transform import FieldScript
from midspan.records import Record, RecordTransaction
from midspan.sandbox import JsonValue, Script
from midspan.scripting import Enclosed, RecordView, ScriptRunner


class SandboxFieldScripts:
    """Lends one script session to all rows of a page; scripts see ``source``, leave ``answer``."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner

    @contextmanager
    def open(
        self, transaction: RecordTransaction, definition: TransformMap
    ) -> Iterator[FieldScript]:
        """Return a context whose value runs one script for one staging row."""
        source = RecordView(definition.source, {})
        with self._runner.session(Enclosed(transaction)) as session:

            def run(name: str, text: str, row: Record) -> str:
                source.replace(row.values)
                return answer_text(session.answer(Script(name, text), {"source": source}))

            yield run


def answer_text(answer: JsonValue) -> str:
    """Return the wire text of what a script answered.

    >>> answer_text(True), answer_text(None), answer_text(2.0), answer_text(["a", "b"])
    ('true', '', '2', 'a,b')
    """
    if answer is None:
        return ""
    if isinstance(answer, bool):
        return "true" if answer else "false"
    if isinstance(answer, float) and answer.is_integer():
        return str(int(answer))
    if isinstance(answer, list):
        return ",".join(answer_text(item) for item in answer)
    return str(answer)
