"""What a script's GlideRecord asks for, turned into a query: conditions, order and window."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from msgspec import Struct

from midspan.query import (
    ALWAYS,
    And,
    Condition,
    Form,
    Operator,
    Or,
    Order,
    Query,
    RelatedTerm,
    Term,
    both,
    format_query,
    parse,
    parse_term,
)
from midspan.query.functions import is_function

_NEW_SET = re.compile(r"(?<!\^)\^NQ")
_FIELD = re.compile(r"[a-z0-9_.]+")
_EMPTY = {Operator.EQUALS: Operator.IS_EMPTY, Operator.DIFFERS: Operator.IS_NOT_EMPTY}
_VALUELESS = frozenset({Operator.IS_EMPTY, Operator.IS_NOT_EMPTY, Operator.ANYTHING})


class Joined(Struct, frozen=True):
    """A join: keep rows whose ``own`` field is among the ``other`` fields of ``table``."""

    table: str
    own: str
    other: str
    conditions: list[dict[str, Any]]


class Criteria(Struct, frozen=True):
    """Everything that decides which rows a query returns, as the prelude sends it."""

    table: str
    secure: bool = False
    rules: bool = True
    """False after ``setWorkflow(false)``: no query rules, but for what access rules protect."""
    conditions: list[dict[str, Any]] = []
    order: list[tuple[str, bool]] = []
    limit: int | None = None
    window: tuple[int, int] | None = None
    functions: list[str] = []
    """Functions of fields whose results the rows have behind their columns."""
    whole: bool = False
    """Whether rows come with all columns."""
    reads: list[str] = []
    """Columns that are known to be read, whatever the script mentions."""

    @property
    def offset(self) -> int:
        """How many rows to leave out."""
        return self.window[0] if self.window and self.limit is None else 0

    @property
    def most(self) -> int | None:
        """How many rows to return at most; None for all."""
        if self.limit is not None or self.window is None:
            return self.limit
        return max(0, self.window[1] - self.window[0])


class _Reader:
    """Puts the parts of one query together; used once."""

    def __init__(self, *, exempt: bool) -> None:
        self._exempt = exempt
        self._sets: list[Condition] = [ALWAYS]
        self._order: list[Order] = []
        self._invalid: list[str] = []

    def read(self, item: dict[str, Any]) -> None:
        if "text" in item:
            self._text(str(item["text"]), item.get("terms") or [])
        elif "join" in item:
            self._add(_related(Joined(**item["join"]), exempt=self._exempt))
        else:
            self._add(self._terms(item["terms"]))

    def query(self, order: Sequence[tuple[str, bool]]) -> Query:
        self._order += [Order(field, descending) for field, descending in order]
        sets = self._sets
        condition = sets[0] if len(sets) == 1 else Or(tuple(sets))
        return Query(condition=condition, order=tuple(self._order), invalid=tuple(self._invalid))

    def _add(self, condition: Condition) -> None:
        self._sets[-1] = both(self._sets[-1], condition)

    def _text(self, text: str, terms: Sequence[Sequence[Any]]) -> None:
        """``^NQ`` starts a new set; what is added later belongs to the last one."""
        parts = _NEW_SET.split(text)
        for position, part in enumerate(parts):
            if position:
                self._sets.append(ALWAYS)
            query = parse(part)
            last = position == len(parts) - 1
            self._add(self._terms(terms, query.condition) if last else query.condition)
            self._order += query.order
            self._invalid += query.invalid

    def _terms(self, terms: Sequence[Sequence[Any]], condition: Condition = ALWAYS) -> Condition:
        for joint, *rest in terms:
            term = self._term(*rest) if len(rest) > 1 else self._terms(rest[0])
            if term is None or term == ALWAYS:
                continue
            if condition == ALWAYS:
                condition = term
            elif joint == "or":
                condition = Or((condition, term))
            else:
                condition = And((condition, term))
        return condition

    def _term(self, field: str, operator: str, value: str) -> Term | None:
        known = operator_of(operator)
        if known is None or not (_FIELD.fullmatch(field) or is_function(field)):
            self._invalid.append(f"{field}{operator}{value}")
            return None
        if known in _EMPTY and value in ("", "NULL"):
            known = _EMPTY[known]
        return Term(field, known, "" if known in _VALUELESS else value)


def _related(joined: Joined, *, exempt: bool) -> RelatedTerm:
    inner = read_query(Criteria(joined.table, conditions=joined.conditions), exempt=exempt)
    return RelatedTerm(
        form=Form.SUBQUERY,
        table=joined.table,
        field=joined.other or "sys_id",
        own=joined.own,
        exempt=exempt,
        query=Query(condition=inner.condition, invalid=inner.invalid),
    )


def read_query(criteria: Criteria, *, exempt: bool = False) -> Query:
    """Return the query that the calls on a GlideRecord describe.

    With ``exempt`` its joins are with all rows of the other table, whoever reads.
    """
    reader = _Reader(exempt=exempt)
    for item in criteria.conditions:
        reader.read(item)
    return reader.query(criteria.order)


@lru_cache(maxsize=256)
def operator_of(text: str) -> Operator | None:
    """Return the operator with this name in ``addQuery``, or None.

    >>> operator_of("CONTAINS"), operator_of("not in"), operator_of("~")
    (<Operator.CONTAINS: 'LIKE'>, <Operator.NOT_IN: 'NOT IN'>, None)
    """
    term = parse_term(f"x{text.upper()}0")
    if term is None or term.field != "x":
        return None
    return term.operator if term.value in ("0", "") else None


def is_readable(text: str) -> bool:
    """Tell whether every part of an encoded query can be read.

    >>> is_readable("active=true^ORDERBYname"), is_readable("active~true")
    (True, False)
    """
    query = parse(text)
    return query.is_whole and bool(format_query(query) or not text)
