"""What a demonstrated integration is: a title, a direction, and a run that gives a result."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import httpx

Say = Callable[[str], None]
"""Shows a line while a scenario runs."""
PATIENCE = 30.0
"""Seconds that an effect may take until it counts as missing."""
LOOK_EVERY = 0.01
_Found = TypeVar("_Found")


class NotAsPromised(Exception):
    """A scenario saw something else than it promises."""


@dataclass(frozen=True)
class Evidence:
    """A record that a scenario made or used; with ``query`` a list of them instead."""

    label: str
    table: str
    record: str = ""
    query: str = ""

    @property
    def page(self) -> str:
        """Path of the readable page."""
        if self.record:
            return f"/nav/{quote(self.table)}/{quote(self.record)}"
        query = f"?{urlencode({'sysparm_query': self.query})}" if self.query else ""
        return f"/nav/{quote(self.table)}{query}"


@dataclass(frozen=True)
class Shown:
    """What a scenario showed when everything was as promised."""

    went_in: str
    came_out: str
    seconds: float
    """Time from cause to effect."""
    evidence: tuple[Evidence, ...]
    """The page to look at comes first."""


@dataclass(frozen=True)
class Stage:
    """What the scenarios play on."""

    folder: Path
    url: str
    admin: Client
    monitoring: Client
    password: str
    chat: str
    """Where the chat receiver listens."""
    private: dict[str, str]
    """The private network's database; the instance never learns any of it."""


@dataclass(frozen=True)
class Scenario:
    """An integration to demonstrate."""

    title: str
    direction: str
    opened_by: str
    """Who opens the connection, and to whom."""
    run: Callable[[Stage, Say], Shown]


@dataclass(frozen=True)
class Result:
    """How a scenario ended: with what it showed, or with the problem that it met."""

    scenario: Scenario
    shown: Shown | None
    problem: str = ""

    @property
    def held(self) -> bool:
        """Tell whether everything was as promised."""
        return self.shown is not None


def expect(condition: bool, message: str) -> None:
    """Raise when a promise did not hold."""
    if not condition:
        raise NotAsPromised(message)


def wait_for(look: Callable[[], _Found], problem: str, *, patience: float = PATIENCE) -> _Found:
    """Look again and again until there is something.

    Raises:
        NotAsPromised: nothing came within ``patience`` seconds.
    """
    deadline = time.perf_counter() + patience
    while not (found := look()):
        expect(time.perf_counter() < deadline, problem)
        time.sleep(LOOK_EVERY)
    return found


class Client:
    """The instance over HTTP, as one user."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, auth=(user, password), timeout=60)

    def send(self, method: str, path: str, expected: int | None = None, **more: Any) -> Any:
        """Send a request and return its JSON; None for an empty body.

        Raises:
            NotAsPromised: another status than ``expected`` (None: any below 400).
        """
        reply = self._http.request(method, path, **more)
        good = reply.status_code == expected if expected else reply.status_code < 400
        expect(good, f"{method} {path} answered {reply.status_code}: {reply.text[:300]}")
        return reply.json() if reply.content else None

    def make(self, table: str, values: dict[str, str]) -> dict[str, str]:
        """Make a record through the Table API and return it."""
        made: dict[str, str] = self.send("POST", f"/api/now/table/{table}", 201, json=values)[
            "result"
        ]
        return made

    def rows(self, table: str, query: str, fields: str = "", limit: int = 100) -> list[Any]:
        """Return records through the Table API."""
        params = {"sysparm_query": query, "sysparm_limit": str(limit)}
        if fields:
            params["sysparm_fields"] = fields
        found: list[Any] = self.send("GET", f"/api/now/table/{table}", params=params)["result"]
        return found

    def the(self, table: str, query: str, fields: str = "sys_id") -> dict[str, str]:
        """Return the one record that matches.

        Raises:
            NotAsPromised: there are more or none.
        """
        found = self.rows(table, query, fields)
        expect(len(found) == 1, f"{table} has {len(found)} records where {query}, not one")
        record: dict[str, str] = found[0]
        return record

    def count(self, table: str, query: str) -> int:
        """Return how many records match."""
        params = {"sysparm_query": query, "sysparm_limit": "1", "sysparm_fields": "sys_id"}
        reply = self._http.get(f"/api/now/table/{table}", params=params)
        expect(reply.status_code == 200, f"counting {table} answered {reply.status_code}")
        return int(reply.headers["x-total-count"])

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
