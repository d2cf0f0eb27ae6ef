"""One instance per database for the tests of identification; each test has items of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.unit.cmdb.lab import Lab

from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.testing import open_instance


@pytest.fixture(scope="package", params=["sqlite", "postgresql"])
def instance(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> Iterator[Instance]:
    """Return an open instance on each database in turn."""
    url = new_database() if request.param == "postgresql" else ""
    with open_instance(url, clock=ManualClock()) as opened:
        yield opened


@pytest.fixture
def lab(instance: Instance) -> Lab:
    return Lab(instance)
