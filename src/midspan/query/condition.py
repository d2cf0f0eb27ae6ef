"""Conditions as trees: what an encoded query says, before and after names are resolved."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct

from midspan.dictionary import FieldPath
from midspan.query.functions import leaves


class Operator(StrEnum):
    """What a term asks of its field; the value is the canonical spelling in an encoded query."""

    EQUALS = "="
    DIFFERS = "!="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    IN = "IN"
    NOT_IN = "NOT IN"
    CONTAINS = "LIKE"
    NOT_CONTAINS = "NOT LIKE"
    STARTS_WITH = "STARTSWITH"
    ENDS_WITH = "ENDSWITH"
    MATCHES = "MATCH_PAT"
    MATCHES_REGEX = "MATCH_RGX"
    IS_EMPTY = "ISEMPTY"
    IS_NOT_EMPTY = "ISNOTEMPTY"
    BETWEEN = "BETWEEN"
    ON = "ON"
    NOT_ON = "NOTON"
    LATER_THAN_RELATIVE = "RELATIVEGT"
    EARLIER_THAN_RELATIVE = "RELATIVELT"
    SINCE_RELATIVE = "RELATIVEGE"
    UNTIL_RELATIVE = "RELATIVELE"
    ON_RELATIVE = "RELATIVEEE"
    DATE_PART = "DATEPART"
    ANYTHING = "ANYTHING"
    INSTANCE_OF = "INSTANCEOF"
    DYNAMIC = "DYNAMIC"
    DOES_NOT_HAVE = "DOESNOTHAVE"
    """About tags, as is the next."""
    EXCLUDING = "EXCLUDING"
    IN_HIERARCHY = "IN_HIERARCHY"
    IN_HIERARCHY_DYNAMIC = "IN_HIERARCHY_DYNAMIC"
    SAME_AS = "SAMEAS"
    NOT_SAME_AS = "NSAMEAS"
    GREATER_FIELD = "GT_FIELD"
    LESS_FIELD = "LT_FIELD"
    GREATER_OR_EQUAL_FIELD = "GT_OR_EQUALS_FIELD"
    LESS_OR_EQUAL_FIELD = "LT_OR_EQUALS_FIELD"
    MORE_THAN = "MORETHAN"
    LESS_THAN = "LESSTHAN"
    ALL_WORDS = "123TEXTQUERY321="
    """Stands without a field, as does the next."""
    ANY_WORD = "IR_OR_QUERY="
    CHANGES = "VALCHANGES"
    CHANGES_FROM = "CHANGESFROM"
    CHANGES_TO = "CHANGESTO"


class Form(StrEnum):
    """How a condition on related rows is written."""

    LIST = "RLQUERY"
    """``RLQUERY<table>.<field>,<op><n>^<conditions>^ENDRLQUERY``: the rows of a related list."""
    SUBQUERY = "SUBQUERY"
    """``SUBQUERY<own>,<field>,<table>^<conditions>^ENDSUBQUERY``"""
    JOIN = "JOIN"
    """``JOIN<table>.<own>=<table>.<field>!<conditions>``, with ``^^`` between its conditions."""
    AMONG = "AMONG"
    """``<own>SUBQUERY<field>,<table>,<conditions>``, with ``^^`` between its conditions."""


class Term(Struct, frozen=True, tag=True):
    """One comparison as written: a field name, maybe dotted, an operator and the raw value."""

    field: str
    operator: Operator
    value: str = ""

    def __str__(self) -> str:
        return f"{self.field}{self.operator.value}{self.value}"


class Test(Struct, frozen=True, tag=True):
    """One comparison against a known field.

    ``values`` are canonical wire texts of the field's type: one for most operators, two for
    BETWEEN, any number for IN, none for ISEMPTY. SAMEAS, GT_FIELD and their like compare with
    ``other`` instead; MORETHAN and LESSTHAN hold a unit of time and a number, negative for
    ``before``, beside it, SAMEAS and NSAMEAS nothing or a unit and a time zone. DATEPART holds a
    part of a date, a sign (``=``, ``<``..), a number and a time zone. The zone is ``''`` for UTC.
    """

    __test__ = False

    path: FieldPath
    operator: Operator
    values: tuple[str, ...] = ()
    other: FieldPath | None = None

    def __str__(self) -> str:
        right = self.other.name if self.other else ",".join(self.values)
        return f"{self.path.name}{self.operator.value}{right}"


class RelatedTerm(Struct, frozen=True, kw_only=True, tag=True):
    """Rows of another table as written: how many that meet ``query`` name a row by ``field``.

    ``owner`` is the table that a JOIN says its ``own`` field belongs to. ``many`` is the flag
    ``m2m``, which changes nothing: the conditions are those of the related table either way.
    ``exempt`` is never read from a query: the instance asks for itself, and what the reader may not
    read counts, too.
    """

    form: Form
    table: str
    field: str
    own: str = "sys_id"
    owner: str = ""
    operator: Operator = Operator.GREATER_OR_EQUAL
    count: int = 1
    many: bool = False
    exempt: bool = False
    query: Query

    def __str__(self) -> str:
        found = f"{self.table}.{self.field}={self.own} WHERE {self.query.condition}"
        return f"COUNT({found}){self.operator.value}{self.count}"


class Related(Struct, frozen=True, kw_only=True, tag=True):
    """How many rows of another table belong to a row, against known fields.

    Those of ``table`` and its descendants count whose value at ``other`` is the row's own at
    ``own`` and that meet ``condition``; an empty value belongs to nothing. ``operator`` is one of
    ``=``, ``!=``, ``>``, ``>=``, ``<`` and ``<=``. With ``exempt`` they count whoever reads.
    """

    own: FieldPath
    table: str
    other: FieldPath
    condition: Condition
    operator: Operator = Operator.GREATER_OR_EQUAL
    count: int = 1
    exempt: bool = False

    def __str__(self) -> str:
        found = f"{self.table}.{self.other.name}={self.own.name} WHERE {self.condition}"
        return f"COUNT({found}){self.operator.value}{self.count}"


class And(Struct, frozen=True, tag=True):
    """All parts hold; with no parts, always true."""

    parts: tuple[Condition, ...]

    def __str__(self) -> str:
        return f"({' AND '.join(map(str, self.parts))})"


class Or(Struct, frozen=True, tag=True):
    """At least one part holds; with no parts, never true."""

    parts: tuple[Condition, ...]

    def __str__(self) -> str:
        return f"({' OR '.join(map(str, self.parts))})"


class Unread(Struct, frozen=True, tag=True):
    """Stands for the conditions of a query that has too many to be read; ``text`` is what came.

    It is a condition so that it goes wherever theirs would have gone: a query that lost them on its
    way would find all rows. Planners refuse it, and where nothing is refused it finds none.
    """

    text: str

    def __str__(self) -> str:
        return self.text


Condition: TypeAlias = And | Or | Term | Test | RelatedTerm | Related | Unread
ALWAYS = And(())
NEVER = Or(())


def both(first: Condition, second: Condition) -> Condition:
    """Return the conjunction of two conditions, without needless nesting."""
    if first == ALWAYS:
        return second
    if second == ALWAYS:
        return first
    left = first.parts if isinstance(first, And) else (first,)
    right = second.parts if isinstance(second, And) else (second,)
    return And((*left, *right))


def paths_of(condition: Condition) -> Iterator[FieldPath]:
    """Yield the fields of the row itself that a resolved condition looks at, also in functions.

    Raises:
        TypeError: the condition is not resolved.
    """
    match condition:
        case And() | Or():
            for part in condition.parts:
                yield from paths_of(part)
        case Test():
            yield from leaves(condition.path)
            if condition.other is not None:
                yield condition.other
        case Related():
            yield from leaves(condition.own)
        case Term() | RelatedTerm() | Unread():
            raise TypeError(f"Condition {condition} is not resolved; plan it first")


def related_in(condition: Condition) -> Iterator[Related]:
    """Yield the conditions on related rows in a resolved condition, those inside them left out."""
    match condition:
        case And() | Or():
            for part in condition.parts:
                yield from related_in(part)
        case Related():
            yield condition


class Order(Struct, frozen=True):
    """One sort key as written."""

    field: str
    descending: bool = False


class Query(Struct, frozen=True):
    """An encoded query read: its condition, its sort keys and its groups.

    ``invalid`` holds the parts that could not be read, as written; the planner reports them. Of a
    query with too many parts none is read: its condition is ``Unread``.
    """

    condition: Condition = ALWAYS
    order: tuple[Order, ...] = ()
    group_by: tuple[str, ...] = ()
    invalid: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether every part was read; those of conditions on related rows do not count."""
        return not self.invalid and not _holds_unread(self.condition)


def _holds_unread(condition: Condition) -> bool:
    match condition:
        case And() | Or():
            return any(_holds_unread(part) for part in condition.parts)
        case Unread():
            return True
        case _:
            return False
