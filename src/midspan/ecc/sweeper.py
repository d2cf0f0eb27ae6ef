"""Looks every few seconds after jobs and agents that nobody hears of."""

from __future__ import annotations

import logging
import threading

from midspan.ecc.enrolment import Enrolments
from midspan.ecc.queue import EccQueue
from midspan.kernel.errors import MidspanError

PERIOD = 5.0
_log = logging.getLogger(__name__)


class Sweeper:
    """A thread that calls ``sweep``; any number of nodes may have one."""

    def __init__(self, queue: EccQueue, enrolments: Enrolments, *, period: float = PERIOD) -> None:
        self._queue = queue
        self._enrolments = enrolments
        self._period = period
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread = threading.Thread(target=self._loop, name="ecc-sweeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Wake the polls that wait, end the thread and wait for it."""
        self._ended.set()
        self._queue.signal.close()
        if self._thread is not None:
            self._thread.join()

    def sweep(self) -> None:
        """Set silent agents Down, deal with the jobs of the silent, forget old requests."""
        self._enrolments.note_silence()
        self._enrolments.forget_nonces()
        self._queue.expire()

    def _loop(self) -> None:
        while not self._ended.wait(self._period):
            try:
                with self._queue.records.database.lives.work():
                    self.sweep()
            except MidspanError as error:
                _log.warning("sweep failed: %s", error.explain())
