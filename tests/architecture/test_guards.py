"""No test fails because a machine is busy: whoever asks over a socket says how long it waits."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
CALLS = {"get", "post", "put", "patch", "delete", "head", "request", "stream"}
CLIENTS = {"Client", "AsyncClient"}


def hasty(text: str) -> Iterator[int]:
    """Yield the lines that leave it to httpx to give up, which it does after five seconds.

    A transport of its own leads to no socket.
    """
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "httpx"
            and node.func.attr in CALLS | CLIENTS
            and not {keyword.arg for keyword in node.keywords} & {"timeout", "transport"}
        ):
            yield node.lineno


def test_hasty_calls_are_found() -> None:
    assert list(hasty("import httpx\nhttpx.get(url)\nhttpx.get(url, timeout=9)\n")) == [2]
    assert list(hasty("httpx.AsyncClient(transport=wire)\nhttpx.Client(auth=me)\n")) == [2]


def test_every_request_over_a_socket_says_how_long_it_waits() -> None:
    found = [
        f"{path.relative_to(TESTS)}:{line}"
        for path in sorted(TESTS.rglob("*.py"))
        for line in hasty(path.read_text())
    ]
    assert not found, f"give timeout=GUARD, from tests.guard: {', '.join(found)}"
