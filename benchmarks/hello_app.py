"""The engine behind HTTP with nothing around it: one script for every request, in bare workers.

The peer of a Scripted REST resource. It has the instance's HTTP server, its workers and a thread
for each of them; no routes, sign-in, access rules, configuration, prelude or rewrite.
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
from limit_app import listen

from midspan.sandbox import SandboxPool, Script


class HelloApp:
    """Answers each request with the value of a script, run in a context of its own."""

    def __init__(self, pool: SandboxPool, script: Script, workers: int) -> None:
        self._pool = pool
        self._script = script
        self._threads = ThreadPoolExecutor(workers)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        loop = asyncio.get_running_loop()
        body = await loop.run_in_executor(self._threads, self._answer)
        headers = [
            (b"content-type", b"application/json;charset=UTF-8"),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer(self) -> bytes:
        with self._pool.session(lambda name, arguments: None) as session:
            return orjson.dumps({"result": session.run(self._script)})


def main(text: str, workers: int) -> None:
    """Serve the value of ``text`` until SIGTERM."""
    with SandboxPool(size=workers) as pool:
        app = HelloApp(pool, Script("hello", text), workers)
        asyncio.run(listen(app))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
