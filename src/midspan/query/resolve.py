"""Terms to tests: finds fields, canonicalises values and gives each operator its meaning."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum

from midspan.dictionary import Dictionary, Field, FieldPath, Storage
from midspan.dictionary.values import canonical
from midspan.kernel.errors import InvalidQuery, InvalidTable, InvalidValue, MidspanError
from midspan.query.comparison import in_one_order, is_exact
from midspan.query.condition import (
    ALWAYS,
    NEVER,
    And,
    Condition,
    Operator,
    Or,
    Query,
    Related,
    RelatedTerm,
    Term,
    Test,
    Unread,
)
from midspan.query.expression import RefusedExpression
from midspan.query.functions import Computed, function_path, is_function
from midspan.query.hierarchy import in_hierarchy
from midspan.query.moments import (
    RELATIVE,
    SCRIPT_PREFIX,
    apart,
    date_part,
    on_day,
    relative,
    same_period,
    split_bounds,
)
from midspan.query.parse import MOST_PARTS
from midspan.query.regex import check_regex
from midspan.query.related import MOST_RELATED, Budget, arranged, holds, paths_met
from midspan.query.search import SEARCHES, search
from midspan.query.sessionvalues import ValueResolver
from midspan.query.tags import FIELD as TAGS
from midspan.query.tags import is_about_tags, tagged
from midspan.query.wildcard import LONGEST_PATTERN

_SYS_ID = re.compile(r"[0-9a-fA-F]{32}")
_LONGEST_WALK = 8
"""References followed from one display value to the next before giving up on a circle."""


class Unknown(StrEnum):
    """What becomes of a name that does not exist, or a part that cannot be used."""

    IGNORE = "ignore"
    """Left out, with a warning."""
    NOTHING = "nothing"
    """A condition that never holds; other names are left out. With a warning."""
    REFUSE = "refuse"
    """An error; for files, the command line, maps, flows and rules."""


def display_path(dictionary: Dictionary, table: str, path: FieldPath) -> FieldPath | None:
    """Return the path to the display value of a reference, or None when it has none."""
    for _ in range(_LONGEST_WALK):
        target = dictionary.tables.get(path.field.reference or "")
        if not path.field.kind.reference or target is None or target.display == "sys_id":
            return None
        found = dictionary.find_path(table, f"{path.name}.{target.display}")
        if found is None or found.field.storage is Storage.NONE:
            return None
        if not found.field.kind.reference:
            return found
        path = found
    return None


def simplify(condition: Condition) -> Condition:
    """Remove parts of an ``And`` or ``Or`` that decide nothing; one that decides all stays."""
    if isinstance(condition, And):
        rest = [part for part in condition.parts if part != ALWAYS]
        if NEVER in rest:
            return NEVER
        return rest[0] if len(rest) == 1 else And(tuple(rest))
    if isinstance(condition, Or):
        rest = [part for part in condition.parts if part != NEVER]
        if ALWAYS in rest:
            return ALWAYS
        return rest[0] if len(rest) == 1 else Or(tuple(rest))
    return condition


class Resolver:
    """Resolves names of one table under one policy and collects warnings."""

    def __init__(
        self,
        dictionary: Dictionary,
        table: str,
        unknown: Unknown,
        values: ValueResolver | None,
        budget: Budget | None = None,
    ) -> None:
        dictionary.table(table)
        self.dictionary = dictionary
        self.table = table
        self.unknown = unknown
        self.warnings: list[str] = []
        self._values = values
        self._budget = budget or Budget()

    @property
    def zone(self) -> str | None:
        """The user's time zone; None when nothing is evaluated for a user."""
        return self._values.zone if self._values is not None else None

    def report(self, error: MidspanError) -> None:
        """Raise ``error`` or keep it as a warning, as the policy says."""
        if self.unknown is Unknown.REFUSE:
            raise error
        self.warnings.append(error.message)

    def path(self, name: str, use: str) -> FieldPath | None:
        """Return the path called ``name``, or None after reporting that there is none."""
        if is_function(name):
            return self._function(name, use)
        found = self.dictionary.find_path(self.table, name)
        if found is None:
            self.report_field(self.table, name, use)
        return found

    def _function(self, name: str, use: str) -> FieldPath | None:
        try:
            self._budget.take_function()
            return function_path(self.dictionary, self.table, name, self._present())
        except MidspanError as error:
            if self.unknown is Unknown.REFUSE:
                raise
            self.warnings.append(f"{use} left out: {error.explain()}")
            return None

    def _present(self) -> str | None:
        return self._values("gs.nowDateTime()") if self._values is not None else None

    def report_field(self, table: str, name: str, use: str) -> None:
        """Report that a table has no field of this name."""
        if self.unknown is Unknown.REFUSE:
            self.dictionary.path(table, name)
        self.warnings.append(f"{use} left out: table {table} has no field {name[:80]}")

    def report_table(self, name: str) -> None:
        """Report that there is no table of this name."""
        if self.unknown is Unknown.REFUSE:
            self.dictionary.table(name)
        self.warnings.append(f"Condition left out: there is no table {name[:80]}")

    def comparable(self, name: str, use: str) -> FieldPath | None:
        """Like ``path``, and also report fields that keep no value of their own."""
        found = self.path(name, use)
        if found is not None and found.field.storage is Storage.NONE:
            self.report(
                InvalidQuery(f"{use} left out: {name} ({found.field.type}) cannot be compared")
            )
            return None
        return found

    def condition(self, condition: Condition) -> Condition:
        """Return the condition with ``Test`` and ``Related`` leaves only."""
        resolved = self._resolve(arranged(condition))
        if self._budget.exceeded:
            return NEVER
        return ALWAYS if resolved is None else resolved

    def query(self, query: Query) -> Condition:
        """Like ``condition``; the policy also applies to the parts that were not readable."""
        condition = self.condition(query.condition)
        for part in query.invalid:
            self.report(InvalidQuery(f"Cannot read the part {part[:80]!r} of the query"))
        if query.invalid and self.unknown is Unknown.NOTHING:
            return NEVER
        return condition

    def _resolve(self, condition: Condition) -> Condition | None:
        """Return None when nothing is left of the condition."""
        match condition:
            case Test() | Related():
                return condition
            case Term():
                return self._or_nothing(self._term(condition))
            case RelatedTerm():
                return self._or_nothing(self._related(condition))
            case Unread():
                return self._unread()
            case And() | Or():
                return self._parts(condition)

    def _or_nothing(self, resolved: Condition | None) -> Condition | None:
        return NEVER if resolved is None and self.unknown is Unknown.NOTHING else resolved

    def _unread(self) -> Condition:
        """Let the whole query find nothing: what is left of it may ask for the opposite."""
        self._budget.exhaust()
        self.report(InvalidQuery(f"More than {MOST_PARTS} parts in the query"))
        return NEVER

    def _parts(self, condition: And | Or) -> Condition | None:
        resolved = [self._resolve(part) for part in condition.parts]
        known = tuple(part for part in resolved if part is not None)
        if condition.parts and not known:
            return None
        return simplify(type(condition)(known))

    def _related(self, term: RelatedTerm) -> Condition | None:
        """Resolve what is asked of another table; there, too, a bad part is as the policy says."""
        if not self._budget.take():
            if self._budget.left == -1:
                self.report(InvalidQuery(f"More than {MOST_RELATED} conditions on related rows"))
            return NEVER
        paths = paths_met(self, term)
        if paths is None:
            return None
        inside = Resolver(self.dictionary, term.table, self.unknown, self._values, self._budget)
        condition = inside.query(term.query)
        self.warnings += inside.warnings
        if inside.warnings and self.unknown is Unknown.NOTHING:
            # Nothing found inside may be just what is asked for: fewer rows than n.
            return None
        own, other = paths
        if term.count == 0 and term.operator is Operator.GREATER_OR_EQUAL:
            return ALWAYS
        if condition == NEVER or (term.count == 0 and term.operator is Operator.LESS):
            return ALWAYS if holds(term.operator, 0, term.count) else NEVER
        return Related(
            own=own,
            table=term.table,
            other=other,
            condition=condition,
            operator=term.operator,
            count=term.count,
            exempt=term.exempt,
        )

    def _term(self, term: Term) -> Condition | None:
        if term.operator in SEARCHES:
            found = search(self, term.operator, term.value)
            if found is None:
                self.report(InvalidQuery(f"Condition left out: {self.table} cannot be searched"))
            return found
        if is_about_tags(term):
            return self._tags(term)
        return self._comparison(term)

    def _tags(self, term: Term) -> Condition | None:
        """Resolve what is asked of tags; a tag may be an expression, too."""
        value = self.value(term.value, self.dictionary.field(self.table, TAGS))
        names = dict.fromkeys(
            (*self.dictionary.table(self.table).classes, *self.dictionary.ancestors(self.table))
        )
        asked = None
        if value is not None:
            asked = tagged(Term(term.field, term.operator, value), tuple(names))
        if asked is None:
            self.report(InvalidQuery(f"Condition left out: cannot use {str(term)[:80]!r}"))
            return None
        return self._resolve(asked)

    def _comparison(self, term: Term) -> Condition | None:
        if term.operator in _CHANGES:
            path = self.path(term.field, "Condition")
        else:
            path = self.comparable(term.field, "Condition")
        if path is None:
            return None
        if isinstance(path, Computed) and term.operator in _CHANGES:
            self.report(InvalidQuery(f"Condition left out: {term.field[:80]} has no past"))
            return None
        in_parts = term.operator in _IN_PARTS
        value = term.value if in_parts else self.value(term.value, path.field)
        if value is None:
            self.report(InvalidQuery(f"Condition left out: cannot evaluate {str(term)[:80]!r}"))
            return None
        try:
            found = _MEANINGS[term.operator](self, path, term.operator, value)
        except RefusedExpression as refused:
            self.report(InvalidQuery(f"Condition left out: {refused.message}"))
            return None
        if found is None:
            self.report(InvalidQuery(f"Condition left out: cannot use {str(term)[:80]!r}"))
        return found

    def value(self, text: str, field: Field) -> str | None:
        """Return a value as written, evaluated when it is an expression; None: it cannot be."""
        if not text.startswith(SCRIPT_PREFIX):
            return text
        if self._values is None:
            return None
        as_day = field.storage is Storage.DATE
        return self._values(text[len(SCRIPT_PREFIX) :], as_day=as_day)

    # One method per meaning; None says that the term cannot be used.

    def _always(self, path: FieldPath, operator: Operator, value: str) -> Condition | None:
        return ALWAYS

    def _never_known(self, path: FieldPath, operator: Operator, value: str) -> Condition | None:
        """Say of a question about tags that this field has none."""
        return None

    def _emptiness(self, path: FieldPath, operator: Operator, value: str) -> Condition | None:
        return Test(path, operator)

    def _equality(self, path: FieldPath, operator: Operator, value: str) -> Condition | None:
        positive = operator is Operator.EQUALS
        if value == "":
            return Test(path, Operator.IS_EMPTY if positive else Operator.IS_NOT_EMPTY)
        fitting = self.fit(path.field, [value])
        if not fitting:
            return NEVER if positive else ALWAYS
        display = self._display_for(path, fitting)
        tests = [Test(path, operator, tuple(fitting))]
        if display is not None and (shown := self.fit(display.field, [value])):
            tests.append(Test(display, operator, tuple(shown)))
        return _join(tests, positive)

    def _membership(self, path: FieldPath, operator: Operator, value: str) -> Condition | None:
        positive = operator is Operator.IN
        listed = [part.strip() if is_exact(path.field) else part for part in value.split(",")]
        wanted = [part for part in dict.fromkeys(listed) if part != ""]
        if not wanted:
            return Test(path, Operator.IS_EMPTY if positive else Operator.IS_NOT_EMPTY)
        fitting = list(dict.fromkeys(self.fit(path.field, wanted)))
        if not fitting:
            return NEVER if positive else ALWAYS
        tests = [Test(path, operator, tuple(fitting))]
        display = self._display_for(path, fitting)
        if display is not None:
            names = self.fit(display.field, [text for text in wanted if not _is_sys_id(text)])
            if names:
                tests.append(Test(display, operator, tuple(names)))
        return _join(tests, positive)

    def _dynamic(self, path: FieldPath, operator: Operator, value: str) -> Condition | None:
        """Compare with what a dynamic filter option gives, be it one value or a list."""
        found = self.option(value, path.field)
        if found is None:
            return None
        return self._membership(path, Operator.IN, found) if found else NEVER

    def option(self, sys_id: str, field: Field) -> str | None:
        """Return the value of a dynamic filter option; None when it has none that is known."""
        expression = self._values.option(sys_id) if self._values is not None else None
        return self.value(f"{SCRIPT_PREFIX}{expression}", field) if expression else None

    def _ordering(self, path: FieldPath, operator: Operator, value: str) -> Condition | None:
        path = self._shown(path)
        fitting = self.fit(path.field, [value]) if value else []
        return Test(path, operator, tuple(fitting)) if fitting else NEVER

    def _matching(self, path: FieldPath, operator: Operator, value: str) -> Condition | None:
        if value == "":
            return NEVER if operator is Operator.NOT_CONTAINS else ALWAYS
        return Test(self._shown(path), operator, (value,))

    def _pattern(self, path: FieldPath, operator: Operator, value: str) -> Condition | None:
        if value == "":
            return Test(path, Operator.IS_EMPTY)
        if len(value) > LONGEST_PATTERN:
            return None
        return Test(self._shown(path), operator, (value,))

    def _regex(self, path: FieldPath, operator: Operator, value: str) -> Condition | None:
        if value == "":
            return Test(path, Operator.IS_EMPTY)
        check_regex(value)
        return Test(self._shown(path), operator, (value,))

    def _range(self, path: FieldPath, operator: Operator, value: str) -> Condition | None:
        path = self._shown(path)
        bounds = [self.value(bound, path.field) for bound in split_bounds(value)]
        known = [bound for bound in bounds if bound]
        if len(known) != 2:
            return None
        fitting = self.fit(path.field, known)
        return Test(path, operator, tuple(fitting)) if len(fitting) == 2 else NEVER

    def _classes(self, path: FieldPath, operator: Operator, value: str) -> Condition | None:
        if path.field.type not in ("sys_class_name", "table_name"):
            return None
        table = self.dictionary.tables.get(value)
        if table is None:
            if self.unknown is Unknown.REFUSE:
                raise InvalidTable(value, self.dictionary.tables)
            return NEVER
        return Test(path, Operator.IN, table.classes)

    def _same(self, path: FieldPath, operator: Operator, value: str) -> Condition | None:
        meaning = same_period if "@" in value else Resolver._other_field
        return meaning(self, path, operator, value)

    def _other_field(self, path: FieldPath, operator: Operator, value: str) -> Condition | None:
        if self.unknown is Unknown.REFUSE:
            self.comparable(value, "Condition")
        other = self.dictionary.find_path(self.table, value)
        if other is None or other.field.storage is Storage.NONE:
            return None
        return Test(path, operator, (), other)

    def _later_field(self, path: FieldPath, operator: Operator, value: str) -> Condition | None:
        found = self._other_field(path, operator, value)
        if not isinstance(found, Test) or found.other is None:
            return None
        return found if in_one_order(path.field, found.other.field) else None

    def _change(self, path: FieldPath, operator: Operator, value: str) -> Condition | None:
        if operator is Operator.CHANGES:
            return Test(path, operator)
        fitting = self.fit(path.field, [value]) if value else [""]
        return Test(path, operator, tuple(fitting)) if fitting else NEVER

    def fit(self, field: Field, texts: Sequence[str]) -> list[str]:
        """Return the canonical forms of the texts that fit; REFUSE raises for the first misfit."""
        return list(self._fitting(field, texts))

    def _fitting(self, field: Field, texts: Sequence[str]) -> Iterator[str]:
        for text in texts:
            try:
                yield canonical(field, text)
            except InvalidValue:
                if self.unknown is Unknown.REFUSE:
                    raise

    def _shown(self, path: FieldPath) -> FieldPath:
        return display_path(self.dictionary, self.table, path) or path

    def _display_for(self, path: FieldPath, values: Sequence[str]) -> FieldPath | None:
        """Return the display path of a reference when a value may be a display value."""
        if not path.field.kind.reference or all(_is_sys_id(value) for value in values):
            return None
        return display_path(self.dictionary, self.table, path)


