"""A service of Scripted REST in an instance on each database, and how tests ask it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx

from midspan.api import ApiParts, Application, create_app
from midspan.api.scripted import ScriptedRest
from midspan.instance import Instance
from midspan.kernel.clock import Clock
from midspan.kernel.ids import derived_id
from midspan.records import insert, update
from midspan.sandbox import Limits
from midspan.scripting import ScriptRunner, open_pool
from midspan.security import SYSTEM
from midspan.testing import open_instance

MARY, PETER = ("mary", "Secret1!"), ("peter", "Secret1!")
SERVICE = derived_id("scripted-test", "service")
BASE = "/api/x_acme/orders"
LIMITS = Limits(wall=timedelta(seconds=2), cpu=timedelta(seconds=2), memory=32 * 1024 * 1024)


async def send(app: Application, method: str, path: str, **more: Any) -> httpx.Response:
    """Send one request through the application."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.request(method, path, **more)


def parts_of(instance: Instance, scripted: ScriptedRest) -> ApiParts:
    """Return what an application of this instance with scripted services is made of."""
    return ApiParts(
        records=instance.records,
        identities=instance.identities,
        clock=instance.clock,
        ids=instance.ids,
        extra_routes=(scripted.route,),
    )


class Acme:
    """One instance with its application and the service ``orders``."""

    def __init__(self, instance: Instance, app: Application) -> None:
        self.instance = instance
        self.app = app
        self._made = 0

    def write(self, table: str, values: dict[str, str], sys_id: str = "") -> str:
        """Insert a record and return its id."""
        with self.instance.records.write(SYSTEM, enforce=False) as transaction:
            return transaction.apply(insert(table, values, sys_id=sys_id)).sys_id

    def change(self, table: str, sys_id: str, values: dict[str, str]) -> None:
        """Update a record."""
        with self.instance.records.write(SYSTEM, enforce=False) as transaction:
            transaction.apply(update(table, sys_id, values))

    def resource(self, path: str, script: str, method: str = "GET", **more: str) -> str:
        """Add a resource to the service and return its id."""
        values = {
            "name": path,
            "web_service_definition": SERVICE,
            "http_method": method,
            "relative_path": path,
            "operation_script": script,
        }
        return self.write("sys_ws_operation", {**values, **more})

    def serve(self, body: str, method: str = "GET", **more: str) -> str:
        """Add a resource whose function has this body, at a path of its own; return the path."""
        self._made += 1
        text = f"(function process(request, response) {{\n{body}\n}})(request, response);"
        self.resource(f"/made{self._made}", text, method, **more)
        return f"{BASE}/made{self._made}"

    def ask(self, path: str, method: str = "GET", auth: Any = MARY, **more: Any) -> Any:
        """Send a request as Mary, or as nobody with ``auth=None``."""

        return asyncio.run(send(self.app, method, path, auth=auth, **more))

    def count(self, query: str) -> int:
        """Return how many incidents match."""
        with self.instance.records.read(SYSTEM) as transaction:
            return len(transaction.find("incident", query))


@contextmanager
def served_acme(url: str = "", clock: Clock | None = None) -> Iterator[Acme]:
    """Yield an instance as it is found in a database, with scripted services in its application."""
    with open_instance(url, clock=clock) as instance, open_pool(3, limits=LIMITS) as pool:
        scripted = ScriptedRest(ScriptRunner(pool), threads=3)
        app = create_app(parts_of(instance, scripted))
        scripted.attach(app.router)
        try:
            yield Acme(instance, app)
        finally:
            scripted.close()
            app.close()


@contextmanager
def opened_acme(url: str = "", clock: Clock | None = None) -> Iterator[Acme]:
    """Yield a new instance with the users mary (a clerk) and peter and the service ``orders``."""
    with served_acme(url, clock) as opened:
        for name, password in (MARY, PETER):
            values = {"user_name": name, "user_password": password, "first_name": name.title()}
            opened.write("sys_user", values)
        role = opened.write("sys_user_role", {"name": "clerk"})
        with opened.instance.records.read(SYSTEM) as transaction:
            mary = transaction.first("sys_user", "user_name=mary")
        assert mary is not None
        opened.write("sys_user_has_role", {"user": mary.sys_id, "role": role})
        definition = {"name": "Orders", "service_id": "orders", "namespace": "x_acme"}
        opened.write("sys_ws_definition", definition, SERVICE)
        yield opened
