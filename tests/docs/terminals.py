"""Terminals for the documentation's commands: one bash each, in a folder of their own."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from tests.guard import GUARD

PATIENCE = 120.0
"""Seconds after which something that does not come is missing; no promise about speed."""
PORTS = ("8080", "8090", "8091", "8443")
"""The ports that pages use; each becomes a free one, in commands, in files and back in output."""


class Missing(Exception):
    """A command did not end, or did not print what was waited for."""


class Ports:
    """Free ports for those in the pages, below the range from which the system hands them out."""

    def __init__(self) -> None:
        base = 20_000 + (os.getpid() * 37) % 12_000
        free = (port for port in range(base, 32_700) if _is_free(port))
        self._real = {shown: str(next(free)) for shown in PORTS}

    def fill_in(self, text: str) -> str:
        """Return text with the free ports in place of the pages' ones."""
        return _replace(self._real, text)

    def restore(self, text: str) -> str:
        """Return output with the pages' ports in place of the free ones."""
        return _replace({real: shown for shown, real in self._real.items()}, text)


class Terminal:
    """A bash that reads commands; everything below it ends with it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._script = folder / f".typed-{secrets.token_hex(4)}"
        self._output = bytearray()
        self._grown = threading.Condition()
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._send("trap : INT\n")  # Ctrl-C is for what runs in the foreground
        self._prompt = ""

    def type(self, command: str) -> None:
        """Start a command; it gets no input, as nobody is there to type any."""
        with self._grown:
            self._output.clear()
        self._prompt = f"prompt-{secrets.token_hex(8)}"
        self._script.write_text(command + "\n")
        name = f"./{self._script.name}"
        home = self._script.parent
        self._send(
            f"source {home}/{name} </dev/null; _status=$?; echo; echo {self._prompt} $_status;"
            " (exit $_status)\n"
        )

    def printed(self) -> str:
        """Return what came since the last command was typed, without the prompt."""
        with self._grown:
            text = self._output.decode(errors="replace")
        return text.partition(f"\n{self._prompt}")[0]

    def ended(self) -> int | None:
        """Return the exit status of the last command, or None while it runs."""
        with self._grown:
            found = re.search(rf"^{self._prompt} (\d+)$".encode(), self._output, re.MULTILINE)
        return int(found[1]) if found else None

    def wait(self) -> int:
        """Wait for the end of the command and return its exit status."""
        until = time.monotonic() + PATIENCE
        with self._grown:
            while (status := self._status()) is None:
                if not self._grown.wait(until - time.monotonic()):
                    raise Missing(f"it did not end; so far:\n{self._output.decode()}")
        return status

    def more(self, seconds: float) -> None:
        """Wait until something more is printed, or a while has passed."""
        with self._grown:
            self._grown.wait(seconds)

    def interrupt(self) -> int:
        """Press Ctrl-C and return the exit status of what ended.

        Waits until something runs in the foreground: bash itself only notes the signal, and then
        begins what it was about to begin.
        """
        until = time.monotonic() + PATIENCE
        while not self._foreground() and self.ended() is None:
            if time.monotonic() > until:
                raise Missing(f"nothing runs that could be ended; so far:\n{self.printed()}")
            self.more(0.05)
        os.killpg(self._bash.pid, signal.SIGINT)
        return self.wait()

    def close(self) -> None:
        """End everything that runs here: politely, then without asking."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._bash.pid, number)
                self._reader.join(GUARD)
            except ProcessLookupError:
                break
            if not self._reader.is_alive():
                break
        self._bash.wait()
        for pipe in (self._bash.stdin, self._bash.stdout):
            if pipe is not None:
                pipe.close()

    def _foreground(self) -> bool:
        """Tell whether bash has a child."""
        pid = self._bash.pid
        return bool(Path(f"/proc/{pid}/task/{pid}/children").read_text().strip())

    def _status(self) -> int | None:
        found = re.search(rf"^{self._prompt} (\d+)$".encode(), self._output, re.MULTILINE)
        return int(found[1]) if found else None

    def _send(self, text: str) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.write(text.encode())
        self._bash.stdin.flush()

    def _read(self) -> None:
        assert self._bash.stdout is not None
        while piece := os.read(self._bash.stdout.fileno(), 65536):
            with self._grown:
                self._output += piece
                self._grown.notify_all()


class Desk:
    """The terminals of one page, opened when first used."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._open: dict[str, Terminal] = {}
        self._stack = ExitStack()

    def __getitem__(self, name: str) -> Terminal:
        if name not in self._open:
            terminal = Terminal(self._folder, self._environment)
            self._stack.callback(terminal.close)
            self._open[name] = terminal
        return self._open[name]

    def close(self) -> None:
        """End everything, the last terminal first."""
        self._stack.close()


def environment(home: Path, cache: Path) -> dict[str, str]:
    """Return a newcomer's environment: this Python's commands first, nothing of ours set."""
    (home / ".curlrc").write_text("silent\nshow-error\n")  # no progress meter: nobody watches
    modules = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    return {
        **modules,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "XDG_CACHE_HOME": str(cache),
    }


def _replace(pairs: dict[str, str], text: str) -> str:
    return re.sub(rf"\b({'|'.join(pairs)})\b", lambda match: pairs[match[0]], text)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
