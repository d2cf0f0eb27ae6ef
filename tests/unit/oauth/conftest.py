"""An instance on each database with OAuth clients, and two ways to speak to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from midspan.api import Application, create_app
from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.records import delete, insert, update
from midspan.security import SYSTEM
from midspan.testing import open_instance

ADMIN = "6816f79cc0a8016401c5a33be04be441"
PASSWORD = "correct horse"
SECRET = "s3cret of the client"
WHO = "/api/now/table/sys_user?sysparm_fields=user_name&sysparm_query=user_name=ann"
ADMINISTRATORS = "/api/midspan/v1/tables"


class Site:
    """An application, its clock and a client that keeps no cookies by itself."""

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
        client = kwargs.pop("client", ("203.0.113.9", 4711))
        transport = httpx.ASGITransport(self.app, client=client)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://inst.example.com"
        ) as session:
            return await session.request(method, path, **kwargs)

    def token(self, **values: str) -> httpx.Response:
        """Ask for a token as the client ``app``, unless the values say otherwise."""
        given = {"client_id": "app", "client_secret": SECRET, **values}
        form = {name: value for name, value in given.items() if value}
        return self.send("POST", "/oauth_token.do", data=form)

    def by_password(self, user: str = "ann", **values: str) -> dict[str, Any]:
        answer = self.token(grant_type="password", username=user, password=PASSWORD, **values)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def status(self, token: str, path: str = WHO) -> int:
        return self.send("GET", path, headers=bearer(token)).status_code

    def change(self, table: str, sys_id: str, **values: str) -> None:
        with self.instance.records.write(SYSTEM, enforce=False) as records:
            records.apply(update(table, sys_id, values))

    def add(self, table: str, **values: str) -> str:
        with self.instance.records.write(SYSTEM, enforce=False) as records:
            return records.apply(insert(table, values)).sys_id

    def remove(self, table: str, sys_id: str) -> None:
        with self.instance.records.write(SYSTEM, enforce=False) as records:
            records.apply(delete(table, sys_id))

    def rows(self, table: str, query: str = "") -> list[Any]:
        with self.instance.records.read(SYSTEM, enforce=False) as records:
            return records.find(table, query)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> Iterator[Site]:
    url = new_database() if request.param == "postgresql" else ""
    with open_instance(url, clock=ManualClock()) as instance, asyncio.Runner() as runner:
        app = create_app(instance.api_parts())
        site = Site(instance, app, runner)
        site.change("sys_user", ADMIN, user_password=PASSWORD)
        for name, secret in (("app", SECRET), ("other", "another secret")):
            site.add("oauth_entity", name=name, client_id=name, client_secret=secret)
        yield site
        app.close()


@pytest.fixture
def ann(site: Site) -> Iterator[str]:
    """The sys_id of a fresh user ``ann`` without a role; gone after the test."""
    site.clock.advance(timedelta(hours=1))  # what other tests got wrong is forgiven
    sys_id = site.add("sys_user", user_name="ann", name="Ann", user_password=PASSWORD)
    yield sys_id
    site.remove("sys_user", sys_id)
