"""Sends hostile requests to an instance in this process and looks for what must never happen.

That is: an answer 500, or 503 but for a backup without ``pg_dump``, an exception, success for
somebody who did not sign in, and texts that whoever gets the answer may not read. ``make fuzz``
runs 100,000 and prints a tally; ``make fuzz ARGS='5000 --seed 7'`` others. An answer that takes
more than 2 s fails it, too, and with ``--served`` one that is missing, and a server that takes more
than 50 MB above what it has when idle.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import logging
import re
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import psutil

if __package__:
    from .hostile import RECORD, Attack, Attacker, Target
else:  # run by hand
    sys.path.insert(0, str(Path(__file__).parent))
    from hostile import RECORD, Attack, Attacker, Target  # type: ignore[import-not-found,no-redef]

from midspan.api import Application, HandlerDecides, Public
from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.records import insert, update
from midspan.security import SYSTEM
from midspan.testing import open_instance

ADMIN = "6816f79cc0a8016401c5a33be04be441"
PASSWORD = "correct horse"
KEYS = {"admin": "key-of-the-administrator-0001", "ann": "key-of-ann-without-roles-0002"}
CANARY = "canary-7f3e9a"
"""Stands where neither somebody unknown nor a user without roles may read."""
ECHO = """\
(function process(request, response) {
  var data = null;
  try { data = request.body.data; } catch (problem) { data = String(problem); }
  try {
    var text = String(request.body.dataString);
    if (text.charAt(0) == '<') { new XMLDocument2().parseXML(text); }
  } catch (problem) { data = String(problem); }
  response.setBody({path: request.pathParams, query: request.queryParams, data: data});
})(request, response);
"""
"""What a Scripted REST service does with a request: read all of it."""
FAULT, DEFECT = b"<SOAP-ENV:Fault>", b"<faultstring>Unexpected error"
"""SOAP 1.1 has its faults answered 500; that of a defect in the instance begins so."""
NO_DUMP = b"pg_dump"
"""Stands in the only 503 that is right: a backup of PostgreSQL takes a ``pg_dump`` of the server's
release or a later one, and the machine may have an older one or none. Some 3 of 50,000 attacks ask
for a backup. Nothing else is unavailable, and no attacker here sends enough to keep all busy."""
TABLES = ("incident", "task", "problem", "sys_user", "cmdb_ci_computer", "sys_attachment",
          "sys_audit", "sys_journal_field", "kb_knowledge", "change_request", "nosuch")  # fmt: skip
SHARES = {
    "admin.backup": 0.02, "admin.doctor": 0.1, "home": 0.2, "openapi": 0.1, "login": 0.1,
    "oauth.token": 0.3, "setup": 0.3, "table": 5.0, "stats": 4.0, "attachment": 3.0, "batch": 4.0,
}  # fmt: skip
"""Routes that cost much and take little come less often, those that take much more often."""


@dataclass
class Tally:
    """What the answers were."""

    statuses: Counter[int] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    users: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    slowest: float = 0.0
    slowest_of: str = ""
    late: int = 0
    """Answers that took longer than the limit."""
    peak: int = 0
    """Bytes above those of an idle server; 0 where it is not a process of its own."""


@dataclass(frozen=True)
class Bounds:
    """What a siege must not reach; 0 is no limit."""

    megabytes: float = 50
    seconds: float = 2.0


class Siege:
    """One instance under attack."""

    def __init__(self, app: Application, seed: int, *, late: float = 0) -> None:
        self._app = app
        self._late = late or float("inf")
        self._attacker = Attacker(targets_of(app), TABLES, seed)
        self._open = [
            (set(route.methods) | {"HEAD"}, re.compile(_pattern(route.path)))
            for route in app.router.routes()
            if isinstance(route.access, Public | HandlerDecides)
        ]
        self.tally = Tally()

    async def run(self, numbers: range) -> Tally:
        """Send the attacks with these numbers, one after the other."""
        for number in numbers:
            await self._one(number)
        return self.tally

    async def _one(self, number: int) -> None:
        attack = self.attack(number)
        began = time.perf_counter()
        try:
            status, body = await self.send(attack)
        except Exception as error:
            self.tally.problems.append(f"{_named(number, attack)}: raised {error!r}")
            return
        self.judge(number, attack, status, body, time.perf_counter() - began)

    def attack(self, number: int) -> Attack:
        """Return the attack with a number."""
        return self._attacker.attack(number)

    def judge(self, number: int, attack: Attack, status: int, body: bytes, took: float) -> None:
        """Count an answer, and what is wrong with it."""
        if took > self.tally.slowest:
            self.tally.slowest, self.tally.slowest_of = took, _named(number, attack)
        self.tally.late += took > self._late
        self.tally.statuses[status] += 1
        self.tally.kinds[attack.kind] += 1
        self.tally.users[attack.user] += 1
        for problem in self.problems(attack, status, body):
            self.tally.problems.append(f"{_named(number, attack)}: {problem}")

    def problems(self, attack: Attack, status: int, body: bytes) -> Iterator[str]:
        """Yield what must not happen and did."""
        fault = status == 500 and FAULT in body and DEFECT not in body
        no_dump = status == 503 and NO_DUMP in body
        if status >= 500 and not no_dump and not fault:
            yield f"answered {status}: {body[:300]!r}"
        stranger = attack.user in ("nobody", "bad")
        if stranger and 0 < status < 300 and not self._is_open(attack):
            yield f"answered {status} to somebody unknown"
        if attack.user != "admin" and CANARY.encode() in body:
            yield "shows what its reader may not read"

    def _is_open(self, attack: Attack) -> bool:
        """Tell whether the path, decoded once, is one of the public routes."""
        path = unquote(attack.path.decode("latin-1").partition("?")[0])
        path = path.removeprefix("http://elsewhere.example")  # a server may have taken it off
        return any(
            (attack.method in methods or attack.kind == "override") and pattern.fullmatch(path)
            for methods, pattern in self._open
        )

    async def send(self, attack: Attack) -> tuple[int, bytes]:
        """Call the application as a server would."""
        messages: list[dict[str, Any]] = [{"type": "http.request", "body": attack.body}]
        found: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return messages.pop() if messages else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            found.append(message)

        await self._app(_scope(attack), receive, send)
        if not found:
            return 0, b""  # it saw that the client was gone
        return found[0]["status"], b"".join(part.get("body", b"") for part in found[1:])


def targets_of(app: Application) -> list[Target]:
    """Return every route with the names of its parameters."""
    service = Target(("GET", "POST", "PUT"), "/api/x_fuzz/echo/{value}", ("a",), 8.0)
    return [
        service,
    ] + [
        Target(
            methods=route.methods,
            path=route.path,
            parameters=tuple(
                parameter.name
                for parameter in (route.description.parameters if route.description else ())
                if parameter.place == "query"
            ),
            weight=SHARES.get(route.name, SHARES.get(route.name.partition(".")[0], 1.0)),
        )
        for route in app.router.routes()
    ]


@contextmanager
def fortress(database: str = "") -> Iterator[Application]:
    """Open an instance with its users, keys and canaries, on SQLite or a PostgreSQL database."""
    with open_instance(database, clock=ManualClock()) as instance:
        fill(instance)
        app = instance.application()
        try:
            yield app
        finally:
            app.close()


def fill(instance: Instance) -> None:
    """Make users, keys, canaries and a service."""
    with instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(update("sys_user", ADMIN, {"user_password": PASSWORD}))
        values = {"user_name": "ann", "name": "Ann", "user_password": PASSWORD}
        ann = records.apply(insert("sys_user", values)).sys_id
        for name, user in (("admin", ADMIN), ("ann", ann)):
            records.apply(insert("api_key", {"name": name, "user": user, "token": KEYS[name]}))
        values = {"short_description": "x", "caller_id": ann, "work_notes": CANARY}
        records.apply(insert("incident", values, sys_id=RECORD))
        records.apply(insert("problem", {"short_description": CANARY}))
        records.apply(insert("sys_properties", {"name": "x.y", "value": CANARY}, sys_id=RECORD))
        service = {"name": "echo", "service_id": "echo", "namespace": "x_fuzz"}
        definition = records.apply(insert("sys_ws_definition", service)).sys_id
        for method in ("GET", "POST", "PUT"):
            resource = {
                "name": method,
                "web_service_definition": definition,
                "http_method": method,
                "relative_path": "{value}",
                "operation_script": ECHO,
                "requires_acl_authorization": "false",
            }
            records.apply(insert("sys_ws_operation", resource))


def signed(attack: Attack) -> list[tuple[bytes, bytes]]:
    """Return the headers of an attack with the credentials of its user."""
    headers = list(attack.headers)
    if attack.user in KEYS:
        # Half by password, half by key: an even length decides, so that an attack stays the same.
        if len(attack.path) % 2:
            headers.append((b"x-sn-apikey", KEYS[attack.user].encode()))
        else:
            token = base64.b64encode(f"{attack.user}:{PASSWORD}".encode())
            headers.append((b"authorization", b"Basic " + token))
    return headers


def address_of(attack: Attack) -> str:
    """Return the address that an attack comes from: many, so that none is shut out for all."""
    return f"10.0.{len(attack.query) % 256}.{len(attack.path) % 256}"


def _scope(attack: Attack) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": attack.method,
        "scheme": "http",
        "path": attack.path.decode("latin-1"),
        "raw_path": attack.path,
        "query_string": attack.query,
        "root_path": "",
        "headers": signed(attack),
        "server": ("inst.example.com", 80),
        "client": (address_of(attack), 40_000),
    }


def _pattern(path: str) -> str:
    """Return what matches a public path and nothing that hides another one in it.

    Services of Scripted REST may be open, too; there is none in the instance.
    """
    if "{rest:path}" in path:
        return r"(?!)"
    return "/".join("[A-Za-z0-9]+" if "{" in part else re.escape(part) for part in path.split("/"))


def _named(number: int, attack: Attack) -> str:
    path = attack.path[:200].decode("latin-1")
    query = attack.query[:300].decode("latin-1")
    return (
        f"attack {number} ({attack.kind}, {attack.user}): {attack.method} {path}?{query}"
        f" {attack.body[:200]!r} {[pair for pair in attack.headers if len(pair[1]) < 200]}"
    )


def main() -> int:
    """Run a siege and print its tally; status 1 when something happened that must not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first attack")
    parser.add_argument("--database", default="", help="URL of an empty PostgreSQL database")
    parser.add_argument("--only", default="", help="send only attacks of one kind, as heavy")
    parser.add_argument("--served", action="store_true", help="attack a process over sockets")
    parser.add_argument("--clients", type=int, default=1, help="with --served: at the same time")
    parser.add_argument(
        "--limit-mb", type=float, default=50, help="with --served: most above idle; 0 is no limit"
    )
    parser.add_argument("--limit-s", type=float, default=2, help="longest answer; 0 is no limit")
    given = parser.parse_args()
    bounds = Bounds(given.limit_mb, given.limit_s)
    logging.disable(logging.CRITICAL)
    numbers = range(given.first, given.first + given.count)
    if given.served:
        from outpost import served_siege  # type: ignore[import-not-found]  # noqa: PLC0415

        tally, lines = served_siege(
            given.seed,
            numbers,
            given.clients,
            given.database,
            only=given.only,
            late=bounds.seconds,
        )
        return told(tally, lines, bounds)
    with fortress(given.database) as app, asyncio.Runner() as runner:
        siege = Siege(app, given.seed, late=bounds.seconds)
        runner.run(siege.run(range(200)))  # what an idle instance has loaded
        siege.tally = Tally()
        idle = psutil.Process().memory_info().rss
        began = time.perf_counter()
        tally = runner.run(siege.run(numbers))
        took = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    memory = f"peak memory: {(peak - idle) / 2**20:.0f} MB above {idle / 2**20:.0f} MB idle"
    return told(tally, [f"{took:.0f} s, seed {given.seed}", memory], bounds)


