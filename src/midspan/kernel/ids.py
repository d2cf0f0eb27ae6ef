"""Identifiers: random, derived from names, or seeded for tests."""

from __future__ import annotations

import base64
import hashlib
import os
import random
import secrets
import threading
import time
from collections.abc import Callable
from typing import Protocol

_VARIANTS = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""The digit that tells the variant of a UUID, by a random digit."""
_DRAWN = 4096
"""Random bytes that are drawn at once."""
_NOISE = 74
"""Bits of a version 7 UUID that are neither time nor version nor variant."""


class IdSource(Protocol):
    """Where a part gets new identifiers and secrets from."""

    def sys_id(self) -> str:
        """Return a new record id: 32 lower-case hexadecimal characters."""
        ...

    def uuid7(self) -> str:
        """Return a new time-ordered id (RFC 9562 version 7) with dashes, for runs and jobs."""
        ...

    def token(self, size: int = 32) -> str:
        """Return a new secret: URL-safe text of ``size`` random bytes."""
        ...


class RandomIds:
    """Identifiers from the operating system's random source; safe to use from many threads.

    It is asked for many bytes at once: to ask lets other threads of Python in, and each request
    has two identifiers.
    """

    def __init__(self, millis: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._clock = millis
        self._lock = threading.Lock()
        self._last = (0, 0)
        self._drawn = b""
        self._at = 0
        self._process = os.getpid()

    def sys_id(self) -> str:
        """Return 32 random hexadecimal characters (a version 4 UUID without dashes)."""
        text = self._draw(16).hex()
        return f"{text[:12]}4{text[13:16]}{_VARIANTS[text[16]]}{text[17:]}"

    def uuid7(self) -> str:
        """Return a version 7 UUID of the current millisecond, greater than all before.

        Events are handed out in the order of their ids, and several fall into one millisecond;
        the clock may also be set back (RFC 9562, 6.2, method 2).
        """
        with self._lock:
            millis, noise = self._last
            now = self._clock()
            if now > millis:
                self._last = now, secrets.randbits(_NOISE - 1)
            else:
                noise += 1 + secrets.randbits(32)
                self._last = (millis, noise) if noise < 2**_NOISE else (millis + 1, 0)
            return _uuid7(*self._last)

    def token(self, size: int = 32) -> str:
        """Return URL-safe text of ``size`` random bytes."""
        return base64.urlsafe_b64encode(self._draw(size)).rstrip(b"=").decode()

    def _draw(self, size: int) -> bytes:
        with self._lock:
            end = self._at + size
            if end > len(self._drawn) or self._process != os.getpid():  # a fork draws its own
                self._process = os.getpid()
                self._drawn, end = os.urandom(max(_DRAWN, size)), size
            self._at = end
            return self._drawn[end - size : end]


class SeededIds:
    """Reproducible identifiers for tests; never for secrets that protect anything."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - reproducible on purpose
        self._millis = 1_700_000_000_000

    def sys_id(self) -> str:
        """Return the next id of the seed's sequence."""
        return f"{self._random.getrandbits(128):032x}"

    def uuid7(self) -> str:
        """Return the next version 7 UUID; its time part counts up by one millisecond."""
        self._millis += 1
        return _uuid7(self._millis, self._random.getrandbits(_NOISE))

    def token(self, size: int = 32) -> str:
        """Return reproducible URL-safe text; twice ``size`` hexadecimal characters."""
        return f"{self._random.getrandbits(8 * size):0{2 * size}x}"


def derived_id(*parts: str) -> str:
    """Derive a record id from names, the same on every machine and in every release.

    >>> derived_id("sys_db_object", "incident") == derived_id("sys_db_object", "incident")
    True
    >>> len(derived_id("a"))
    32
    """
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


def _uuid7(millis: int, noise: int) -> str:
    """Put 48 bits of time, the version, 12 bits, the variant and 62 bits together."""
    high, low = noise >> 62, noise & (2**62 - 1)
    value = (millis & (2**48 - 1)) << 80 | 7 << 76 | high << 64 | 2 << 62 | low
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
