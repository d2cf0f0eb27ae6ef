"""A real HTTP server on loopback that answers by path and remembers what it was asked."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Call:
    """One request as it arrived."""

    def __init__(self, method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> None:
        self.method = method
        self.path = path
        self.headers = {name.lower(): value for name, value in headers}
        self.body = body
        self.certificate: Mapping[str, Any] = {}
        """What the caller showed, as ``SSLSocket.getpeercert`` has it."""


class Peer:
    """``answers`` gives status, header fields and body by path; other paths answer 200."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answers: dict[str, tuple[int, list[tuple[str, str]], bytes]] = {}
        self.tokens: list[str] = []
        self.held = threading.Event()
        """Set at the end: what waits below ``/held`` goes on."""
        self.url = ""
        self.elsewhere = ""
        """The same server under another name."""

    def answer(
        self, path: str, status: int = 200, body: bytes | str = b"", **headers: str | list[str]
    ) -> str:
        """Say how a path is answered; return its address."""
        fields = [
            (name.replace("_", "-"), text)
            for name, texts in headers.items()
            for text in ([texts] if isinstance(texts, str) else texts)
        ]
        content = body.encode() if isinstance(body, str) else body
        self.answers[path] = (status, fields, content)
        return self.url + path

    def last(self) -> Call:
        """Return the latest request."""
        return self.calls[-1]

    def reply(self, call: Call) -> tuple[int, list[tuple[str, str]], bytes]:
        """Return what a request is answered."""
        path = call.path.partition("?")[0]
        if path == "/held":
            self.held.wait(60)
        if path == "/token":
            self.tokens.append(f"token-{len(self.tokens) + 1}")
            made = {"access_token": self.tokens[-1], "expires_in": 3600, "token_type": "bearer"}
            return 200, [("Content-Type", "application/json")], json.dumps(made).encode()
        if path == "/guarded" and call.headers.get("authorization") == "Bearer token-1":
            return 401, [], b"renew"
        return self.answers.get(path, (200, [("Content-Type", "text/plain")], b"fine"))


@contextmanager
def listening(context: ssl.SSLContext | None = None) -> Iterator[Peer]:
    """Yield a peer that answers until the end of the block; with TLS where there is a context."""
    peer = Peer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            call = Call(self.command, self.path, list(self.headers.items()), body)
            if isinstance(self.connection, ssl.SSLSocket):
                call.certificate = self.connection.getpeercert() or {}
            peer.calls.append(call)
            status, fields, content = peer.reply(call)
            self.send_response(status)
            for name, text in fields:
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _answer  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A caller that gave up is no news."""

    server = Server(("127.0.0.1", 0), Handler)
    scheme = "http"
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    peer.url = f"{scheme}://127.0.0.1:{server.server_port}"
    peer.elsewhere = f"http://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield peer
    finally:
        peer.held.set()
        server.shutdown()
        server.server_close()
        thread.join()
