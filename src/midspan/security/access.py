"""Access controls: which rules apply to a table or field, and what they leave of a plan.

The most specific name with a rule decides: ``incident``, then the tables it extends, then ``*``;
for a field ``incident.state``, ``task.state``, ``*.state``, ``incident.*``, ``task.*``, ``*.*``.
Where no name of a field has a rule, the decision for its table holds. One granting rule of the
deciding name is enough. A rule grants when the actor holds one of its roles and its condition
holds; a rule without role, condition and script grants nothing, and neither does a table without
any rule. The role ``admin`` passes every rule that does not switch that off.

A script decides about each row. Until it has run, its rule stands in conditions as ``Undecided``,
which no row meets; without a judge that runs scripts, scripted rules therefore grant nothing. A
script that does not name ``current`` is asked once, before any row is read.

A field whose rules say something else about one row than about another is shown row by row: plans
get a ``Mask`` for it. Nothing else may use such a field, since what it does to the rows would tell
what it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from datetime import datetime
from typing import TypeVar

import msgspec

from midspan.dictionary import Dictionary, FieldPath, Table
from midspan.kernel.errors import NotAuthorized
from midspan.query import (
    ALWAYS,
    NEVER,
    AggregatePlan,
    And,
    Condition,
    Counter,
    GroupSort,
    Mask,
    Operator,
    Or,
    ReadPlan,
    Related,
    Test,
    Unknown,
    both,
    display_path,
    evaluate,
    parse,
    paths_of,
    resolve_query,
)
from midspan.query.functions import Computed, leaves
from midspan.security.accessrule import AccessControls, AccessRule
from midspan.security.actor import Actor
from midspan.security.attachment import ATTACHMENT, attachment_rows
from midspan.security.dynamic import SessionValues
from midspan.security.journal import JOURNAL, journal_rows
from midspan.security.undecided import (
    NO_ROW,
    Judge,
    Undecided,
    settle,
    settle_new,
    undecided,
)

OPERATIONS = ("read", "write", "create", "delete", "execute")
Kept = TypeVar("Kept")
UNREADABLE_FIELDS = "Field(s) present in the query do not have permission to be read"


class Access:
    """What one actor may do under one dictionary and one set of rules; remembers its answers.

    With ``shows_names`` whoever sees a reference sees the display value of its target, too.
    ``options`` are the expressions of dynamic filter options that conditions may name.
    """

    def __init__(
        self,
        actor: Actor,
        dictionary: Dictionary,
        controls: AccessControls,
        now: datetime,
        *,
        shows_names: bool = False,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.actor = actor
        self._shows_names = shows_names
        self.dictionary = dictionary
        self._controls = controls
        self._values = SessionValues(actor, now, options=options)
        self._judge: Judge | None = None
        self._plain = self
        self._narrowing: Callable[[str], Condition] | None = None
        self._narrow: dict[str, Condition] = {}
        self._classes: dict[tuple[str, str], Condition] = {}
        self._tables: dict[tuple[str, str], Condition] = {}
        self._fields: dict[tuple[str, str, str], Condition] = {}
        self._answers: dict[str, bool | None] = {}

    def narrowed(self, condition: Callable[[str], Condition]) -> Access:
        """Return the same access with fewer readable rows: those that ``condition`` leaves.

        It gets the name of the table that is read and is asked once for each. Names of referenced
        records are shown as before.
        """
        found = copy(self)
        found._plain = found
        found._narrowing = condition
        found._narrow = {}
        found._tables = {}  # rows of attachments and journals follow those of other tables
        return found

    def judged(self, judge: Judge) -> Access:
        """Return the same access with somebody who runs the scripts of rules."""
        found = copy(self)
        found._judge, found._plain, found._answers = judge, self, {}
        if self._controls.foreknown:  # what scripts say now is not to be remembered for others
            found._plain = found
            found._classes, found._tables, found._fields = {}, {}, {}
        return found

    def apart(self) -> Access:
        """Return the same access with a memory of its own, for whoever asks about everything once.

        What it remembers of all fields of all tables are some megabytes.
        """
        found = copy(self)
        found._classes, found._tables, found._fields = {}, {}, {}
        return found

    def settled(self, condition: Condition, table: str, within: Condition) -> Condition:
        """Return a condition from ``rows`` or ``class_rows`` with what scripts decide.

        It holds for the rows of ``table`` that meet ``within``; their scripts run now.

        Raises:
            InvalidQuery: those are too many rows.
        """
        if self._judge is None or condition in (ALWAYS, NEVER):
            return condition
        return settle(condition, self._judge, table, within)

    def settled_new(self, condition: Condition, values: Mapping[str, str]) -> Condition:
        """Return a condition with what scripts decide about a record that is not stored yet."""
        return condition if self._judge is None else settle_new(condition, self._judge, values)

    @property
    def runs_scripts(self) -> bool:
        """Whether there is somebody who runs the scripts of rules."""
        return self._judge is not None

    @property
    def foreknown(self) -> bool:
        """Whether scripts may have to run before it is known what a plan may read."""
        return self._judge is not None and self._controls.foreknown

    def depends(self, table: str) -> bool:
        """Tell whether scripts decide which rows of a table may be read."""
        return self._judge is not None and any(undecided(self._granted_rows(table, "read")))

    def of_row(self, table: str, sys_id: str) -> Access:
        """Return the access for the read of one row, with scripts decided for that row alone.

        Where scripts decide nothing about the table it is the same object for the same answers.
        """
        if not self.depends(table):
            return self._plain
        found = copy(self._plain)
        own = Test(self.dictionary.path(table, "sys_id"), Operator.EQUALS, (sys_id,))
        settled = self.settled(self._granted_rows(table, "read"), table, own)
        found._tables = {**self._tables, (table, "read"): settled}
        found._plain = found
        return found

    def rows(self, table: str, operation: str) -> Condition:
        """Return the condition that a row of ``table`` must meet; ``NEVER`` when none may pass.

        What a script decides is ``Undecided`` in it, until ``settled`` for the rows in question.
        """
        granted = self._granted_rows(table, operation)
        if self._narrowing is None or operation != "read" or granted == NEVER:
            return granted
        if table not in self._narrow:
            self._narrow[table] = self._narrowing(table)
        return both(granted, self._narrow[table])

    def _granted_rows(self, table: str, operation: str) -> Condition:
        if self.actor.trusted:
            return ALWAYS
        key = (table, operation)
        if key not in self._tables:
            self._tables[key] = self._rows(self.dictionary.table(table), operation)
        return self._tables[key]

    def field(self, table: str, field: str, operation: str) -> bool:
        """Tell whether the actor may read or write this field of all rows that he reaches."""
        return self.field_rows(table, field, operation) == ALWAYS

    def reaches(self, table: str, field: str, operation: str) -> bool:
        """Tell whether the actor may read or write this field of some rows."""
        return self.field_rows(table, field, operation) != NEVER

    def field_rows(self, table: str, field: str, operation: str) -> Condition:
        """Return which of the rows that the actor reaches let him read or write this field.

        Reading through a table reads its children: a field that a child hides from everybody is
        hidden in all rows of the table, unless the actor reaches no row of that child. The id is
        part of the row and follows it; a journal is read in all rows or in none, for its entries
        are rows of another table.
        """
        known = self.dictionary.field(table, field)
        if operation == "read" and known.kind.secret:
            return NEVER
        if self.actor.trusted:
            return ALWAYS
        key = (table, field, operation)
        if key not in self._fields:
            rows = self._field_rows(table, field, operation)
            if operation == "read" and rows not in (ALWAYS, NEVER):
                rows = ALWAYS if field == "sys_id" else NEVER if known.kind.journal else rows
            self._fields[key] = rows
        return self._fields[key]

    def names(self, path: FieldPath) -> Condition:
        """Return what a record must meet so that its display value at ``path`` is shown."""
        if self.actor.trusted or self._shows_names:
            return ALWAYS
        return self._granted_rows(path.tables[0], "read") if self.path(path) else NEVER

    def allows(
        self,
        table: str,
        operation: str,
        get: Callable[[FieldPath], str],
        count: Counter | None = None,
    ) -> bool:
        """Tell whether the actor may do ``operation`` to one row whose values ``get`` returns.

        Without ``count`` no rule grants whose condition is about related rows.
        """
        return evaluate(self.class_rows(table, operation), get, count=count)

    def grants(self, rule_ids: Iterable[str]) -> bool:
        """Tell whether one of the listed ``execute`` rules grants; an unknown id grants nothing."""
        rules = [
            rule for rule_id in rule_ids if (rule := self._controls.by_id.get(rule_id)) is not None
        ]
        return any(self._executes(rule) for rule in rules)

    def restrict(self, plan: ReadPlan) -> ReadPlan:
        """Return the plan with unreadable columns left out and unreadable rows filtered away.

        Raises:
            NotAuthorized: the condition or the order uses a field that the actor may not read.
        """
        if self.actor.trusted:
            return plan
        condition = self.guarded(plan.condition)
        if not all(self.path(sort.path) for sort in plan.order):
            raise NotAuthorized("Insufficient rights to query records", detail=UNREADABLE_FIELDS)
        rows = self.settled(self.rows(plan.table, "read"), plan.table, condition)
        seen = [(path, shown) for path in plan.columns if (shown := self.shown(path)) != NEVER]
        masks = grouped((condition, path) for path, condition in seen if condition != ALWAYS)
        return msgspec.structs.replace(
            plan,
            columns=tuple(path for path, _ in seen),
            condition=both(condition, rows),
            masks=tuple(Mask(tuple(paths), condition) for condition, paths in masks),
        )

    def guarded(self, condition: Condition) -> Condition:
        """Return the condition so that related rows which the actor may not read do not count.

        Raises:
            NotAuthorized: it uses a field that the actor may not read, or a related table of which
                he may read no row.
        """
        if self.actor.trusted:
            return condition
        if not all(self.path(path) for path in paths_of(condition)):
            raise NotAuthorized("Insufficient rights to query records", detail=UNREADABLE_FIELDS)
        return self._guarded(condition)

    def restrict_groups(self, plan: AggregatePlan) -> AggregatePlan:
        """Return the plan with unreadable rows filtered away.

        Groups of a reference whose names are not for the actor are sorted by the reference.

        Raises:
            NotAuthorized: it groups, aggregates, tests or sorts by a field that the actor may not
                read, or he may read no row of the table.
        """
        if self.actor.trusted:
            return plan
        order = tuple(self._group_sort(plan, sort) for sort in plan.order)
        plan = msgspec.structs.replace(plan, order=order)
        rows = self.rows(plan.table, "read")
        if rows == NEVER or not all(self.path(path) for path in plan.used):
            raise NotAuthorized("Insufficient rights to query records", detail=UNREADABLE_FIELDS)
        condition = self.guarded(plan.condition)
        rows = self.settled(rows, plan.table, condition)
        return msgspec.structs.replace(plan, condition=both(condition, rows))

    def path(self, path: FieldPath) -> bool:
        """Tell whether every step of a walk may be read, whatever the row.

        Beyond the first step the actor needs unconditional read access to the table walked into.
        """
        return self.shown(path) == ALWAYS

    def shown(self, path: FieldPath) -> Condition:
        """Return in which rows of the first table the value at the end of a walk may be read.

        Of a function that is where all of its fields may be read.
        """
        if isinstance(path, Computed):
            found: Condition = ALWAYS
            for leaf in leaves(path):
                rows = self.shown(leaf)
                if rows == NEVER:
                    return NEVER
                found = both(found, rows)
            return found
        for field, table in zip(path.steps[1:], path.tables[1:], strict=True):
            if self._shows_names and field.name == self.dictionary.table(table).display:
                continue
            if self.rows(table, "read") != ALWAYS or not self.field(table, field.name, "read"):
                return NEVER
        return self.field_rows(path.tables[0], path.steps[0].name, "read")

    def _guarded(self, condition: Condition) -> Condition:
        match condition:
            case And() | Or():
                return type(condition)(tuple(self._guarded(part) for part in condition.parts))
            case Related() if not condition.exempt:
                rows = self.rows(condition.table, "read")
                if rows == NEVER or not self.path(condition.other):
                    raise NotAuthorized(
                        "Insufficient rights to query records", detail=UNREADABLE_FIELDS
                    )
                related = self.guarded(condition.condition)
                inside = both(related, self.settled(rows, condition.table, related))
                return msgspec.structs.replace(condition, condition=inside)
            case _:
                return condition

    def _group_sort(self, plan: AggregatePlan, sort: GroupSort) -> GroupSort:
        if not isinstance(sort.by, FieldPath) or sort.by in plan.group_by or self.path(sort.by):
            return sort
        for group in plan.group_by:
            if display_path(self.dictionary, plan.table, group) == sort.by:
                return GroupSort(group, sort.descending)
        return sort

    def _field_rows(self, table: str, field: str, operation: str) -> Condition:
        children = self.dictionary.table(table).classes[1:] if operation == "read" else ()
        reached = [name for name in children if self.class_rows(name, "read") != NEVER]
        asked = [(self.class_field(name, field, operation), name) for name in (table, *reached)]
        if NEVER in (condition for condition, _ in asked):
            return NEVER
        return self._joined(table, asked)

    def _rows(self, table: Table, operation: str) -> Condition:
        asked = ((self.class_rows(name, operation), name) for name in table.classes)
        return self._joined(table.name, asked)

    def _joined(self, table: str, asked: Iterable[tuple[Condition, str]]) -> Condition:
        """Join the classes of a hierarchy that have the same condition."""
        groups = grouped(asked)
        if len(groups) == 1:
            return groups[0][0]
        path = self.dictionary.path(table, "sys_class_name")
        parts = [
            both(Test(path, Operator.IN, tuple(classes)), condition)
            for condition, classes in groups
            if condition != NEVER
        ]
        return Or(tuple(parts))

    def class_rows(self, table: str, operation: str) -> Condition:
        """Return the condition for rows of this very class, its children not included."""
        key = (table, operation)
        if key not in self._classes:
            self._classes[key] = self._own_rows(table, operation)
        return self._classes[key]

    def _own_rows(self, table: str, operation: str) -> Condition:
        granted = self._class_rows(table, operation)
        if table == JOURNAL and operation == "read" and granted != NEVER:
            return both(granted, journal_rows(self))
        if table == ATTACHMENT and operation == "read" and granted != NEVER:
            return both(granted, attachment_rows(self))
        return granted

    def _class_rows(self, table: str, operation: str) -> Condition:
        if self.actor.trusted:
            return ALWAYS
        rules = self._controls.deciding(self.table_names(table), operation)
        if rules is None:
            return ALWAYS if self.actor.is_admin else NEVER
        return self._granted(rules, table)

    def _granted(self, rules: Iterable[AccessRule], table: str) -> Condition:
        """Return which rows one of the rules grants."""
        conditions = [self.granted(rule, table) for rule in rules]
        if ALWAYS in conditions:
            return ALWAYS
        return Or(tuple(condition for condition in conditions if condition != NEVER))

    def table_names(self, table: str) -> tuple[str, ...]:
        """Return the names that rules for a table may have, the most specific first."""
        return (*self.dictionary.ancestors(table), "*")

    def field_names(self, table: str, field: str) -> tuple[str, ...]:
        """Return the names that rules for a field may have, the most specific first."""
        tables = self.dictionary.ancestors(table)
        return (
            *(f"{name}.{field}" for name in tables),
            f"*.{field}",
            *(f"{name}.*" for name in tables),
            "*.*",
        )

    def rules(self, name: str, operation: str) -> list[AccessRule]:
        """Return the rules of one name."""
        return self._controls.deciding((name,), operation) or []

    def granted(self, rule: AccessRule, table: str) -> Condition:
        """Return which rows of ``table`` one rule grants."""
        if self.actor.is_admin and rule.admin_overrides:
            return ALWAYS
        if not self._holds_roles(rule):
            return NEVER
        condition: Condition = ALWAYS
        if rule.condition:
            condition, _ = resolve_query(
                self.dictionary, table, parse(rule.condition), Unknown.NOTHING, self._values
            )
        if not rule.scripted or condition == NEVER:
            return condition
        known = self._answer(rule)
        if known is not None:
            return condition if known else NEVER
        path = self.dictionary.path(table, "sys_id")
        return Undecided(
            path, Operator.EQUALS, (NO_ROW,), rule=rule, table=table, declared=condition
        )

    def _answer(self, rule: AccessRule) -> bool | None:
        """Return what a script says that looks at no record; None where it has to have one."""
        if self._judge is None or (rule.kind == "record" and rule.asks_record):
            return None
        if rule.sys_id not in self._answers:
            self._answers[rule.sys_id] = self._judge.passes(rule)
        return self._answers[rule.sys_id]

    def _executes(self, rule: AccessRule) -> bool:
        """Tell whether a rule grants that is about no record; a condition never holds there."""
        if self._overrides(rule):
            return True
        holds = self._holds_roles(rule) and not rule.condition
        return holds and (not rule.scripted or self._answer(rule) is True)

    def _overrides(self, rule: AccessRule) -> bool:
        return self.actor.trusted or (self.actor.is_admin and rule.admin_overrides)

    def _holds_roles(self, rule: AccessRule) -> bool:
        if self._overrides(rule):
            return True
        if rule.is_empty:
            return False
        return not rule.roles or bool(rule.roles & self.actor.roles)

    def class_field(self, table: str, field: str, operation: str) -> Condition:
        """Return in which rows of this very class the rules of a field grant it."""
        if self.actor.trusted:
            return ALWAYS
        rules = self._controls.deciding(self.field_names(table, field), operation)
        if rules is None and operation == "create":
            return self.class_field(table, field, "write")
        return ALWAYS if rules is None else self._granted(rules, table)


def grouped(asked: Iterable[tuple[Condition, Kept]]) -> list[tuple[Condition, list[Kept]]]:
    """Return what goes with each condition; conditions need not be hashable."""
    groups: list[tuple[Condition, list[Kept]]] = []
    for condition, kept in asked:
        for known, others in groups:
            if known == condition:
                others.append(kept)
                break
        else:
            groups.append((condition, [kept]))
    return groups
