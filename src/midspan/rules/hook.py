"""Runs business rules without script with every write; the record hook of this package."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import structs

from midspan.dictionary import Storage, Table
from midspan.kernel.errors import InvalidValue, OperationAborted
from midspan.query import Condition, Query, Unknown, evaluate, resolve_query
from midspan.records import (
    Draft,
    Operation,
    RecordStore,
    RecordTransaction,
    Snapshot,
    update,
)
from midspan.records.lookup import resolve_reference
from midspan.rules.builtin import Computed
from midspan.rules.index import RULES, RuleIndex, TableRules
from midspan.rules.reading import DraftReader
from midspan.rules.rule import Rule, RuleProblem, Setting

log = logging.getLogger(__name__)
MESSAGES = "rule_messages"
"""Where a transaction keeps the messages that rules added, as a list of texts."""


class BusinessRules:
    """Runs the rules and the built-in behaviour of a record's class, in the vendor's order.

    Before rules set fields of the draft and refuse it; one that refuses does not keep later rules
    from running. After rules set fields by a second update in the same transaction; one that
    aborts takes the whole write back.
    """

    def __init__(self, records: RecordStore) -> None:
        self._records = records
        self._reported: frozenset[RuleProblem] = frozenset()
        records.holder.on_renewal(self._renewed)

    def problems(self) -> tuple[RuleProblem, ...]:
        """Return the active rules that cannot run, those with a script included."""
        index = self._records.holder.current().part(RULES)
        return (*index.problems, *index.scripted)

    # What the writer calls

    def wants(self, table: Table, operation: Operation, transaction: RecordTransaction) -> bool:
        """Tell whether a class has anything to run."""
        return _rules(transaction, table, operation) is not None

    def set_based(self, table: Table, operation: Operation, transaction: RecordTransaction) -> bool:
        """Tell whether all of it looks at its own draft alone."""
        found = _rules(transaction, table, operation)
        return found is None or found.alone

    def before(self, draft: Draft, transaction: RecordTransaction, *, late: bool) -> None:
        """Run the rules of order below 1000, or the rest."""
        found = _rules(transaction, draft.table, draft.operation)
        if found is None:
            return
        if late:
            self._run(found.late, draft, transaction)
            return
        for each in found.computed:
            each.compute(draft, transaction)
        inputs = [_inputs(each, draft) for each in found.computed]
        self._run(found.early, draft, transaction)
        for each, before in zip(found.computed, inputs, strict=True):
            if _inputs(each, draft) != before:
                each.compute(draft, transaction)
        for each in found.checks:
            each.compute(draft, transaction)

    def after(self, draft: Draft, transaction: RecordTransaction) -> None:
        """Run after rules; a rule does not run again for a record while it runs for it."""
        found = _rules(transaction, draft.table, draft.operation)
        if found is None or not found.after:
            return
        running: set[tuple[str, str]] = transaction.locals.setdefault("rules_running", set())
        for rule in found.after:
            key = (rule.sys_id, draft.sys_id)
            if key in running:
                continue
            running.add(key)
            try:
                self._run_after(rule, draft, transaction)
            finally:
                running.discard(key)

    def before_query(self, table: Table, query: Query, transaction: RecordTransaction) -> Query:
        """Leave the query as it is: only a script could narrow it."""
        return query

    # One rule

    def _run(self, rules: tuple[Rule, ...], draft: Draft, transaction: RecordTransaction) -> None:
        for rule in rules:
            reader = DraftReader(draft, transaction)
            if not _applies(rule, draft, transaction, reader):
                continue
            if rule.settings and draft.operation is not Operation.DELETE:
                for name, text in _values(rule, draft, transaction, reader).items():
                    _set(rule, draft, name, text)
            _add_message(rule, transaction)
            if rule.abort:
                draft.refuse(refusal(rule, draft))

    def _run_after(self, rule: Rule, draft: Draft, transaction: RecordTransaction) -> None:
        reader = DraftReader(draft, transaction)
        if not _applies(rule, draft, transaction, reader):
            return
        _add_message(rule, transaction)
        if rule.abort:
            raise OperationAborted("Operation Failed", detail=refusal(rule, draft))
        if not rule.settings or draft.operation is Operation.DELETE:
            return
        values = {
            name: text
            for name, text in _values(rule, draft, transaction, reader).items()
            if (text and draft.table.fields[name].kind.journal) or text != draft.get(name)
        }
        if values:
            with _trusted(transaction):
                change = update(draft.table.name, draft.sys_id, values)
                applied = transaction.apply(structs.replace(change, options=draft.options))
            draft.values.update(applied.values)

    def _renewed(self, snapshot: Snapshot, parts: frozenset[str]) -> None:
        """Report rules that do not run, each once as long as nothing about it changes."""
        if RULES.name not in parts:
            return
        index: RuleIndex = snapshot.part(RULES)
        found = frozenset((*index.problems, *index.scripted))
        new = [each for each in (*index.problems, *index.scripted) if each not in self._reported]
        self._reported = found
        for problem in new:
            log.warning(
                "business rule %r of %s does not run: %s",
                problem.name,
                problem.table,
                problem.message,
                extra={"rule": problem.sys_id, "table": problem.table},
            )


def refusal(rule: Rule, draft: Draft) -> str:
    """Return the vendor's wording for a write that a rule aborted."""
    return (
        f"Operation against file '{draft.table.name}' was aborted by Business Rule "
        f"'{rule.name}^{rule.sys_id}'. Business Rule Stack:{rule.name}"
    )


