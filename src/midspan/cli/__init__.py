"""The command ``midspan``: starts an instance, and talks HTTP to a running one.

Everything is imported where it is used, so that a command loads only what it needs.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status as listed in ``midspan.cli.status``."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments in (["--version"], ["-V"]):
        from midspan_sdk.version import __version__

        sys.stdout.write(f"midspan {__version__}\n")
        return 0
    if arguments[:1] == ["serve"]:
        gc.disable()  # nothing of what it imports is garbage; memory.end_start ends this
    from midspan.cli.commands import run

    return run(arguments)
