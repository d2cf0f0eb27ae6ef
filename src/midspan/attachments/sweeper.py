"""Takes away the bytes of long files that were deleted, and of uploads whose node died."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from midspan.attachments.store import AttachmentStore
from midspan.kernel.errors import MidspanError

PERIOD = 300.0
_log = logging.getLogger(__name__)


class AttachmentSweeper:
    """A thread that sweeps at its start, when files were deleted, and every few minutes.

    Any number of nodes may have one.
    """

    def __init__(
        self,
        store: AttachmentStore,
        *,
        period: float = PERIOD,
        further: Sequence[Callable[[], object]] = (),
    ) -> None:
        """``further`` are called with each sweep: other things that have to be taken away."""
        self._store = store
        self._further = further
        self._period = period
        self._ended = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread = threading.Thread(target=self._loop, name="midspan-attachments", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._ended = True
        self._store.dropped.set()
        if self._thread is not None:
            self._thread.join()

    def _loop(self) -> None:
        while not self._ended:
            self._store.dropped.clear()
            try:
                with self._store.records.database.lives.work():
                    dropped = self._store.sweep()
                    for also in self._further:
                        also()
                if dropped:
                    _log.info("took away the bytes of %d files", dropped)
            except MidspanError as error:
                _log.warning("sweep of files failed: %s", error.explain())
            self._store.dropped.wait(0 if self._ended else self._period)
