"""Whoever waits at a terminal sees that something goes on; programs get JSON of every table."""

from __future__ import annotations

import http.server
import json
import os
import pty
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.guard import GUARD
from typer.main import get_command

from midspan.cli.commands import app

WITHOUT_JSON = {
    "serve", "demo", "chat-receiver", "openapi", "mid enrol", "mid run", "mid status", "api call",
    "api watch",
}  # fmt: skip
"""They print no table: they run until they are stopped, print an answer as it is, or are the
agent's own."""


def commands(group: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    below = getattr(group, "commands", None)
    if below is None:
        yield name, group
        return
    for word, command in below.items():
        yield from commands(command, f"{name} {word}".strip())


def test_every_command_that_prints_a_table_has_json() -> None:
    found = dict(commands(get_command(app)))
    assert set(found) >= WITHOUT_JSON
    missing = {
        name
        for name, command in found.items()
        if name not in WITHOUT_JSON
        and not any("--json" in parameter.opts for parameter in command.params)
    }
    assert missing == set()


@pytest.fixture
def slow() -> Iterator[tuple[str, threading.Event]]:
    """Return the address of what answers nothing before it is told to, and what tells it."""
    go_on = threading.Event()

    class Slow(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert go_on.wait(GUARD)
            body = json.dumps({"result": []}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}", go_on
        go_on.set()
        server.shutdown()
        serving.join()


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [(["tables"], "Asking"), (["flow", "list"], "Asking"), (["doctor"], "Examining"),
     (["mid", "list"], "Asking")],
)  # fmt: skip
def test_waiting_is_shown_at_a_terminal(
    slow: tuple[str, threading.Event], arguments: list[str], shown: str
) -> None:
    """The answer comes only after the progress was seen, and does not stand in the output."""
    url, go_on = slow
    clean = {name: text for name, text in os.environ.items() if not name.startswith("MIDSPAN_")}
    given = {"MIDSPAN_URL": url, "MIDSPAN_PASSWORD": "x", "TERM": "xterm", "COLUMNS": "80"}
    terminal, inside = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "midspan", *arguments, "--json"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=inside, env={**clean, **given},
    ) as process:  # fmt: skip
        os.close(inside)
        seen = b""
        while shown.encode() not in seen:
            assert select.select([terminal], [], [], GUARD)[0], seen
            seen += os.read(terminal, 65536)
        go_on.set()
        out = process.communicate(timeout=GUARD)[0]
    os.close(terminal)
    assert process.returncode == 0
    assert json.loads(out) == []
