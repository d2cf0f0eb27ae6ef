"""``make bench``: Midspan beside the limit of the same machine, in one run.

The limit is a bare ASGI application that runs the same SQL on the same table (``limit_app.py``).
Both peers run at once and are loaded in turns; every figure has a calibration loop beside it.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import platform
import secrets
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from importlib import metadata
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import beside
import databases
import dataset
import directus
import flat
import latency
import orjson
import processes
from processes import Server
from report import Figure, table

HERE = Path(__file__).parent
STARTS = 5
WARM_UP = 1.0
MIDSPAN = [sys.executable, "-m", "midspan"]
READS = ("GET one", *(job.name for job in dataset.LISTS))
WRITES = ("POST", "PATCH")
JOBS = (*READS, *WRITES)
OUTBOX = "SELECT COUNT(*) FROM sys_outbox"
AUDIT = "SELECT COUNT(*) FROM sys_audit WHERE tablename = 'incident'"
ROUNDS = 10
"""Texts for each record that PATCH changes in one run of load."""


@dataclass(frozen=True)
class Options:
    """How much is measured."""

    seconds: float
    passes: int
    records: int
    connections: int
    starts: int
    events: int
    scripts: int
    soap: int
    databases: tuple[str, ...]
    flat: int = 0
    directus: str = ""
    beside: bool = False


@dataclass
class Results:
    """Everything one run found."""

    figures: list[Figure] = field(default_factory=list)
    memory: list[dict[str, Any]] = field(default_factory=list)
    starts: dict[str, Any] = field(default_factory=dict)
    latencies: list[latency.Latency] = field(default_factory=list)
    beside: beside.Beside = field(default_factory=beside.Beside)
    notes: list[str] = field(default_factory=list)
    loops: list[float] = field(default_factory=list)
    """Milliseconds of every calibration loop."""

    def calibrate(self) -> float:
        """Run the loop and remember it."""
        self.loops.append(processes.calibrate())
        return self.loops[-1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the JSON file that was asked for."""
    options, file = _options(arguments)
    results = Results()
    _say(_machine())
    if options.flat:
        return _flat(options, file)
    if options.directus:
        return _directus(options, file)
    if options.beside:
        return _beside(options, file)
    for name in options.databases:
        with databases.target(name) as target:
            results.notes.append(target.about)
            measure(target, options, results)
    results.starts = _starts(options, results)
    if options.events:
        _say(f"the demo's set-up, {options.events} events of each kind, spaced and as a burst …")
        results.latencies = latency.measure(options.events)
    results.beside = beside.measure(options.scripts, options.soap, options.seconds)
    _print(results, options)
    if file:
        found = {"machine": _machine(), "options": asdict(options), **asdict(results)}
        Path(file).write_text(json.dumps(found, indent=1) + "\n")
    return 0


def _beside(options: Options, file: str) -> int:
    """Measure scripts and SOAP beside their peers, and nothing else."""
    found = beside.measure(options.scripts, options.soap, options.seconds)
    _say(f"\n{beside.report(found)}")
    if file:
        told = {"machine": _machine(), **asdict(found)}
        Path(file).write_text(json.dumps(told, indent=1) + "\n")
    return 0


def _flat(options: Options, file: str) -> int:
    """Measure how costs grow with a table, and nothing else."""
    costs: list[flat.Cost] = []
    for name in options.databases:
        _say(f"{name}: up to {options.flat:,} incidents …")
        costs += flat.measure(name, options.flat)
    _say(f"\n{flat.report(costs, options.flat)}")
    if file:
        found = {"machine": _machine(), "rows": options.flat, "costs": [asdict(c) for c in costs]}
        Path(file).write_text(json.dumps(found, indent=1) + "\n")
    return 0


