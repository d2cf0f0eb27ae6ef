"""Has the C library give memory back that large requests and answers took.

By itself glibc keeps a heap for each thread and, once a large block was freed, takes the next ones
from those heaps, too; after one list of 1,000 records in each of eight threads the process stays at
a multiple of what it needs. With these settings large blocks are mapped and unmapped one by one.
"""

from __future__ import annotations

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGE = 256 * 1024
"""Bytes; a setting of this kind also keeps glibc from raising the limit on its own."""
_KEPT = 1024 * 1024
_HEAPS = 2


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
