"""Processes that the demo starts, and that end with it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from midspan.demo.scenario import NotAsPromised

PATIENCE = 60.0
"""Seconds that a process may take until it says that it is ready."""


class Process:
    """A Python module run as a process of its own; ready when it printed one line of JSON."""

    def __init__(
        self, module: str, args: Sequence[str], log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.module = module
        self.log = log
        self._out = log.open("wb")
        self._process = subprocess.Popen(  # noqa: S603 - our own modules
            [sys.executable, "-m", module, *args],
            stdout=subprocess.PIPE,
            stderr=self._out,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ready(self) -> Any:
        """Wait for the line that says it is ready and return what it says.

        Raises:
            NotAsPromised: it ended, or said nothing in time; the message shows its last words.
        """
        pipe = self._process.stdout
        if pipe is None:
            raise NotAsPromised(f"{self.module} has no output")
        deadline = time.monotonic() + PATIENCE
        line = b""
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or self._process.poll() is not None:
                raise NotAsPromised(f"{self.module} did not start: {self._last_words()}")
            if select.select([pipe], [], [], min(left, 0.2))[0]:
                chunk = os.read(pipe.fileno(), 65_536)
                line += chunk
        return json.loads(line)

    def stop(self) -> None:
        """End it, politely first."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._out.close()

    def _last_words(self) -> str:
        self._out.flush()
        return self.log.read_text(errors="replace")[-1000:]
