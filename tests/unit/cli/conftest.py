"""One served instance for all tests of the commands, and a way to run a command against it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import Struct
from tests.guard import GUARD

PASSWORD = "a long password"


class Outcome(Struct):
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def environment(**more: str) -> dict[str, str]:
    clean = {name: text for name, text in os.environ.items() if not name.startswith("MIDSPAN_")}
    return {**clean, **more}


def run(*arguments: str | Path, **variables: str) -> Outcome:
    """Run ``midspan`` in a process of its own; keyword arguments are environment variables."""
    done = subprocess.run(
        [sys.executable, "-m", "midspan", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=environment(**variables),
        timeout=GUARD,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def password() -> str:
    """Return the password of admin."""
    return PASSWORD


@pytest.fixture(scope="package")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an instance of this package's tests."""
    errors = tmp_path_factory.mktemp("served") / "stderr"
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "midspan", "serve", "--ephemeral", "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment(MIDSPAN_ADMIN_PASSWORD=PASSWORD),
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, errors.read_text()
    yield json.loads(line)["url"]
    process.terminate()
    assert process.wait(GUARD) == 0
    process.stdout.close()


@pytest.fixture
def midspan(url: str) -> Callable[..., Outcome]:
    """Return a function that runs a command as admin of the served instance."""

    def command(*arguments: str | Path, **variables: str) -> Outcome:
        return run(*arguments, **{"MIDSPAN_URL": url, "MIDSPAN_PASSWORD": PASSWORD, **variables})

    return command


@pytest.fixture(scope="session")
def offline() -> Callable[..., Outcome]:
    """Return a function that runs a command without any instance."""
    return run


@pytest.fixture
def put(url: str) -> Callable[[str, dict[str, str]], None]:
    """Return a function that changes a record as an administrator would in a form."""

    def change(path: str, values: dict[str, str]) -> None:
        answer = httpx.patch(
            f"{url}/api/now/table/{path}", json=values, auth=("admin", PASSWORD), timeout=GUARD
        )
        answer.raise_for_status()

    return change
