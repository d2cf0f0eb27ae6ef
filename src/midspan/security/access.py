"""Access controls: which rules apply to a table or field, and what they leave of a plan.

The most specific name with a rule decides: ``incident``, then the tables it extends, then ``*``;
for a field ``incident.state``, ``task.state``, ``*.state``, ``incident.*``, ``task.*``, ``*.*``.
Where no name of a field has a rule, the decision for its table holds. One granting rule of the
deciding name is enough. A rule grants when the actor holds one of its roles and its condition
holds; a rule without role, condition and script grants nothing, and neither does a table without
any rule. The role ``admin`` passes every rule that does not switch that off.

A script decides about each row. Until it has run, its rule stands in conditions as ``Undecided``,
which no row meets; without a judge that runs scripts, scripted rules therefore grant nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from datetime import datetime

import msgspec
from msgspec import Struct

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
UNREADABLE_FIELDS = "Field(s) present in the query do not have permission to be read"


class AccessRule(Struct, frozen=True, kw_only=True):
    """One access control: what it protects and what it asks for."""

    name: str
    """``table``, ``table.field``, with ``*`` for either."""
    operation: str
    roles: frozenset[str] = frozenset()
    condition: str = ""
    scripted: bool = False
    script: str = ""
    """The text of the script; it counts where the rule is ``scripted``."""
    admin_overrides: bool = True
    sys_id: str = ""
    kind: str = "record"

    @property
    def is_empty(self) -> bool:
        """Tell whether the rule asks for nothing; such a rule grants nothing."""
        return not self.roles and not self.condition and not self.scripted


class AccessControls:
    """All active rules, by name and operation; immutable."""

    def __init__(self, rules: Iterable[AccessRule] = ()) -> None:
        self._rules: dict[tuple[str, str], list[AccessRule]] = {}
        self.by_id: dict[str, AccessRule] = {}
        self.scripted = False
        """Whether the script of some rule decides about rows."""
        for rule in rules:
            self.by_id[rule.sys_id] = rule
            self.scripted = self.scripted or (rule.scripted and rule.kind == "record")
            if rule.kind == "record":
                self._rules.setdefault((rule.name, rule.operation), []).append(rule)

    def deciding(self, names: Iterable[str], operation: str) -> list[AccessRule] | None:
        """Return the rules of the first name that has any, or None."""
        for name in names:
            found = self._rules.get((name, operation))
            if found:
                return found
        return None


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
        self._fields: dict[tuple[str, str, str], bool] = {}

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
        found._judge, found._plain = judge, self
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
        """Tell whether the actor may read or write this field of rows that he reaches.

        Reading through a table reads its children: a field that a child hides is hidden in all
        rows of the table, unless the actor reaches no row of that child.
        """
        known = self.dictionary.field(table, field)
        if operation == "read" and known.kind.secret:
            return False
        if self.actor.trusted:
            return True
        key = (table, field, operation)
        if key not in self._fields:
            children = self.dictionary.table(table).classes[1:] if operation == "read" else ()
            self._fields[key] = self._field(table, field, operation) and not any(
                self._hides(child, field) for child in children
            )
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
        return any(
            self._holds_roles(rule)
            and not rule.condition
            and (not rule.scripted or self._overrides(rule))
            for rule in rules
        )

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
        return msgspec.structs.replace(
            plan,
            columns=tuple(path for path in plan.columns if self.path(path)),
            condition=both(condition, rows),
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
        """Tell whether every step of a walk may be read.

        Beyond the first step the actor needs unconditional read access to the table walked into.
        """
        for position, (field, table) in enumerate(zip(path.steps, path.tables, strict=True)):
            display = self._shows_names and field.name == self.dictionary.table(table).display
            if position and display:
                continue
            if position and self.rows(table, "read") != ALWAYS:
                return False
            if not self.field(table, field.name, "read"):
                return False
        return True

    def _guarded(self, condition: Condition) -> Condition:
        match condition:
            case And() | Or():
                return type(condition)(tuple(self._guarded(part) for part in condition.parts))
            case Related():
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

    def _hides(self, child: str, field: str) -> bool:
        """Tell whether rows of this very class are readable, but not this field of them."""
        return not self._field(child, field, "read") and self.class_rows(child, "read") != NEVER

    def _rows(self, table: Table, operation: str) -> Condition:
        """Join the classes of a hierarchy that have the same condition."""
        groups: list[tuple[Condition, list[str]]] = []
        for name in table.classes:
            condition = self.class_rows(name, operation)
            for known, classes in groups:
                if known == condition:
                    classes.append(name)
                    break
            else:
                groups.append((condition, [name]))
        if len(groups) == 1:
            return groups[0][0]
        path = self.dictionary.path(table.name, "sys_class_name")
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
        path = self.dictionary.path(table, "sys_id")
        return Undecided(
            path, Operator.EQUALS, (NO_ROW,), rule=rule, table=table, declared=condition
        )

    def _overrides(self, rule: AccessRule) -> bool:
        return self.actor.trusted or (self.actor.is_admin and rule.admin_overrides)

    def _holds_roles(self, rule: AccessRule) -> bool:
        if self._overrides(rule):
            return True
        if rule.is_empty:
            return False
        return not rule.roles or bool(rule.roles & self.actor.roles)

    def _field(self, table: str, field: str, operation: str) -> bool:
        rules = self._controls.deciding(self.field_names(table, field), operation)
        if rules is None and operation == "create":
            return self._field(table, field, "write")
        if rules is None:
            return True
        return any(self.granted(rule, table) == ALWAYS for rule in rules)
