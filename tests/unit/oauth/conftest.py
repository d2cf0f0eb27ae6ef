"""An instance on each database with OAuth clients, and two ways to speak to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from midspan.api import create_app
from midspan.kernel.clock import ManualClock
from midspan.records import delete, insert
from midspan.testing import open_instance

from .. import site as node  # noqa: TID252 - tests are in no package that has a name

ADMIN = node.ADMIN
PASSWORD = node.PASSWORD
SECRET = "s3cret of the client"
WHO = "/api/now/table/sys_user?sysparm_fields=user_name&sysparm_query=user_name=ann"
ADMINISTRATORS = "/api/midspan/v1/tables"


class Site(node.Site):
    """A node whose clients ask for tokens."""

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

    def add(self, table: str, **values: str) -> str:
        return self.write(insert(table, values))[0]

    def remove(self, table: str, sys_id: str) -> None:
        self.write(delete(table, sys_id))


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
