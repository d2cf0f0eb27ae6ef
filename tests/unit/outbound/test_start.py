"""An instance starts without the HTTP library, which takes longer than all the rest."""

from __future__ import annotations

import subprocess
import sys


def test_http_is_imported_at_the_first_call_only() -> None:
    program = "import sys, midspan.instance; print('httpx' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout == "False\n"