_Meaning = Callable[[Resolver, FieldPath, Operator, str], Condition | None]
_OF_TAGS = (Operator.DOES_NOT_HAVE, Operator.EXCLUDING)
_CHANGES = frozenset({Operator.CHANGES, Operator.CHANGES_FROM, Operator.CHANGES_TO})
_IN_PARTS = frozenset(
    {Operator.BETWEEN, Operator.ON, Operator.NOT_ON, Operator.DATE_PART, *RELATIVE}
)
"""Operators whose value holds several values, each of which may be an expression."""
_MEANINGS: dict[Operator, _Meaning] = {
    Operator.EQUALS: Resolver._equality,
    Operator.DIFFERS: Resolver._equality,
    Operator.GREATER: Resolver._ordering,
    Operator.GREATER_OR_EQUAL: Resolver._ordering,
    Operator.LESS: Resolver._ordering,
    Operator.LESS_OR_EQUAL: Resolver._ordering,
    Operator.IN: Resolver._membership,
    Operator.NOT_IN: Resolver._membership,
    Operator.CONTAINS: Resolver._matching,
    Operator.NOT_CONTAINS: Resolver._matching,
    Operator.STARTS_WITH: Resolver._matching,
    Operator.ENDS_WITH: Resolver._matching,
    Operator.MATCHES: Resolver._pattern,
    Operator.MATCHES_REGEX: Resolver._regex,
    Operator.IS_EMPTY: Resolver._emptiness,
    Operator.IS_NOT_EMPTY: Resolver._emptiness,
    Operator.BETWEEN: Resolver._range,
    Operator.ON: on_day,
    Operator.NOT_ON: on_day,
    **dict.fromkeys(RELATIVE, relative),
    Operator.ANYTHING: Resolver._always,
    Operator.INSTANCE_OF: Resolver._classes,
    Operator.DYNAMIC: Resolver._dynamic,
    Operator.IN_HIERARCHY: in_hierarchy,
    Operator.IN_HIERARCHY_DYNAMIC: in_hierarchy,
    Operator.DATE_PART: date_part,
    Operator.SAME_AS: Resolver._same,
    Operator.NOT_SAME_AS: Resolver._same,
    Operator.GREATER_FIELD: Resolver._later_field,
    Operator.LESS_FIELD: Resolver._later_field,
    Operator.GREATER_OR_EQUAL_FIELD: Resolver._later_field,
    Operator.LESS_OR_EQUAL_FIELD: Resolver._later_field,
    Operator.MORE_THAN: apart,
    Operator.LESS_THAN: apart,
    **dict.fromkeys(_OF_TAGS, Resolver._never_known),
    Operator.CHANGES: Resolver._change,
    Operator.CHANGES_FROM: Resolver._change,
    Operator.CHANGES_TO: Resolver._change,
}


def _join(tests: Sequence[Test], positive: bool) -> Condition:
    if len(tests) == 1:
        return tests[0]
    return Or(tuple(tests)) if positive else And(tuple(tests))


def _is_sys_id(text: str) -> bool:
    return _SYS_ID.fullmatch(text) is not None
