"""The pool of script workers: starts, lends, watches, replaces and ends them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from midspan.kernel.clock import Clock, SystemClock
from midspan.sandbox import frames
from midspan.sandbox.errors import SandboxUnavailable
from midspan.sandbox.process import WorkerGone, WorkerProcess
from midspan.sandbox.session import SandboxSession
from midspan.sandbox.values import Host, Limits, Script

_DEFAULT_LIMITS = Limits()
_WATCH_EVERY = 0.05


@dataclass(frozen=True)
class PoolOptions:
    """How the pool behaves; the defaults suit an instance.

    ``patience`` is how long ``session`` waits for a free worker; ``grace`` how long after its wall
    time a run may take to stop by itself, with a line number, before its worker is killed;
    ``runs`` after how many runs a worker is replaced.
    """

    patience: timedelta = timedelta(seconds=10)
    grace: timedelta = timedelta(seconds=1)
    runs: int = 5_000


@dataclass(frozen=True)
class PoolStats:
    """Workers now (``size`` is the most there may be) and since the start of the pool.

    ``killed`` counts those that overran, crashed or ran out of memory; ``recycled`` those replaced
    because they had done enough.
    """

    size: int
    busy: int
    idle: int
    started: int
    killed: int
    recycled: int


class SandboxPool:
    """Lends locked-down JavaScript workers to the threads of an instance.

    >>> with SandboxPool(size=1) as pool, pool.session(lambda name, args: None) as session:
    ...     session.run(Script("example", "var a = [1, 2]; a.concat(3)"))
    [1, 2, 3]

    Each text of ``prelude`` is evaluated in every pristine context as the body of
    ``function (__host)``, so its own variables are private; what scripts shall see it puts on
    ``globalThis``. ``__host(name, args)`` calls the session's host; only the prelude can reach it,
    and it should capture what it uses (``JSON``, ``Object``...) since scripts may replace them.
    ``__engine`` has ``evaluate(text)``, ``onNames(function)`` and ``part(name)``, see bootstrap.js.
    ``parts`` are what the last of them gives: expressions that a context has only when it asks for
    them. With ``operators`` scripts are rewritten (rewrite.js), and the prelude has to define the
    functions that take the place of their operators.

    The first worker starts with ``start`` or the first session, and further ones, ahead of need, up
    to ``size``; starting takes about a tenth of a second. ``limits`` hold for all sessions.
    """

    def __init__(  # noqa: PLR0913 - what a worker is made of, and how many there are
        self,
        *,
        size: int,
        prelude: Sequence[Script] = (),
        parts: Sequence[Script] = (),
        limits: Limits = _DEFAULT_LIMITS,
        clock: Clock | None = None,
        options: PoolOptions | None = None,
        operators: bool = False,
    ) -> None:
        if size < 1:
            raise ValueError("a sandbox pool needs at least one worker")
        self._size = size
        self._prelude = tuple(prelude)
        self._parts = tuple(parts)
        self._limits = limits
        self._clock = clock or SystemClock()
        self._options = options or PoolOptions()
        self._operators = operators
        self._changed = threading.Condition()
        self._idle: list[WorkerProcess] = []
        self._busy: set[WorkerProcess] = set()
        self._waiting = 0
        self._wanted = 0
        self._starting = 0
        self._failures = 0
        self._failure: SandboxUnavailable | None = None
        self._started = self._killed = self._recycled = 0
        self._hardening: Mapping[str, str] = {}
        self._threads: list[threading.Thread] = []
        self._closed = False
        self._ended = threading.Event()

    def __enter__(self) -> SandboxPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def hardening(self) -> Mapping[str, str]:
        """What holds the last started worker in, by name; empty before the first has started.

        ``seccomp``, ``rlimits`` and ``no_new_privs`` are ``on`` or say why not; ``user`` is
        ``nobody`` when root gave up its rights, else ``unchanged``.
        """
        return self._hardening

    def start(self) -> None:
        """Start the first worker in the background; returns at once.

        Raises:
            SandboxUnavailable: the pool is closed.
        """
        with self._changed:
            self._launch_threads()
            self._wanted = max(self._wanted, 1)
            self._changed.notify_all()

    @contextmanager
    def session(self, host: Host, *, limits: Limits | None = None) -> Iterator[SandboxSession]:
        """Lend a worker to this thread until the block ends.

        ``limits`` may be tighter or give more time than the pool's, but no more memory, stack or
        depth.

        Raises:
            SandboxUnavailable: no worker was free or could be started in ``options.patience``.
            ValueError: ``limits`` do not fit the pool's workers.
        """
        limits = limits or self._limits
        if not limits.fits_in(self._limits):
            raise ValueError("a session cannot have more memory, stack or depth than its pool")
        worker = self._take()
        session = SandboxSession(worker, host, limits, self._clock, self._options.grace)
        try:
            yield session
        finally:
            session.close()
            self._give_back(worker)

    def stats(self) -> PoolStats:
        """Return the present figures."""
        with self._changed:
            return PoolStats(
                self._size,
                len(self._busy),
                len(self._idle),
                self._started,
                self._killed,
                self._recycled,
            )

    def close(self) -> None:
        """Kill all workers and wait until they are gone; running scripts end as ScriptCrashed."""
        with self._changed:
            self._closed = True
            idle, self._idle = self._idle, []
            busy = list(self._busy)
            self._changed.notify_all()
        for worker in idle:
            worker.close()
        for worker in busy:
            worker.kill()
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _launch_threads(self) -> None:
        if self._closed:
            raise SandboxUnavailable("The script sandbox is closed")
        if self._threads:
            return
        for target, name in ((self._start_workers, "starter"), (self._watch, "watchdog")):
            thread = threading.Thread(target=target, name=f"sandbox-{name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _take(self) -> WorkerProcess:
        with self._changed:
            self._launch_threads()
            failures = self._failures
            self._waiting += 1
            self._changed.notify_all()
            try:
                self._changed.wait_for(
                    lambda: self._has_idle() or self._closed or self._failures > failures,
                    self._options.patience.total_seconds(),
                )
                return self._first_idle()
            finally:
                self._waiting -= 1

    def _has_idle(self) -> bool:
        for worker in [worker for worker in self._idle if worker.gone]:
            self._idle.remove(worker)
            self._killed += 1
            worker.close()
            self._changed.notify_all()
        return bool(self._idle)

    def _first_idle(self) -> WorkerProcess:
        if self._idle:
            worker = self._idle.pop(0)  # the one that had longest to build its next context
            self._busy.add(worker)
            self._wanted = min(len(self._busy) + 1, self._size)
            self._changed.notify_all()
            return worker
        if self._closed:
            raise SandboxUnavailable("The script sandbox is closed")
        if self._failure:
            raise SandboxUnavailable(
                self._failure.message, detail=self._failure.detail, hint=self._failure.hint
            ) from self._failure
        raise SandboxUnavailable(
            f"All {self._size} script workers are busy",
            detail=f"none was free within {self._options.patience.total_seconds():g} s",
            hint="Raise the number of script workers, or look for scripts that run for long.",
        )

    def _give_back(self, worker: WorkerProcess) -> None:
        worn, dead = worker.is_worn(self._options.runs), worker.gone
        if not worn and not dead:
            try:
                worker.send(frames.RESET, b"")
            except WorkerGone:
                dead = True
        with self._changed:
            self._busy.discard(worker)
            keep = not (worn or dead or self._closed)
            if keep:
                self._idle.append(worker)
            elif dead or worker.tainted:
                self._killed += 1
            else:
                self._recycled += 1
            self._changed.notify_all()
        if not keep:
            worker.close()

    def _start_workers(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._is_short())
                if self._closed:
                    return
            self._add_worker()

    def _is_short(self) -> bool:
        have = len(self._idle) + len(self._busy)
        wanted = max(self._wanted, min(self._size, len(self._busy) + self._waiting))
        return have < wanted

    def _add_worker(self) -> None:
        worker: WorkerProcess | None = None
        failure: SandboxUnavailable | None = None
        try:
            worker = WorkerProcess(
                self._limits, self._prelude, self._parts, operators=self._operators
            )
            worker.greet()
        except SandboxUnavailable as error:
            failure = error
        except (OSError, ValueError) as error:  # no sockets left, or a greeting nobody understands
            failure = SandboxUnavailable("A script worker could not be started", detail=str(error))
        with self._changed:
            self._failure = failure
            if failure is not None:
                self._failures += 1
                self._wanted = 0  # the next session tries again
            elif worker is not None and not self._closed:
                self._started += 1
                self._hardening = worker.hardening
                self._idle.append(worker)
                worker = None
            self._changed.notify_all()
        if worker is not None:
            worker.close()

    def _watch(self) -> None:
        while not self._ended.wait(_WATCH_EVERY):
            now = self._clock.monotonic()
            with self._changed:
                busy = list(self._busy)
            for worker in busy:
                deadline = worker.deadline
                if deadline is not None and now > deadline:
                    worker.timed_out = True
                    worker.kill()
