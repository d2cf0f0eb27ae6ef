"""Instances in processes of their own, started as a user would."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.guard import GUARD


class Node:
    """One ``midspan serve`` process."""

    def __init__(self, arguments: list[str], environment: dict[str, str], errors: Path) -> None:
        self.errors = errors
        clean = {name: text for name, text in os.environ.items() if not name.startswith("MIDSPAN_")}
        with errors.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "midspan", "serve", *arguments],
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**clean, **environment},
            )

    def ready(self) -> Any:
        """Return the ready line; fail when the process ends or says nothing."""
        assert self.process.stdout is not None
        found, _, _ = select.select([self.process.stdout], [], [], GUARD)
        line = self.process.stdout.readline() if found else b""
        assert line, self.errors.read_text()
        return json.loads(line)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(GUARD)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Return a function that starts a node; keyword arguments are environment variables."""
    nodes: list[Node] = []

    def begin(*arguments: str, **environment: str) -> Node:
        node = Node([*arguments], environment, tmp_path / f"stderr-{len(nodes)}")
        nodes.append(node)
        return node

    yield begin
    for node in nodes:
        node.end()
