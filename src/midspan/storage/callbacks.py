"""What runs after the end of a transaction, for both databases."""

from __future__ import annotations

import logging
from collections.abc import Callable

log = logging.getLogger(__name__)


class Callbacks:
    """Collects callbacks of one transaction and runs those of its outcome."""

    def __init__(self) -> None:
        self._commit: list[Callable[[], None]] = []
        self._rollback: list[Callable[[], None]] = []

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Keep ``callback`` for a commit."""
        self._commit.append(callback)

    def after_rollback(self, callback: Callable[[], None]) -> None:
        """Keep ``callback`` for a rollback."""
        self._rollback.append(callback)

    def join(self, other: Callbacks) -> None:
        """Take over the callbacks of a transaction whose outcome is that of this one."""
        self._commit += other._commit
        self._rollback += other._rollback

    def finish(self, *, committed: bool) -> None:
        """Run the callbacks; the data is safe by now, so a failing one is only logged."""
        for callback in self._commit if committed else self._rollback:
            try:
                callback()
            except Exception:
                log.exception("a callback after the end of a transaction failed")
