"""Encoded queries: text to ``Query`` and back. Pure; names are resolved by the planner."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from midspan.query.blocks import Block, inline, related_text
from midspan.query.condition import (
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
    Unread,
)
from midspan.query.functions import end_of, is_function

_SEARCHES = {
    Operator.ALL_WORDS.value: Operator.ALL_WORDS,
    Operator.ANY_WORD.value: Operator.ANY_WORD,
    "IR_AND_QUERY=": Operator.ALL_WORDS,
}
_SPELLINGS: dict[str, Operator] = {
    **{operator.value: operator for operator in Operator if operator.value not in _SEARCHES},
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
_PLACE = "f"
"""Stands for a function, which has signs of operators inside."""
_CARET = re.compile(r"\^\^|\^")
_BLOCKS = (Form.LIST, Form.SUBQUERY)
_NO_MEANING = ("", "EQ", "ENDRLQUERY", "ENDSUBQUERY")
_DEEPEST = 21
"""Conditions on related rows that are read inside each other; the planner refuses fewer."""
_TOO_DEEP = Query(invalid=("related rows nested too deep",))
MOST_PARTS = 4_000
"""Conditions and keys of one query. SQLite plans in a time that grows with the square of their
number: half a second for these, minutes for those of a megabyte of query."""
_GROUPS = re.compile(r"(?:NQ\^*)*")
_VALUELESS = frozenset({Operator.IS_EMPTY, Operator.IS_NOT_EMPTY, Operator.ANYTHING})
_EMPTY = {Operator.EQUALS: Operator.IS_EMPTY, Operator.DIFFERS: Operator.IS_NOT_EMPTY}


def parse(text: str) -> Query:
    """Read an encoded query; ``^NQ`` binds loosest, ``^OR`` tightest, ``^ORDERBY`` not at all.

    Never fails: a part that cannot be read goes to ``Query.invalid``, and what is done about it is
    the planner's choice. More than 4,000 parts become ``Unread``, which planners refuse. Empty
    parts, ``^EQ``, an end of nothing and a leading ``GOTO`` mean nothing; ``^^`` is a caret inside
    a value. Conditions on related rows hold besides all others of their group: OR and NQ before
    RLQUERY and SUBQUERY mean nothing, and a missing end is that of the query.

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
    >>> print(parse("RLQUERYincident.problem_id,>=2^active=true^ENDRLQUERY^priority=1").condition)
    (COUNT(incident.problem_id=sys_id WHERE active=true)>=2 AND priority=1)
    """
    return _parse(text.removeprefix("GOTO"), 0)


def _parse(text: str, depth: int) -> Query:
    reader = _Reader(depth)
    if text.count("^") >= MOST_PARTS:  # a megabyte of them would become fifty megabytes of terms
        if sum(1 for part in _split(text) if _means_something(part)) > MOST_PARTS:
            return Query(condition=Unread(text))
        reader.read_all([part for part in _split(text) if part not in ("", "EQ")])
    else:
        reader.read_all(list(_split(text)))
    return reader.query()


def _means_something(part: str) -> bool:
    """Tell whether a part is a condition or a key, or is meant to be one."""
    if part.startswith("NQ"):
        part = _GROUPS.sub("", part, count=1)
    return part not in _NO_MEANING


def parse_term(text: str) -> Term | None:
    """Read one comparison, or return None when it is not one.

    >>> parse_term("numberSTARTSWITHINC")
    Term(field='number', operator=<Operator.STARTS_WITH: 'STARTSWITH'>, value='INC')
    """
    end = end_of(text) if is_function(text) else None
    match = _TERM.fullmatch(text if end is None else f"{_PLACE}{text[end:]}")
    if match is None:
        return _search(text)
    field, spelling, value = match.groups()
    if end is not None:
        if field != _PLACE:
            return None
        field = text[:end]
    operator = _SPELLINGS[spelling]
    if operator in _EMPTY and value in ("", "NULL"):
        operator = _EMPTY[operator]
    return Term(field, operator, "" if operator in _VALUELESS else value)


def _search(text: str) -> Term | None:
    for spelling, operator in _SEARCHES.items():
        if text.startswith(spelling):
            return Term("", operator, text.removeprefix(spelling))
    return None


def format_query(query: Query) -> str:
    """Write a query that ``parse`` returned so that ``parse`` returns it again.

    >>> format_query(parse("GOTOa=1^^2^ORb=^EQ^GROUPBYc^"))
    'a=1^^2^ORbISEMPTY^GROUPBYc'
    """
    text = _query_text(query)
    return f"^{text}" if text.startswith("GOTO") else text


def _query_text(query: Query) -> str:
    parts = [_condition_text(query.condition)] if query.condition != ALWAYS else []
    parts += [part.replace("^", "^^") for part in query.invalid]
    parts += [
        f"{'ORDERBYDESC' if order.descending else 'ORDERBY'}{order.field.replace('^', '^^')}"
        for order in query.order
    ]
    parts += [f"GROUPBY{field.replace('^', '^^')}" for field in query.group_by]
    return "^".join(parts)


class _Reader:
    """Collects the parts of one query; used once."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._last_inside = Query()
        self._groups: list[list[list[Condition]]] = [[]]
        self._order: list[Order] = []
        self._group_by: list[str] = []
        self._invalid: list[str] = []

    def read_all(self, parts: Sequence[str]) -> None:
        place = 0
        while place < len(parts):
            if Block.opens(parts[place]):
                block = Block(parts, place)
                self._block(block)
                place = block.next
            else:
                self._read(parts[place])
                place += 1

    def _block(self, block: Block) -> None:
        term = block.term(self._inside)
        if term is None:
            self._invalid.append(block.whole())
            return
        self._groups[-1].append([term])
        if not block.terminated:
            # The order is that of the whole result, wherever it is written.
            self._order += self._last_inside.order
            self._group_by += self._last_inside.group_by

    def _inside(self, text: str) -> Query:
        """Read the query of related rows, which have no order."""
        if self._depth >= _DEEPEST:
            return _TOO_DEEP if text else Query()
        found = self._last_inside = _parse(text, self._depth + 1)
        return Query(condition=found.condition, invalid=found.invalid)

    def _read(self, part: str) -> None:
        while part.startswith("NQ"):
            self._groups.append([])
            part = part[2:].lstrip("^")
        if part in _NO_MEANING:
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
        if not _FIELD.fullmatch(name) and not (is_function(name) and end_of(name) == len(name)):
            self._invalid.append(part)
        elif keyword == "GROUPBY":
            self._group_by.append(name)
        else:
            self._order.append(Order(name, descending=keyword == "ORDERBYDESC"))

    def _term(self, part: str) -> None:
        alternative = part.startswith("OR")
        text = part[2:] if alternative else part
        term = parse_term(text) or inline(text, self._inside)
        group = self._groups[-1]
        # The last ones that an alternative may join; to list all each time takes their square.
        last = next((one for one in reversed(group) if not (one and _is_block(one[0]))), None)
        if last is None or not alternative:
            last = []
            group.append(last)
        if term is None:
            self._invalid.append(part)
        else:
            last.append(term)


