"""The same application under granian, the server that ``serve`` starts."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import httpx
from granian.constants import Interfaces
from granian.server.embed import Server
from tests.guard import GUARD

from midspan.api import ApiParts, create_app
from midspan.testing import open_instance


async def ask(app: Any) -> list[httpx.Response]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server: Any = Server(app, port=port, interface=Interfaces.ASGI, log_enabled=False)
    task = asyncio.create_task(server.serve())
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=GUARD) as client:
            return [
                await answered(client, path)
                for path in (
                    "/healthz",
                    "/readyz",
                    "/api/now/table/incident",
                    "/healthz/%2e%2e/api/now/table/incident",
                    "/api/now;x.css/table/incident",
                    "/healthz%2f..%2fapi",
                )
            ]
    finally:
        server.stop()
        await task


async def answered(client: httpx.AsyncClient, path: str) -> httpx.Response:
    """Ask until the server listens."""
    for _ in range(200):
        try:
            return await client.get(path)
        except httpx.ConnectError:
            await asyncio.sleep(0.05)
    raise AssertionError("granian did not start to listen within 10 seconds")


def test_granian_serves_the_application() -> None:
    with open_instance() as instance:
        app = create_app(
            ApiParts(
                records=instance.records,
                identities=instance.identities,
                clock=instance.clock,
                ids=instance.ids,
            )
        )
        answers = asyncio.run(ask(app))
        app.close()
    assert [answer.status_code for answer in answers] == [200, 200, 401, 400, 400, 400]
    assert answers[2].headers["www-authenticate"] == 'BASIC realm="Service-now"'
