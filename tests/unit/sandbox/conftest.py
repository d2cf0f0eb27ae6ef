"""A pool that the tests of the sandbox share, and the prelude with which scripts reach the host."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from midspan.sandbox import JsonValue, SandboxPool, SandboxSession, Script

PRELUDE = Script(
    "prelude/call.js",
    """
    var secret = 1;
    globalThis.call = function (name) {
      return __host(name, Array.prototype.slice.call(arguments, 1));
    };
    """,
)


def echo(name: str, arguments: list[JsonValue]) -> JsonValue:
    """Answer every call with its name and arguments."""
    return [name, arguments]


@pytest.fixture(scope="session")
def pool() -> Iterator[SandboxPool]:
    """Lend workers for the whole test run."""
    with SandboxPool(size=2, prelude=[PRELUDE]) as pool:
        yield pool


@pytest.fixture
def session(pool: SandboxPool) -> Iterator[SandboxSession]:
    """Open a session whose host echoes."""
    with pool.session(echo) as session:
        yield session
