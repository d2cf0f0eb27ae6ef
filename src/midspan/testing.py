"""Instances for tests: one inside the test process, or one that is served beside it."""

from __future__ import annotations

import json
import os
import secrets
import select
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

import httpx
from msgspec import Struct

from midspan.instance import Instance
from midspan.kernel.clock import Clock
from midspan.kernel.errors import Unavailable
from midspan.kernel.ids import IdSource
from midspan.kernel.settings import Settings

PASSWORD = "MIDSPAN_ADMIN_PASSWORD"  # noqa: S105 - the name of a variable
STARTS_WITHIN = timedelta(minutes=2)
"""Longer than any start takes; a guard against hanging only."""
ENDS_WITHIN = timedelta(seconds=40)
_SAID = 4000
"""How much of the log an error shows."""


@contextmanager
def open_instance(
    database: str = "", *, clock: Clock | None = None, ids: IdSource | None = None
) -> Iterator[Instance]:
    """Open a throw-away instance; ``database`` is a PostgreSQL URL, or empty for SQLite."""
    with tempfile.TemporaryDirectory(prefix="midspan-") as folder:
        settings = Settings(data=Path(folder), database=database, ephemeral=True)
        instance = Instance(settings, clock=clock, ids=ids)
        try:
            yield instance
        finally:
            instance.close()


class Served(Struct, frozen=True, kw_only=True):
    """A served instance, and what a client needs to use it."""

    url: str
    user: str = "admin"
    password: str
    ca: Path | None = None
    """The CA to trust; None where the instance speaks plain HTTP."""

    def reset(self) -> None:
        """Go back to the state right after the start, seeds included."""
        self._post("/reset")

    def save(self, name: str) -> None:
        """Save the present state as a snapshot.

        Raises:
            Unavailable: the instance refused it, as for ``reset`` and ``restore``.
        """
        self._post("/snapshots", {"name": name})

    def restore(self, name: str) -> None:
        """Go back to a snapshot."""
        self._post(f"/snapshots/{name}/restore")

    def client(self) -> httpx.Client:
        """Return a client that is signed in as admin; close it, or use it in a ``with``."""
        trusted = True if self.ca is None else ssl.create_default_context(cafile=self.ca)
        return httpx.Client(
            base_url=self.url,
            auth=(self.user, self.password),
            timeout=60,
            trust_env=False,
            verify=trusted,
        )

    def _post(self, path: str, body: object = None) -> None:
        with self.client() as client:
            answer = client.post(f"/api/midspan/v1{path}", json=body or {})
        if answer.is_error:
            raise Unavailable(f"The instance answered {answer.status_code}", detail=answer.text)


@contextmanager
def serve(
    *seeds: str | Path, options: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Iterator[Served]:
    """Run ``midspan serve --ephemeral`` in a process of its own, on any free port.

    ``options`` are further ones of the command; ``environment`` is added to this process's, for the
    variables that seeds name. Admin gets a password made for this run, unless it has one.

    Raises:
        Unavailable: it did not start; the detail is what it said.
    """
    variables = {PASSWORD: secrets.token_urlsafe(16), **os.environ, **(environment or {})}
    command = [sys.executable, "-m", "midspan", "serve", "--ephemeral", "--port", "0"]
    for seed in seeds:
        command += ["--seed", str(seed)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603 - this program
            [*command, *options], stdout=subprocess.PIPE, stderr=log, env=variables
        )
        try:
            ready = _ready(process, log)
            ca = Path(ready["ca"]) if "ca" in ready else None
            yield Served(url=ready["url"], password=variables[PASSWORD], ca=ca)
        finally:
            _end(process)


def _ready(process: subprocess.Popen[bytes], log: IO[bytes]) -> dict[str, Any]:
    """Wait for the one line of JSON that says where the instance is."""
    if process.stdout is not None:
        found, _, _ = select.select([process.stdout], [], [], STARTS_WITHIN.total_seconds())
        line = process.stdout.readline() if found else b""
        if line:
            said: dict[str, Any] = json.loads(line)
            return said
    log.seek(max(0, log.seek(0, os.SEEK_END) - _SAID))
    raise Unavailable("The instance did not start", detail=log.read().decode(errors="replace"))


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(ENDS_WITHIN.total_seconds())
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
