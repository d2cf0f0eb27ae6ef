"""Reads a page of the documentation into what a reader would do with it, in order.

The convention, which `docs/index.md` tells readers, too:

- A ``console`` block is a terminal. ``$ `` begins a command; a line after one that ends in ``\\``
  belongs to it, as does everything up to the end of a here-document. What follows is its output.
- A first line such as ``# second terminal`` says in which terminal; without it, the first one.
  With ``keeps running`` in it the last command does not end.
- ``^C`` on a line of its own ends what runs there.
- A block after "Write `path`:" is a file that the reader makes with a text editor.
- ``text`` and other blocks show something and are neither run nor written.
- ``<!-- not run: reason -->`` before a block keeps it from being run.

Of the libraries for this, byexample is under the GPL, and sybil and pytest-examples run Python;
none has terminals in which something keeps running. So only the Markdown parser is borrowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

FIRST = "first terminal"
SHELLS = ("console", "bash", "sh", "shell", "zsh")
_WRITE = re.compile(r"\bWrite `([^`]+)`[^.]*:$")
_NOT_RUN = re.compile(r"<!-- not run: (?P<reason>\S.{9,}?) -->\s*\Z", re.DOTALL)
_COMMAND = re.compile(r"\s*(?:\$ |(?:sudo )?(?:\S*/)?(?:midspan|curl|make|python3?|pip) )")


class BadPage(Exception):
    """A page does not keep to the convention; the message names line and fault."""


@dataclass(frozen=True)
class File:
    """A file that the reader writes; ``path`` is relative to the folder he works in."""

    path: str
    text: str
    line: int


@dataclass
class Command:
    """What is typed, and the lines that are shown after it; none shown means anything may come."""

    text: str
    line: int
    terminal: str = FIRST
    keeps_running: bool = False
    shown: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Interrupt:
    """Ctrl-C in a terminal; ``shown`` is what it still prints."""

    terminal: str
    line: int


Step = File | Command | Interrupt


def read_page(path: Path) -> list[Step]:
    """Return the steps of a page.

    Raises:
        BadPage: a block that looks like commands and would not be run, without a reason.
    """
    tokens = MarkdownIt("commonmark").parse(path.read_text())
    steps: list[Step] = []
    before = Token("", "", 0)
    for token in tokens:
        if token.type == "code_block":
            raise BadPage(f"{_place(path, token)}: an indented block; use a fence and its language")
        if token.type == "fence":
            steps += _fence(path, token, before)
        if token.type in ("inline", "html_block", "fence"):
            before = token
    return steps


def _fence(path: Path, token: Token, before: Token) -> Iterator[Step]:
    language = token.info.partition(" ")[0]
    line = (token.map or [0])[0] + 1
    if before.type == "html_block" and _NOT_RUN.search(before.content):
        return
    if language == "console":
        yield from _terminal(path, token.content, line + 1)
    elif before.type == "inline" and (named := _WRITE.search(before.content)):
        yield File(named[1], token.content, line)
    elif not language or language in SHELLS or _looks_like_commands(language, token.content):
        raise BadPage(f"{_place(path, token)}: commands that no test runs; make it `console`")


def _looks_like_commands(language: str, text: str) -> bool:
    return language == "text" and any(_COMMAND.match(line) for line in text.splitlines())


def _terminal(path: Path, text: str, line: int) -> Iterator[Step]:
    lines = text.splitlines()
    terminal, keeps_running = FIRST, False
    start = 0
    if lines and lines[0].startswith("# ") and "terminal" in lines[0]:
        terminal = lines[0].removeprefix("# ").partition(" terminal")[0] + " terminal"
        keeps_running = "keeps running" in lines[0]
        start = 1
    found: list[Command | Interrupt] = []
    at = start
    while at < len(lines):
        if lines[at].startswith("$ "):
            size = _length(lines[at:])
            typed = "\n".join(lines[at : at + size]).removeprefix("$ ")
            found.append(Command(typed, line + at, terminal))
            at += size
            continue
        if lines[at] == "^C":
            found.append(Interrupt(terminal, line + at))
        elif found and isinstance(found[-1], Command):
            found[-1].shown.append(lines[at])
        else:
            raise BadPage(f"{path.name}:{line + at}: output of no command")
        at += 1
    if keeps_running and found and isinstance(found[-1], Command):
        found[-1].keeps_running = True
    yield from found


def _length(lines: list[str]) -> int:
    """Return how many lines belong to the command on the first."""
    if here := re.search(r"<<-?\s*'?(\w+)'?", lines[0]):
        return lines.index(here[1]) + 1
    size = 1
    while lines[size - 1].endswith("\\"):
        size += 1
    return size


def _place(path: Path, token: Token) -> str:
    return f"{path.name}:{(token.map or [0])[0] + 1}"
