"""Scripted REST over HTTP: a resource that says hello, and plain requests beside many scripts.

The peer of "hello" is the same engine behind the same HTTP server (``hello_app.py``). The peer of
a GET beside scripts is that GET when nothing else runs. Beside scripts means that every script
worker is busy all the time and further requests wait for one.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dataset
import processes
from compared import Compared, Goal, compared, report
from processes import Server

from midspan.instance import Instance
from midspan.kernel.settings import Settings
from midspan.records import insert
from midspan.security import SYSTEM

HERE = Path(__file__).parent
ADMIN = "admin"
HELLO = "({ hello: 'world' })"
BUSY = """(function process(request, response) {
  var gr = new GlideRecord('incident'), n = 0;
  gr.setLimit(100); gr.query();
  while (gr.next()) { n += (gr.number + gr.short_description).length; }
  for (var i = 0; i < 50000; i++) { n = (n * 31 + i) % 1000003; }
  return { n: n };
})(request, response);"""
RESOURCES = {
    "hello": f"(function process(request, response) {{ return {HELLO}; }})(request, response);",
    "busy": BUSY,
}
RECORDS = 1_000
CONNECTIONS = 8
"""That ask for hello."""
SCRIPTS = 100
"""Connections that ask for the busy script while the GETs are timed."""
LEAD = 1.0
"""Seconds of scripts before the first timed GET, and after the last."""
WORKERS = 2


def measure(rounds: int, seconds: float) -> list[Compared]:
    """Measure everything ``rounds`` times, for so many seconds each."""
    with tempfile.TemporaryDirectory(prefix="midspan-services-") as folder, ExitStack() as stack:
        data = Path(folder) / "data"
        made = dataset.fill(data, "", RECORDS)
        _define(data)
        ours = stack.enter_context(serving(data))
        bare = stack.enter_context(_hello())
        return [_hellos(ours, bare, rounds, seconds), _gets(ours, made, rounds, seconds)]


@contextmanager
def serving(data: Path) -> Iterator[Server]:
    """Serve an instance in a process of its own; its administrator has the bench's password."""
    command = [sys.executable, "-m", "midspan", "serve", "--port", "0", "--data", str(data)]
    command += ["--log-level", "error"]
    with processes.running(command, MIDSPAN_ADMIN_PASSWORD=dataset.PASSWORD) as server:
        yield server


def request(method: str, path: str, user: str = ADMIN, body: str = "", kind: str = "json") -> str:
    """Return a complete HTTP request."""
    token = base64.b64encode(f"{user}:{dataset.PASSWORD}".encode()).decode()
    media = {"json": "application/json", "xml": "text/xml"}[kind]
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {token}\r\n"
    if method == "GET":
        return f"{head}Accept: application/json\r\n\r\n"
    length = f"Content-Type: {media}\r\nContent-Length: {len(body.encode())}\r\n\r\n"
    return f"{head}{length}{body}"


def load(server: Server, requests: list[str], seconds: float, connections: int) -> Any:
    """Load a server; return what came back. Longer, where a busy machine let nothing come back.

    Raises:
        RuntimeError: an answer was an error, or there was none.
    """
    got: Any = {}
    for longer in (1, 4, 16):
        got = processes.run_load(
            server, requests, seconds=seconds * longer, connections=connections
        )
        if got["errors"] or got["count"]:
            break
    if got["errors"] or not got["count"]:
        raise RuntimeError(f"{got['errors']} errors, first {got['first_error']}")
    return got


def _define(data: Path) -> None:
    """Make the service with its resources, open to any user."""
    instance = Instance(Settings(data=data))
    try:
        with instance.records.write(SYSTEM, enforce=False) as transaction:
            values = {"name": "Bench", "service_id": "bench", "base_uri": "/api/bench"}
            service = transaction.apply(insert("sys_ws_definition", values)).sys_id
            for name, text in RESOURCES.items():
                resource = {
                    "name": name,
                    "web_service_definition": service,
                    "relative_path": f"/{name}",
                    "http_method": "GET",
                    "operation_script": text,
                    "active": "true",
                }
                transaction.apply(insert("sys_ws_operation", resource))
    finally:
        instance.close()


@contextmanager
def _hello() -> Iterator[Server]:
    command = [sys.executable, str(HERE / "hello_app.py"), HELLO, str(WORKERS)]
    with processes.running(command) as server:
        yield server


def _hellos(ours: Server, bare: Server, rounds: int, seconds: float) -> Compared:
    asked = [request("GET", "/api/bench/hello")]
    answers = [json.loads(processes.ask(each, asked[0])[1])["result"] for each in (ours, bare)]
    if answers[0] != answers[1]:
        raise RuntimeError(f"the peers answer differently: {answers}")
    for server in (ours, bare):
        load(server, asked, min(1.0, seconds), CONNECTIONS)
    pairs = [
        (
            load(ours, asked, seconds, CONNECTIONS)["rate"],
            load(bare, asked, seconds, CONNECTIONS)["rate"],
        )
        for _ in range(rounds)
    ]
    return compared('Scripted REST "hello"', "/s", pairs, goal=Goal("own", 400))


def _gets(ours: Server, made: dataset.Dataset, rounds: int, seconds: float) -> Compared:
    path = f"/api/now/table/{dataset.TABLE}"
    gets = [request("GET", f"{path}/{one}", dataset.USER) for one in made.sys_ids]
    load(ours, gets, min(1.0, seconds), 1)
    pairs = []
    for _ in range(rounds):
        idle = load(ours, gets, seconds, 1)["p99"]
        with _scripts(ours, seconds):
            pairs.append((load(ours, gets, seconds, 1)["p99"], idle))
    name = f"GET one beside {SCRIPTS} scripts, p99"
    return compared(name, "ms", pairs, peer="idle", goal=Goal("share", 1 / 3))


@contextmanager
def _scripts(server: Server, seconds: float) -> Iterator[None]:
    """Keep all script workers busy, and more requests waiting for them.

    Raises:
        RuntimeError: a script was refused or failed.
    """
    wish = {
        "host": server.host,
        "port": server.port,
        "requests": [request("GET", "/api/bench/busy")],
        "seconds": seconds + 2 * LEAD,
        "connections": SCRIPTS,
    }
    command = [sys.executable, str(HERE / "load.py")]
    running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if running.stdin is not None:
            running.stdin.write(json.dumps(wish))
            running.stdin.close()
            running.stdin = None
        time.sleep(LEAD)
        yield
        told, _ = running.communicate(timeout=seconds + 60)
    finally:
        running.kill()
        running.wait()
    got = json.loads(told)
    if got["errors"] or not got["count"]:
        raise RuntimeError(f"scripts: {got['errors']} errors, first {got['first_error']}")


if __name__ == "__main__":
    sys.stdout.write(report("Scripted REST", measure(3, 3.0)) + "\n")
