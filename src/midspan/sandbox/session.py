"""One worker for the time of one transaction: runs scripts in it and answers their host calls."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from midspan.kernel.clock import Clock
from midspan.kernel.errors import MidspanError
from midspan.sandbox import failures, frames, jsontext
from midspan.sandbox.errors import (
    Failure,
    ScriptCallsExceeded,
    ScriptCrashed,
    ScriptError,
    ScriptMemoryExceeded,
    ScriptTimeout,
)
from midspan.sandbox.process import WorkerGone, WorkerProcess
from midspan.sandbox.stacks import LineMap, Position
from midspan.sandbox.values import Host, JsonValue, Limits, Script

if TYPE_CHECKING:
    from collections.abc import Iterator

_STOP = b'{"s":1}'


class SandboxSession:
    """Runs scripts in one worker; belongs to the thread that opened it.

    Runs at the top level share one global scope, in which variables, undeclared assignments and
    functions stay; ``let``, ``const`` and ``class`` at the top of a script belong to that run.
    Errors of a script leave the scope usable. After a crash or a kill the session is over: open
    another.
    """

    def __init__(
        self, worker: WorkerProcess, host: Host, limits: Limits, clock: Clock, grace: timedelta
    ) -> None:
        self._worker = worker
        self._host = host
        self._limits = limits
        self._clock = clock
        self._grace = grace.total_seconds()
        self._shared = worker.lines.copy()
        self._current = self._ended = self._shared
        self._depth = 0
        self._calls = 0
        self._end = 0.0
        self._stopped = ""
        self._raised: list[Exception] = []
        self._open = True

    @property
    def worker_pid(self) -> int:
        """The process id of the worker, for logs."""
        return self._worker.pid

    def run(
        self,
        script: Script,
        variables: Mapping[str, JsonValue] | None = None,
        *,
        host: Host | None = None,
        fresh: bool = False,
        discard: bool = False,
    ) -> JsonValue:
        """Evaluate the whole text as sloppy global code and return its completion value.

        ``variables`` become properties of the global object first. The value crosses as JSON:
        undefined and functions are None, NaN is None, a promise counts as what it settles to,
        numbers keep double precision. ``discard=True`` does not look at it (for scripts
        that are run for their effect and may end in anything). ``host`` replaces the session's for
        this run.

        ``fresh=True`` uses a pristine global scope for this run alone; so does a run that is made
        from inside a host call, in the same worker and within the time of the run around it.

        Raises:
            ScriptSyntaxError: the text does not compile.
            ScriptError: it threw; ``__cause__`` is the host's exception when it came from there.
            ScriptTimeout: wall or processor time was used up.
            ScriptMemoryExceeded: heap, string, array, variables or result are too large.
            ScriptCallsExceeded: too many host calls, or more nested runs than ``limits.depth``.
            ScriptCrashed: the worker ended, now or earlier in this session.
            TypeError: a variable is not a JSON value.
        """
        self._check(script)
        lines = self._shared
        if fresh or self._depth:
            lines = self._worker.lines.copy()
        values = self._encode(script, variables or {})
        flags = frames.FRESH * fresh | frames.DISCARD * discard | frames.ES5 * script.es5
        with self._running() as wall:
            order = frames.RunOrder(
                flags,
                lines.place(script),
                wall,
                self._limits.cpu.total_seconds(),
                self._limits.memory,
                self._limits.stack,
                script.text.encode(errors="replace").decode(),
                values,
            )
            former, self._current = self._current, lines
            try:
                return self._converse(order, script, lines, host or self._host)
            finally:
                self._current, self._ended = former, lines

    def position(self, stack: str, *, ended: bool = False) -> Position | None:
        """Return where in a script the innermost frame of an engine's stack is, or None.

        The stack is one of the run that is going on, or with ``ended`` of the last that ended.
        """
        return (self._ended if ended else self._current).read(stack).position

    def scripts(self, stack: str) -> tuple[str, ...]:
        """Return the scripts of a stack of the run that is going on, innermost first."""
        return self._current.read(stack).scripts

    def close(self) -> None:
        """End the session; the pool does this."""
        self._open = False

    def _check(self, script: Script) -> None:
        if not self._open:
            raise RuntimeError("the sandbox session is closed; open another with pool.session()")
        if self._depth >= self._limits.depth:
            text = f"More than {self._limits.depth} scripts run inside one another"
            hint = "Look for rules or script includes that start each other."
            raise ScriptCallsExceeded(Failure(script.name, text), hint=hint)
        if self._worker.gone:
            raise self._crash(script, "The worker of this session has ended")

    def _encode(self, script: Script, variables: Mapping[str, JsonValue]) -> bytes:
        values = jsontext.encode(dict(variables))
        if len(values) + len(script.text) > self._limits.memory:
            text = "The text and variables of the script are too large"
            raise ScriptMemoryExceeded(Failure(script.name, text))
        return values

    @contextmanager
    def _running(self) -> Iterator[float]:
        worker, former = self._worker, self._worker.deadline
        now = self._clock.monotonic()
        if self._depth == 0:
            self._calls, self._stopped = 0, ""
            self._end = now + self._limits.wall.total_seconds()
        worker.deadline = self._end + self._grace
        self._depth += 1
        try:
            yield max(self._end - now, 0.001)
        finally:
            self._depth -= 1
            worker.deadline = former
            if self._depth == 0:
                self._raised.clear()

    def _converse(
        self, order: frames.RunOrder, script: Script, lines: LineMap, host: Host
    ) -> JsonValue:
        worker = self._worker
        try:
            worker.send(frames.RUN, frames.pack_run(order))
            while True:
                tag, body = worker.receive()
                if tag == frames.CALL:
                    worker.send(frames.REPLY, self._serve(body, host, lines))
                elif tag == frames.DONE:
                    worker.note(frames.unpack_outcome(body)[0])
                    return _value(frames.unpack_outcome(body)[1])
                else:
                    raise self._failed(body, script, lines)
        except WorkerGone as gone:
            worker.kill()
            raise self._lost(script) from gone
        except ScriptError:
            raise
        except ValueError as error:
            worker.tainted = True
            raise ScriptError(
                Failure(script.name, f"The result cannot be read: {error}")
            ) from error
        except BaseException:
            worker.kill()  # its script would wait for an answer that never comes
            raise

    def _serve(self, body: bytes, host: Host, lines: LineMap) -> bytes:
        self._calls += 1
        if self._calls > self._limits.host_calls:
            return self._stop("calls")
        worker, deadline = self._worker, self._worker.deadline
        worker.deadline = None  # it only waits; the host's own limits count now
        try:
            reply = self._answer(body, host, lines)
        finally:
            now = self._clock.monotonic()
            worker.deadline = deadline
        if now >= self._end:
            worker.deadline = now + self._grace
            return self._stop("wall")
        return reply

    def _stop(self, reason: str) -> bytes:
        self._stopped = self._stopped or reason
        self._worker.tainted = True
        return _STOP

    def _answer(self, body: bytes, host: Host, lines: LineMap) -> bytes:
        try:
            match jsontext.decode(body):
                case [str(name), list(arguments)]:
                    reply = _reply(host(name, arguments), lines)
                case _:
                    raise TypeError("a host call takes a name and an array of arguments")
            if len(reply) > self._limits.memory:
                raise ValueError(f"the answer of {name} is larger than the script's memory limit")
        except Exception as error:
            if self._worker.gone:
                raise WorkerGone("ended during a host call") from error
            return self._report(error)
        return reply

    def _report(self, error: Exception) -> bytes:
        self._raised.append(error)
        known = isinstance(error, MidspanError)
        report: dict[str, JsonValue] = {
            "id": len(self._raised) - 1,
            "message": error.message if isinstance(error, MidspanError) else str(error),
            "code": error.code if isinstance(error, MidspanError) else type(error).__name__,
            "detail": getattr(error, "detail", None) if known else None,
        }
        return b'{"e":' + jsontext.encode(report) + b"}"

    def _failed(self, body: bytes, script: Script, lines: LineMap) -> ScriptError:
        usage, text = frames.unpack_outcome(body)
        self._worker.note(usage)
        error, number = failures.from_worker(text, script, lines, self._limits, self._stopped)
        if isinstance(error, ScriptTimeout | ScriptMemoryExceeded):
            self._worker.tainted = True
        if number is not None and 0 <= number < len(self._raised):
            error.__cause__ = self._raised[number]
        return error

    def _lost(self, script: Script) -> ScriptError:
        if self._worker.timed_out:
            text = f"{failures.too_slow(self._limits)} and its worker had to be killed"
            return ScriptTimeout(Failure(script.name, text))
        return self._crash(script, "The worker of the script ended unexpectedly")

    def _crash(self, script: Script, text: str) -> ScriptCrashed:
        return ScriptCrashed(Failure(script.name, text), hint="Run it again in a new session.")


def _reply(value: JsonValue | Script, lines: LineMap) -> bytes:
    if not isinstance(value, Script):
        return b'{"v":' + jsontext.encode(value) + b"}"
    text = value.text.encode(errors="replace").decode()
    order: JsonValue = {"line": lines.place(value), "text": text, "old": value.es5}
    return b'{"x":' + jsontext.encode(order) + b"}"


def _value(text: bytes) -> JsonValue:
    return jsontext.decode(text) if text else None
