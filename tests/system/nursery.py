"""Processes that start at once: a warm parent forks them, so that killing many costs little.

A module started as ``python -m`` calls ``nurse`` with its work; the test holds a ``Nursery`` of it
and has one child at a time.
"""

from __future__ import annotations

import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0
"""Seconds after which a test that waits for a child is given up as hanging."""


class Nursery:
    """Starts, kills and awaits children of one module, one at a time."""

    def __init__(self, module: str, log: Path) -> None:
        with log.open("ab") as errors:
            self._parent = subprocess.Popen(
                [sys.executable, "-m", module],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._said: queue.Queue[dict[str, int]] = queue.Queue()
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        self.child = 0

    def start(self, **arguments: Any) -> None:
        """Start a child and wait until it is ready."""
        assert not self.child
        assert self._parent.stdin is not None
        self._parent.stdin.write(json.dumps(arguments) + "\n")
        self._parent.stdin.flush()
        self.child = self._said.get(timeout=PATIENCE)["ready"]

    def ended(self) -> int:
        """Wait for the child's end; return its exit status, negative for a signal."""
        self.child = 0
        return self._said.get(timeout=PATIENCE)["ended"]

    def end(self, number: int = signal.SIGKILL) -> int:
        """Send the child a signal and wait for its end."""
        os.kill(self.child, number)
        return self.ended()

    def close(self) -> None:
        """End the parent, and with it a child that is left."""
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.close()
        self._parent.wait(PATIENCE)
        self._listener.join()
        self._parent.stdout.close()

    def _listen(self) -> None:
        assert self._parent.stdout is not None
        for line in self._parent.stdout:
            self._said.put(json.loads(line))


class Told:
    """The child's side: it says that it is ready and waits for SIGTERM."""

    def __init__(self) -> None:
        self._event = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: self._event.set())

    def ready(self) -> None:
        """Let the test go on."""
        _say({"ready": os.getpid()})

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the test sends SIGTERM, at most ``seconds``; tell whether it did."""
        return self._event.wait(seconds)


def nurse(work: Callable[[dict[str, Any], Told], None]) -> None:
    """Fork a child for each line of standard input; end when the input ends."""
    assert threading.active_count() == 1, "only a process of one thread may be forked"
    left = b""
    while True:
        while b"\n" not in left:
            more = os.read(0, 65_536)
            if not more:
                return
            left += more
        line, _, left = left.partition(b"\n")
        child = os.fork()
        if child == 0:
            _live(work, json.loads(line))
        _say({"ended": _watch(child)})


def _live(work: Callable[[dict[str, Any], Told], None], arguments: dict[str, Any]) -> None:
    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        work(arguments, Told())
        status = 0
    finally:
        sys.excepthook(*sys.exc_info()) if status else None
        sys.stderr.flush()
        os._exit(status)


def _watch(child: int) -> int:
    """Wait for a child; kill it when the test is gone."""
    handle = os.pidfd_open(child)
    try:
        ready, _, _ = select.select([handle, 0], [], [])
        if handle not in ready:
            os.kill(child, signal.SIGKILL)
    finally:
        os.close(handle)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _say(message: dict[str, int]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")
