"""Is this instance healthy, and is it set up safely? The checks behind ``midspan doctor``."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

from midspan.api import configuration, upkeep
from midspan.api.checks import Check, Examined
from midspan.dictionary.values import parse_datetime
from midspan.kernel.errors import MidspanError
from midspan.security import SYSTEM
from midspan.security.vault import ENVIRONMENT
from midspan_link.egress import EgressRules
from midspan_link.errors import LinkError

KEY_FILE = "master.key"
ROOM = 1024**3
LEAST_ROOM = 128 * 1024**2
SKEW = timedelta(seconds=2)
LATE = timedelta(minutes=1)
SILENT = timedelta(minutes=2)
_IN_FORCE = frozenset({"on", "nobody", "unchanged"})
"""``nobody``: root gave up its rights; ``unchanged``: it was not root to begin with."""


def examine(examined: Examined) -> list[Check]:
    """Run every check; one that cannot be made counts as failed and does not stop the others."""
    checks: list[Check] = []
    for name, check in _CHECKS.items():
        try:
            checks += check(examined)
        except (MidspanError, LinkError, OSError) as error:
            hint = error.hint if isinstance(error, MidspanError | LinkError) else ""
            checks.append(Check(name, "failed", str(error), hint or "The log says more."))
    return checks


def _database(examined: Examined) -> Iterator[Check]:
    database = examined.records.database
    sqlite = database.dialect.name == "sqlite"
    with database.write() as transaction:
        row = transaction.row("SELECT sqlite_version()" if sqlite else "SHOW server_version")
    name = "SQLite" if sqlite else "PostgreSQL"
    yield Check("database", "ok", f"{name} {row[0] if row else '?'} is writable")


def _disk(examined: Examined) -> Iterator[Check]:
    free = shutil.disk_usage(examined.settings.data).free
    status = "failed" if free < LEAST_ROOM else "warning" if free < ROOM else "ok"
    hint = "" if status == "ok" else "Make room, or move the data directory."
    message = f"{free // 1024**2} MiB free for {examined.settings.data}"
    yield Check("disk", status, message, hint)


def _clock(examined: Examined) -> Iterator[Check]:
    database = examined.records.database
    if database.dialect.name == "sqlite":
        yield Check("clock", "ok", "The database is in this process and uses its clock")
        return
    with database.read() as transaction:
        row = transaction.row("SELECT extract(epoch FROM clock_timestamp())")
    skew = abs(float(row[0]) - examined.clock.now().timestamp()) if row else 0.0
    message = f"{skew:.1f} s between this machine and the database"
    if skew > SKEW.total_seconds():
        yield Check("clock", "warning", message, "Synchronise both with a time server.")
    else:
        yield Check("clock", "ok", message)


def _sandbox(examined: Examined) -> Iterator[Check]:
    measures = examined.hardening() if examined.hardening else {}
    if not measures:
        yield Check(
            "sandbox",
            "warning",
            "No script ran yet, so no worker could be looked at",
            "Call a scripted service, then look again.",
        )
        return
    missing = {name: why for name, why in measures.items() if why not in _IN_FORCE}
    for name, why in missing.items():
        hint = "Scripts run, with one barrier less. Run on a kernel that allows it."
        yield Check("sandbox", "warning", f"{name}: {why}", hint)
    if not missing:
        yield Check("sandbox", "ok", f"Script workers gave up: {', '.join(sorted(measures))}")


def _master_key(examined: Examined) -> Iterator[Check]:
    if os.environ.get(ENVIRONMENT):
        yield Check("master key", "ok", f"Comes from {ENVIRONMENT}")
        return
    file: Path = examined.settings.data / KEY_FILE
    if not file.exists():
        hint = f"Bring {file} back from its copy: without it the instance does not start again."
        yield Check("master key", "failed", f"{file} is gone", hint)
        return
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        yield Check("master key", "failed", f"Others may read {file}", f"chmod 600 {file}")
    else:
        yield Check("master key", "ok", f"{file} can be read by its owner only; keep a copy apart")


def _egress(examined: Examined) -> Iterator[Check]:
    lines = [line.strip() for line in examined.settings.egress.split(",") if line.strip()]
    EgressRules.parse(lines)
    wide = [line for line in lines if "/0" in line or line in ("*", "*:*")]
    if wide:
        message = f"{', '.join(wide)} lets outbound calls reach every internal address"
        yield Check("egress", "warning", message, "Name the hosts that are needed.")
    elif lines:
        yield Check("egress", "ok", f"Internal destinations allowed: {', '.join(lines)}")
    else:
        yield Check("egress", "ok", "Outbound calls reach public addresses only")


def _mid_servers(examined: Examined) -> Iterator[Check]:
    with examined.records.read(SYSTEM) as transaction:
        if "ecc_agent" not in transaction.dictionary:
            return
        agents = transaction.find("ecc_agent", "ORDERBYname")
    now = examined.clock.now()
    if not agents:
        yield Check("MID servers", "ok", "None is enrolled")
    for agent in agents:
        seen = agent.get("last_refreshed")
        silent = not seen or now - parse_datetime(seen) > SILENT
        name = f"MID server {agent.get('name')}"
        if agent.get("validated") != "validated":
            hint = f"midspan mid validate {agent.get('name')}"
            yield Check(name, "warning", "Waits for an administrator's validation", hint)
        elif silent:
            message = f"Not heard of since {seen or 'its enrolment'}"
            yield Check(name, "warning", message, "Look at its log: midspan mid status")
        else:
            yield Check(name, "ok", f"{agent.get('status')}, version {agent.get('version')}")


def _outbox(examined: Examined) -> Iterator[Check]:
    with examined.records.read(SYSTEM) as transaction:
        oldest = transaction.first("sys_outbox", "stateINready,claimed^ORDERBYsys_created_on")
        failed = transaction.first("sys_outbox", "state=error^ORDERBYDESCsys_created_on")
    if failed is not None:
        message = f"{failed.get('event')} could not be delivered: {failed.get('error')[:200]}"
        yield Check("outbox", "warning", message, "List them: sys_outbox, state=error.")
    if oldest is None:
        yield Check("outbox", "ok", "Nothing is waiting")
        return
    age = examined.clock.now() - parse_datetime(oldest.get("sys_created_on"))
    message = f"The oldest entry waits for {int(age.total_seconds())} s"
    if age > LATE:
        hint = "Is a worker running? The log names the event that fails."
        yield Check("outbox", "warning", message, hint)
    else:
        yield Check("outbox", "ok", message)


_CHECKS: dict[str, Callable[[Examined], Iterator[Check]]] = {
    "database": _database,
    "disk": _disk,
    "clock": _clock,
    "sandbox": _sandbox,
    "master key": _master_key,
    "egress": _egress,
    "MID servers": _mid_servers,
    "outbox": _outbox,
    "jobs": upkeep.jobs,
    "backup": upkeep.backups,
    "schema": upkeep.schema,
    "rules": configuration.rules,
    "flows": configuration.flows,
    "maps": configuration.maps,
    "services": configuration.services,
    "connections": configuration.connections,
}
