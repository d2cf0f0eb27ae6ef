"""The two HTTP servers that an instance can listen with, inside its own process.

Both are given a socket that listens already: whoever connects between the ready line and the
server's first look waits in the backlog instead of being refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct
from starlette.types import ASGIApp

from midspan.kernel.errors import InvalidRequest, Unavailable

BACKLOG = 1024
SERVERS = ("granian", "uvicorn")


class PortTaken(Unavailable):
    """Another process listens on the address."""

    code = "MS610"


class Tls(Struct, frozen=True):
    """Files of a certificate chain and its key, both PEM."""

    certificate: Path
    key: Path


Running = tuple[Callable[[], Awaitable[None]], Callable[[], None]]
"""What serves until it is stopped, and what stops it."""


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes any free one.

    Raises:
        PortTaken: somebody else has it.
        InvalidRequest: the host is none of this machine's addresses.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise InvalidRequest(f"Cannot listen on {host}", detail=str(error)) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections take it over. Else the body of an answer waits 40 ms for a receipt of its head
        # where asyncio writes both: it looks at a socket's protocol, and those here say none.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == 98 or "in use" in str(error):
            raise PortTaken(
                f"Another process listens on {host}:{port}",
                hint="Stop it, or name another port with --port (0 takes any free one).",
            ) from error
        raise InvalidRequest(f"Cannot listen on {host}:{port}", detail=str(error)) from error
    return listener


def make_server(name: str, app: ASGIApp, listener: socket.socket, tls: Tls | None) -> Running:
    """Return how to run and how to stop a server of this name.

    Raises:
        InvalidRequest: no such server, or it is not installed.
    """
    if name not in SERVERS:
        raise InvalidRequest(f"There is no server {name}", hint=f"Known: {', '.join(SERVERS)}.")
    if importlib.util.find_spec(name) is None:
        raise InvalidRequest(f"{name} is not installed", hint=f"pip install {name}")
    return (_granian if name == "granian" else _uvicorn)(app, listener, tls)


def _granian(app: ASGIApp, listener: socket.socket, tls: Tls | None) -> Running:
    from granian.constants import Interfaces
    from granian.server.embed import Server

    holder: Any = importlib.import_module("granian.net").SocketHolder  # absent from its stubs

    class OnSocket(Server):
        """Uses a socket that exists instead of binding one."""

        def _init_shared_socket(self) -> None:
            self._shd: Any = holder(listener.detach(), False, BACKLOG)

    host, port = listener.getsockname()[:2]
    quiet: dict[str, Any] = {"handlers": {}, "formatters": {}, "loggers": {}}
    server = OnSocket(
        app,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        websockets=False,
        backlog=BACKLOG,
        log_dictconfig=quiet,
        ssl_cert=tls.certificate if tls else None,
        ssl_key=tls.key if tls else None,
    )
    logging.getLogger("_granian").setLevel(logging.ERROR)
    return server.serve, server.stop


def _uvicorn(app: ASGIApp, listener: socket.socket, tls: Tls | None) -> Running:
    import uvicorn

    class OnLoop(uvicorn.Server):
        """Leaves the process's signals to the node."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    files: dict[str, Any] = {}
    if tls:
        files = {"ssl_certfile": str(tls.certificate), "ssl_keyfile": str(tls.key)}
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="on",
        server_header=False,
        proxy_headers=False,  # the application decides whom to believe, so it has to see the peer
        **files,
    )
    server = OnLoop(config)
    logging.getLogger("uvicorn").setLevel(logging.ERROR)

    async def serve() -> None:
        await server.serve(sockets=[listener])

    def stop() -> None:
        server.should_exit = True

    return serve, stop


async def until_first(*awaitables: Awaitable[Any]) -> None:
    """Wait until one of several things happened; an error of any of them is raised."""
    tasks = [asyncio.ensure_future(each) for each in awaitables]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
