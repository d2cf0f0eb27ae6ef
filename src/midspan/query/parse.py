"""Encoded queries: text to ``Query`` and back. Pure; names are resolved by the planner."""

from __future__ import annotations

import re
from collections.abc import Sequence

from midspan.query.condition import ALWAYS, And, Condition, Operator, Or, Order, Query, Term

_SPELLINGS: dict[str, Operator] = {
    **{operator.value: operator for operator in Operator},
    "NOTIN": Operator.NOT_IN,
    "CONTAINS": Operator.CONTAINS,
    "*": Operator.CONTAINS,
    "NOTLIKE": Operator.NOT_CONTAINS,
    "DOES NOT CONTAIN": Operator.NOT_CONTAINS,
    "!*": Operator.NOT_CONTAINS,
    "%": Operator.ENDS_WITH,
    "EMPTYSTRING": Operator.IS_EMPTY,
}
_LONGEST_FIRST = "|".join(re.escape(text) for text in sorted(_SPELLINGS, key=len, reverse=True))
_TERM = re.compile(rf"([a-z0-9_.]+)({_LONGEST_FIRST})(.*)", re.DOTALL)
_FIELD = re.compile(r"[a-z0-9_.]+")
_CARET = re.compile(r"\^\^|\^")
_VALUELESS = frozenset({Operator.IS_EMPTY, Operator.IS_NOT_EMPTY, Operator.ANYTHING})
_EMPTY = {Operator.EQUALS: Operator.IS_EMPTY, Operator.DIFFERS: Operator.IS_NOT_EMPTY}


def parse(text: str) -> Query:
    """Read an encoded query; ``^NQ`` binds loosest, ``^OR`` tightest, ``^ORDERBY`` not at all.

    Never fails: a part that cannot be read goes to ``Query.invalid``, and what is done about it is
    the planner's choice. Empty parts, ``^EQ`` and a leading ``GOTO`` mean nothing; ``^^`` is a
    caret inside a value.

    >>> print(parse("active=true^priority=1^ORpriority=2^ORDERBYnumber").condition)
    (active=true AND (priority=1 OR priority=2))
    >>> print(parse("a=1^b=2^NQc=3^ORDERBYDESCd").condition)
    ((a=1 AND b=2) OR c=3)
    >>> parse("a=1^ORDERBYDESCd^ORDERBYe").order
    (Order(field='d', descending=True), Order(field='e', descending=False))
    >>> print(parse("stateNOT IN6,7^caller_id.name*x^^2^assigned_to=NULL").condition)
    (stateNOT IN6,7 AND caller_id.nameLIKEx^2 AND assigned_toISEMPTY)
    >>> parse("priority=1^no such thing^EQ").invalid
    ('no such thing',)
    """
    reader = _Reader()
    for part in _split(text.removeprefix("GOTO")):
        reader.read(part)
    return reader.query()


def parse_term(text: str) -> Term | None:
    """Read one comparison, or return None when it is not one.

    >>> parse_term("numberSTARTSWITHINC")
    Term(field='number', operator=<Operator.STARTS_WITH: 'STARTSWITH'>, value='INC')
    """
    match = _TERM.fullmatch(text)
    if match is None:
        return None
    field, spelling, value = match.groups()
    operator = _SPELLINGS[spelling]
    if operator in _EMPTY and value in ("", "NULL"):
        operator = _EMPTY[operator]
    return Term(field, operator, "" if operator in _VALUELESS else value)


def format_query(query: Query) -> str:
    """Write a query that ``parse`` returned so that ``parse`` returns it again.

    >>> format_query(parse("GOTOa=1^^2^ORb=^EQ^GROUPBYc^"))
    'a=1^^2^ORbISEMPTY^GROUPBYc'
    """
    parts = [_condition_text(query.condition)] if query.condition != ALWAYS else []
    parts += [part.replace("^", "^^") for part in query.invalid]
    parts += [
        f"{'ORDERBYDESC' if order.descending else 'ORDERBY'}{order.field}" for order in query.order
    ]
    parts += [f"GROUPBY{field}" for field in query.group_by]
    text = "^".join(parts)
    return f"^{text}" if text.startswith("GOTO") else text


class _Reader:
    """Collects the parts of one query; used once."""

    def __init__(self) -> None:
        self._groups: list[list[list[Condition]]] = [[]]
        self._order: list[Order] = []
        self._group_by: list[str] = []
        self._invalid: list[str] = []

    def read(self, part: str) -> None:
        while part.startswith("NQ"):
            self._groups.append([])
            part = part[2:]
        if part in ("", "EQ"):
            return
        if part.startswith("ORDERBYDESC"):
            self._field(part, "ORDERBYDESC")
        elif part.startswith("ORDERBY"):
            self._field(part, "ORDERBY")
        elif part.startswith("GROUPBY"):
            self._field(part, "GROUPBY")
        else:
            self._term(part)

    def query(self) -> Query:
        filled = [[terms for terms in group if terms] for group in self._groups]
        groups = [_all([_any(terms) for terms in group]) for group in filled if group]
        return Query(
            condition=_any(groups) if groups else ALWAYS,
            order=tuple(self._order),
            group_by=tuple(self._group_by),
            invalid=tuple(self._invalid),
        )

    def _field(self, part: str, keyword: str) -> None:
        name = part.removeprefix(keyword)
        if not _FIELD.fullmatch(name):
            self._invalid.append(part)
        elif keyword == "GROUPBY":
            self._group_by.append(name)
        else:
            self._order.append(Order(name, descending=keyword == "ORDERBYDESC"))

    def _term(self, part: str) -> None:
        alternative = part.startswith("OR")
        term = parse_term(part[2:] if alternative else part)
        group = self._groups[-1]
        if not (alternative and group):
            group.append([])
        if term is None:
            self._invalid.append(part)
        else:
            group[-1].append(term)


def _split(text: str) -> list[str]:
    """Split at single carets; a double one becomes a caret of its part."""
    parts: list[str] = []
    current = ""
    position = 0
    for match in _CARET.finditer(text):
        current += text[position : match.start()]
        position = match.end()
        if match.group() == "^^":
            current += "^"
        else:
            parts.append(current)
            current = ""
    return [*parts, current + text[position:]]


def _any(parts: Sequence[Condition]) -> Condition:
    """Join alternatives; alternatives among them are lifted, so one group of them reads alike."""
    flat: list[Condition] = []
    for part in parts:
        flat += part.parts if isinstance(part, Or) else (part,)
    return flat[0] if len(flat) == 1 else Or(tuple(flat))


def _all(parts: Sequence[Condition]) -> Condition:
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _condition_text(condition: Condition) -> str:
    match condition:
        case And():
            return "^".join(_condition_text(part) for part in condition.parts)
        case Or() if all(isinstance(part, Term) for part in condition.parts):
            return "^OR".join(_condition_text(part) for part in condition.parts)
        case Or():
            return "^NQ".join(_condition_text(part) for part in condition.parts)
        case _:
            return str(condition).replace("^", "^^")
