"""An instance in a process of its own, attacked over a socket, with the memory that it takes.

The generator of the attacks is another process, so the figure is that of the server and its script
workers alone. ``make fuzz ARGS='--served'`` sends the attacks here.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from msgspec import Struct

from midspan.instance import Instance
from midspan.kernel.settings import Settings

if __package__:
    from .siege import Siege, Tally, address_of, fill, fortress, signed
else:  # run by hand
    from siege import (  # type: ignore[import-not-found,no-redef]
        Siege,
        Tally,
        address_of,
        fill,
        fortress,
        signed,
    )

MEGABYTE = 2**20
PATIENCE = 30.0
"""Seconds after which an answer counts as missing; a guard against hanging only."""
SETTLING = 1.5
"""Seconds in which the memory of an idle server must stay as it is."""
EVERY = 0.02
"""Seconds between two looks at the memory."""


class Server(Struct, frozen=True):
    """A served instance: where it listens and its process."""

    host: str
    port: int
    pid: int

    def settled(self) -> int:
        """Return the bytes once they stay: jobs and script workers start after the first answer."""
        before, now = 0, self.pss()
        while abs(now - before) > MEGABYTE // 4:
            time.sleep(SETTLING)
            before, now = now, self.pss()
        return now

    def pss(self) -> int:
        """Return the bytes of the server and of all its children, shared pages by their share."""
        return sum(self.shares().values())

    def shares(self) -> dict[int, int]:
        """Return the bytes of each process, that of the server first."""
        return {process.pid: _pss(process.pid) for process in self._tree()}

    def is_gone(self) -> bool:
        """Tell whether the process has ended."""
        try:
            return psutil.Process(self.pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    def growth(self, idle: Mapping[int, int]) -> int:
        """Return how far each process ever rose above ``idle``, exactly, added up, in bytes."""
        return sum(
            max(0, _status(each.pid, "VmHWM") - idle.get(each.pid, 0)) for each in self._tree()
        )

    def resident(self) -> dict[int, int]:
        """Return the resident bytes of each process, and forget how high they were."""
        found = {}
        for each in self._tree():
            with suppress(OSError):
                Path(f"/proc/{each.pid}/clear_refs").write_text("5")
            found[each.pid] = _status(each.pid, "VmRSS")
        return found

    def _tree(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            return [process, *process.children(recursive=True)]
        return []


def _pss(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:  # a worker that was replaced
        return 0
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line[:4] == "Pss:")


def _status(pid: int, name: str) -> int:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = (line.split()[1] for line in text.splitlines() if line.startswith(f"{name}:"))
    return int(next(found, "0")) * 1024


@contextmanager
def outpost(data: Path, *options: str, environment: Mapping[str, str] = {}) -> Iterator[Server]:
    """Run ``midspan serve`` on a data directory that was filled before."""
    command = [sys.executable, "-m", "midspan", "serve", "--data", str(data), "--port", "0"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*command, "--log-level", "error", *options],
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, **environment},
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                log.seek(0)
                raise RuntimeError(log.read().decode(errors="replace")[-4000:])
            where = urlsplit(json.loads(line)["url"])
            yield Server(where.hostname or "", where.port or 0, process.pid)
        finally:
            process.terminate()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


class Watch:
    """Looks at the memory of a server all the time and remembers the most."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.idle = server.settled()
        self._resident = server.resident()
        self._own_idle = server.shares()[server.pid]
        self._own_peak = 0
        self.peak = self.idle
        self._curve: list[str] = []

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: object
    ) -> None:
        self._end.set()
        self._thread.join()
        self._measure()

    def _look(self) -> None:
        while not self._end.wait(EVERY):
            self._measure()

    def _measure(self) -> dict[int, int]:
        shares = self._server.shares()
        self.peak = max(self.peak, sum(shares.values()))
        self._own_peak = max(self._own_peak, shares.get(self._server.pid, 0))
        return shares

    def along(self, numbers: Sequence[int]) -> Iterator[int]:
        """Yield the numbers, and note after each tenth of them how large the processes are."""
        each = max(1, len(numbers) // 10)
        for place, number in enumerate(numbers, 1):
            yield number
            if place % each == 0:
                shares = self._measure()
                own = (shares.pop(self._server.pid, 0) - self._own_idle) / MEGABYTE
                workers = "/".join(f"{share / MEGABYTE:.0f}" for share in shares.values())
                self._curve.append(f"{place}: {own:+.0f}, {workers or 'none'}")

    def lines(self) -> Iterator[str]:
        """Yield what to say about it."""
        after, exact = self._server.pss(), self._server.growth(self._resident)
        yield (
            f"memory of the server (PSS): idle {self.idle / MEGABYTE:.0f} MB, peak"
            f" {(self.peak - self.idle) / MEGABYTE:+.0f} MB, afterwards"
            f" {(after - self.idle) / MEGABYTE:+.0f} MB; highest growth of each process, added up:"
            f" {exact / MEGABYTE:.0f} MB"
        )
        yield (
            f"of which the main process: idle {self._own_idle / MEGABYTE:.0f} MB, peak"
            f" {(self._own_peak - self._own_idle) / MEGABYTE:+.0f} MB"
        )
        yield "growth of it and size of the script workers, in MB: " + "; ".join(self._curve)


class Caller:
    """Sends requests as they are, byte by byte, on a connection that lasts where it can."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._socket: socket.socket | None = None

    def close(self) -> None:
        """Leave the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def send(
        self,
        method: str,
        target: bytes,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        body: bytes = b"",
    ) -> tuple[int, bytes]:
        """Return status and body; status 0 when the server left without an answer."""
        lines = [method.encode() + b" " + (target or b"/") + b" HTTP/1.1"]
        names = {name.lower() for name, _ in headers}
        if b"host" not in names:
            lines.append(b"host: inst.example.com")
        framed = names & {b"content-length", b"transfer-encoding", b"expect"}
        if body and not framed:
            lines.append(b"content-length: %d" % len(body))
        lines += [name + b": " + value for name, value in headers]
        if framed:
            lines.append(b"connection: close")
            self.close()
        try:
            found = self._exchange(b"\r\n".join(lines) + b"\r\n\r\n", body, head=method == "HEAD")
        except (OSError, HTTPException):
            self.close()
            return 0, b""
        if framed:
            self.close()
        return found

    def _exchange(self, head_bytes: bytes, body: bytes, *, head: bool) -> tuple[int, bytes]:
        if self._socket is None:
            self._socket = socket.create_connection(
                (self._server.host, self._server.port), PATIENCE
            )
        with suppress(BrokenPipeError, ConnectionResetError):  # it may answer before it has all
            self._socket.sendall(head_bytes + body)
        answer = HTTPResponse(self._socket, method="HEAD" if head else "GET")
        with answer:
            answer.begin()
            found = answer.status, answer.read()
            if answer.will_close:
                self.close()
        return found


def served_siege(
    seed: int,
    numbers: range,
    clients: int = 1,
    database: str = "",
    *,
    only: str = "",
    late: float = 0,
) -> tuple[Tally, list[str]]:
    """Send attacks to a served instance; return their tally, and lines on time and memory."""
    with tempfile.TemporaryDirectory(prefix="midspan-siege-") as folder:
        settings = Settings(data=Path(folder), database=database)
        instance = Instance(settings)
        try:
            fill(instance)
        finally:
            instance.close()
        options = ("--behind-proxy", *(("--database", database) if database else ()))
        with fortress() as app, outpost(Path(folder), *options) as server:
            siege = Siege(app, seed, late=late)
            _volley(siege, server, iter(range(-200, 0)))  # what an idle instance has loaded
            siege.tally = Tally()
            began = time.perf_counter()
            with Watch(server) as watch:
                given = watch.along([n for n in numbers if only in ("", siege.attack(n).kind)])
                threads = [
                    threading.Thread(target=_volley, args=(siege, server, given))
                    for _ in range(clients)
                ]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            siege.tally.peak = watch.peak - watch.idle
            took = f"{time.perf_counter() - began:.0f} s, seed {seed}, {clients} at a time"
            load = "load of the machine: {:.1f}, {:.1f}, {:.1f}".format(*os.getloadavg())
            return siege.tally, [f"{took}; {load}", *watch.lines()]


_NEXT = threading.Lock()


def _volley(siege: Siege, server: Server, numbers: Iterator[int]) -> None:
    caller = Caller(server)
    while True:
        with _NEXT:
            number = next(numbers, None)
        if number is None:
            caller.close()
            return
        attack = siege.attack(number)
        headers = signed(attack)
        if not any(name == b"x-forwarded-for" for name, _ in headers):
            headers.append((b"x-forwarded-for", address_of(attack).encode()))
        target = attack.path + (b"?" + attack.query if attack.query else b"")
        began = time.perf_counter()
        status, body = caller.send(attack.method, target, tuple(headers), attack.body)
        took = time.perf_counter() - began
        with _NEXT:
            siege.judge(number, attack, status, body, took)
            if not status and server.is_gone():
                siege.tally.problems.append(f"the server ended at attack {number}")
                for _ in numbers:
                    pass
            elif not status:
                siege.tally.problems.append(f"attack {number} got no answer")
