"""Regular expressions that mean the same in every database, matched in linear time.

What is understood is what Java, which the vendor's instances run on, and PostgreSQL share: letters,
``.``, classes, groups, ``|`` and repetitions. An expression stands for the whole of a text; texts
and expressions are folded. Here it becomes a set of positions of which each letter of a text
leaves some (Glushkov's construction, the sets as bits of a number), so nothing is ever tried twice
and no text takes longer than its length; for PostgreSQL it is written anew, without anything that
depends on a flag or a locale. Look-around, back-references and the like are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from msgspec import Struct

from midspan.query.expression import Either, Letters, Node, Repeated, Sequential, parsed

LONGEST_TEXT = 10_000
"""Characters of a text; a longer one matches no expression."""
_MOST_STEPS = 2_000
"""Steps that are remembered for an expression."""


def matches_regex(expression: str, text: str) -> bool:
    """Tell whether an expression stands for the whole of a text that is folded already.

    Raises:
        RefusedExpression: the expression is none that is understood; says why.

    >>> [matches_regex("INC[0-9]{2}|web.*", text) for text in ("inc12", "inc1", "website", "a web")]
    [True, False, True, False]
    >>> matches_regex("(a|a)*(b*)*c", "a" * 5000)
    False
    """
    return len(text) <= LONGEST_TEXT and _machine(expression).matches(text)


def check_regex(expression: str) -> None:
    """Refuse an expression that is not understood.

    Raises:
        RefusedExpression: says what is not understood, and where.

    >>> check_regex("a)")
    Traceback (most recent call last):
    midspan.query.expression.RefusedExpression: ) at character 2 is not understood; no group ends
    """
    _machine(expression)


@lru_cache(maxsize=256)
def postgresql(expression: str) -> str:
    """Return the expression as PostgreSQL reads it, for folded texts.

    >>> postgresql("A+[B-D]$|x?")
    '^(?:(?:(?:a){1,}[bcd]|(?:x){0,1}))$'
    """
    return f"^(?:{_written(parsed(expression))})$"


# Writing


def _written(node: Node) -> str:
    match node:
        case Letters():
            return _class_text(node)
        case Sequential():
            return "".join(map(_written, node.parts))
        case Either():
            return f"(?:{'|'.join(map(_written, node.parts))})"
        case Repeated():
            most = "" if node.most is None else str(node.most)
            return f"(?:{_written(node.part)}){{{node.least},{most}}}"


def _class_text(letters: Letters) -> str:
    some = sorted(letters.some)
    if not some:
        return "." if letters.negated else "(?!)"
    if len(some) == 1 and not letters.negated:
        return _plain(some[0])
    return f"[{'^' * letters.negated}{''.join(map(_plain, some))}]"


def _plain(letter: str) -> str:
    return letter if letter.isalnum() or ord(letter) < 32 or ord(letter) > 126 else f"\\{letter}"


# Matching


class _Positions(Struct, frozen=True):
    """A part of an expression: whether it may be empty, where it begins and ends, as bits."""

    empty: bool
    first: int
    last: int


class _Machine:
    """The positions of an expression, and which of them may follow which."""

    def __init__(self, node: Node) -> None:
        self._letters: list[Letters] = []
        self._follow: list[int] = []
        whole = self._placed(node)
        self._empty, self._first, self._last = whole.empty, whole.first, whole.last
        self._begin = 1 << len(self._letters)
        self._tables = [self._table(start) for start in range(0, len(self._follow), 8)]
        self._masks: dict[str, int] = {}
        self._steps: dict[tuple[int, str], int] = {}

    def matches(self, text: str) -> bool:
        if not text:
            return self._empty
        state, steps = self._begin, self._steps
        for letter in text:
            key = (state, letter)
            following = steps.get(key)
            state = self._step(key) if following is None else following
            if not state:
                return False
        return bool(state & self._last)

    def _step(self, key: tuple[int, str]) -> int:
        state, letter = key
        reached = self._first if state == self._begin else 0
        rest = state & ~self._begin
        place = 0
        while rest:
            reached |= self._tables[place][rest & 255]
            rest >>= 8
            place += 1
        found = reached & self._mask(letter)
        if len(self._steps) >= _MOST_STEPS:
            self._steps.clear()
        self._steps[key] = found
        return found

    def _mask(self, letter: str) -> int:
        """Return the positions that a letter fits."""
        found = self._masks.get(letter)
        if found is None:
            if len(self._masks) >= _MOST_STEPS:
                self._masks.clear()
            fitting = (
                1 << place
                for place, letters in enumerate(self._letters)
                if (letter in letters.some) is not letters.negated
            )
            found = self._masks[letter] = sum(fitting)
        return found

    def _table(self, start: int) -> list[int]:
        """Return what follows each of the 256 sets of eight positions."""
        table = [0] * 256
        for bits in range(1, 256):
            low = bits & -bits
            place = start + low.bit_length() - 1
            own = self._follow[place] if place < len(self._follow) else 0
            table[bits] = table[bits & (bits - 1)] | own
        return table

    def _placed(self, node: Node) -> _Positions:
        match node:
            case Letters():
                bit = 1 << len(self._letters)
                self._letters.append(node)
                self._follow.append(0)
                return _Positions(False, bit, bit)
            case Sequential():
                return self._joined(self._placed(part) for part in node.parts)
            case Either():
                placed = [self._placed(part) for part in node.parts]
                return _Positions(
                    any(part.empty for part in placed),
                    _all(placed, lambda part: part.first),
                    _all(placed, lambda part: part.last),
                )
            case Repeated():
                return self._joined(self._times(node))

    def _times(self, node: Repeated) -> Iterator[_Positions]:
        """Yield the part as often as it may come; the last of them again and again if need be."""
        times = max(node.least, 1) if node.most is None else node.most
        for number in range(1, times + 1):
            part = self._placed(node.part)
            if node.most is None and number == times:
                self._link(part.last, part.first)
            optional = number > node.least
            yield _Positions(part.empty or optional, part.first, part.last)

    def _joined(self, parts: Iterator[_Positions]) -> _Positions:
        whole = _Positions(True, 0, 0)
        for part in parts:
            self._link(whole.last, part.first)
            whole = _Positions(
                whole.empty and part.empty,
                whole.first | (part.first if whole.empty else 0),
                part.last | (whole.last if part.empty else 0),
            )
        return whole

    def _link(self, before: int, after: int) -> None:
        while before:
            low = before & -before
            self._follow[low.bit_length() - 1] |= after
            before ^= low


def _all(parts: Sequence[_Positions], get: Callable[[_Positions], int]) -> int:
    found = 0
    for part in parts:
        found |= get(part)
    return found


@lru_cache(maxsize=256)
def _machine(expression: str) -> _Machine:
    return _Machine(parsed(expression))
