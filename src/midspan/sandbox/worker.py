"""The worker process: gives up its rights, then runs scripts for one session after the other.

Started by ``midspan.sandbox.process`` with one inherited socket. It reads no file and no variable
after its start; it holds no secret; whatever it sends is treated as hostile by the parent.
"""

from __future__ import annotations

import _thread
import os
import select
import time
from typing import NoReturn

import _quickjs  # type: ignore[import-not-found, unused-ignore]

from midspan.sandbox import frames, lockdown
from midspan.sandbox.engine import Engine, Interrupts, Means, RunFailed, programs
from midspan.sandbox.gauge import Gauge
from midspan.sandbox.rewriter import STACKS, Rewriter

_SPARES = 2
_MIB = 1024 * 1024
_CHUNK = 64 * 1024
_YIELDS = 10
"""How much a worker gives way to the instance where cores are short: as a "nice" value."""
_SESSION_YIELDS = 10
"""The same for its session, which gives way to whatever else runs, too: a tenth of a share. The
kernel divides the instance's own share among the processors, so that it is more on each."""


class ParentGone(Exception):
    """The other end of the socket is closed: time to end."""


class Worker:
    """The loop of one process. ``descriptor`` is the connected socket."""

    def __init__(self, descriptor: int, setup: frames.Setup, gauge: Gauge) -> None:
        self._descriptor = descriptor
        self._setup = setup
        self._interrupts = Interrupts()
        self._gauge = gauge
        self._rewriter = Rewriter(setup.rewriter, self._interrupts, setup.memory, setup.stack)
        self._means = Means(
            self._interrupts,
            self._rewriter,
            programs(setup),
            gauge,
            gauge.resident(),
            self._call,
            self._stop,
        )
        self._spares: list[Engine] = []
        self._shared: Engine | None = None
        self._stack_at_stop = ""
        self._longest = setup.memory + _MIB
        self._buffer = b""
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def prepare(self) -> None:
        """Prove the engine, build the rewriter and the first context.

        Raises:
            RuntimeError: the engine cannot be interrupted.
            _quickjs.JSException: the prelude threw.
        """
        self._interrupts.prove()
        self._rewriter.prepare()
        self._spares.append(self._build())

    def serve(self) -> NoReturn:
        """Run what the parent sends until it closes the socket.

        Raises:
            ParentGone: it did.
        """
        while True:
            if len(self._spares) < _SPARES and not self._buffer and not self._poll.poll(0):
                self._spares.append(self._build())
            else:
                self._take_part(*self._receive())

    def _take_part(self, tag: bytes, body: bytes) -> None:
        """Do what one message wants; in a function of its own, so that the message goes with it."""
        if tag == frames.RUN:
            self._answer(frames.unpack_run(body))
        elif tag == frames.RESET:
            self._shared = None

    def send(self, tag: bytes, body: bytes) -> None:
        """Send one message whole."""
        for piece in frames.pieces(tag, body):
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]

    def _build(self) -> Engine:
        former = self._interrupts.suspend()
        try:
            return Engine(self._setup, self._means)
        finally:
            self._interrupts.restore(former)

    def _take(self) -> Engine:
        try:
            return self._spares.pop() if self._spares else self._build()
        except (_quickjs.JSException, MemoryError):  # the nested runs together have used it up
            raise RunFailed(frames.MEMORY, "no memory for another context") from None

    def _engine(self, order: frames.RunOrder, *, nested: bool) -> Engine:
        if nested or order.flags & frames.FRESH:
            return self._take()
        self._shared = self._shared or self._take()
        return self._shared

    def _answer(self, order: frames.RunOrder, *, nested: bool = False) -> None:
        try:
            tag, text = frames.DONE, self._engine(order, nested=nested).run(order).encode()
        except RunFailed as failure:
            what = self._stack_at_stop if failure.kind == frames.STOPPED else failure.text
            tag, text = frames.FAILED, failure.kind + what.encode()
        if not nested:
            self._interrupts.stopped = False
        usage = frames.Usage(time.process_time(), self._gauge.resident())
        self.send(tag, frames.pack_outcome(usage, text))

    def _call(self, request: str) -> str:
        try:
            return self._ask(request)
        except BaseException:  # the engine would turn it into an error that scripts can catch
            os._exit(1)

    def _ask(self, request: str) -> str:
        if self._interrupts.stopped:
            return '{"s":1}'
        if len(request) > self._longest:
            return '{"e":{"message":"the arguments of a host call are too long","id":null}}'
        self.send(frames.CALL, request.encode())
        while True:
            tag, body = self._receive()
            if tag == frames.REPLY:
                return body.decode()
            self._answer(frames.unpack_run(body), nested=True)

    def _stop(self, stack: str) -> None:
        self._interrupts.stopped = True
        self._stack_at_stop = stack

    def _receive(self) -> tuple[bytes, bytes]:
        return frames.read_frame(self._read, 1 << 32)

    def _read(self, size: int) -> bytes:
        # Mostly one system call brings a whole message: its header asks first, its body finds it.
        data = self._buffer or os.read(self._descriptor, _CHUNK)
        if len(data) < size:
            data = read_exactly(self._descriptor, size, data)
        self._buffer = data[size:]
        return data[:size]


def read_exactly(descriptor: int, size: int, begun: bytes = b"") -> bytes:
    """Read until there are ``size`` bytes with those that were read before.

    Raises:
        ParentGone: the socket was closed before.
    """
    parts = [begun]
    size -= len(begun)
    while size:
        data = os.read(descriptor, min(size, _MIB))
        if not data:
            raise ParentGone
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


def main(descriptor: int) -> None:
    """Take the set-up from the socket, lock down, serve; the process ends in here."""
    _, body = frames.read_frame(lambda size: read_exactly(descriptor, size), 1 << 32)
    setup = frames.unpack_setup(body)
    lockdown.bound_heap()
    lockdown.give_way(_YIELDS, _SESSION_YIELDS)
    user = lockdown.be_nobody()
    lockdown.die_with(setup.parent)
    ended = _thread.allocate_lock()
    ended.acquire()
    # A thread, because only a thread's stack can be given the size that nested runs need.
    _thread.stack_size((setup.depth + 1 + STACKS) * setup.stack + 8 * _MIB)
    _thread.start_new_thread(_live, (descriptor, setup, user))
    ended.acquire()


def _live(descriptor: int, setup: frames.Setup, user: str) -> None:
    code = 1
    gauge = Gauge()
    worker = Worker(descriptor, setup, gauge)
    try:
        memory = gauge.virtual() + 5 * setup.memory + 64 * _MIB
        highest = max(descriptor, gauge.highest_descriptor)
        bounds = lockdown.Bounds(memory, setup.cpu, highest)
        report = {"user": user, **lockdown.lock_down(bounds)}
        worker.prepare()
        worker.send(frames.HELLO, "\n".join(f"{k}={v}" for k, v in report.items()).encode())
        worker.serve()
    except ParentGone:
        code = 0
    except (_quickjs.JSException, RuntimeError, OSError) as error:
        worker.send(frames.BROKEN, f"{type(error).__name__}: {error}".encode())
    finally:
        os._exit(code)
