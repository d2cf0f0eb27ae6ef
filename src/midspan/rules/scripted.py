"""Scripts of rules over pages of drafts; what they say is kept in the order of the records."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec
from msgspec import Struct

from midspan.dictionary import Table
from midspan.query import (
    ALWAYS,
    NEVER,
    And,
    Condition,
    Or,
    Query,
    RelatedTerm,
    Unknown,
    both,
    format_query,
    resolve_condition,
)
from midspan.records import (
    PROPERTIES,
    Change,
    Draft,
    Operation,
    PageCut,
    Record,
    RecordTransaction,
)
from midspan.rules.reading import DraftReader
from midspan.rules.rule import Rule
from midspan.rules.running import applies, tell
from midspan.sandbox import JsonValue, Script, ScriptError
from midspan.scripting import Enclosed, ScriptRunner, ScriptSession
from midspan.scripting.criteria import Criteria, read_query
from midspan.scripting.eventcalls import queue_script_event
from midspan.scripting.rulepage import Phase, RuleOutcome, RulePage, RuleRow, run_page

PAGE = 250
"""Records of one run of a script."""
CHECK_AGAIN = "glide.businessrule.async_condition_check"
_SAID = "rules_said"
_ASKING = "rules_asking"
_FIRSTS = "rules_firsts"
_MOST_KNOWN = 1000


class Setting(Struct, frozen=True):
    """A script session inside a transaction."""

    session: ScriptSession
    transaction: RecordTransaction


class _Said(Struct):
    """What scripts said about the records of a set, until it is known that the set stays."""

    ranks: dict[str, int] = {}
    heard: list[tuple[str, Rule, RuleOutcome]] = []


class ScriptedRules:
    """Runs the scripts of business rules; one per instance, safe to use from many threads."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner
        self._elsewhere: set[tuple[str, Script | None, Script | None]] = set()

    @contextmanager
    def open(self, transaction: RecordTransaction) -> Iterator[Setting]:
        """Open a session for the rules of one phase."""
        with self._runner.session(Enclosed(transaction)) as session:
            yield Setting(session, transaction)

    def looks_elsewhere(self, rules: Sequence[Rule]) -> bool:
        """Tell whether the script of some rule was found to look at other records."""
        return any(_key(rule) in self._elsewhere for rule in rules)

    def run(
        self,
        setting: Setting,
        rule: Rule,
        drafts: Sequence[Draft],
        *,
        expression: bool = False,
        together: bool = False,
    ) -> list[RuleOutcome]:
        """Run a rule's script, or its condition, for drafts of one class and operation.

        Raises:
            PageCut: the drafts are a set, and the script looked at other records.
            ScriptError: it went over a limit; the change must not go on.
        """
        script = rule.expression if expression else rule.script
        if script is None:
            return []
        outcomes: list[RuleOutcome] = []
        with _first_written(setting.transaction, drafts) as firsts:
            for start in range(0, len(drafts), PAGE):
                part = drafts[start : start + PAGE]
                page = RulePage(
                    table=part[0].table,
                    operation=part[0].operation.value,
                    phase=_phase(rule),
                    rows=[_row(draft, firsts) for draft in part],
                    together=together,
                )
                outcomes += self._page(setting, rule, script, page)
        for draft, outcome in zip(drafts, outcomes, strict=True):
            self.hear(setting.transaction, rule, draft, outcome, together=together)
        return outcomes

    def _page(
        self, setting: Setting, rule: Rule, script: Script, page: RulePage
    ) -> list[RuleOutcome]:
        began = time.perf_counter()
        logbook = setting.transaction.store.logbook
        try:
            outcomes = run_page(setting.session, script, page)
        except PageCut:
            if len(self._elsewhere) > _MOST_KNOWN:
                self._elsewhere.clear()
            self._elsewhere.add(_key(rule))
            raise
        except ScriptError as error:
            logbook.failure(error, title=_title(rule))
            raise
        spent = time.perf_counter() - began
        logbook.ran(script.name, rows=len(outcomes), seconds=spent)
        return outcomes

    def run_later(
        self, rule: Rule, record: Record, operation: Operation, transaction: RecordTransaction
    ) -> None:
        """Run an async rule for a record as it is stored now; nothing of it counts as changed.

        Its condition in JavaScript was asked when it was queued; a property has it asked again.

        Raises:
            ScriptError: it failed or went over a limit; that is in the log.
        """
        if rule.script is None:
            return
        again = transaction.snapshot.part(PROPERTIES).get(CHECK_AGAIN) == "true"
        page = RulePage(
            table=transaction.dictionary.table(record.table),
            operation=operation.value,
            phase="async",
            rows=[RuleRow(record.values)],
        )
        with self.open(transaction) as setting:
            if again and rule.expression is not None:
                (asked,) = self._page(setting, rule, rule.expression, page)
                self._pass_on(transaction, rule, asked)
                if asked.error is not None or not asked.value:
                    return
            (outcome,) = self._page(setting, rule, rule.script, page)
        self._pass_on(transaction, rule, outcome)
        if outcome.error is not None:
            raise outcome.error

    # What scripts say

    def hear(
        self,
        transaction: RecordTransaction,
        rule: Rule,
        draft: Draft,
        outcome: RuleOutcome,
        *,
        together: bool,
    ) -> None:
        """Pass on what a script said about a record; in a set, once the set is through."""
        if not together:
            self._pass_on(transaction, rule, outcome)
            return
        said: _Said = transaction.locals.setdefault(_SAID, _Said())
        said.ranks.setdefault(draft.sys_id, len(said.ranks))
        if outcome.log or outcome.events or outcome.messages or outcome.error:
            said.heard.append((draft.sys_id, rule, outcome))

    def settle(self, transaction: RecordTransaction, *, kept: bool, lost: Collection[str]) -> None:
        """Pass on what was said about a set, record by record, or forget it.

        Events of records that were refused are forgotten, as they are when a write is undone.
        """
        said: _Said | None = transaction.locals.pop(_SAID, None)
        if said is None or not kept:
            return
        for sys_id, rule, outcome in sorted(said.heard, key=lambda item: said.ranks[item[0]]):
            if sys_id in lost:
                outcome = msgspec.structs.replace(outcome, events=[])
            self._pass_on(transaction, rule, outcome)

    def _pass_on(self, transaction: RecordTransaction, rule: Rule, outcome: RuleOutcome) -> None:
        logbook = transaction.store.logbook
        name = rule.script.name if rule.script else f"sys_script.{rule.sys_id}"
        user = transaction.actor.user_name
        for level, text, script, line in outcome.log:
            logbook.add(level, text, script=script or name, line=line, user=user)
        if outcome.error is not None:
            logbook.failure(outcome.error, title=_title(rule), user=user)
        if outcome.messages:
            tell(transaction, outcome.messages)
        for arguments in outcome.events:
            queue_script_event(transaction, tuple(arguments))

    def recursion(self, rule: Rule, transaction: RecordTransaction) -> None:
        """Note that a rule would have run for a record for which it is running."""
        transaction.store.logbook.add(
            "warning",
            f"Business rule {rule.name!r} changed the record that it runs for; "
            "it does not run for that change again",
            script=f"sys_script.{rule.sys_id}.script",
            user=transaction.actor.user_name,
        )

    # Queries and forms

    def narrow(
        self, table: Table, query: Query, rules: Sequence[Rule], transaction: RecordTransaction
    ) -> Query:
        """Return a query with what its query rules add; one whose script fails lets nothing pass.

        What such a script reads itself is not narrowed again.
        """
        if transaction.locals.get(_ASKING):
            return query
        transaction.locals[_ASKING] = True
        try:
            with self.open(transaction) as setting:
                for rule in rules:
                    if rule.roles and not transaction.actor.has_role(rule.roles):
                        continue
                    added = self._added(setting, rule, table, format_query(query))
                    query = msgspec.structs.replace(query, condition=both(query.condition, added))
        finally:
            transaction.locals[_ASKING] = False
        return query

    def _added(self, setting: Setting, rule: Rule, table: Table, found: str) -> Condition:
        page = RulePage(
            table=table, operation="query", phase="query", rows=[RuleRow(None)], query=found
        )
        for script in (rule.expression, rule.script):
            if script is None:
                continue
            (outcome,) = self._page(setting, rule, script, page)
            self._pass_on(setting.transaction, rule, outcome)
            if outcome.error is not None:
                return NEVER
            if script is rule.expression and not outcome.value:
                return ALWAYS
        if outcome.query is None:
            return ALWAYS
        conditions = outcome.query.conditions[bool(found) :]
        asked = read_query(Criteria(table.name, conditions=conditions), exempt=True)
        return _usable(asked.condition, table, setting.transaction) if asked.is_whole else NEVER

    def display(
        self, record: Record, rules: Sequence[Rule], transaction: RecordTransaction
    ) -> tuple[dict[str, str], dict[str, JsonValue]]:
        """Run display rules for a form; return the values they change, and the scratchpad."""
        values: dict[str, str] = {}
        pad: dict[str, JsonValue] = {}
        table = transaction.dictionary.table(record.table)
        with self.open(transaction) as setting:
            for rule in rules:
                if rule.script is None or not self._shown(rule, record, transaction):
                    continue
                page = RulePage(
                    table=table,
                    operation="",
                    phase="display",
                    rows=[RuleRow(record.values, values)],
                    scratchpad=pad,
                )
                (outcome,) = self._page(setting, rule, rule.script, page)
                self._pass_on(transaction, rule, outcome)
                values |= outcome.set
                if isinstance(outcome.scratchpad, dict):
                    pad = outcome.scratchpad
        return values, pad

    def _shown(self, rule: Rule, record: Record, transaction: RecordTransaction) -> bool:
        table = transaction.dictionary.table(record.table)
        change = Change(table=record.table, operation=Operation.UPDATE, sys_id=record.sys_id)
        draft = Draft(table, change, record)
        return applies(rule, draft, transaction, DraftReader(draft, transaction))


