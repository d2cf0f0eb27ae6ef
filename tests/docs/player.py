"""Does what a page says, in order, as its reader would.

``python tests/docs/player.py PAGE…`` puts what a command prints below it, where a page shows
nothing yet: the way to write a page. What was shown before has to be right.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from itertools import zip_longest
from pathlib import Path

if __package__:
    from .comparison import Meanings
    from .pages import Command, File, Interrupt, Step, read_page
    from .terminals import PATIENCE, Desk, Missing, Ports, Terminal, environment
else:  # run by hand
    sys.path.insert(0, str(Path(__file__).parent))
    from comparison import Meanings  # type: ignore[import-not-found,no-redef]
    from pages import (  # type: ignore[import-not-found,no-redef]
        Command,
        File,
        Interrupt,
        Step,
        read_page,
    )
    from terminals import (  # type: ignore[import-not-found,no-redef]
        PATIENCE,
        Desk,
        Missing,
        Ports,
        Terminal,
        environment,
    )

ONLY_LOOKS = re.compile(
    r"curl (?!.*(?: -d| --data| -X| -T| -o))|midspan (?:flow (?:list|runs|show)|mid list|tables)",
    re.DOTALL,
)
"""Commands that change nothing. Some effects come a moment later, so these are asked again until
they print what is shown, as the reader is told to do."""


class NotAsShown(AssertionError):
    """A page promises something else than what happens."""


class Player:
    """Plays the steps of one page in ``folder``; ``replaced`` are texts with stand-ins of ours."""

    def __init__(
        self,
        folder: Path,
        variables: dict[str, str],
        replaced: Mapping[str, str] | None = None,
        watch: Callable[[Command, str], object] = lambda command, printed: None,
    ) -> None:
        self._folder = folder
        self._ports = Ports()
        address = self._ports.fill_in("http://127.0.0.1:8080")  # where a command looks by default
        self._desk = Desk(folder, {**variables, "MIDSPAN_URL": address})
        self._meanings = Meanings()
        self._replaced = dict(replaced or {})
        self._watch = watch
        self._statuses: dict[str, int] = {}

    def play(self, steps: list[Step]) -> None:
        """Play all steps and end what still runs.

        Raises:
            NotAsShown: output or exit status differ from the page.
        """
        try:
            for step, following in zip_longest(steps, steps[1:]):
                if isinstance(step, File):
                    self._write(step)
                elif isinstance(step, Interrupt):
                    self._expect(self._desk[step.terminal].interrupt() in (0, 130), step, "^C")
                else:
                    self._run(step, asks_status=_asks_status(following))
        finally:
            self._desk.close()

    def _write(self, file: File) -> None:
        path = self._folder / file.path
        if not path.resolve().is_relative_to(self._folder.resolve()):
            raise NotAsShown(f"line {file.line}: {file.path} is outside the reader's folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._fill_in(file.text))

    def _run(self, command: Command, *, asks_status: bool) -> None:
        terminal = self._desk[command.terminal]
        until = time.monotonic() + PATIENCE
        while True:
            try:
                agreed = self._once(terminal, command)
            except Missing as error:
                raise NotAsShown(f"line {command.line}: {command.text}: {error}") from None
            again = ONLY_LOOKS.match(command.text) and not command.keeps_running
            if agreed or not again or time.monotonic() > until:
                break
            terminal.more(0.2)
        printed = self._ports.restore(terminal.printed())
        self._watch(command, self._meanings.as_shown(printed))
        shown = "\n".join(command.shown)
        self._expect(agreed, command, f"printed\n{printed}\ninstead of\n{shown}")
        if command.keeps_running:
            return
        status = terminal.wait()
        self._expect(status == 0 or asks_status, command, f"ended with status {status}\n{printed}")

    def _once(self, terminal: Terminal, command: Command) -> bool:
        """Type a command, and tell whether it printed what is shown."""
        terminal.type(self._fill_in(command.text))
        if not command.keeps_running:
            terminal.wait()
            return self._agrees(command, terminal)
        until = time.monotonic() + PATIENCE
        while not self._agrees(command, terminal):
            if terminal.ended() is not None or time.monotonic() > until:
                return False
            terminal.more(1)
        return True

    def _agrees(self, command: Command, terminal: Terminal) -> bool:
        printed = self._ports.restore(terminal.printed())
        if not command.shown:
            return True
        log = ["..."] if command.keeps_running else []  # a server goes on printing
        return self._meanings.agrees([*command.shown, *log], printed)

    def _fill_in(self, text: str) -> str:
        for shown, real in self._replaced.items():
            text = text.replace(shown, real)
        return self._ports.fill_in(self._meanings.fill_in(text))

    def _expect(self, holds: object, step: Command | Interrupt, problem: str) -> None:
        if not holds:
            text = step.text if isinstance(step, Command) else "^C"
            raise NotAsShown(f"line {step.line}: {text}\n{problem}")


def _asks_status(step: Step | None) -> bool:
    return isinstance(step, Command) and step.text == "echo $?"


def main(pages: list[str]) -> int:
    """Play pages in new folders and complete them."""
    for page in map(Path, pages):
        printed: dict[int, list[str]] = {}

        def keep(command: Command, text: str, into: dict[int, list[str]] = printed) -> None:
            if not command.shown:
                into[command.line + command.text.count("\n")] = text.rstrip().splitlines()

        with tempfile.TemporaryDirectory() as name:
            folder, home = Path(name) / "work", Path(name) / "home"
            folder.mkdir()
            home.mkdir()
            (folder / ".venv").symlink_to(sys.prefix)
            variables = environment(home, Path(name) / "cache")
            try:
                Player(folder, variables, watch=keep).play(read_page(page))
            finally:
                _complete(page, printed)
    return 0


def _complete(page: Path, printed: dict[int, list[str]]) -> None:
    lines = page.read_text().splitlines()
    for line in sorted(printed, reverse=True):
        lines[line:line] = [text.rstrip() for text in printed[line]]
    page.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
