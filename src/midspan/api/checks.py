"""What a check of the doctor looks at, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from midspan.kernel.clock import Clock
from midspan.kernel.settings import Settings
from midspan.outbound import Outbound
from midspan.records import RecordStore


class Check(Struct, frozen=True):
    """What was found; ``status`` is ``ok``, ``warning`` or ``failed``."""

    name: str
    status: str
    message: str
    hint: str = ""
    """What to do; every finding that is not ``ok`` has one."""


class Examined(Struct, frozen=True, kw_only=True):
    """What the checks look at."""

    records: RecordStore
    clock: Clock
    settings: Settings
    outbound: Outbound | None = None
    hardening: Callable[[], Mapping[str, str]] | None = None
    """Returns what script workers gave up, by measure; the value says ``on`` or why not."""
