"""Programs under measurement: start, time to the first answer, memory and CPU of the whole tree."""

from __future__ import annotations

import http.client
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import psutil

HERE = Path(__file__).parent
START_LIMIT = 90.0
STOP_LIMIT = 30.0
CALIBRATION_LOOPS = 1_000_000


@dataclass(frozen=True)
class Server:
    """A program that listens; ``process`` is its root."""

    host: str
    port: int
    process: psutil.Process


@contextmanager
def running(command: Sequence[str], **environment: str) -> Iterator[Server]:
    """Start a program that prints a JSON line with its ``url``; stop it at the end.

    Raises:
        RuntimeError: it ended or said nothing in time.
    """
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )
    try:
        line = _first_line(process)
        if not line:
            raise RuntimeError(f"{' '.join(command)} did not start (status {process.poll()})")
        url = urlsplit(json.loads(line)["url"])
        yield Server(url.hostname or "", url.port or 0, psutil.Process(process.pid))
    finally:
        process.terminate()
        try:
            process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


def _first_line(process: subprocess.Popen[bytes]) -> bytes:
    stream = process.stdout
    if stream is None or not select.select([stream], [], [], START_LIMIT)[0]:
        return b""
    return stream.readline()


def start_seconds(command: Sequence[str], path: str, **environment: str) -> float:
    """Return the seconds from the start of a program to its first complete answer."""
    started = time.perf_counter()
    with running(command, **environment) as server:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=START_LIMIT)
        connection.request("GET", path)
        connection.getresponse().read()
        elapsed = time.perf_counter() - started
        connection.close()
    return elapsed


def memory(root: psutil.Process) -> float:
    """Return the proportional set size of a process and all below it, in MB (10^6 bytes)."""
    return sum(int(process.memory_full_info().pss) for process in tree(root)) / 1e6


def cpu_seconds(*roots: psutil.Process) -> float:
    """Return user and system CPU seconds of processes, all below them, and ended children."""
    total = 0.0
    for process in (one for root in roots for one in tree(root)):
        with suppress(psutil.NoSuchProcess):
            used = process.cpu_times()
            total += used.user + used.system
    return total


def tree(root: psutil.Process) -> list[psutil.Process]:
    """Return a process and everything below it."""
    return [root, *root.children(recursive=True)]


def calibrate() -> float:
    """Return the milliseconds of a fixed loop on one thread: the noise of the machine."""
    started = time.perf_counter()
    total = 0
    for number in range(CALIBRATION_LOOPS):
        total += number & 7
    return (time.perf_counter() - started) * 1000


def run_load(server: Server, requests: list[str], *, seconds: float, connections: int) -> Any:
    """Run the load generator in its own process; return its figures as a dictionary."""
    wish = {
        "host": server.host,
        "port": server.port,
        "requests": requests,
        "seconds": seconds,
        "connections": connections,
    }
    done = subprocess.run(
        [sys.executable, str(HERE / "load.py")],
        input=json.dumps(wish),
        capture_output=True,
        check=True,
        text=True,
        timeout=seconds + 60,
    )
    return cast(Any, json.loads(done.stdout))


def ask(server: Server, request: str) -> tuple[int, bytes]:
    """Send one complete HTTP request; return status and body."""
    with socket.create_connection((server.host, server.port), timeout=START_LIMIT) as connection:
        connection.sendall(request.encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status, answer.read()