def _directus(options: Options, file: str) -> int:
    """Load Midspan and Directus in turns on one PostgreSQL server, and nothing else."""
    found: dict[tuple[str, str], list[float]] = {}
    with databases.target("postgresql") as target, ExitStack() as stack:
        made = dataset.fill(target.data, target.url, options.records)
        target.statement("ANALYZE")
        midspan = stack.enter_context(_midspan(target))
        other = stack.enter_context(directus.serving(Path(options.directus), target))
        asked = {"midspan": (midspan, requests_of), "directus": (other, directus.requests_of)}
        _, body = processes.ask(midspan, requests_of("list of 100", made)[0])
        directus.check(other, json.loads(body)["result"], made)
        for number, (job, name) in product(
            range(options.passes + 1), product(directus.JOBS, asked)
        ):
            peer, requests = asked[name]
            seconds = options.seconds if number else WARM_UP
            got = _sent_to(peer, requests(job, made), job, options, seconds)
            if number:
                found.setdefault((name, job), []).append(got["rate"])
            if job in WRITES:
                _forget_written(target)
    rows = directus.compared(found)
    _say(f"\n{directus.report(rows)}")
    if file:
        told = {"machine": _machine(), "rows": [asdict(row) for row in rows]}
        Path(file).write_text(json.dumps(told, indent=1) + "\n")
    return 0


def _options(arguments: Sequence[str] | None) -> tuple[Options, str]:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--seconds", type=float, default=4.0, help="of load for each figure")
    add("--database", choices=("sqlite", "postgresql", "both"), default="both")
    add("--passes", type=int, default=3, help="figures per peer and request; the median counts")
    add("--records", type=int, default=10_000, help="incidents in the table")
    add("--connections", type=int, default=16, help="kept alive by the load generator")
    add("--starts", type=int, default=STARTS, help="starts of serve --ephemeral")
    add("--events", type=int, default=60, help="of each kind in the demo's set-up; 0 for none")
    add("--flat", type=int, default=0, help="only: costs in a table of so many rows and of 10,000")
    add("--directus", default="", help="only: beside Directus, installed in this folder")
    add("--scripts", type=int, default=5, help="rounds of server-side scripts; 0 for none")
    add("--soap", type=int, default=3, help="rounds of SOAP and import sets; 0 for none")
    add("--beside", action="store_true", help="only: scripts and SOAP beside their peers")
    add("--json", default="", help="write all figures to this file")
    given = parser.parse_args(arguments)
    names = ("sqlite", "postgresql") if given.database == "both" else (given.database,)
    options = Options(
        seconds=min(given.seconds, 60.0),
        passes=given.passes,
        records=given.records,
        connections=given.connections,
        starts=given.starts,
        events=given.events,
        scripts=given.scripts,
        soap=given.soap,
        beside=given.beside,
        databases=names,
        flat=given.flat,
        directus=given.directus,
    )
    return options, given.json


def measure(target: databases.Target, options: Options, results: Results) -> None:
    """Measure both peers on one database; add the figures to ``results``."""
    _say(f"{target.name}: {target.about}; {options.records:,} incidents …")
    made = dataset.fill(target.data, target.url, options.records)
    if target.url:
        target.statement("ANALYZE")  # else autovacuum does it between two figures
    with ExitStack() as stack:
        peers = {
            "midspan": stack.enter_context(_midspan(target)),
            "limit": stack.enter_context(_limit(target, made)),
        }
        idle = {name: processes.memory(peer.process) for name, peer in peers.items()}
        check_same(peers, made)
        check_written(target, peers["midspan"], made)
        for peer, job in product(peers.values(), JOBS):
            _load(peer, made, job, options, WARM_UP)
        _forget_written(target)
        for number in range(options.passes):
            _pass(number, (target, made, peers), options, results)
        for name, peer in peers.items():
            after = processes.memory(peer.process)
            results.memory.append(
                {"database": target.name, "peer": name, "idle": idle[name], "after": after}
            )


