"""Where in which script: gives each text of a context its own range of lines and reads stacks back.

The engine calls every text ``<input>``. So each text is preceded by as many empty lines as make
its first line unlike any other's, and a line of a stack tells the script. The same text keeps its
range.
Below ``FIRST`` are the texts that scripts themselves give to ``eval``.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

from midspan.sandbox.values import Script

FIRST = 2001
EVALUATED = "<eval>"
_POSITION = re.compile(r"<input>:(\d{1,9}):(\d{1,9})")
_TOP_LEVEL = "<eval>"
_LONGEST_STACK = 16_384
_LOOP = re.compile(
    r"""//[^\n]*|/\*(?:.*?\*/|.*)|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`"""
    r"|(?<![\w$.])(for|while|do)(?![\w$])",
    re.DOTALL,
)
_FUNCTION = re.compile(r"(async\s+)?function\b")


class Position(NamedTuple):
    """A place in a script; line and column count from 1."""

    script: str
    line: int
    column: int


class Trace(NamedTuple):
    """A readable stack and its innermost position in a user's script, if any.

    ``function`` is the name at that position, ``<eval>`` for the top level and empty for text that
    does not compile. ``scripts`` are the users' scripts of its frames, innermost first.
    """

    text: str
    position: Position | None
    function: str
    scripts: tuple[str, ...] = ()


class LineMap:
    """The ranges of one context. ``hidden`` are texts of ours, left out of stacks."""

    def __init__(self, hidden: Iterable[Script] = (), prelude: Iterable[Script] = ()) -> None:
        self._starts = [0, FIRST]
        self._scripts = [Script(EVALUATED, "")]
        self._known: dict[Script, int] = {}
        self._hidden: set[str] = set()
        for script in hidden:
            self.place(script)
            self._hidden.add(script.name)
        self._ours = set(self._hidden)
        for script in prelude:
            self.place(script)
            self._ours.add(script.name)

    def copy(self) -> LineMap:
        """Return a map for another context that has the same texts so far."""
        twin = LineMap()
        twin._starts, twin._scripts = self._starts[:], self._scripts[:]
        twin._known, twin._hidden, twin._ours = dict(self._known), self._hidden, self._ours
        return twin

    def place(self, script: Script) -> int:
        """Return the first line of ``script``, giving it a range when it is new."""
        line = self._known.get(script)
        if line is None:
            line = self._known[script] = self._starts[-1]
            self._scripts.append(script)
            self._starts.append(line + script.text.count("\n") + 3)
        return line

    def line_of(self, name: str, line: int) -> str:
        """Return a line of the newest text that is called ``name``; empty when there is none."""
        for script in reversed(self._scripts):
            if script.name == name:
                texts = script.text.split("\n")
                return texts[line - 1] if 0 < line <= len(texts) else ""
        return ""

    def read(self, stack: str) -> Trace:
        """Return ``stack`` with names and own lines, innermost first.

        >>> lines = LineMap()
        >>> start = lines.place(Script("a.script", "f()"))
        >>> lines.read(f"    at f (<input>:{start}:1)").position
        Position(script='a.script', line=1, column=1)
        """
        shown: list[str] = []
        first: Position | None = None
        function = ""
        scripts: list[str] = []
        for raw in stack[:_LONGEST_STACK].splitlines():
            match = _POSITION.search(raw)
            position = self._position(match) if match else None
            if match and position and position.script not in self._hidden:
                place = f"{position.script}:{position.line}:{position.column}"
                shown.append(raw.replace(match[0], place).strip())
                if self._is_user(position):
                    scripts.append(position.script)
                if first is None and self._is_user(position):
                    first = position
                    function = raw[: match.start()].strip().removeprefix("at").strip(" (")
            elif not match and raw.strip() and not raw.rstrip().endswith(" eval (native)"):
                shown.append(raw.strip())
        if shown and shown[-1] == f"at <eval> ({EVALUATED}:1:1)":
            shown.pop()  # the script's own top level, before the first position that it records
        return Trace("\n".join(shown), first, function, tuple(scripts))

    def read_endless(self, stack: str, script: Script) -> Trace:
        """Return what ``read`` does for a run of ``script`` that was interrupted.

        In a loop the engine knows the last position it recorded before the loop. When that is no
        more than the beginning of the script or function, the first loop from there is taken.
        """
        trace = self.read(stack)
        start = trace.position or Position(script.name, 1, 1)
        text = script.text
        if trace.position:
            text = next((known.text for known in self._known if known.name == start.script), "")
        offset = sum(len(line) + 1 for line in text.split("\n")[: start.line - 1])
        offset += start.column - 1
        if trace.position and not _is_beginning(trace, text, offset):
            return trace
        loop = next((match for match in _LOOP.finditer(text, offset) if match[1]), None)
        if loop:
            before = text[: loop.start()]
            column = loop.start() - before.rfind("\n")
            start = Position(start.script, before.count("\n") + 1, column)
        return trace._replace(position=start)

    def _is_user(self, position: Position) -> bool:
        return position.script != EVALUATED and position.script not in self._ours

    def _position(self, match: re.Match[str]) -> Position:
        line, column = int(match[1]), int(match[2])
        at = min(bisect_right(self._starts, line), len(self._scripts)) - 1
        return Position(self._scripts[at].name, line - self._starts[at] + (at > 0), column)


def _is_beginning(trace: Trace, text: str, offset: int) -> bool:
    # A function that has recorded nothing yet stands at its keyword or at the start of its line.
    inside = trace.function != _TOP_LEVEL
    at_margin = text[max(offset - 1, 0) : offset] in ("", "\n")
    return inside and (at_margin or _FUNCTION.match(text, offset) is not None)
