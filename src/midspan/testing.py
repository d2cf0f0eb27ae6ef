"""An instance inside a test process: open one in a moment, throw it away after."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from midspan.instance import Instance
from midspan.kernel.clock import Clock
from midspan.kernel.ids import IdSource
from midspan.kernel.settings import Settings


@contextmanager
def open_instance(
    database: str = "", *, clock: Clock | None = None, ids: IdSource | None = None
) -> Iterator[Instance]:
    """Open a throw-away instance; ``database`` is a PostgreSQL URL, or empty for SQLite."""
    with tempfile.TemporaryDirectory(prefix="midspan-") as folder:
        settings = Settings(data=Path(folder), database=database, ephemeral=True)
        instance = Instance(settings, clock=clock, ids=ids)
        try:
            yield instance
        finally:
            instance.close()
