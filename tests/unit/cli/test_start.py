"""An instance on SQLite starts without the libraries that few of its answers need."""

from __future__ import annotations

import subprocess
import sys

LATER = ("httpx", "psycopg", "xlsxwriter", "cryptography.x509")


def test_heavy_libraries_are_imported_at_their_first_use() -> None:
    program = f"import sys, midspan.cli.node; print([n for n in {LATER} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout == "[]\n"
