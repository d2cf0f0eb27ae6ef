"""Few large bodies are read at the same time, and small requests do not wait for them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import httpx
import pytest
from tests.guard import GUARD

from midspan.api import Application, Public, Request, Response, Route, Router
from midspan.api.app import LARGE_BODY
from midspan.kernel.clock import ManualClock
from midspan.testing import open_instance


class Reader:
    """A handler that notes how many of its calls run at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._meeting = threading.Barrier(2)
        self._now = 0
        self.most = 0
        self.go = threading.Event()

    def __call__(self, request: Request) -> Response:
        """Wait for a second call with a large body, and for the small one to be answered."""
        if len(request.body) <= LARGE_BODY:
            self.go.set()
            return Response(200, b"small", "text/plain")
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        self._meeting.wait(GUARD)
        self.go.wait(GUARD)
        with self._lock:
            self._now -= 1
        return Response(200, b"large", "text/plain")


@pytest.fixture
def app() -> Iterator[Application]:
    with open_instance(clock=ManualClock()) as instance:
        found = instance.application()
        yield found
        found.close()


def test_two_large_bodies_are_read_at_once_and_small_ones_pass(app: Application) -> None:
    reader = Reader()
    access = Public("test")
    route = Route(name="t", methods=("POST",), path="/t", handler=reader, access=access)
    app.router = Router((*app.router.routes(), route))

    async def send_all() -> list[str]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://inst.example") as client:
            large = [client.post("/t", content=b"x" * (LARGE_BODY + 1)) for _ in range(6)]
            answers = await asyncio.gather(*large, client.post("/t", content=b"x"))
        return [answer.text for answer in answers]

    assert asyncio.run(send_all()) == ["large"] * 6 + ["small"]
    assert reader.most == 2
