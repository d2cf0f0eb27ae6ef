"""Compares what a command printed with what a page shows; remembers what stands for what.

What differs from run to run is declared here. Ids and codes are *learned*: the first time a page
shows one, it comes to stand for the one that was printed; from then on it has to be that one, and
later commands that mention it get the real one. Times, process ids and the like only have to be of
the same kind. ``...`` stands for any text in a line; on a line of its own, for any lines.
"""

from __future__ import annotations

import re

LEARNED = {
    "sys_id": r"\b[0-9a-f]{32}\b",
    "enrolment code": r"\bmid_[A-Za-z0-9_-]{32}(?![A-Za-z0-9_-])",
    "set-up token": r"(?<=/setup\?token=)[A-Za-z0-9_-]{20,}",
}
CHANGING = {
    "date and time": r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+\d\d:\d\d)?",
    "process id": r'(?<="pid":)\s?\d+',
    "number of bytes": r"\b[\d,]+(?= bytes)",
}
FIXED = {"any": ".*?", "gap": r"\s+", "rule": "[━─┳┻╇┼┴┬]+"}
_PATTERNS = {f"k{n}": p for n, p in enumerate([*LEARNED.values(), *CHANGING.values()])}
_TOKEN = re.compile(
    "|".join(f"(?P<{name}>{pattern})" for name, pattern in _PATTERNS.items())
    + r"|(?P<any>\.\.\.)|(?P<gap>\s+)|(?P<rule>[━─┳┻╇┼┴┬]{2,})"
)
_LEARNED_GROUPS = set(list(_PATTERNS)[: len(LEARNED)])


class Meanings:
    """What the values that a page shows stand for in this run."""

    def __init__(self) -> None:
        self._real: dict[str, str] = {}

    def fill_in(self, text: str) -> str:
        """Return a command or file with the real values in place of the shown ones."""
        for shown, real in self._real.items():
            text = text.replace(shown, real)
        return text

    def as_shown(self, text: str) -> str:
        """Return output with the page's values in place of the real ones."""
        for shown, real in self._real.items():
            text = text.replace(real, shown)
        return text

    def agrees(self, shown: list[str], printed: str) -> bool:
        """Tell whether output is as shown; if so, learn what the new values stand for."""
        new: dict[str, str] = {}
        pattern = "\n".join(self._line(line.rstrip(), new) for line in shown)
        pattern = pattern.replace("\n<lines>\n", r"\n(?:.*\n)*?").replace("\n<lines>", r"(?:\n.*)*")
        lines = "\n".join(line.rstrip() for line in printed.splitlines())
        if pattern.startswith("<lines>\n"):
            pattern = r"(?:.*\n)*?" + pattern.removeprefix("<lines>\n")
        match = re.fullmatch(pattern, lines)
        if match is None:
            return False
        learned = {value: match[group] for value, group in new.items()}
        known = [*self._real.values(), *learned.values()]
        if len(set(known)) < len(known):
            return False  # the page has two names for one thing
        self._real |= learned
        return True

    def _line(self, line: str, new: dict[str, str]) -> str:
        if line.strip() == "...":
            return "<lines>"
        pattern, at = "", 0
        for token in _TOKEN.finditer(line):
            pattern += re.escape(line[at : token.start()]) + self._part(token, new)
            at = token.end()
        return pattern + re.escape(line[at:])

    def _part(self, token: re.Match[str], new: dict[str, str]) -> str:
        kind, text = str(token.lastgroup), token[0]
        if kind in FIXED:
            return FIXED[kind]
        if kind not in _LEARNED_GROUPS:
            return f"(?:{_PATTERNS[kind]})"
        if text in self._real:
            return re.escape(self._real[text])
        if text in new:
            return f"(?P={new[text]})"
        new[text] = f"v{len(new)}"
        return f"(?P<{new[text]}>{_PATTERNS[kind]})"
