"""One rule's script over a page of records: they go in with it, and what it changed comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Struct

from midspan.dictionary import Storage, Table
from midspan.kernel.errors import LimitExceeded
from midspan.records import PageCut
from midspan.sandbox import JsonValue, Script, ScriptCrashed, ScriptError
from midspan.scripting.conditiontext import condition_value
from midspan.scripting.criteria import Criteria
from midspan.scripting.recordcalls_tables import HASHED, without_hashes
from midspan.scripting.runner import ScriptSession

Phase: TypeAlias = Literal["before", "after", "async", "query", "display", "access"]
_TRAILING = "; \t\r\n"


class RuleRow(Struct, frozen=True):
    """A record as the script finds it: wire texts before the change, and what differs by now."""

    before: Mapping[str, str] | None
    changed: Mapping[str, str] = {}
    refused: bool = False
    first: Mapping[str, str] | None = None
    """What ``previous`` shows where that is not ``before``: the record is written a second time."""


class RulePage(Struct, frozen=True, kw_only=True):
    """Records of one class and operation, for one rule.

    With ``together`` they are part of a set: the script must not look at other records.
    """

    table: Table
    operation: str
    phase: Phase
    rows: Sequence[RuleRow]
    together: bool = False
    query: str = ""
    """The encoded query that a query rule finds."""
    scratchpad: dict[str, JsonValue] = {}


class RuleOutcome(Struct, frozen=True):
    """What a script did to one record."""

    i: int
    set: dict[str, str] = {}
    stored: dict[str, str] = {}
    """What an after rule stored by saving the record itself, where it differs from before."""
    refused: bool | None = None
    """What it last asked for with ``setAbortAction``; None: it left that as it was."""
    log: list[list[Any]] = []
    """Its log lines in a page of several records; else they are written at once.

    Each is level, text, script (empty: the rule's own) and line.
    """
    events: list[list[Any]] = []
    messages: list[str] = []
    value: bool = False
    """The value of a condition."""
    query: Criteria | None = None
    """What a query rule asked for."""
    scratchpad: Any = None
    error: ScriptError | None = None


class _Answer(Struct):
    cut: bool = False
    done: list[RuleOutcome] = []


def rule_script(name: str, text: str, *, calls: str = "") -> Script:
    """Return a rule's script as it runs over pages; ``calls`` is a function it defines to call."""
    end = f"\nif (typeof {calls} === 'function') {calls}(current, previous);" if calls else "\n"
    return Script(name, f"__rule(function () {{{text}{end}}})")


def rule_condition(name: str, text: str) -> Script:
    """Return a rule's condition as it runs over pages."""
    return Script(name, f"__rule(function () {{return {condition_value(text)}}})")


def rule_expression(name: str, text: str) -> Script:
    """Return one expression as it runs over pages."""
    return Script(name, f"__rule(function () {{return ({text.rstrip(_TRAILING)}\n)}})")


def run_page(session: ScriptSession, script: Script, page: RulePage) -> list[RuleOutcome]:
    """Run a script once for each record; return the outcomes in the order of the records.

    A script that throws for one record is heard about in its outcome, with what it had done; the
    others go on.

    Raises:
        PageCut: the records are part of a set and the script looks at others, or the page as a
            whole went over a limit.
        ScriptTimeout, ScriptMemoryExceeded, ScriptCallsExceeded, ScriptCrashed: a record that is
            no part of a set went over a limit.
    """
    outcomes: list[RuleOutcome] = []
    sent = _sent(page)
    while len(outcomes) < len(page.rows):
        sent["start"] = len(outcomes)
        outcomes += _run_on(session, script, page, sent)
    return outcomes


def _run_on(
    session: ScriptSession, script: Script, page: RulePage, sent: dict[str, JsonValue]
) -> list[RuleOutcome]:
    """Run on from ``start`` to the end of the page, or to the first record that throws."""
    partial: list[RuleOutcome] = []

    def keep(done: Any, at: int) -> None:
        partial[:] = msgspec.convert(done, list[RuleOutcome])

    try:
        value = session.run(script, None, {"__page": sent}, calls={"rule.rows": keep})
    except (LimitExceeded, ScriptCrashed) as error:
        if page.together:
            raise PageCut from error
        raise
    except ScriptError as error:
        inner = error.__cause__
        if isinstance(inner, ScriptError) and isinstance(inner, LimitExceeded | ScriptCrashed):
            raise inner from error  # a rule of a record that it wrote; no script survives that
        if partial:
            partial = [_placed(session, outcome) for outcome in partial]
            return [*partial[:-1], msgspec.structs.replace(partial[-1], error=error)]
        left = range(int(str(sent["start"])), len(page.rows))  # it does not compile
        return [RuleOutcome(i=i, error=error) for i in left]
    answer = msgspec.convert(value, _Answer)
    if answer.cut:
        raise PageCut
    return [_placed(session, outcome) for outcome in answer.done]


def _placed(session: ScriptSession, outcome: RuleOutcome) -> RuleOutcome:
    """Return an outcome whose log lines say where they come from, instead of their stacks."""
    if not outcome.log:
        return outcome
    lines: list[list[Any]] = [
        [level, text, *(session.place(str(rest[0])) if rest else ("", None))]
        for level, text, *rest in outcome.log
    ]
    return msgspec.structs.replace(outcome, log=lines)


def _seen(table: Table, row: RuleRow) -> RuleRow:
    before = None if row.before is None else without_hashes(table, row.before)
    first = None if row.first is None else without_hashes(table, row.first)
    return RuleRow(before, without_hashes(table, row.changed), row.refused, first)


def _sent(page: RulePage) -> dict[str, JsonValue]:
    columns = [name for name, f in page.table.fields.items() if f.storage is not Storage.NONE]
    hashes = any(page.table.fields[name].type == HASHED for name in columns)
    pages = [_seen(page.table, row) for row in page.rows] if hashes else page.rows
    rows: list[JsonValue] = [
        [
            None if row.before is None else list(map(row.before.get, columns)),
            dict(row.changed),
            row.refused,
            None if row.first is None else list(map(row.first.get, columns)),
        ]
        for row in pages
    ]
    return {
        "table": page.table.name,
        "operation": page.operation,
        "phase": page.phase,
        "together": page.together,
        "query": page.query,
        "scratchpad": page.scratchpad,
        "rows": rows,
    }
