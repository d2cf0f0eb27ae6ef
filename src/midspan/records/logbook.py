"""The log of scripts: lines and figures that outlive a rolled back transaction, in ``syslog``.

Lines are kept in memory and written by a thread of their own a moment later, so that a script
neither waits for the log nor takes it along when its transaction is undone. A process that is
killed loses what it had not written yet, at most ``EVERY`` worth of lines.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from midspan.dictionary.values import datetime_text
from midspan.security.actor import SYSTEM
from midspan.storage import StaleWork

if TYPE_CHECKING:
    from midspan.records.store import RecordStore

log = logging.getLogger(__name__)
TABLE = "syslog"
EVERY = timedelta(milliseconds=500)
MOST = 20_000
"""Lines that may wait; what comes while so many wait is counted and left out."""
_LONGEST = 4000
_LEVELS = {"debug": "-1", "info": "0", "warning": "1", "error": "2"}
_BATCH = 500


class Failure(Protocol):
    """A failure as far as the log shows it."""

    message: str
    script: str
    line: int | None


class Figures(Struct):
    """What the runs of one script add up to since they were last written."""

    runs: int = 0
    rows: int = 0
    seconds: float = 0.0


class Logbook:
    """Takes lines from any thread; ``flush`` or its own thread writes them."""

    def __init__(self, store: RecordStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._lines: deque[Mapping[str, str]] = deque()
        self._left_out = 0
        self._figures: dict[str, Figures] = {}
        self._wanted = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def add(
        self,
        level: str,
        text: str,
        *,
        script: str = "",
        line: int | None = None,
        user: str = "system",
        figures: Figures | None = None,
    ) -> None:
        """Keep one line; ``level`` is debug, info, warning or error."""
        now = datetime_text(self._store.clock.now())
        row = {
            "level": _LEVELS.get(level, "0"),
            "message": text[:_LONGEST],
            "source": script[:255],
            "line": str(line or ""),
            "rows": str(figures.rows) if figures else "",
            "duration": str(round(figures.seconds * 1000)) if figures else "",
            "sys_created_on": now,
            "sys_updated_on": now,
            "sys_created_by": user,
            "sys_updated_by": user,
        }
        with self._lock:
            if len(self._lines) >= MOST:
                self._left_out += 1
                return
            self._lines.append(row)
        self._wanted.set()

    def failure(self, error: Failure, *, title: str = "", user: str = "system") -> None:
        """Keep the line of a script that failed, with its place; ``title`` says what it was."""
        text = f"{title}: {error.message}" if title else error.message
        self.add("error", text, script=error.script, line=error.line, user=user)

    def ran(self, script: str, *, rows: int, seconds: float) -> None:
        """Count a run of a script; each script's sum becomes one line."""
        with self._lock:
            found = self._figures.setdefault(script, Figures())
            found.runs += 1
            found.rows += rows
            found.seconds += seconds
        self._wanted.set()

    def flush(self) -> int:
        """Write everything that waits; return how many lines that were."""
        self._sum_up()
        written = 0
        while True:
            with self._lock:
                rows = [self._lines.popleft() for _ in range(min(_BATCH, len(self._lines)))]
            if not rows:
                return written
            with self._store.write(SYSTEM, enforce=False) as transaction:
                ids = self._store.ids
                transaction.engine_insert(
                    TABLE, [{**row, "sys_id": ids.uuid7().replace("-", "")} for row in rows]
                )
            written += len(rows)

    def _sum_up(self) -> None:
        with self._lock:
            figures, self._figures = self._figures, {}
            left_out, self._left_out = self._left_out, 0
        for script, found in figures.items():
            text = f"ran {found.runs} times for {found.rows} records"
            self.add("debug", text, script=script, figures=found)
        if left_out:
            self.add("warning", f"{left_out} lines of scripts were left out: they came too fast")

    def start(self) -> None:
        """Begin to write in a thread."""
        self._thread = threading.Thread(target=self._loop, name="logbook", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is left and end the thread."""
        self._stopping = True
        self._wanted.set()
        if self._thread is not None:
            self._thread.join()

    def _loop(self) -> None:
        pause = threading.Event()
        while not self._stopping:
            self._wanted.wait()
            self._wanted.clear()
            if not self._stopping:
                pause.wait(EVERY.total_seconds())
            self._flush_safely()

    def _flush_safely(self) -> None:
        try:
            with self._store.database.lives.work():
                self.flush()
        except StaleWork:
            log.info("lines of scripts belonged to a state that was left")
        except Exception:
            log.exception("lines of scripts could not be written")
