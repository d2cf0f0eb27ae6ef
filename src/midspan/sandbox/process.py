"""One worker process as the parent sees it: started, spoken to, killed."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path

from midspan.sandbox import frames
from midspan.sandbox.errors import SandboxUnavailable
from midspan.sandbox.stacks import LineMap
from midspan.sandbox.values import Limits, Script

_HERE = Path(__file__).parent
_BOOTSTRAP = Script("midspan:bootstrap", (_HERE / "bootstrap.js").read_text(encoding="utf-8"))
_REWRITER = ("vendored/acorn.js", "rewrite.js")
_FRESH = 20 * 1024 * 1024
"""Bytes; what a worker has beyond them after its first run is the script's, not its own."""
_START_TIMEOUT = timedelta(seconds=20)
_MIB = 1024 * 1024
_CHUNK = 64 * 1024
"""Bytes; for twice as many the system maps memory for each message and takes it back."""

# The packages above the worker's modules are stand-ins without content, so that a worker imports
# a few small files and not the instance; sys.path gains the folder of the engine at its end.
_MAIN = """
import sys
descriptor, here, engine = sys.argv[1:]
for name, path in (("midspan", here + "/.."), ("midspan.sandbox", here)):
    sys.modules[name] = type(sys)(name)
    sys.modules[name].__path__ = [path]
sys.path.append(engine)
from midspan.sandbox.worker import main
main(int(descriptor))
"""


@cache
def rewriter() -> str:
    """Return the program that makes operators of scripts: the parser and ``rewrite.js``."""
    return "\n".join((_HERE / name).read_text(encoding="utf-8") for name in _REWRITER)


class WorkerGone(Exception):
    """The worker process ended, or sent what no worker sends."""


class WorkerProcess:
    """A running worker. One thread speaks to it at a time; any thread may kill it.

    Has to be made by a thread that lives as long as the pool: the kernel kills a worker when the
    thread that started it ends.
    """

    def __init__(
        self,
        limits: Limits,
        prelude: Sequence[Script],
        parts: Sequence[Script] = (),
        *,
        operators: bool = False,
    ) -> None:
        """Start the process; ``greet`` waits until it is ready.

        With ``operators`` scripts are rewritten before they run.

        Raises:
            SandboxUnavailable: the engine is not installed or the process cannot be started.
        """
        self.limits = limits
        self.lines = LineMap([_BOOTSTRAP], [*prelude, *parts])
        self.hardening: Mapping[str, str] = {}
        self.usage = frames.Usage(0.0, 0)
        self.runs = 0
        self.deadline: float | None = None
        self.tainted = False
        self.timed_out = False
        self._prelude = [_BOOTSTRAP, *prelude]
        self._parts = parts
        self._rewriter = rewriter() if operators else ""
        self._first_size = 0
        self._cpu_budget = int(600 + 20 * limits.cpu.total_seconds())
        self._killing = threading.Lock()
        self._buffer = b""
        self._socket, self._process = _start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def gone(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def greet(self) -> None:
        """Send the set-up and wait for the answer.

        Raises:
            SandboxUnavailable: it refused or ended; the message says why.
        """
        setup = frames.Setup(
            memory=self.limits.memory,
            stack=self.limits.stack,
            depth=self.limits.depth,
            cpu=self._cpu_budget,
            parent=os.getpid(),
            rewriter=self._rewriter,
            prelude=[(self.lines.place(script), script.text) for script in self._prelude],
            parts=[(self.lines.place(each), each.name, each.text) for each in self._parts],
        )
        self._socket.settimeout(_START_TIMEOUT.total_seconds())
        try:
            self.send(frames.INIT, frames.pack_setup(setup))
            tag, body = self.receive()
        except WorkerGone as error:
            raise SandboxUnavailable(
                "A script worker could not be started",
                detail=f"it ended or did not answer ({error}), exit code {self._process.poll()}",
                hint="Check that quickjs-ng is installed for this interpreter and memory is free.",
            ) from error
        text = body.decode(errors="replace")
        if tag != frames.HELLO:
            trace = self.lines.read(text)
            detail = f"{text.splitlines()[0]}\n{trace.text}"
            raise SandboxUnavailable("A script worker could not get ready", detail=detail)
        self.hardening = dict(line.split("=", 1) for line in text.splitlines())
        self._socket.settimeout(None)

    def send(self, tag: bytes, body: bytes) -> None:
        """Send one message.

        Raises:
            WorkerGone: the process has ended.
        """
        try:
            for piece in frames.pieces(tag, body):
                self._socket.sendall(piece)
        except OSError as error:
            raise WorkerGone(str(error)) from error

    def receive(self) -> tuple[bytes, bytes]:
        """Wait for one message.

        Raises:
            WorkerGone: the process has ended or the message is longer than its heap.
        """
        try:
            return frames.read_frame(self._read, self.limits.memory + 8 * _MIB)
        except (OSError, ValueError) as error:
            raise WorkerGone(str(error)) from error

    def note(self, usage: frames.Usage) -> None:
        """Remember what the process has used after a run."""
        self.runs += 1
        self._first_size = self._first_size or min(usage.resident, _FRESH)
        self.usage = usage

    def is_worn(self, runs: int) -> bool:
        """Return whether to replace it: ``runs`` made, memory grown, processor budget half used.

        What small things took stays in the heap of the process; a new one takes a tenth of a
        second, beside the requests.
        """
        grown = self.usage.resident - self._first_size > self.limits.memory // 4
        spent = self.usage.cpu > self._cpu_budget / 2
        return self.tainted or self.runs >= runs or grown or spent

    def kill(self) -> None:
        """End the process now and reap it; harmless when it has ended."""
        with self._killing:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def close(self) -> None:
        """Kill it and close the socket; only for the thread that speaks to it."""
        self.kill()
        self._socket.close()

    def _read(self, size: int) -> bytes:
        # Mostly one system call brings a whole message: its header asks first, its body finds it.
        data = self._buffer or self._some(_CHUNK)
        if len(data) < size:
            data += self._exactly(size - len(data))
        self._buffer = data[size:]
        return data[:size]

    def _some(self, most: int) -> bytes:
        data = self._socket.recv(most)
        if not data:
            raise ValueError("the connection was closed")
        return data

    def _exactly(self, size: int) -> bytearray:
        data = bytearray(size)
        with memoryview(data) as rest:
            at = 0
            while at < size:
                got = self._socket.recv_into(rest[at:])
                if not got:
                    raise ValueError("the connection was closed")
                at += got
        return data


def _start() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    spec = importlib.util.find_spec("_quickjs")
    if spec is None or spec.origin is None:
        raise SandboxUnavailable(
            "The JavaScript engine is not installed", hint="Install quickjs-ng, version 0.17."
        )
    ours, theirs = socket.socketpair()
    with theirs:
        options = [str(theirs.fileno()), str(_HERE), str(Path(spec.origin).parent)]
        try:
            process = subprocess.Popen(  # noqa: S603 - our interpreter, our text
                [sys.executable, "-I", "-S", "-X", "utf8", "-c", _MAIN, *options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={},
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise SandboxUnavailable(
                "A script worker could not be started", detail=str(error)
            ) from error
    return ours, process
