"""One instance with its HTTP surface in process, for tests of the API's parts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from midspan.api import ApiParts, Application, Request, Response, Route, SignedIn, create_app
from midspan.api.router import HandlerDecides, Role
from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.records import delete, insert, update
from midspan.security import SYSTEM
from midspan.testing import open_instance

from .acme import Acme, opened_acme

ADMIN = "6816f79cc0a8016401c5a33be04be441"
USER = "a" * 32
PASSWORD = "correct horse"


class Site:
    """An application with a client that keeps no cookies by itself."""

    def __init__(self, instance: Instance, app: Application, runner: asyncio.Runner) -> None:
        self.instance = instance
        self.app = app
        self._runner = runner

    def send(self, method: str, path: str, *, user: str = "", **kwargs: Any) -> httpx.Response:
        auth = (user, PASSWORD) if user else None
        return self._runner.run(self._send(method, path, auth=auth, **kwargs))

    async def _send(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://inst.example.com"
        ) as client:
            return await client.request(method, path, **kwargs)


def parts_of(instance: Instance, **changes: Any) -> ApiParts:
    parts = ApiParts(
        records=instance.records,
        identities=instance.identities,
        clock=instance.clock,
        ids=instance.ids,
        node=instance.node,
        display_rules=instance.rules,
    )
    return replace(parts, **changes)


def boom(request: Request) -> Response:
    raise RuntimeError("the secret of the server room")


async def sizes(request: Request) -> Response:
    assert request.stream is not None
    total = 0
    async for chunk in request.stream():
        total += len(chunk)

    async def pieces() -> Any:
        yield str(total).encode()
        yield b" bytes"

    return Response(200, pieces(), "text/plain")


def whoami(request: Request) -> Response:
    return Response(200, (request.actor.user_name or "nobody").encode(), "text/plain")


EXTRA = (
    Route(name="t.boom", methods=("GET",), path="/api/t/boom", handler=boom, access=SignedIn()),
    Route(
        name="t.sizes",
        methods=("POST",),
        path="/api/t/sizes",
        handler=sizes,
        access=SignedIn(),
        stream_body=True,
    ),
    Route(
        name="t.admin", methods=("GET",), path="/api/t/admin", handler=whoami, access=Role("admin")
    ),
    Route(
        name="t.open",
        methods=("GET",),
        path="/api/t/open",
        handler=whoami,
        access=HandlerDecides("a test"),
    ),
)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with open_instance(clock=ManualClock()) as instance, asyncio.Runner() as runner:
        with instance.records.write(SYSTEM, enforce=False) as records:
            records.apply(update("sys_user", ADMIN, {"user_password": PASSWORD}))
            values = {"user_name": "ann", "name": "<Ann>", "user_password": PASSWORD}
            records.apply(insert("sys_user", values, sys_id=USER))
            records.apply(
                insert(
                    "incident", {"short_description": "<script>", "caller_id": USER}, sys_id=USER
                )
            )
        parts = parts_of(instance, extra_routes=EXTRA)
        app = create_app(parts)
        yield Site(instance, app, runner)
        app.close()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def acme(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> Iterator[Acme]:
    with opened_acme(new_database() if request.param == "postgresql" else "") as opened:
        yield opened


@pytest.fixture
def postgres_site(new_database: Callable[[], str]) -> Iterator[Site]:
    """A site on a PostgreSQL database of its own."""
    with open_instance(new_database(), clock=ManualClock()) as instance:
        with instance.records.write(SYSTEM, enforce=False) as records:
            records.apply(update("sys_user", ADMIN, {"user_password": PASSWORD}))
        with asyncio.Runner() as runner:
            app = create_app(parts_of(instance))
            yield Site(instance, app, runner)
            app.close()


@pytest.fixture
def make_app(site: Site) -> Iterator[Callable[..., Site]]:
    made: list[Application] = []

    def make(**changes: Any) -> Site:
        app = create_app(parts_of(site.instance, **changes))
        made.append(app)
        return Site(site.instance, app, site._runner)

    yield make
    for app in made:
        app.close()


@contextmanager
def properties(site: Site, **values: str) -> Iterator[None]:
    """Set system properties, ``_`` for a dot and ``__`` for ``_``, and take them away again."""
    made = []
    with site.instance.records.write(SYSTEM, enforce=False) as transaction:
        for name, value in values.items():
            real = name.replace("__", "#").replace("_", ".").replace("#", "_")
            made.append(
                transaction.apply(insert("sys_properties", {"name": real, "value": value})).sys_id
            )
    yield
    with site.instance.records.write(SYSTEM, enforce=False) as transaction:
        for sys_id in made:
            transaction.apply(delete("sys_properties", sys_id))
