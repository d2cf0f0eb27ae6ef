"""Every route says beside its handler what it takes and what it answers."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from midspan.api import Route
from midspan.api.description import Each
from midspan.api.strict import KNOWN
from midspan.testing import open_instance


@pytest.fixture(scope="module")
def routes() -> Iterator[tuple[Route, ...]]:
    with open_instance() as instance:
        app = instance.application()
        yield app.router.routes()
        app.close()


def test_every_route_has_a_description(routes: tuple[Route, ...]) -> None:
    assert [route.name for route in routes if route.description is None] == []


def test_a_description_names_each_segment_of_its_path(routes: tuple[Route, ...]) -> None:
    wrong = []
    for route in routes:
        assert route.description is not None
        inside = set(re.findall(r"\{([a-z_]+)(?::path)?\}", route.path))
        if route.description.each is Each.TABLE:
            inside.discard("table")
        named = {each.name for each in route.description.parameters if each.place == "path"}
        if named != inside:
            wrong.append((route.name, named, inside))
    assert wrong == []


def test_a_description_says_what_comes_back(routes: tuple[Route, ...]) -> None:
    said = {route.name: route.description.answers for route in routes if route.description}
    assert [name for name, answers in said.items() if min(answers) >= 400] == []
    summaries = {route.name: route.description.summary for route in routes if route.description}
    assert [name for name, summary in summaries.items() if not summary.strip()] == []


def test_the_table_api_describes_the_parameters_that_it_knows(routes: tuple[Route, ...]) -> None:
    named = {
        parameter.name
        for route in routes
        if route.description is not None and route.name.startswith("table.")
        for parameter in route.description.parameters
        if parameter.place == "query"
    }
    assert named == KNOWN
