"""What one rule does to one draft, as far as it needs no script."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from midspan.dictionary import Storage
from midspan.kernel.errors import InvalidValue
from midspan.query import Condition, Unknown, evaluate, resolve_query
from midspan.records import Draft, RecordTransaction
from midspan.records.lookup import resolve_reference
from midspan.rules.reading import DraftReader
from midspan.rules.rule import Rule, Setting

log = logging.getLogger(__name__)
MESSAGES = "rule_messages"
"""Where a transaction keeps the messages that rules added, as a list of texts."""


def refusal(rule: Rule, draft: Draft) -> str:
    """Return the vendor's wording for a write that a rule aborted."""
    return (
        f"Operation against file '{draft.table.name}' was aborted by Business Rule "
        f"'{rule.name}^{rule.sys_id}'. Business Rule Stack:{rule.name}"
    )


def applies(rule: Rule, draft: Draft, transaction: RecordTransaction, reader: DraftReader) -> bool:
    """Tell whether roles and conditions of a rule hold, its expression apart."""
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


def values_of(
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
        with trusted(transaction):
            return resolve_reference(transaction, setting.field, setting.text)
    return setting.text


def give(rule: Rule, draft: Draft, name: str, text: str) -> None:
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


def tell(transaction: RecordTransaction, messages: Iterable[str]) -> None:
    """Keep messages for whoever made the change."""
    transaction.locals.setdefault(MESSAGES, []).extend(messages)


@contextmanager
def trusted(transaction: RecordTransaction) -> Iterator[None]:
    """Work for the instance for a moment, whatever the actor may do."""
    enforce, transaction.enforce = transaction.enforce, False
    try:
        yield
    finally:
        transaction.enforce = enforce