def _pass(
    number: int,
    bench: tuple[databases.Target, dataset.Dataset, dict[str, Server]],
    options: Options,
    results: Results,
) -> None:
    """Measure every request of both peers once; the peer that goes first changes."""
    target, made, peers = bench
    order = list(peers) if number % 2 == 0 else list(reversed(peers))
    for job, name in product(JOBS, order):
        roots = [peers[name].process, *([target.server] if target.server else [])]
        before, used = results.calibrate(), processes.cpu_seconds(*roots)
        got = _load(peers[name], made, job, options, options.seconds)
        used = processes.cpu_seconds(*roots) - used
        figure = Figure(
            database=target.name,
            peer=name,
            job=job,
            rate=got["rate"],
            p50=got["p50"],
            p99=got["p99"],
            cpu=used * 1000 / got["count"],
            calibration=max(before, results.calibrate()),
            count=got["count"],
            size=got["size"],
        )
        results.figures.append(figure)
        if job in WRITES:
            _forget_written(target)
        _say(
            f"  pass {number + 1} {job:12}{name:8} {figure.rate:9,.0f}/s"
            f"  CPU {figure.cpu:6.2f} ms  calib {figure.calibration:.0f}"
        )


def _load(
    peer: Server, made: dataset.Dataset, job: str, options: Options, seconds: float
) -> dict[str, Any]:
    """Load one peer.

    Raises:
        RuntimeError: an answer was an error, or there was none at all.
    """
    return _sent_to(peer, requests_of(job, made), job, options, seconds)


def _sent_to(
    peer: Server, requests: list[str], job: str, options: Options, seconds: float
) -> dict[str, Any]:
    got: dict[str, Any] = processes.run_load(
        peer,
        requests,
        seconds=min(seconds, options.seconds),
        connections=options.connections,
    )
    if got["errors"] or not got["count"]:
        raise RuntimeError(f"{job}: {got['errors']} errors, first {got['first_error']}")
    return got


def requests_of(job: str, made: dataset.Dataset) -> list[str]:
    """Return complete HTTP requests for a job; both peers are sent the same."""
    wanted = next((one for one in dataset.LISTS if one.name == job), None)
    user = wanted.user if wanted else dataset.USER
    token = base64.b64encode(f"{user}:{dataset.PASSWORD}".encode()).decode()
    head = f"Host: localhost\r\nAuthorization: Basic {token}\r\nAccept: application/json\r\n"
    fields = f"sysparm_fields={','.join(dataset.COLUMNS)}&sysparm_exclude_reference_link=true"
    path = f"/api/now/table/{dataset.TABLE}"
    if job == "GET one":
        return [f"GET {path}/{one}?{fields} HTTP/1.1\r\n{head}\r\n" for one in made.sys_ids]
    if job == "POST":
        return [f"POST {path}?{fields} HTTP/1.1\r\n{head}{_sent(made.body)}"]
    if wanted is None:
        # Each text is new to its record: what changes nothing would not be written.
        run = secrets.token_hex(4)
        return [
            f"PATCH {path}/{one}?{fields} HTTP/1.1\r\n{head}"
            + _sent({"short_description": f"changed in run {run}, round {number}"})
            for number in range(ROUNDS)
            for one in made.sys_ids
        ]
    return [f"GET {path}?{wanted.parameters} HTTP/1.1\r\n{head}\r\n"]


def _sent(body: dict[str, str]) -> str:
    text = json.dumps(body)
    return f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}"


def check_same(peers: dict[str, Server], made: dataset.Dataset) -> None:
    """Make sure that both peers answer reads with the very same rows.

    Raises:
        RuntimeError: they do not, so that a comparison would mean nothing.
    """
    for job in READS:
        request = requests_of(job, made)[0]
        answers = [processes.ask(peer, request) for peer in peers.values()]
        rows = [json.loads(body)["result"] for _, body in answers]
        if rows[0] != rows[1] or not rows[0]:
            raise RuntimeError(
                f"{job}: the peers differ: {str(rows[0])[:500]} {str(rows[1])[:500]}"
            )


