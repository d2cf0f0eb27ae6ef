"""``make bench ARGS="--flat 1000000"``: what a request costs in a small table and in a large one.

The same requests are sent in turns, in process, to two tables of incidents. A cost that follows
the index and the rows of the answer stays; one that follows the table does not.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import databases
import dataset

from midspan.api import Application
from midspan.instance import Instance
from midspan.kernel.settings import Settings
from midspan.storage.catalog import columns_of

SMALL = 10_000
REPEATS = 40
PAGE = 50
BLOCK = 100_000
"""Rows that one statement copies."""
REQUESTS = "one by number", "next page, deep", "page by offset, deep"


@dataclass(frozen=True)
class Cost:
    """Milliseconds of one request in tables of so many rows: the lower quartile of some."""

    database: str
    request: str
    small: float
    large: float
    passed: tuple[int, int] = (0, 0)
    """Rows that each has to pass over before the first of its page."""

    @property
    def ratio(self) -> float:
        """How much dearer the large table is."""
        return self.large / self.small

    @property
    def for_each_passed(self) -> str:
        """Microseconds for each row passed over, in the small table and in the large one."""
        if not all(self.passed):
            return ""
        times = zip((self.small, self.large), self.passed, strict=True)
        return " / ".join(f"{time * 1000 / rows:.2f}" for time, rows in times)


def measure(name: str, rows: int, repeats: int = REPEATS) -> list[Cost]:
    """Fill two tables on a kind of database, let one grow to ``rows``, and ask both in turns."""
    small = min(SMALL, rows)
    with ExitStack() as stack:
        clients = []
        for size in (small, rows):
            target = stack.enter_context(databases.target(name))
            dataset.fill(target.data, target.url, small)
            grow(target, small, size)
            clients.append(stack.enter_context(_client(target)))
        asked = [_requests(*each) for each in zip(clients, (small, rows), strict=True)]
        found = [
            _cost(name, request, [one[request] for one in asked], repeats) for request in REQUESTS
        ]
    *others, by_offset = found
    return [*others, replace(by_offset, passed=(_middle(small), _middle(rows)))]


def _middle(rows: int) -> int:
    return rows // 2 // PAGE * PAGE


def _cost(name: str, request: str, asked: list[Callable[[int], float]], repeats: int) -> Cost:
    times = [[one(turn) for one in asked] for turn in range(repeats * 3 // 2)]
    warm = zip(*times[-repeats:], strict=True)
    small, large = (sorted(column)[repeats // 4] * 1000 for column in warm)
    return Cost(name, request, small, large)


def grow(target: databases.Target, present: int, wanted: int) -> None:
    """Copy the incidents until there are so many or more; ids and numbers are new ones."""
    with _opened(target) as instance, instance.database.read() as transaction:
        names = sorted(columns_of(transaction, "task"))
    new = (
        "lower(hex(randomblob(16)))" if not target.url else "md5(random()::text || c.n || t.number)"
    )
    made = {"sys_id": new, "number": "'B' || c.n || t.number"}
    quoted = ", ".join(f'"{name}"' for name in names)
    copied = ", ".join(made.get(name, f't."{name}"') for name in names)
    copies = -(-wanted // present) - 1
    at_once = max(1, BLOCK // present)
    for first in range(0, copies, at_once):
        last = min(first + at_once, copies) - 1
        copy = (
            f"WITH RECURSIVE c(n) AS (SELECT {first} UNION ALL"  # noqa: S608 - names of the schema
            f" SELECT n + 1 FROM c WHERE n < {last})"
            f" INSERT INTO task ({quoted}) SELECT {copied} FROM c, task t"
            " WHERE t.sys_class_name = 'incident' AND t.number LIKE ?"
        )
        target.statement(copy, "INC%")
    target.statement("ANALYZE")


def _requests(client: Client, rows: int) -> dict[str, Callable[[int], float]]:
    """Return what is measured: each takes the number of the repetition and returns seconds."""
    middle = _middle(rows)
    numbers = [row["number"] for row in client.page(limit=PAGE)[1]]

    def one(turn: int) -> float:
        took, found = client.page(sysparm_query=f"number={numbers[turn % PAGE]}", limit=PAGE)
        if len(found) != 1:
            raise RuntimeError(f"{len(found)} incidents have one number")
        return took

    def following(turn: int) -> float:
        """A page behind the one before, as clients read a whole table."""
        if turn == 0:
            client.page(sysparm_query="ORDERBYnumber", limit=PAGE, offset=middle)
        return _full(
            client.page(
                sysparm_query="ORDERBYnumber", limit=PAGE, offset=middle + PAGE * (turn + 1)
            )
        )

    def by_offset(turn: int) -> float:
        """The same page, asked for by a client that did not read the one before."""
        return _full(
            client.page(
                client=f"reader {turn}", sysparm_query="ORDERBYnumber", limit=PAGE, offset=middle
            )
        )

    return dict(zip(REQUESTS, (one, following, by_offset), strict=True))


def _full(page: tuple[float, list[Any]]) -> float:
    took, found = page
    if len(found) != PAGE:
        raise RuntimeError(f"A page has {len(found)} rows")
    return took


class Client:
    """Asks an application in this process for pages of incidents, as the bench's user."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._runner = asyncio.Runner()
        token = base64.b64encode(f"{dataset.USER}:{dataset.PASSWORD}".encode())
        self._headers = [(b"host", b"bench"), (b"authorization", b"Basic " + token)]

    def page(
        self, *, limit: int, offset: int = 0, client: str = "bench", **asked: str
    ) -> tuple[float, list[Any]]:
        """Return the seconds a page took, and its rows; ``client`` is the User-Agent."""
        wanted = {
            "sysparm_fields": "sys_id,number,short_description,state",
            "sysparm_no_count": "true",
            "sysparm_limit": str(limit),
            "sysparm_offset": str(offset),
            **asked,
        }
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/api/now/table/incident",
            "query_string": urlencode(wanted).encode(),
            "headers": [*self._headers, (b"user-agent", client.encode())],
        }
        started = time.perf_counter()
        status, body = self._runner.run(self._sent(scope))
        took = time.perf_counter() - started
        if status != 200:
            raise RuntimeError(f"status {status}: {body[:300]!r}")
        return took, json.loads(body)["result"]

    async def _sent(self, scope: dict[str, Any]) -> tuple[int, bytes]:
        told: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            told.append(message)

        await self._app(scope, receive, send)
        return told[0]["status"], b"".join(part.get("body", b"") for part in told[1:])

    def close(self) -> None:
        """Stop the application's threads."""
        self._app.close()
        self._runner.close()


def report(costs: list[Cost], rows: int) -> str:
    """Return the costs as a table."""
    lines = [
        f"| database | request | ms at {min(SMALL, rows):,} | ms at {rows:,} | ratio |"
        " µs a row passed over |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {cost.database} | {cost.request} | {cost.small:.2f} | {cost.large:.2f} |"
        f" {cost.ratio:.2f} | {cost.for_each_passed} |"
        for cost in costs
    ]
    return "\n".join(lines)


@contextmanager
def _opened(target: databases.Target) -> Iterator[Instance]:
    instance = Instance(Settings(data=target.data, database=target.url))
    try:
        yield instance
    finally:
        instance.close()


@contextmanager
def _client(target: databases.Target) -> Iterator[Client]:
    with _opened(target) as instance:
        client = Client(instance.application())
        try:
            yield client
        finally:
            client.close()
