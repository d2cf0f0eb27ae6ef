"""Conditions on related rows, read from and written as the parts of an encoded query."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from midspan.query.condition import Form, Operator, Query, RelatedTerm

_NAME, _PATH = r"[a-z0-9_]+", r"[a-z0-9_.]+"
_LIST = re.compile(
    rf"RLQUERY ?({_NAME})\.({_PATH}),(>=|<=|!=|=|>|<)([0-9]{{1,9}})(,m2m)?(?:,(.*))?", re.DOTALL
)
_SUBQUERY = re.compile(rf"SUBQUERY({_PATH}),({_PATH}),({_NAME})")
_JOIN = re.compile(rf"JOIN({_NAME})\.({_PATH})=({_NAME})\.({_PATH})!(.*)", re.DOTALL)
_AMONG = re.compile(rf"({_PATH})SUBQUERY({_PATH}),({_NAME})(?:,(.*))?", re.DOTALL)
_BLOCK = re.compile(r"(?:NQ\^*|OR)*(RLQUERY|SUBQUERY)")
_OPENING = re.compile(r"(?:NQ\^*|OR)*(?=RLQUERY|SUBQUERY)")

Reader = Callable[[str], Query]
"""Reads what is inside, one level deeper."""


class Block:
    """The parts from ``RLQUERY`` or ``SUBQUERY`` to its end, or to the end of the query.

    Conditions written with doubled carets lie within the first part.
    """

    def __init__(self, parts: Sequence[str], start: int) -> None:
        first, embedded, inside = _OPENING.sub("", parts[start], count=1).partition("^")
        self.keyword = "RLQUERY" if first.startswith("RLQUERY") else "SUBQUERY"
        self.head = first
        self.terminated = True
        self.next = start + 1
        """The place of the first part behind it."""
        end = f"END{self.keyword}"
        if embedded and f"^{inside}".endswith(f"^{end}"):
            self.text = inside[: -len(end)].removesuffix("^")
            return
        last = _end(parts, start + 1, self.keyword)
        self.terminated = last < len(parts)
        self.next = last + 1
        between = [part.replace("^", "^^") for part in parts[start + 1 : last]]
        self.text = "^".join([inside, *between] if embedded else between)

    @staticmethod
    def opens(part: str) -> bool:
        """Tell whether a part opens a block; OR and NQ before it mean nothing."""
        return _BLOCK.match(part) is not None

    def whole(self) -> str:
        """Return the block as one text, with its end."""
        return "^".join(filter(None, (self.head, self.text, f"END{self.keyword}")))

    def term(self, read: Reader) -> RelatedTerm | None:
        """Return what it says; None when its head cannot be read."""
        match = _LIST.fullmatch(self.head)
        if match is not None:
            table, field, sign, count, many, first = match.groups()
            return RelatedTerm(
                form=Form.LIST,
                table=table,
                field=field,
                operator=Operator(sign),
                count=int(count),
                many=bool(many),
                query=read("^".join(filter(None, (first, self.text)))),
            )
        match = _SUBQUERY.fullmatch(self.head)
        if match is None:
            return None
        own, field, table = match.groups()
        return RelatedTerm(
            form=Form.SUBQUERY, table=table, field=field, own=own, query=read(self.text)
        )


def _end(parts: Sequence[str], start: int, keyword: str) -> int:
    """Return the place of the part that ends a block, past those that open inside it."""
    open_blocks = 1
    for place in range(start, len(parts)):
        part = parts[place]
        if part == f"END{keyword}":
            open_blocks -= 1
        elif part.endswith(f"^END{keyword}"):
            continue
        elif (match := _BLOCK.match(part)) is not None and match[1] == keyword:
            open_blocks += 1
        if not open_blocks:
            return place
    return len(parts)


def inline(part: str, read: Reader) -> RelatedTerm | None:
    """Read a condition on related rows that is one part; None when it is none."""
    match = _JOIN.fullmatch(part)
    if match is not None:
        owner, own, table, field, inside = match.groups()
        return RelatedTerm(
            form=Form.JOIN, table=table, field=field, own=own, owner=owner, query=read(inside)
        )
    match = _AMONG.fullmatch(part)
    if match is None:
        return None
    own, field, table, inside = match.groups()
    return RelatedTerm(form=Form.AMONG, table=table, field=field, own=own, query=read(inside or ""))


def related_text(term: RelatedTerm, inside: str) -> str:
    """Write a condition on related rows; ``inside`` is its own query, written."""
    match term.form:
        case Form.LIST:
            head = f"RLQUERY{term.table}.{term.field},{term.operator.value}{term.count}"
            head += ",m2m" if term.many else ""
            return "^".join(filter(None, (head, inside, "ENDRLQUERY")))
        case Form.SUBQUERY:
            head = f"SUBQUERY{term.own},{term.field},{term.table}"
            return "^".join(filter(None, (head, inside, "ENDSUBQUERY")))
        case Form.JOIN:
            head = f"JOIN{term.owner}.{term.own}={term.table}.{term.field}!"
        case Form.AMONG:
            head = f"{term.own}SUBQUERY{term.field},{term.table},"
    return head + inside.replace("^", "^^")