def _rules(transaction: RecordTransaction, table: Table, operation: Operation) -> TableRules | None:
    return transaction.snapshot.part(RULES).find(table.name, operation)


def _inputs(computed: Computed, draft: Draft) -> list[str]:
    return [draft.get(name) for name in computed.inputs]


def _applies(rule: Rule, draft: Draft, transaction: RecordTransaction, reader: DraftReader) -> bool:
    if rule.roles and not transaction.actor.has_role(rule.roles):
        return False
    condition = _condition(rule, transaction)
    return evaluate(condition, reader.now, reader.then, transaction.count_related)


def _condition(rule: Rule, transaction: RecordTransaction) -> Condition:
    """Return the rule's condition; one with session values is resolved once per transaction."""
    if rule.condition is not None:
        return rule.condition
    resolved: dict[str, tuple[Rule, Condition]] = transaction.locals.setdefault("rules", {})
    known = resolved.get(rule.sys_id)
    if known is None or known[0] is not rule:
        condition, _ = resolve_query(
            transaction.dictionary, rule.table, rule.query, Unknown.NOTHING, transaction.values
        )
        resolved[rule.sys_id] = known = (rule, condition)
    return known[1]


def _values(
    rule: Rule, draft: Draft, transaction: RecordTransaction, reader: DraftReader
) -> dict[str, str]:
    """Return what a rule sets; a name of a record that does not exist leaves its field out."""
    values: dict[str, str] = {}
    for setting in rule.settings:
        text = _value(setting, transaction, reader)
        if text is None:
            log.warning(
                "business rule %r: no record of %s is called %r, %s stays as it is",
                rule.name,
                setting.field.reference,
                setting.text,
                setting.field.name,
                extra={"rule": rule.sys_id, "table": draft.table.name},
            )
        else:
            values[setting.field.name] = text
    return values


def _value(setting: Setting, transaction: RecordTransaction, reader: DraftReader) -> str | None:
    if setting.other is not None:
        return reader.now(setting.other)
    if setting.expression:
        return transaction.values(setting.expression) or ""
    if setting.by_display:
        with _trusted(transaction):
            return resolve_reference(transaction, setting.field, setting.text)
    return setting.text


def _set(rule: Rule, draft: Draft, name: str, text: str) -> None:
    """Give a field its value, cut to its length; a copy that does not fit is left out."""
    field = draft.table.fields[name]
    if field.kind.journal and not text:
        return
    if field.storage is Storage.TEXT and not field.kind.multiple and not field.kind.secret:
        text = text[: field.max_length]
    try:
        draft.set(name, text)
    except InvalidValue as error:
        log.warning(
            "business rule %r left %s as it is: %s",
            rule.name,
            name,
            error.message,
            extra={"rule": rule.sys_id, "table": draft.table.name},
        )


def _add_message(rule: Rule, transaction: RecordTransaction) -> None:
    if rule.message:
        transaction.locals.setdefault(MESSAGES, []).append(rule.message)


@contextmanager
def _trusted(transaction: RecordTransaction) -> Iterator[None]:
    """Work for the instance for a moment, whatever the actor may do."""
    enforce, transaction.enforce = transaction.enforce, False
    try:
        yield
    finally:
        transaction.enforce = enforce
