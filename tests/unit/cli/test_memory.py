"""The limits of the C library's heaps: large blocks go back as soon as they are freed."""

from __future__ import annotations

import platform
import subprocess
import sys
import threading

import psutil
import pytest

from midspan.cli.memory import HeapKeeper

PROBE = """
import sys, threading
from pathlib import Path
if sys.argv[1] == "bound":
    from midspan.cli.memory import bound_heaps
    assert bound_heaps()
def resident():
    line = next(l for l in Path("/proc/self/status").read_text().splitlines() if l[:6] == "VmRSS:")
    return int(line.split()[1]) * 1024
blocks = [b"x" * 24_000_000]
blocks.clear()  # from here on glibc would take such blocks from its heaps
before = resident()
blocks = [b"x" * 20_000_000, b"y" * 1_000_000, b"z" * 300_000]
kept = blocks.pop()  # lies above the others in a heap
blocks.clear()
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_large_blocks_go_back_to_the_system() -> None:
    grown = {how: int(_probe(how)) for how in ("bound", "free")}
    assert grown["bound"] < 2_000_000
    assert grown["free"] > 15_000_000  # else this test sees nothing


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these calls")
def test_what_lies_free_below_a_block_in_use_goes_back() -> None:
    keeper, process = HeapKeeper(), psutil.Process()
    blocks = [b"x" * 3_000 + b"%d" % number for number in range(10_000)]
    full = process.memory_info().rss
    kept = blocks.pop()
    blocks.clear()
    free = keeper.free()
    assert free > 15_000_000
    assert keeper.tidy()
    assert full - process.memory_info().rss > 15_000_000
    assert len(kept) > 3_000


def test_a_keeper_that_was_never_started_can_be_stopped() -> None:
    keeper = HeapKeeper()
    keeper.stop()
    keeper = HeapKeeper()
    keeper.start()
    keeper.stop()
    assert "heap-keeper" not in {thread.name for thread in threading.enumerate()}


def _probe(how: str) -> str:
    command = [sys.executable, "-c", PROBE, how]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout
