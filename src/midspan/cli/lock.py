"""One process per data directory: an advisory lock that ends with its process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from midspan.kernel.errors import Conflict

LOCK_FILE = "midspan.lock"


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """Hold the data directory, which is made when missing (0700).

    Raises:
        Conflict: another process holds it; the message has its process id.
    """
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = data / LOCK_FILE
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 20, 0).decode("ascii", "replace").strip()
            raise Conflict(
                f"Process {holder or 'unknown'} uses {data} already",
                hint="Stop it first, or name another directory with --data.",
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)
