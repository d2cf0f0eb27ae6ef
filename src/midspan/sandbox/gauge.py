"""How much memory this process holds: two files of the kernel, opened before lock-down."""

from __future__ import annotations

import os
import resource


class Gauge:
    """Reads the resident size. (``getrusage`` counts in what the process was before its start.)"""

    def __init__(self) -> None:
        self._now = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._ever = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
        self._page = resource.getpagesize()

    @property
    def highest_descriptor(self) -> int:
        """The larger of the two file descriptors."""
        return max(self._now, self._ever)

    def virtual(self) -> int:
        """Return the address space in bytes."""
        return int(os.pread(self._now, 64, 0).split()[0]) * self._page

    def resident(self) -> int:
        """Return the resident bytes now; takes about a microsecond."""
        return int(os.pread(self._now, 64, 0).split()[1]) * self._page

    def peak(self) -> int:
        """Return the most resident bytes so far, or those of now where the kernel does not say."""
        _, found, rest = os.pread(self._ever, 4096, 0).partition(b"VmHWM:")
        return int(rest.split()[0]) * 1024 if found else self.resident()
