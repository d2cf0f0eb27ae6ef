"""An instance on each database, and a way to write the rules of its inbound traffic."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest

from midspan.api import Application
from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.records import delete, insert, update
from midspan.security import SYSTEM
from midspan.testing import open_instance

ADMIN = "6816f79cc0a8016401c5a33be04be441"
PASSWORD = "correct horse"
HERE = ("203.0.113.9", 4711)


class Site:
    """A node with its application, and a client that keeps no cookies by itself."""

    def __init__(self, instance: Instance, app: Application, runner: asyncio.Runner) -> None:
        self.instance = instance
        self.app = app
        self.clock: Any = instance.clock
        self._runner = runner

    def send(self, method: str, path: str, *, user: str = "", **kwargs: Any) -> httpx.Response:
        if user:
            kwargs["auth"] = (user, PASSWORD)
        return self._runner.run(self._send(method, path, **kwargs))

    async def _send(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, client=kwargs.pop("client", HERE))
        base = "http://inst.example.com"
        async with httpx.AsyncClient(transport=transport, base_url=base) as session:
            return await session.request(method, path, **kwargs)

    def write(self, *changes: Any) -> list[str]:
        with self.instance.records.write(SYSTEM, enforce=False) as records:
            return [records.apply(change).sys_id for change in changes]

    def change(self, table: str, sys_id: str, **values: str) -> None:
        self.write(update(table, sys_id, values))

    def rows(self, table: str, query: str = "") -> list[Any]:
        with self.instance.records.read(SYSTEM, enforce=False) as records:
            return records.find(table, query)


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
