"""Regular expressions read into parts: what Java and PostgreSQL share, and nothing else. Pure."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

from msgspec import Struct

from midspan.kernel.errors import InvalidQuery
from midspan.query.comparison import fold

LONGEST_EXPRESSION = 1_000
"""Characters; a longer one is not used."""
MOST_POSITIONS = 200
"""Letters and classes in an expression, those that are repeated ``{n}`` times counted n times."""
_WIDEST = 1_000
"""Characters of a range in a class."""
_DEEPEST = 20
_DIGITS = frozenset("0123456789")
_WORD = frozenset("abcdefghijklmnopqrstuvwxyz_") | _DIGITS
_SPACES = frozenset(" \t\n\r\f\v")
_LINE_ENDS = frozenset("\n\r\x85\u2028\u2029")
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


class RefusedExpression(InvalidQuery):
    """A regular expression that is not understood, or too large."""


class Letters(Struct, frozen=True):
    """One letter out of some, or with ``negated`` out of all others."""

    some: frozenset[str]
    negated: bool = False

    def __or__(self, other: Letters) -> Letters:
        match self.negated, other.negated:
            case False, False:
                return Letters(self.some | other.some)
            case True, True:
                return Letters(self.some & other.some, negated=True)
            case True, False:
                return Letters(self.some - other.some, negated=True)
            case _:
                return Letters(other.some - self.some, negated=True)


class Sequential(Struct, frozen=True):
    """One part after the other; with no parts, nothing."""

    parts: tuple[Node, ...]


class Either(Struct, frozen=True):
    """One of the parts."""

    parts: tuple[Node, ...]


class Repeated(Struct, frozen=True):
    """A part some times; without ``most`` any number of times from ``least`` on."""

    part: Node
    least: int
    most: int | None


Node: TypeAlias = Letters | Sequential | Either | Repeated
_CLASSES = {"d": Letters(_DIGITS), "w": Letters(_WORD), "s": Letters(_SPACES)}
_CLASSES |= {name.upper(): Letters(each.some, negated=True) for name, each in _CLASSES.items()}
_ANY = Letters(_LINE_ENDS, negated=True)


@lru_cache(maxsize=256)
def parsed(expression: str) -> Node:
    """Return the parts of an expression.

    Raises:
        RefusedExpression: it is not understood, or too large; says what and where.
    """
    if len(expression) > LONGEST_EXPRESSION:
        raise RefusedExpression(f"An expression has at most {LONGEST_EXPRESSION} characters")
    found = _Reader(expression).whole()
    if _size(found) > MOST_POSITIONS:
        raise RefusedExpression(
            f"An expression has at most {MOST_POSITIONS} letters, with repeated ones each time"
        )
    return found


class _Reader:
    """Reads one expression; used once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        if self._text.startswith("(?i)"):  # letters are folded anyway
            self._at = 4
        found = self._either()
        if self._at < len(self._text):
            raise self._unknown(")", "no group ends")
        return found

    def _either(self) -> Node:
        parts = [self._sequence()]
        while self._next("|"):
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        if self._depth == 0:
            self._next("^")
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            if self._depth == 0 and self._ends():
                break
            parts.append(self._repeated(self._one()))
        return parts[0] if len(parts) == 1 else Sequential(tuple(parts))

    def _ends(self) -> bool:
        """Pass over a ``$`` behind which nothing, or another alternative, comes."""
        if self._text.startswith(("$|",), self._at) or self._text[self._at :] == "$":
            self._at += 1
            return True
        return False

    def _one(self) -> Node:
        letter = self._text[self._at]
        if letter == "(":
            return self._group()
        if letter == "[":
            return self._class()
        if letter == ".":
            self._at += 1
            return _ANY
        if letter == "\\":
            return self._escape()
        if letter in "^$":
            raise self._unknown(letter, "a text is always matched as a whole")
        if letter in "*+?{":
            raise self._unknown(letter, "there is nothing to repeat")
        self._at += 1
        return _literal(letter)

    def _group(self) -> Node:
        start = self._at
        self._at += 1
        if self._next("?") and not self._next(":"):
            self._at = start
            raise self._unknown("(?", "groups are ( ) and (?: )")
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._unknown("(", f"at most {_DEEPEST} groups may stand inside each other")
        found = self._either()
        self._depth -= 1
        if not self._next(")"):
            self._at = start
            raise self._unknown("(", "the group does not end")
        return found

    def _repeated(self, part: Node) -> Node:
        while self._at < len(self._text):
            bounds = self._bounds()
            if bounds is None:
                return part
            if self._next("+"):
                self._at -= 1
                raise self._unknown("+", "nothing is given back")
            self._next("?")  # the whole text decides, not how much is taken first
            part = Repeated(part, *bounds)
        return part

    def _bounds(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._next(sign):
                return bounds
        if not self._next("{"):
            return None
        start, end = self._at, self._text.find("}", self._at)
        least, comma, most = self._text[start:end].partition(",") if end >= 0 else ("", "", "")
        if not (least.isdecimal() and least.isascii() and len(least) <= 3) or (
            most and not (most.isdecimal() and most.isascii() and len(most) <= 3)
        ):
            raise self._unknown("{", "expected {n}, {n,} or {n,m} with up to three digits")
        self._at = end + 1
        low, high = int(least), (int(most) if most else None) if comma else int(least)
        if high is not None and high < low:
            raise self._unknown("}", "the second number is less than the first")
        return low, high

    def _escape(self) -> Letters | Sequential:
        self._at += 1
        if self._at >= len(self._text):
            raise self._unknown("\\", "nothing comes behind it")
        letter = self._text[self._at]
        if letter in _CLASSES:
            self._at += 1
            return _CLASSES[letter]
        if letter in _CONTROLS:
            self._at += 1
            return Letters(frozenset(_CONTROLS[letter]))
        if letter.isalnum():
            known = ", ".join(f"\\{name}" for name in (*"dDwWsS", *_CONTROLS))
            raise self._unknown(f"\\{letter}", f"known are {known}")
        self._at += 1
        return _literal(letter)

    def _class(self) -> Letters:
        start = self._at
        self._at += 1
        negated = self._next("^")
        found = Letters(frozenset())
        first = True
        while first or not self._next("]"):
            if self._at >= len(self._text):
                self._at = start
                raise self._unknown("[", "the class does not end")
            if self._text.startswith("[", self._at) or self._text.startswith("&&", self._at):
                raise self._unknown(self._text[self._at], "write \\ before it in a class")
            found |= self._member()
            first = False
        return Letters(found.some, negated=not found.negated) if negated else found

    def _member(self) -> Letters:
        low, letters = self._single()
        dash = self._text.startswith("-", self._at) and self._text[self._at + 1 : self._at + 2]
        if not low or not dash or dash == "]":
            return letters
        self._at += 1
        high, _ = self._single()
        if not high or not 0 <= ord(high) - ord(low) < _WIDEST:
            raise self._unknown("-", f"a range goes up, over at most {_WIDEST} letters")
        return Letters(frozenset(map(_folded, map(chr, range(ord(low), ord(high) + 1)))))

    def _single(self) -> tuple[str, Letters]:
        """Read a letter of a class, as written and folded; or a class in it, and no letter."""
        letter = self._text[self._at]
        if letter != "\\":
            self._at += 1
            return letter, Letters(frozenset({_folded(letter)}))
        escaped = self._escape()
        if not isinstance(escaped, Letters) or escaped.negated or len(escaped.some) != 1:
            return "", escaped if isinstance(escaped, Letters) else _CLASSES["d"]
        written = self._text[self._at - 1]
        return _CONTROLS.get(written, written), escaped

    def _next(self, sign: str) -> bool:
        found = self._text.startswith(sign, self._at)
        self._at += len(sign) * found
        return found

    def _unknown(self, what: str, reason: str) -> RefusedExpression:
        return RefusedExpression(f"{what} at character {self._at + 1} is not understood; {reason}")


def _literal(letter: str) -> Letters | Sequential:
    parts = tuple(Letters(frozenset(each)) for each in fold(letter))
    return parts[0] if len(parts) == 1 else Sequential(parts)


def _folded(letter: str) -> str:
    """Return a letter of a class as texts have it; of one that folds to several, the first."""
    return fold(letter)[0]


def _size(node: Node) -> int:
    match node:
        case Letters():
            return 1
        case Sequential() | Either():
            return sum(map(_size, node.parts))
        case Repeated():
            # At least one for each time, so that what is empty cannot be repeated without end.
            return max(_size(node.part), 1) * max(node.most or 0, node.least, 1)
