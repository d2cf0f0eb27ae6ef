"""Why an actor may or may not do something: every rule that was looked at, and what came of it.

Pure: it goes through names and rules in the order in which ``Access`` does and tells the steps; the
answer itself is asked of ``Access``, so that an explanation never says anything else than what
happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct

from midspan.dictionary import FieldPath
from midspan.query import (
    ALWAYS,
    NEVER,
    And,
    Condition,
    Counter,
    Operator,
    Or,
    Related,
    Test,
    evaluate,
    paths_of,
)
from midspan.query.computed import value_of
from midspan.security.access import Access
from midspan.security.accessrule import AccessRule
from midspan.security.attachment import ATTACHMENT
from midspan.security.journal import JOURNAL
from midspan.security.undecided import Undecided

Getter = Callable[[FieldPath], str]


class TestSeen(Struct, frozen=True):
    """One comparison of a condition, with the value that the record has and the outcome."""

    __test__ = False

    test: str
    value: str
    holds: bool


class RuleSeen(Struct, frozen=True, kw_only=True):
    """One rule that was looked at."""

    sys_id: str
    name: str
    roles: tuple[str, ...]
    condition: str
    outcome: str
    """``grants``, ``refuses`` or ``depends``: on the record, which was not given."""
    reason: str
    tests: tuple[TestSeen, ...] = ()


class Step(Struct, frozen=True, kw_only=True):
    """One level of the decision, ``table`` or ``field``."""

    level: str
    operation: str
    names: tuple[str, ...]
    """The names looked for, the most specific first."""
    decided_by: str
    """The first name that has a rule; empty when none has."""
    rules: tuple[RuleSeen, ...]
    outcome: str
    reason: str


class Explanation(Struct, frozen=True, kw_only=True):
    """The decision about one operation, and how it came about."""

    table: str
    operation: str
    field: str
    decision: str
    """``allowed``, ``refused`` or ``depends``: on the record, which was not given."""
    steps: tuple[Step, ...]


class OneRow(Struct, frozen=True):
    """The record that is explained: its values at ``paths_for`` it, and its related rows."""

    get: Getter
    count: Counter | None = None

    def value(self, path: FieldPath) -> str:
        """Return the record's value at a path, or what a function of its values yields."""
        return value_of(path, self.get)

    def holds(self, condition: Condition) -> bool:
        """Tell whether the record meets a condition."""
        return evaluate(condition, self.get, count=self.count)


def explain(
    access: Access, table: str, operation: str, field: str = "", row: OneRow | None = None
) -> Explanation:
    """Explain an operation on rows of exactly ``table``, or on a field of them.

    Who changes or deletes a record has to read it, too. Without a row a condition leaves the
    decision open.
    """
    steps = [_table_step(access, table, each, row) for each in _operations(operation)]
    if field:
        steps.append(_field_step(access, table, field, operation, row))
    outcomes = [step.outcome for step in steps]
    decision = "allowed"
    if "refuses" in outcomes:
        decision = "refused"
    elif "depends" in outcomes:
        decision = "depends"
    return Explanation(
        table=table, operation=operation, field=field, decision=decision, steps=tuple(steps)
    )


def paths_for(access: Access, table: str, operation: str, field: str = "") -> tuple[FieldPath, ...]:
    """Return the paths that the conditions of the rules test."""
    found: dict[str, FieldPath] = {}
    for each in _operations(operation):
        _, rules = _deciding(access, access.table_names(table), each)
        conditions = [access.granted(rule, table) for rule in rules]
        declared = [_declared(condition) for condition in conditions]
        for condition in (*conditions, *declared, access.class_rows(table, each)):
            found |= {path.name: path for path in paths_of(condition)}
    if field:
        _, rules = _deciding_field(access, table, field, operation)
        for rule in rules:
            for condition in (granted := access.granted(rule, table), _declared(granted)):
                found |= {path.name: path for path in paths_of(condition)}
    return tuple(found.values())


def _operations(operation: str) -> tuple[str, ...]:
    return ("read", operation) if operation in ("write", "delete") else (operation,)


def _table_step(access: Access, table: str, operation: str, row: OneRow | None) -> Step:
    names = access.table_names(table)
    decided_by, rules = _deciding(access, names, operation)
    seen = tuple(_rule(access, rule, table, row) for rule in rules)
    outcome = _outcome(_settled(access, access.class_rows(table, operation), table, row), row)
    reason = _why(access, decided_by, outcome)
    if table in (JOURNAL, ATTACHMENT) and operation == "read":
        reason += "; besides, the record that the row belongs to has to be readable"
    return Step(
        level="table",
        operation=operation,
        names=names,
        decided_by=decided_by,
        rules=seen,
        outcome=outcome,
        reason=reason,
    )