def _forget_written(target: databases.Target) -> None:
    """Delete what the peers inserted, so that every figure has the same tables before it."""
    target.statement("DELETE FROM task WHERE short_description = ?", dataset.POSTED)
    target.statement("DELETE FROM sys_audit WHERE tablename = 'incident'")
    target.statement("DELETE FROM sys_outbox WHERE table_name = 'incident'")


def check_written(target: databases.Target, peer: Server, made: dataset.Dataset) -> None:
    """Make sure that Midspan's writes bring their event and, for a change, audit; forget them.

    Raises:
        RuntimeError: they do not, so that less would be measured than is claimed.
    """
    for job, audited in (("POST", 0), ("PATCH", 1)):
        before = target.statement(OUTBOX), target.statement(AUDIT)
        status, body = processes.ask(peer, requests_of(job, made)[0])
        events, rows = target.statement(OUTBOX) - before[0], target.statement(AUDIT) - before[1]
        if status not in (200, 201) or (events, rows) != (1, audited):
            raise RuntimeError(
                f"{job}: status {status}, {events} events, {rows} audit rows, {body[:300]!r}"
            )
    _forget_written(target)


def _midspan(target: databases.Target) -> Any:
    command = [sys.executable, str(HERE / "midspan_app.py"), "serve", "--port", "0"]
    command += ["--data", str(target.data), "--log-level", "warning"]
    if target.url:
        command += ["--database", target.url]
    return processes.running(command, MIDSPAN_ADMIN_PASSWORD=dataset.PASSWORD)


def _limit(target: databases.Target, made: dataset.Dataset) -> Any:
    file = target.data / "limit.json"
    described = {
        "database": target.url,
        "file": str(target.data / "records.db"),
        "work": asdict(made.work),
    }
    file.write_bytes(orjson.dumps(described))
    return processes.running([sys.executable, str(HERE / "limit_app.py"), str(file)])


def _starts(options: Options, results: Results) -> dict[str, Any]:
    """Return the seconds from process start to the first answer of an ephemeral instance."""
    command = [*MIDSPAN, "serve", "--ephemeral", "--port", "0", "--log-level", "warning"]
    _say(f"{' '.join(command[1:])}, {options.starts} times …")
    seconds: list[float] = []
    loops: list[float] = []
    processes.start_seconds(command, "/healthz")  # makes the template of new instances
    for _ in range(options.starts):
        loops.append(results.calibrate())
        seconds.append(processes.start_seconds(command, "/healthz"))
    return {"median": median(seconds), "all": seconds, "calibration": loops}


def _print(results: Results, options: Options) -> None:
    quickest = min(results.loops)
    _say("")
    _say(table(results.figures, quickest))
    _say("")
    for row in results.memory:
        _say(
            f"memory (PSS of all processes), {row['database']}, {row['peer']}:"
            f" idle {row['idle']:.0f} MB, after load {row['after']:.0f} MB"
        )
    starts = results.starts
    spread = ", ".join(f"{second:.2f}" for second in sorted(starts["all"]))
    _say(
        f"midspan serve --ephemeral, process start to first answer: {starts['median']:.2f} s"
        f" ({spread}; calib {median(starts['calibration']):.0f})"
    )
    _say(
        f"calibration loop: {quickest:.0f} ms at best, median {median(results.loops):.0f},"
        f" worst {max(results.loops):.0f}; medians of {options.passes} passes of"
        f" {options.seconds:g} s, {options.connections} connections"
    )
    if results.latencies:
        _say(f"\n{latency.report(results.latencies)}")
    told = beside.report(results.beside)
    if told:
        _say(f"\n{told}")


def _machine() -> str:
    names = ("midspan", "granian", "orjson", "psycopg")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.release()},"
        f" Python {platform.python_version()}, {versions}"
    )


_say: Callable[[str], None] = print

if __name__ == "__main__":
    sys.exit(main())
