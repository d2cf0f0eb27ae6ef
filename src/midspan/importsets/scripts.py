"""Scripts of transform maps: run in the sandbox, inside the transaction of their page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import msgspec
from msgspec import Struct

from midspan.importsets.maps import TransformMap
from midspan.importsets.transform import FieldScript, Told
from midspan.records import Record, RecordTransaction
from midspan.records.logbook import Logbook
from midspan.sandbox import JsonValue, Script, ScriptError
from midspan.scripting import Enclosed, LastingSession, RecordView, ScriptRunner, ScriptSession


class Steering(Struct, frozen=True):
    """What a script left in the variables by which it steers the run."""

    ignore: bool = False
    error: bool = False
    error_message: str = ""
    status_message: str = ""
    response: dict[str, Any] = {}
    id: str = ""
    """The sys_id that the new record shall have."""
    rules: bool = True
    system_fields: bool = True

    @property
    def told(self) -> Told:
        """What the sender of the row is told."""
        return Told(self.status_message, self.error_message, self.response)

    def then(self, later: Steering) -> Steering:
        """Return what is wanted once a later script of the same row has run."""
        return msgspec.structs.replace(
            later,
            id=later.id or self.id,
            rules=self.rules and later.rules,
            system_fields=self.system_fields and later.system_fields,
        )


_UNTOUCHED = Steering()
_STEERING = Script("steering", "__transform.steering()")


class MapScripts:
    """The scripts of one run of a map: they share their variables from its start to its end.

    ``source`` is the row that they see; ``target`` the record that is filled, where there is one.
    """

    def __init__(self, lasting: LastingSession, definition: TransformMap, import_set: str) -> None:
        self.definition = definition
        self.source = RecordView(definition.source, {})
        self.target: RecordView | None = None
        self.halted = ""
        """Why no more rows may go through; empty while they may."""
        self._lasting = lasting
        self._import_set = import_set
        self._session: ScriptSession | None = None
        self._logbook: Logbook | None = None
        self._begun = False
        self._wanted = _UNTOUCHED

    @contextmanager
    def within(self, transaction: RecordTransaction) -> Iterator[MapScripts]:
        """Run scripts inside a transaction until the block ends."""
        with self._lasting.within(transaction) as session:
            self._session = session
            self._logbook = transaction.store.logbook
            if not self._begun:
                self._begin(session)
            yield self

    def open_row(self, row: Record | None) -> None:
        """Show the scripts another row, with nothing steered yet."""
        values = row.values if row is not None else {}
        self.source.replace(values, stored=row is not None)
        self.target = None
        self._wanted = _UNTOUCHED

    def settle(self) -> None:
        """Forget what was wanted of one value, before the row goes on."""
        self._wanted = msgspec.structs.replace(self._wanted, ignore=False, error=False)

    def note(self, error: ScriptError) -> None:
        """Write down that a script failed."""
        if self._logbook is not None:
            self._logbook.failure(error, title=f"Transform map {self.definition.name!r}")

    @property
    def wanted(self) -> Steering:
        """What the scripts of the present row want so far."""
        return self._wanted

    def has(self, when: str) -> bool:
        """Tell whether something runs at a moment."""
        return any(event.when == when for event in self.definition.events)

    def start(self, transaction: RecordTransaction) -> Steering:
        """Run what comes before the first row; an error in it ends the run."""
        with self.within(transaction):
            self.open_row(None)
            self._whole_run("onStart")
        return self._wanted

    def complete(self, transaction: RecordTransaction) -> Steering:
        """Run what comes after the last row, whose ``source`` and ``target`` it sees."""
        with self.within(transaction):
            self._wanted = _UNTOUCHED
            self._whole_run("onComplete")
        return self._wanted

    def _whole_run(self, when: str) -> None:
        try:
            self.event(when)
        except ScriptError as error:
            self.note(error)
            self._wanted = msgspec.structs.replace(
                self._wanted, error=True, error_message=error.explain()
            )
        if self._wanted.error:
            self.halted = (
                self._wanted.error_message or f"The transform was stopped by an {when} script"
            )

    def event(self, when: str, variables: Mapping[str, JsonValue] | None = None) -> Steering:
        """Run the scripts of a moment, all of them, and return what they want.

        Raises:
            ScriptError: one failed; those after it did not run.
        """
        for event in self.definition.events:
            if event.when == when:
                self.run(event.script, variables)
        return self._wanted

    def run(self, script: Script, variables: Mapping[str, JsonValue] | None = None) -> None:
        """Run one script that steers.

        Raises:
            ScriptError: it failed.
        """
        known = {**self._steered(), **(variables or {})}
        asked = Script(script.name, f"{script.text}\n;{_STEERING.text}")
        found = self._open.run(asked, self._views(), known)
        if found is None:  # it ended with a return
            found = self._open.run(_STEERING, self._views())
        self._wanted = self._wanted.then(msgspec.convert(found, Steering))

    def value(self, name: str, text: str, variables: Mapping[str, JsonValue]) -> str:
        """Run the script of a field map and return its answer.

        Raises:
            ScriptError: it failed.
        """
        return answer_text(self._open.answer(Script(name, text), self._views(), variables))

    @property
    def _open(self) -> ScriptSession:
        if self._session is None:
            raise RuntimeError("the scripts of a map run inside a transaction; see within()")
        return self._session

    def _views(self) -> dict[str, RecordView]:
        views = {"source": self.source}
        return views if self.target is None else {**views, "target": self.target}

    def _steered(self) -> dict[str, JsonValue]:
        wanted = self._wanted
        return {
            "ignore": wanted.ignore,
            "error": wanted.error,
            "error_message": wanted.error_message,
            "status_message": wanted.status_message,
            "response": wanted.response,
        }

    def _begin(self, session: ScriptSession) -> None:
        definition = self.definition
        shown: JsonValue = {
            "name": definition.name,
            "sys_id": definition.sys_id,
            "source_table": definition.source,
            "table_source": definition.source,
            "target_table": definition.target,
            "order": definition.order,
        }
        begin = Script("begin", "__transform.begin(__map, __set); delete __map; delete __set;")
        session.run(begin, None, {"__map": shown, "__set": self._import_set}, discard=True)
        self._begun = True


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

    @contextmanager
    def begin(
        self, definition: TransformMap, import_set: str, *, long: bool
    ) -> Iterator[MapScripts | None]:
        """Return a context with the scripts of a run, or None for a map that has none to steer it.

        One that is ``long`` goes over several transactions and is begun outside of them.
        """
        if not definition.is_scripted:
            yield None
            return
        with ExitStack() as stack:
            if long:
                stack.enter_context(self._runner.in_turn())
            yield MapScripts(stack.enter_context(self._runner.lasting()), definition, import_set)


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
