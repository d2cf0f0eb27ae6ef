"""Has the C library give memory back that large requests and answers took.

By itself glibc keeps a heap for each thread and, once a large block was freed, takes the next ones
from those heaps, too; after one list of 1,000 records in each of eight threads the process stays at
a multiple of what it needs. With these settings large blocks are mapped and unmapped one by one.

What refers to itself in a circle waits for a full search of Python, and that comes once the objects
that are new are a quarter of all. So the command is imported without any search (``midspan.cli``),
``end_start`` leaves out what the start made, and ``set_apart`` what is loaded behind the first
answer, most of all the engine of the jobs.

Small blocks stay in the heaps: a document of 100,000 XML elements leaves 12 MB of them free below
one that is in use. ``HeapKeeper`` looks for that and gives back the pages.
"""

from __future__ import annotations

import ctypes
import gc
import platform
import threading

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGE = 256 * 1024
"""Bytes; a setting of this kind also keeps glibc from raising the limit on its own."""
_KEPT = 1024 * 1024
_HEAPS = 2
_MUCH = 2 * 1024 * 1024
_EVERY = 1.0
"""Seconds."""
_STARTED = 5
"""Seconds after which all is loaded that an instance loads behind its first answer."""


def bound_heaps() -> bool:
    """Set the limits for this process; tell whether its C library knows them (glibc does).

    To be called before threads are started: those that have a heap keep it.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = (
        (_M_ARENA_MAX, _HEAPS),
        (_M_MMAP_THRESHOLD, _LARGE),
        (_M_TRIM_THRESHOLD, _KEPT),
    )
    taken = [mallopt(name, value) == 1 for name, value in settings]
    return all(taken)


def end_start() -> None:
    """Let searches for garbage begin, and leave out what the start made: nearly all of it stays.

    A full search would stop every request while it looks at all of that again.
    """
    gc.freeze()
    gc.enable()


def set_apart() -> None:
    """Let no later search for garbage look at what is there now; takes about a tenth of a second.

    The second search finds nothing: it tells Python that nothing old is left to compare with.
    """
    gc.collect()
    gc.freeze()
    gc.collect()


class _MallInfo(ctypes.Structure):
    """What ``mallinfo2`` tells, in bytes and numbers of blocks; the ninth is what lies free."""

    _fields_ = tuple((f"value{number}", ctypes.c_size_t) for number in range(10))


class HeapKeeper:
    """Gives free pages of the heaps back, every second; once, sets apart what the start made."""

    def __init__(self) -> None:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="heap-keeper", daemon=True)
        self._library: ctypes.CDLL | None = None
        if platform.libc_ver()[0] == "glibc":
            library = ctypes.CDLL(None)
            if hasattr(library, "mallinfo2"):  # since 2.33
                library.mallinfo2.restype = _MallInfo
                self._library = library

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End it, and wait for that."""
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()

    def free(self) -> int:
        """Return the bytes in free blocks of the heaps, given back or not; 0 where unknown."""
        return int(self._library.mallinfo2().value8) if self._library else 0

    def tidy(self) -> bool:
        """Give back what is free if that is much; takes about a millisecond."""
        if self._library is None or self.free() < _MUCH:
            return False
        return bool(self._library.malloc_trim(0))

    def _loop(self) -> None:
        ticks = 0
        while not self._end.wait(_EVERY):
            ticks += 1
            if ticks == _STARTED:
                set_apart()
            self.tidy()