def _field_step(access: Access, table: str, field: str, operation: str, row: OneRow | None) -> Step:
    names = access.field_names(table, field)
    decided_by, rules = _deciding_field(access, table, field, operation)
    seen = tuple(_rule(access, rule, table, row) for rule in rules)
    granted = access.field_rows(table, field, operation)
    if granted not in (ALWAYS, NEVER):
        granted = access.class_field(table, field, operation)
    outcome = _outcome(_settled(access, granted, table, row), row)
    reason = _why(access, decided_by, outcome) if rules else "no rule: what holds for the table"
    if operation == "read" and access.dictionary.field(table, field).kind.secret:
        reason = "a secret is never read, whatever the rules say"
    elif outcome == "refuses" and (not rules or any(rule.outcome != "refuses" for rule in seen)):
        reason = "a table that extends this one hides the field in its rows"
        if access.dictionary.field(table, field).kind.journal:
            reason = "a journal is read in all records or in none, and a rule asks about the record"
    return Step(
        level="field",
        operation=operation,
        names=names,
        decided_by=decided_by,
        rules=seen,
        outcome=outcome,
        reason=reason,
    )


def _deciding_field(
    access: Access, table: str, field: str, operation: str
) -> tuple[str, list[AccessRule]]:
    names = access.field_names(table, field)
    decided_by, rules = _deciding(access, names, operation)
    if not rules and operation == "create":
        return _deciding(access, names, "write")
    return decided_by, rules


def _deciding(access: Access, names: Iterable[str], operation: str) -> tuple[str, list[AccessRule]]:
    for name in names:
        rules = access.rules(name, operation)
        if rules:
            return name, rules
    return "", []


def _why(access: Access, decided_by: str, outcome: str) -> str:
    if access.actor.trusted:
        return "the system itself: no rule applies"
    if not decided_by:
        return "no rule: for the role admin only"
    grants = {
        "grants": "a rule grants, and one is enough",
        "refuses": "no rule grants",
        "depends": "a rule grants for the records that meet its condition",
    }
    return f"{decided_by} is the most specific name with a rule; {grants[outcome]}"


def _rule(access: Access, rule: AccessRule, table: str, row: OneRow | None) -> RuleSeen:
    condition = access.granted(rule, table)
    outcome = _outcome(_settled(access, condition, table, row), row)
    return RuleSeen(
        sys_id=rule.sys_id,
        name=rule.name,
        roles=tuple(sorted(rule.roles)),
        condition=rule.condition,
        outcome=outcome,
        reason=_reason(access, rule, outcome),
        tests=tuple(_tests(_declared(condition), row)) if row is not None else (),
    )


def _reason(access: Access, rule: AccessRule, outcome: str) -> str:
    actor = access.actor
    if actor.trusted or (actor.is_admin and rule.admin_overrides):
        return "admin passes this rule"
    if rule.is_empty:
        return "a rule without role, condition and script grants nothing"
    held = sorted(rule.roles & actor.roles)
    if rule.roles and not held:
        return f"needs one of the roles {', '.join(sorted(rule.roles))}"
    has = f"has the role {', '.join(held)}" if held else "asks for no role"
    if rule.scripted:
        return f"{has}; {_scripted(access, rule, outcome)}"
    if not rule.condition:
        return has
    meets = {"grants": "holds", "refuses": "does not hold", "depends": "depends on the record"}
    return f"{has}; its condition {meets[outcome]}"


def _scripted(access: Access, rule: AccessRule, outcome: str) -> str:
    if not access.runs_scripts:
        return "its script cannot be run here, and so it grants nothing"
    what = "condition and script" if rule.condition else "script"
    holds = {
        "grants": "passes" if what == "script" else "pass",
        "refuses": "does not pass" if what == "script" else "do not both pass",
        "depends": "depends on the record" if what == "script" else "depend on the record",
    }
    return f"its {what} {holds[outcome]}"


def _settled(access: Access, condition: Condition, table: str, row: OneRow | None) -> Condition:
    """Return the condition with scripts run for the record that is explained."""
    if row is None:
        return condition
    path = access.dictionary.path(table, "sys_id")
    own = Test(path, Operator.EQUALS, (row.get(path),))
    return access.settled(condition, table, own)


def _declared(condition: Condition) -> Condition:
    return condition.declared if isinstance(condition, Undecided) else condition


def _outcome(condition: Condition, row: OneRow | None) -> str:
    if condition == ALWAYS:
        return "grants"
    if condition == NEVER:
        return "refuses"
    if row is None:
        return "depends"
    return "grants" if row.holds(condition) else "refuses"


def _tests(condition: Condition, row: OneRow) -> Iterator[TestSeen]:
    match condition:
        case Test():
            yield TestSeen(str(condition), row.value(condition.path), row.holds(condition))
        case Related():
            yield TestSeen(str(condition), row.value(condition.own), row.holds(condition))
        case And() | Or():
            for part in condition.parts:
                yield from _tests(part, row)
