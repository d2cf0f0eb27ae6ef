"""The syntax-tree rewrite inside a worker: once per text, in a JavaScript context of its own.

No script can reach that context, and what it makes stays in the worker: another worker that took
it would trust a process that runs foreign code. So each worker rewrites each version of a script
once and remembers it by its text.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import _quickjs  # type: ignore[import-not-found, unused-ignore]

if TYPE_CHECKING:
    from midspan.sandbox.engine import Interrupts

STACKS = 4
"""How many times a script's stack the parser may use: it is a program, the engine's own is not."""
_MOST_TEXTS = 1_000
_MOST_CHARACTERS = 4_000_000
_LONGEST_KEPT = 1_000_000
_MARK = "<input>:"
_TOO_DEEP = (
    '{"text":"SyntaxError: the script is nested too deeply","name":"SyntaxError",'
    '"message":"the script is nested too deeply","thrown":"null","host":null}'
)


class Rewritten(NamedTuple):
    """A text to run, the JSON list of names that it uses without declaring them, and the edits.

    ``edits`` has four numbers for each: line and column in the original, characters removed, added.
    """

    text: str
    names: str
    edits: Sequence[int]


class Refused(Exception):
    """The text is no script; ``described`` is what bootstrap.js says of errors, without a stack."""

    def __init__(self, line: int, column: int, described: str) -> None:
        super().__init__(described)
        self.line = line
        self.column = column
        self.described = described

    def at(self, first_line: int) -> str:
        """Return the description with its place, for a text that begins at ``first_line``."""
        place = f"    at {_MARK}{first_line + self.line - 1}:{self.column}"
        return f'{{"stack":"{place}",{self.described[1:]}'


class Rewriter:
    """Rewrites texts; ``source`` is the program that does it, empty for a rewriter without work."""

    def __init__(self, source: str, interrupts: Interrupts, memory: int, stack: int) -> None:
        self._source = source
        self._interrupts = interrupts
        self._bounds = (memory, stack)
        self._rewrite: _quickjs.Object | None = None
        self._context: _quickjs.Context | None = None
        self._address = 0
        self._known: dict[tuple[str, str, bool], Rewritten | Refused] = {}
        self._characters = 0

    @property
    def is_active(self) -> bool:
        """Whether it changes anything."""
        return bool(self._source)

    def prepare(self) -> None:
        """Build the context ahead of need; takes about 20 ms.

        Raises:
            _quickjs.JSException: the program is broken.
        """
        if self._source and self._rewrite is None:
            memory, stack = self._bounds
            former = self._interrupts.suspend()
            try:
                self._context = _quickjs.Context()
                self._context.set_memory_limit(memory)
                self._context.set_max_stack_size(STACKS * stack)
                self._address = self._interrupts.install(self._context)
                self._interrupts.reset_stack(self._address)
                self._rewrite = self._context.eval(self._source)
            finally:
                self._interrupts.restore(former)

    def rewrite(self, text: str, kind: str, *, old: bool) -> Rewritten:
        """Return the form of ``text`` in which it runs.

        ``kind`` is ``script``, ``eval`` or ``function``; ``old`` asks for ES5.

        Raises:
            Refused: it is no script.
            _quickjs.JSException: time or memory ran out meanwhile.
        """
        if not self._source:
            return Rewritten(text, "[]", ())
        found = self._known.get((text, kind, old))
        if found is None:
            found = self._make(text, kind, old)
            if len(text) <= _LONGEST_KEPT:
                self._remember((text, kind, old), found)
        if isinstance(found, Refused):
            raise found
        return found

    def _make(self, text: str, kind: str, old: bool) -> Rewritten | Refused:
        self.prepare()
        assert self._rewrite is not None  # noqa: S101 - prepare made it
        self._interrupts.reset_stack(self._address)
        try:
            made = str(self._rewrite(text, kind, old))
        except _quickjs.JSException as error:
            self._rewrite = self._context = None  # it may be full of what it was doing
            words = str(error)
            if words.startswith(("RangeError: Maximum call stack", "InternalError: stack over")):
                return Refused(1, 1, _TOO_DEEP)
            raise
        if made.startswith("!"):
            line, column, described = made[1:].split("\n", 2)
            return Refused(int(line), int(column), described)
        names, edits, rewritten = made.split("\n", 2)
        return Rewritten(rewritten, names, array("I", map(int, edits.split(","))) if edits else ())

    def _remember(self, key: tuple[str, str, bool], made: Rewritten | Refused) -> None:
        self._characters += len(key[0])
        while self._known and (
            len(self._known) >= _MOST_TEXTS or self._characters > _MOST_CHARACTERS
        ):
            oldest = next(iter(self._known))
            del self._known[oldest]
            self._characters -= len(oldest[0])
        self._known[key] = made


class Columns:
    """Where the texts of one context were edited; turns columns of stacks into the script's own."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._edits: dict[int, Sequence[int]] = {}

    def note(self, first_line: int, edits: Sequence[int]) -> None:
        """Remember the edits of the text that begins at ``first_line``."""
        if first_line not in self._edits:
            self._starts.insert(bisect_right(self._starts, first_line), first_line)
        self._edits[first_line] = edits

    def restore(self, text: str) -> str:
        """Return ``text`` with the column of each position as it is in the original.

        >>> columns = Columns()
        >>> columns.note(2001, [2, 4, 0, 10, 2, 5, 0, 1])
        >>> columns.restore("at f (<input>:2002:20)")
        'at f (<input>:2002:9)'
        """
        first, *rest = text.split(_MARK)
        return first + "".join(_MARK + self._corrected(part) for part in rest)

    def _corrected(self, part: str) -> str:
        line, _, after = part.partition(":")
        digits = len(after) - len(after.lstrip("0123456789"))
        if not line.isdecimal() or not digits or len(line) > 9 or digits > 9:
            return part
        column = self._original(int(line), int(after[:digits]))
        return f"{line}:{column}{after[digits:]}"

    def _original(self, line: int, column: int) -> int:
        at = bisect_right(self._starts, line)
        if at == 0:
            return column
        start = self._starts[at - 1]
        edits, own, shift = self._edits[start], line - start + 1, 0
        for edit in range(0, len(edits), 4):
            where, place, removed, added = edits[edit : edit + 4]
            if where != own:
                continue
            begins = place + 1 + shift
            if column < begins:
                break
            if column < begins + added:
                return place + 1
            shift += added - removed
        return column - shift