def told(tally: Tally, more: Sequence[str], bounds: Bounds) -> int:
    """Print a tally; return the status to exit with."""
    broken = list(exceeded(tally, bounds))
    lines = [
        f"{sum(tally.statuses.values())} answers",
        "statuses: " + ", ".join(f"{s} {n}" for s, n in sorted(tally.statuses.items())),
        "kinds: " + ", ".join(f"{kind} {n}" for kind, n in sorted(tally.kinds.items())),
        "users: " + ", ".join(f"{user} {n}" for user, n in sorted(tally.users.items())),
        *more,
        f"slowest: {tally.slowest:.2f} s, {tally.slowest_of[:300]}",
        f"problems: {len(tally.problems)}",
        *tally.problems[:50],
        *broken,
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if tally.problems or broken else 0


def exceeded(tally: Tally, bounds: Bounds) -> Iterator[str]:
    """Yield which limits did not hold, and by how much."""
    grown = tally.peak / 2**20
    if 0 < bounds.megabytes < grown:
        yield f"limit: {grown:.0f} MB above idle, at most {bounds.megabytes:g} are wanted"
    if 0 < bounds.seconds < tally.slowest:
        yield (
            f"limit: {tally.late} answers took more than {bounds.seconds:g} s,"
            f" the slowest {tally.slowest:.2f} s"
        )


if __name__ == "__main__":
    sys.exit(main())
