"""Keeps the lives of a database apart: what began before its state was replaced ends there.

A life begins when a database is opened and each time its whole state is replaced. A piece of work
(a request, a job) belongs to the life in which it began. Whatever it still reads or writes after
that is refused, so that it can neither see two states nor carry one into the other.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar, Token

from midspan.kernel.errors import Unavailable


class StaleWork(Unavailable):
    """The instance went back to another state while this was under way; nothing was written."""

    code = "MS640"

    def __init__(self) -> None:
        super().__init__("The instance was reset while this was under way", hint="Send it again.")


_begun: ContextVar[tuple[object, int] | None] = ContextVar("midspan_life", default=None)


class _Work:
    """The block of ``Lives.work``; every request is one, so that it is no generator."""

    __slots__ = ("_anew", "_lives", "_token")

    def __init__(self, lives: Lives, *, anew: bool) -> None:
        self._lives = lives
        self._anew = anew
        self._token: Token[tuple[object, int] | None] | None = None

    def __enter__(self) -> None:
        lives = self._lives
        if self._anew or lives.begun is None:
            self._token = _begun.set((lives, lives.now))

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            _begun.reset(self._token)


class Lives:
    """The lives of one database, and the gate in front of it; safe to use from many threads."""

    def __init__(self) -> None:
        self.now = 0
        """The number of the present life."""
        self._lock = threading.RLock()
        """Taken directly on the way in and out: a condition costs more than all they do."""
        self._changed = threading.Condition(self._lock)
        self._inside: dict[int, int] = {}
        self._alone: int | None = None

    def work(self, *, anew: bool = False) -> AbstractContextManager[None]:
        """Let everything inside belong to the present life; inside other work, to that work's.

        ``anew`` begins in the present life in any case.
        """
        return _Work(self, anew=anew)

    @property
    def begun(self) -> int | None:
        """The life in which the present work began; None outside of any work."""
        known = _begun.get()
        return known[1] if known is not None and known[0] is self else None

    def check(self) -> None:
        """Refuse work of an earlier life.

        Raises:
            StaleWork: it is that.
        """
        begun = self.begun
        if begun is not None and begun != self.now:
            raise StaleWork

    def enter(self, timeout: float) -> int | None:
        """Pass the gate, waiting for whoever is alone; return what to leave with, None: too late.

        A thread that is inside may enter again without waiting.
        """
        me = threading.get_ident()
        with self._lock:
            waits = self._alone not in (None, me) and me not in self._inside
            if waits and (timeout <= 0 or not self._changed.wait_for(self._is_open, timeout)):
                return None
            self._inside[me] = self._inside.get(me, 0) + 1
        return me

    def leave(self, entered: int) -> None:
        """Leave after ``enter``; another thread may do that."""
        with self._lock:
            left = self._inside[entered] - 1
            if left:
                self._inside[entered] = left
            else:
                del self._inside[entered]
                if self._alone is not None:
                    self._changed.notify_all()

    @contextmanager
    def alone(self, timeout: float) -> Iterator[None]:
        """Wait until everybody else has left, and keep them out; one at a time may ask for it.

        Raises:
            Unavailable: somebody stays longer than ``timeout``.
        """
        me = threading.get_ident()
        with self._changed:
            self._alone = me
            if not self._changed.wait_for(lambda: not self._inside.keys() - {me}, timeout):
                self._alone = None
                self._changed.notify_all()
                raise Unavailable("The database is busy", hint="Try again in a moment.")
        try:
            yield
        finally:
            with self._changed:
                self._alone = None
                self._changed.notify_all()

    def is_awaited(self) -> bool:
        """Tell whether somebody is alone, or waits to be."""
        return self._alone is not None

    def _is_open(self) -> bool:
        return self._alone is None
