"""The live router against the reviewed list of routes and their access rules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from midspan.api import HandlerDecides, Public, Role, Route
from midspan.testing import open_instance

LIST = Path(__file__).parents[2] / "architecture" / "public_routes.txt"


def line(route: Route) -> str:
    match route.access:
        case Public():
            rule = f"public: {route.access.reason}"
        case HandlerDecides():
            rule = f"handler decides: {route.access.reason}"
        case Role():
            rule = f"role: {route.access.name}"
        case _:
            rule = "signed in"
    return f"{','.join(route.methods)} {route.path} | {rule}"


@pytest.fixture(scope="module")
def routes() -> Iterator[list[Route]]:
    """Every route of an instance as it is served."""
    with open_instance() as instance:
        yield list(instance.application().router.routes())


def test_routes_are_those_that_were_reviewed(routes: list[Route]) -> None:
    live = sorted(line(route) for route in routes)
    reviewed = [text for text in LIST.read_text().splitlines() if text and text[0] != "#"]
    assert live == reviewed, "Review the difference, then bring the list up to date"


def test_public_routes_give_a_reason(routes: list[Route]) -> None:
    for route in routes:
        if isinstance(route.access, Public | HandlerDecides):
            assert len(route.access.reason) > 20, route.name
