"""All active rules by table and operation: loaded once per version of the configuration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from midspan.dictionary import Dictionary
from midspan.kernel.errors import InvalidDefinition
from midspan.records import Operation, SnapshotPart
from midspan.rules.builtin import CHECKS, COMPUTED, Computed
from midspan.rules.rule import Rule, RuleProblem, compile_rule, script_of
from midspan.storage import Statements, Transaction
from midspan.storage.catalog import columns_of

_COLUMNS = (
    "sys_id",
    "name",
    "collection",
    "when",
    "order",
    "advanced",
    "action_insert",
    "action_update",
    "action_delete",
    "action_query",
    "execute_function",
    "filter_condition",
    "condition",
    "role_conditions",
    "script",
    "template",
    "abort_action",
    "add_message",
    "message",
)
_BOOLEANS = frozenset(
    {"advanced", "action_insert", "action_update", "action_delete", "abort_action", "add_message"}
    | {"action_query", "execute_function"}
)


NO_TABLE = "belongs to no table; functions for all scripts belong to the table 'global'"


class TableRules(Struct, frozen=True):
    """What runs for one operation on records of one class, in order."""

    computed: tuple[Computed, ...] = ()
    checks: tuple[Computed, ...] = ()
    early: tuple[Rule, ...] = ()
    late: tuple[Rule, ...] = ()
    after: tuple[Rule, ...] = ()
    later: tuple[Rule, ...] = ()
    """Async rules: they run as jobs after the commit."""
    alone: bool = True
    """Every one of them looks at nothing but its own draft, as far as it has no script."""

    @property
    def scripted(self) -> tuple[Rule, ...]:
        """The rules that run scripts within the write."""
        return tuple(rule for rule in (*self.early, *self.late, *self.after) if rule.scripted)


class RuleIndex(Struct, frozen=True):
    """The rules by class and operation, and those that do not run; immutable."""

    tables: Mapping[tuple[str, Operation], TableRules] = {}
    queries: Mapping[str, tuple[Rule, ...]] = {}
    """Query rules by the table that is queried, its own and those of the tables it extends."""
    displays: Mapping[str, tuple[Rule, ...]] = {}
    """Display rules by class."""
    by_id: Mapping[str, Rule] = {}
    problems: tuple[RuleProblem, ...] = ()

    def find(self, table: str, operation: Operation) -> TableRules | None:
        """Return what runs for a class and an operation, or None."""
        return self.tables.get((table, operation))


def load_rules(transaction: Transaction, dictionary: Dictionary) -> RuleIndex:
    """Read all active rules; one that cannot run is listed, not raised."""
    sql = Statements("midspan.rules", "rules", transaction.dialect)["active"]
    # An upgrade reads the rules of the former release before it has made the new columns.
    if "execute_function" not in columns_of(transaction, "sys_script"):
        sql = sql.replace("execute_function", "NULL")
    active = (transaction.dialect.name != "sqlite" or 1,)
    rows = transaction.rows(sql, active)
    return build_index(dictionary, (_texts(row) for row in rows))


RULES = SnapshotPart("rules", frozenset({"sys_script"}), load_rules)
"""The business rules; registered with the ``SnapshotHolder`` of the instance."""


def build_index(dictionary: Dictionary, rows: Iterable[Mapping[str, str]]) -> RuleIndex:
    """Compile rows of ``sys_script``, wire texts by field name, into an index."""
    rules: list[Rule] = []
    problems: list[RuleProblem] = []
    for values in rows:
        try:
            rule = compile_rule(dictionary, values)
        except InvalidDefinition as error:
            problems.append(_problem(values, error.explain()))
            continue
        if rule is not None:
            rules.append(rule)
        elif script_of(values) and not values["collection"]:
            problems.append(_problem(values, NO_TABLE))
    rules.sort(key=lambda rule: (rule.order, rule.name, rule.sys_id))
    return RuleIndex(
        tables=dict(_by_class(dictionary, rules)),
        queries=_by_table(dictionary, [rule for rule in rules if rule.on_query]),
        displays=_by_table(dictionary, [rule for rule in rules if rule.time == "display"]),
        by_id={rule.sys_id: rule for rule in rules},
        problems=tuple(problems),
    )


def _by_table(dictionary: Dictionary, rules: Sequence[Rule]) -> dict[str, tuple[Rule, ...]]:
    """Hand rules down to the children of their tables."""
    found: dict[str, tuple[Rule, ...]] = {}
    for cls in {cls for rule in rules for cls in dictionary.table(rule.table).classes}:
        line = dictionary.ancestors(cls)
        found[cls] = tuple(rule for rule in rules if rule.table in line)
    return found


def _by_class(
    dictionary: Dictionary, rules: Sequence[Rule]
) -> Iterator[tuple[tuple[str, Operation], TableRules]]:
    """Hand rules down to the children of their tables."""
    used = {rule.table for rule in rules} | {each.table for each in (*COMPUTED, *CHECKS)}
    names = [name for name in sorted(used) if name in dictionary]
    for cls in dict.fromkeys(cls for name in names for cls in dictionary.table(name).classes):
        line = dictionary.ancestors(cls)
        for operation in Operation:
            mine = [r for r in rules if r.table in line and operation in r.operations]
            found = TableRules(
                computed=_builtin(COMPUTED, line, operation),
                checks=_builtin(CHECKS, line, operation),
                early=tuple(rule for rule in mine if rule.before and not rule.late),
                late=tuple(rule for rule in mine if rule.before and rule.late),
                after=tuple(rule for rule in mine if rule.time == "after"),
                later=tuple(rule for rule in mine if rule.time == "async"),
                alone=all(rule.alone for rule in mine),
            )
            if mine or found.computed or found.checks:
                yield (cls, operation), found


def _builtin(
    known: Sequence[Computed], line: tuple[str, ...], operation: Operation
) -> tuple[Computed, ...]:
    return tuple(each for each in known if each.table in line and operation in each.operations)


def _problem(values: Mapping[str, str], message: str) -> RuleProblem:
    return RuleProblem(values["sys_id"], values["name"], values["collection"], message)


def _texts(row: Sequence[object]) -> dict[str, str]:
    """Return a stored row as wire texts; SQLite keeps a boolean as a number."""
    values = {}
    for name, value in zip(_COLUMNS, row, strict=True):
        if name in _BOOLEANS:
            values[name] = "true" if value else "false"
        else:
            values[name] = "" if value is None else str(value)
    return values