def _usable(condition: Condition, table: Table, transaction: RecordTransaction) -> Condition:
    """Return what a rule asks for; a join of which a part cannot be used lets nothing pass."""
    match condition:
        case And() | Or():
            parts = (_usable(part, table, transaction) for part in condition.parts)
            return type(condition)(tuple(parts))
        case RelatedTerm():
            _, left_out = resolve_condition(
                transaction.dictionary,
                table.name,
                condition,
                Unknown.NOTHING,
                transaction.values,
            )
            return NEVER if left_out else condition
        case _:
            return condition


def _title(rule: Rule) -> str:
    return f"Business rule {rule.name!r}"


def _phase(rule: Rule) -> Phase:
    return "before" if rule.before else "after"


def _key(rule: Rule) -> tuple[str, Script | None, Script | None]:
    return rule.sys_id, rule.script, rule.expression


@contextmanager
def _first_written(
    transaction: RecordTransaction, drafts: Sequence[Draft]
) -> Iterator[Mapping[str, Record]]:
    """Note what records were before the first write around these scripts; yield what is known.

    A rule that saves its record starts the rules again, in which ``previous`` is still that.
    """
    firsts: dict[str, Record] = transaction.locals.setdefault(_FIRSTS, {})
    own = [d for d in drafts if d.before is not None and d.before.sys_id not in firsts]
    firsts.update((draft.sys_id, draft.before) for draft in own if draft.before is not None)
    try:
        yield firsts
    finally:
        for draft in own:
            firsts.pop(draft.sys_id, None)


def _row(draft: Draft, firsts: Mapping[str, Record]) -> RuleRow:
    if draft.before is None:
        return RuleRow(
            None,
            {**{name: text for name, text in draft.values.items() if text}, **draft.journal},
            draft.refused is not None,
        )
    changed = {name: new for name, (_, new) in draft.changes().items()}
    first = firsts.get(draft.sys_id, draft.before)
    return RuleRow(
        draft.before.values,
        {**changed, **draft.journal},
        draft.refused is not None,
        None if first is draft.before else first.values,
    )
