"""Load generator: keep-alive HTTP/1.1 connections on raw sockets, in a process of its own.

Reads one JSON object from stdin (host, port, connections, seconds, requests: texts of complete
HTTP requests), sends the requests round robin, and prints one JSON object with what came back.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field

DRAIN = 15.0
"""Seconds that the last answers may take after the end."""
MOST_REQUESTS = 1_000_000


@dataclass
class Tally:
    """What one run saw: milliseconds of each good answer, and the bad ones."""

    times: list[float] = field(default_factory=list)
    errors: int = 0
    first_error: str = ""
    size: int = 0
    """Bytes of the first good body."""


@dataclass(frozen=True)
class Outcome:
    """One run in figures: times in milliseconds, ``elapsed`` in seconds."""

    count: int
    errors: int
    elapsed: float
    rate: float
    p50: float
    p99: float
    size: int
    first_error: str


class Source:
    """Hands out requests round robin until the time or the number is up."""

    def __init__(self, requests: list[bytes], seconds: float) -> None:
        self._requests = requests
        self._sent = 0
        self.deadline = time.perf_counter() + seconds

    def take(self) -> bytes | None:
        """Return the next request, or None at the end."""
        if time.perf_counter() >= self.deadline or self._sent >= MOST_REQUESTS:
            return None
        self._sent += 1
        return self._requests[self._sent % len(self._requests)]


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return status and body of one answer with a Content-Length.

    Raises:
        ValueError: the answer has none.
    """
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return status, await reader.readexactly(int(value))
    raise ValueError(f"no Content-Length in {head[:200]!r}")


async def _one_connection(host: str, port: int, source: Source, tally: Tally) -> None:
    reader, writer = await asyncio.open_connection(host, port, limit=4 * 1024 * 1024)
    try:
        while (request := source.take()) is not None:
            started = time.perf_counter()
            writer.write(request)
            status, body = await read_answer(reader)
            if 200 <= status < 300:
                tally.times.append((time.perf_counter() - started) * 1000)
                tally.size = tally.size or len(body)
            else:
                tally.errors += 1
                tally.first_error = tally.first_error or f"{status} {body[:300]!r}"
    except (OSError, ValueError, asyncio.IncompleteReadError) as error:
        tally.errors += 1
        tally.first_error = tally.first_error or repr(error)
    finally:
        writer.close()


async def load(
    host: str, port: int, requests: list[bytes], *, connections: int, seconds: float
) -> Outcome:
    """Send requests for ``seconds`` on so many connections; return what came back."""
    tally, source = Tally(), Source(requests, seconds)
    started = time.perf_counter()
    tasks = [
        asyncio.ensure_future(_one_connection(host, port, source, tally))
        for _ in range(connections)
    ]
    _, late = await asyncio.wait(tasks, timeout=seconds + DRAIN)
    for task in late:
        task.cancel()
    tally.errors += len(late)
    elapsed = time.perf_counter() - started
    times = sorted(tally.times) or [0.0]
    return Outcome(
        count=len(tally.times),
        errors=tally.errors,
        elapsed=elapsed,
        rate=len(tally.times) / elapsed,
        p50=times[len(times) // 2],
        p99=times[min(len(times) - 1, int(len(times) * 0.99))],
        size=tally.size,
        first_error=tally.first_error,
    )


def main() -> None:
    """Carry out the run that stdin describes."""
    wish = json.load(sys.stdin)
    outcome = asyncio.run(
        load(
            wish["host"],
            wish["port"],
            [text.encode() for text in wish["requests"]],
            connections=wish["connections"],
            seconds=wish["seconds"],
        )
    )
    json.dump(asdict(outcome), sys.stdout)


if __name__ == "__main__":
    main()
