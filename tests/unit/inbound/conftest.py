"""An instance on each database, and a way to write the rules of its inbound traffic."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from midspan.kernel.clock import ManualClock
from midspan.records import delete, insert
from midspan.testing import open_instance

from ..site import ADMIN as ADMIN  # noqa: TID252 - tests are in no package that has a name
from ..site import HERE as HERE  # noqa: TID252
from ..site import PASSWORD as PASSWORD  # noqa: TID252
from ..site import Site as Site  # noqa: TID252


class Made:
    """Adds records that go again after the test, the last one first."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._rows: list[tuple[str, str]] = []

    def __call__(self, table: str, **values: str) -> str:
        return self.add(table, values)

    def add(self, table: str, values: dict[str, str]) -> str:
        sys_id = self._site.write(insert(table, values))[0]
        self._rows.append((table, sys_id))
        return sys_id

    def end(self) -> None:
        self._site.write(*(delete(table, sys_id) for table, sys_id in reversed(self._rows)))


@contextmanager
def opened(url: str, clock: ManualClock) -> Iterator[Site]:
    with open_instance(url, clock=clock) as instance, asyncio.Runner() as runner:
        app = instance.application()
        yield Site(instance, app, runner)
        app.close()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> Iterator[Site]:
    with opened(new_database() if request.param == "postgresql" else "", ManualClock()) as site:
        site.change("sys_user", ADMIN, user_password=PASSWORD)
        yield site


@pytest.fixture
def made(site: Site) -> Iterator[Made]:
    site.clock.advance(timedelta(hours=1))  # counts and waits of other tests are over
    made = Made(site)
    yield made
    made.end()


@pytest.fixture
def ann(made: Made) -> str:
    """A user without a role; her sys_id."""
    return made("sys_user", user_name="ann", name="Ann", user_password=PASSWORD)


@pytest.fixture
def bo(made: Made) -> str:
    """Another one."""
    return made("sys_user", user_name="bo", name="Bo", user_password=PASSWORD)
