"""One pristine JavaScript context inside a worker: build it, run scripts in it, interrupt it.

The binding refuses native calls while its own time limit is set, so interrupts are installed
through the engine's C interface, which the same shared library exports. The runtime's address is
the first field behind the object's header; ``Interrupts.prove`` tries the whole path before any
user code.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from typing import NamedTuple

import _quickjs  # type: ignore[import-not-found, unused-ignore]

from midspan.sandbox import frames
from midspan.sandbox.gauge import Gauge
from midspan.sandbox.lockdown import let_others_run
from midspan.sandbox.programs import Programs
from midspan.sandbox.rewriter import Columns, Refused, Rewriter, Rewritten

_HANDLER = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_SPARE_MEMORY = 4 * 1024 * 1024
_NEVER = float("inf")
_NO_SIZE = 1 << 62
_FIRST_COLLECTION = 1280 * 1024
"""Twice what a context needs before its first script."""


class RunFailed(Exception):
    """A run failed; ``kind`` is one of the letters of ``frames``, ``text`` what belongs to it."""

    def __init__(self, kind: bytes, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text


class Interrupts:
    """Stops scripts: the engine asks every 10,000 jumps or calls whether it may go on.

    One for the whole worker. A nested run never gets a later deadline than the run around it.
    """

    def __init__(self) -> None:
        self.wall = _NEVER
        self.cpu = _NEVER
        self.stopped = False
        self.asked = 0
        self._library = ctypes.CDLL(_quickjs.__file__)
        self._set = self._library.JS_SetInterruptHandler
        self._set.argtypes = [ctypes.c_void_p, _HANDLER, ctypes.c_void_p]
        self._set.restype = None
        self._update_stack_top = self._library.JS_UpdateStackTop
        self._update_stack_top.argtypes = [ctypes.c_void_p]
        self._update_stack_top.restype = None
        self._collect_above = self._library.JS_SetGCThreshold
        self._collect_above.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        self._collect_above.restype = None
        self._handler = _HANDLER(self._over)

    def install(self, context: _quickjs.Context) -> int:
        """Have ``context`` ask this object; return the address of its runtime."""
        address = ctypes.c_void_p.from_address(id(context) + object.__basicsize__).value or 0
        self._set(address, self._handler, None)
        return address

    def prove(self) -> None:
        """Check that an endless loop can be stopped at all.

        Raises:
            RuntimeError: the engine did not ask, so it is not the one this was written for.
        """
        context = _quickjs.Context()
        self.install(context)
        self.wall = 0.0
        try:
            context.eval("for (let i = 0; i < 1e6; i++);")
        except _quickjs.JSException:
            return
        finally:
            self.wall = _NEVER
        raise RuntimeError("the JavaScript engine cannot be interrupted; install quickjs-ng 0.17")

    def reset_stack(self, address: int) -> None:
        """Count the stack of the runtime at ``address`` from here."""
        self._update_stack_top(address)

    def collect_above(self, address: int, size: int) -> None:
        """Have the runtime at ``address`` look for garbage from ``size`` bytes of heap on."""
        self._collect_above(address, size)

    def bound(self, wall: float, cpu: float) -> tuple[float, float]:
        """Tighten the deadlines to seconds from now; return the former ones for ``restore``."""
        former = (self.wall, self.cpu)
        self.wall = min(self.wall, time.monotonic() + wall)
        self.cpu = min(self.cpu, time.process_time() + cpu)
        return former

    def suspend(self) -> tuple[float, float]:
        """Lift the deadlines, for our own work; return them for ``restore``."""
        former = (self.wall, self.cpu)
        self.wall = self.cpu = _NEVER
        return former

    def restore(self, former: tuple[float, float]) -> None:
        """Put back what ``bound`` replaced."""
        self.wall, self.cpu = former

    def reason(self) -> bytes | None:
        """Return the kind of failure when the present run has to end, else None."""
        if self.stopped:
            return frames.STOPPED
        if time.monotonic() >= self.wall:
            return frames.WALL
        if time.process_time() >= self.cpu:
            return frames.CPU
        return None

    def _over(self, _runtime: int | None, _opaque: int | None) -> int:
        let_others_run()
        return int(self.reason() is not None)


class Means(NamedTuple):
    """What a context is connected to.

    ``call`` carries a host call's JSON text to the parent and returns the reply's; ``stop`` takes
    the stack at the point where the parent ended the run.
    """

    interrupts: Interrupts
    rewriter: Rewriter
    programs: Programs
    gauge: Gauge
    size_at_start: int
    call: Callable[[str], str]
    stop: Callable[[str], None]


class _Texts:
    """The texts of one context in the form in which they run.

    The context holds on to it, so it does not know the context: a circle would keep both, about a
    megabyte, until Python looks for circles.
    """

    def __init__(self, rewriter: Rewriter) -> None:
        self._rewriter = rewriter
        self._old = False
        self.columns = Columns()

    def of(self, order: frames.RunOrder) -> Rewritten:
        """Return the text of a run.

        Raises:
            RunFailed: it is no script.
            _quickjs.JSException: time or memory ran out meanwhile.
        """
        self._old = bool(order.flags & frames.ES5)
        try:
            made = self._rewriter.rewrite(order.text, "script", old=self._old)
        except Refused as refused:
            raise RunFailed(frames.THROWN, refused.at(order.first_line)) from None
        self.columns.note(order.first_line, made.edits)
        return made._replace(text=_pad(order.first_line, made.text))

    def for_script(self, kind: str, text: str, line: float, old: bool) -> str:
        """Return ``=``, names, a line feed and the text for ``eval`` and its like, else ``!``."""
        first_line = int(line)  # the engine has one kind of numbers
        try:
            made = self._rewriter.rewrite(text, kind, old=bool(old) or self._old)
        except Refused as refused:
            return "!" + (refused.at(first_line) if first_line else refused.described)
        except (_quickjs.JSException, MemoryError):  # its time ends as well, or its memory
            return '!{"message":"the text is too large"}'
        if first_line:
            self.columns.note(first_line, made.edits)
        return f"={made.names}\n{_pad(first_line or 1, made.text)}"


class Engine:
    """A context with bootstrap and prelude evaluated, ready for scripts.

    Raises:
        _quickjs.JSException: the bootstrap or the prelude threw.
    """

    def __init__(self, setup: frames.Setup, means: Means) -> None:
        self._means = means
        self._interrupts = means.interrupts
        self._context = _quickjs.Context()
        let_others_run()
        self._context.set_memory_limit(setup.memory)
        self._context.set_max_stack_size(setup.stack)
        self._address = means.interrupts.install(self._context)
        means.interrupts.reset_stack(self._address)
        self._texts = _Texts(means.rewriter)
        loader = means.programs.loader(self._context)
        natives = {
            "raw": means.call,
            "stop": means.stop,
            "rewrite": self._texts.for_script,
            "load": loader.load,
        }
        for name, function in natives.items():
            self._context.add_callable(name, function)
        primitives = [self._context.get(name) for name in natives]
        self._context.eval("; ".join(f"delete globalThis.{name}" for name in natives))
        means.interrupts.collect_above(self._address, _NO_SIZE)  # nothing of it is garbage
        bootstrap = means.programs.function(self._context, 0)
        self._context.set("parts", bootstrap(*primitives, means.rewriter.is_active))
        names = ("host", "engine", "loaded", "run", "finish", "report")
        host, engine, loaded, self._run, self._finish, self._report = (
            self._context.eval(f"parts.{name}") for name in names
        )
        self._context.eval("delete globalThis.parts")
        loader.deliver_to(loaded)
        for number in range(1, len(setup.prelude)):
            program = means.programs.function(self._context, number)
            let_others_run()
            program(host, engine)
            let_others_run()
        means.interrupts.collect_above(self._address, _FIRST_COLLECTION)

    def run(self, order: frames.RunOrder) -> str:
        """Run one script and the microtasks it leaves; return its value as JSON, '' for undefined.

        Raises:
            RunFailed: it threw, was stopped, or used up its memory.
        """
        self._context.set_memory_limit(order.memory)
        self._context.set_max_stack_size(order.stack)
        self._interrupts.reset_stack(self._address)
        former = self._interrupts.bound(order.wall, order.cpu)
        try:
            return self._guarded(order)
        finally:
            self._interrupts.restore(former)

    def _guarded(self, order: frames.RunOrder) -> str:
        try:
            return self._evaluate(order)
        except _quickjs.JSException as error:
            text = str(error)
            reason = self._interrupts.reason()
            if reason is None and text.startswith(("null", "InternalError: out of memory")):
                reason = frames.MEMORY
            raise RunFailed(reason or frames.ENGINE, self._texts.columns.restore(text)) from None
        except MemoryError:
            raise RunFailed(frames.MEMORY, "out of memory") from None

    def _evaluate(self, order: frames.RunOrder) -> str:
        source = self._texts.of(order)
        failed = self._run(source.text, str(order.variables, "utf-8"), source.names)
        while self._context.execute_pending_job():
            self._check(order.wall)
        if self._interrupts.stopped:
            raise RunFailed(frames.STOPPED, "")
        result = "" if failed else self._finish(bool(order.flags & frames.DISCARD))
        self._context.set_memory_limit(order.memory + _SPARE_MEMORY)
        described = self._report()
        if described:
            short = self._is_short(order.memory)
            kind = frames.SHORT if short else frames.THROWN
            raise RunFailed(kind, self._texts.columns.restore(described))
        return str(result)

    def _check(self, wall: float) -> None:
        reason = self._interrupts.reason()
        if reason:
            raise RunFailed(reason, f"microtasks went on for {wall} s")

    def _is_short(self, memory: int) -> bool:
        grown = self._means.gauge.peak() - self._means.size_at_start
        return grown > memory // 2


def programs(setup: frames.Setup) -> Programs:
    """Return the texts that every context of a worker begins with, ready to be loaded."""
    (first_line, bootstrap), *prelude = setup.prelude
    texts = (_pad(line, f"(function (__host, __engine) {{{text}\n}})") for line, text in prelude)
    parts = {name: _pad(line, text) for line, name, text in setup.parts}
    return Programs([_pad(first_line, bootstrap), *texts], parts)


def _pad(first_line: int, text: str) -> str:
    return "\n" * (first_line - 1) + text
