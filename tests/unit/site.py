"""An application in this process, and a client that keeps no cookies by itself."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from midspan.api import Application
from midspan.instance import Instance
from midspan.records import update
from midspan.security import SYSTEM

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
