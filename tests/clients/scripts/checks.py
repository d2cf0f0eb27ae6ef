"""What every script of a client shares: where the instance is, and checks that are counted.

A script is run by the Python of the clients' environment, which has nothing of ours. It prints one
line of JSON: the client's version, and for each check whether it passed.
"""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

URL = os.environ["CLIENT_URL"]
"""``https://localhost:PORT``."""
HOST = URL.removeprefix("https://")
VENDOR_URL = os.environ["CLIENT_VENDOR_URL"]
"""The same instance as ``https://NAME.service-now.com``, through the proxy."""
PROXY = os.environ["CLIENT_PROXY"]
AUTHORITY = os.environ["CLIENT_AUTHORITY"]
"""PEM file of the authority to trust."""
USER, PASSWORD = os.environ["CLIENT_USER"], os.environ["CLIENT_PASSWORD"]
READER, READER_PASSWORD = os.environ["CLIENT_READER"], os.environ["CLIENT_READER_PASSWORD"]
"""A user without a role."""
CLIENT_ID, CLIENT_SECRET = os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"]
"""An OAuth client; without a user its tokens act as ``USER``."""

_CHECKS: list[tuple[str, Callable[[], object]]] = []


def check(function: Callable[[], object]) -> Callable[[], object]:
    """Count a function as a check; it fails by raising."""
    _CHECKS.append((function.__name__.replace("_", " "), function))
    return function


def equal(found: Any, expected: Any) -> None:
    """Fail unless both are the same."""
    if found != expected:
        raise AssertionError(f"expected {expected!r}, found {found!r}")


def holds(condition: Any, found: Any = "") -> None:
    """Fail unless the condition is true; ``found`` says what was there instead."""
    if not condition:
        raise AssertionError(f"does not hold: {found!r}")


@contextmanager
def refused(*errors: type[BaseException], says: str = "") -> Any:
    """Expect one of these errors, with a text in it."""
    try:
        yield
    except errors as error:
        if says not in f"{error} {error!r} {error.args}":
            raise AssertionError(f"expected {says!r} in {error!r}") from error
    else:
        raise AssertionError(f"not refused with {' or '.join(e.__name__ for e in errors)}")


def run(distribution: str, part: str = "") -> None:
    """Do the checks in order and print what came out; ``part`` is the version of what it runs."""
    results = []
    for name, function in _CHECKS:
        problem = ""
        try:
            function()
        except Exception:
            problem = traceback.format_exc()
        results.append({"name": name, "problem": problem})
    print(json.dumps({"version": part or version(distribution), "checks": results}))  # noqa: T201