def _split(text: str) -> Iterator[str]:
    """Yield what stands between single carets; a double one becomes a caret of its part.

    No part begins with one: written again behind another part it would belong to that.
    """
    current = ""
    position = 0
    for match in _CARET.finditer(text):
        current += text[position : match.start()]
        position = match.end()
        if match.group() == "^^":
            current += "^"
        else:
            yield current.lstrip("^")
            current = ""
    yield (current + text[position:]).lstrip("^")


def _any(parts: Sequence[Condition]) -> Condition:
    """Join alternatives; alternatives among them are lifted, so one group of them reads alike."""
    flat: list[Condition] = []
    for part in parts:
        flat += part.parts if isinstance(part, Or) else (part,)
    return flat[0] if len(flat) == 1 else Or(tuple(flat))


def _all(parts: Sequence[Condition]) -> Condition:
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _is_block(condition: Condition) -> bool:
    return isinstance(condition, RelatedTerm) and condition.form in _BLOCKS


def _begins_with_block(condition: Condition) -> bool:
    if isinstance(condition, And) and condition.parts:
        return _begins_with_block(condition.parts[0])
    return _is_block(condition)


def _condition_text(condition: Condition) -> str:
    match condition:
        case And():
            return "^".join(_condition_text(part) for part in condition.parts)
        case Or() if not any(
            isinstance(part, And | Or) or _is_block(part) for part in condition.parts
        ):
            return "^OR".join(_condition_text(part) for part in condition.parts)
        case Or():
            return "^NQ".join(_group_text(part) for part in condition.parts)
        case Unread():
            return condition.text
        case RelatedTerm():
            return related_text(condition, _query_text(condition.query))
        case _:
            return str(condition).replace("^", "^^")


def _group_text(condition: Condition) -> str:
    """Write one group of ``^NQ``, which nothing stands for before a block."""
    text = _condition_text(condition)
    return f"EQ^{text}" if _begins_with_block(condition) else text
