"""Scenario 3, a nightly import from behind a firewall, through a MID server that only dials out."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from midspan.demo.privatedb import ASSETS
from midspan.demo.processes import Process
from midspan.demo.scenario import (
    PATIENCE,
    Client,
    Evidence,
    Say,
    Scenario,
    Shown,
    Stage,
    expect,
    wait_for,
)

AGENT = "private-network"
SCHEDULE = "Nightly assets"


def enrol(
    admin: Client, database: dict[str, str], folder: Path, start: Callable[..., Process]
) -> None:
    """Enrol a MID server, tell it alone where the database is, validate and start it."""
    home = folder / "mid"
    code = admin.send("POST", "/api/midspan/v1/mid/code", json={"name": AGENT})["result"]["code"]
    arguments = ["enrol", "--url", admin.url, "--code", code, "--name", AGENT, "--home", str(home)]
    done = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "midspan_mid", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    expect(done.returncode == 0, f"the MID server could not enrol: {done.stdout}{done.stderr}")
    target = {"url": database["url"], "user": database["user"], "password": database["password"]}
    config = {"url": admin.url, "name": AGENT, "grace_seconds": 0, "targets": {"assets": target}}
    file = home / "mid.yaml"
    file.write_text(json.dumps(config))
    file.chmod(0o600)
    admin.send("POST", "/api/midspan/v1/mid/validate", json={"name": AGENT})
    start("midspan_mid", ["run", "--home", str(home)], folder / "mid.log")


def run(stage: Stage, say: Say) -> Shown:
    """Pull all assets, change three of them, pull again."""
    admin = stage.admin
    wait_for(
        lambda: admin.rows("ecc_agent", f"name={AGENT}^status=Up", "sys_id"),
        "the MID server is not up",
    )
    say(f"Running “{SCHEDULE}” now; it is scheduled for 02:00")
    started = time.perf_counter()
    first = _pull(admin)
    seconds = time.perf_counter() - started
    expect(first["totals"]["inserts"] == ASSETS, f"the first pull: {first['totals']}")
    say("Three rows change in the private database")
    with psycopg.connect(stage.private["admin"], autocommit=True) as connection:
        connection.execute("UPDATE assets SET ram = ram + 1 WHERE serial_number <= 'SN-00003'")
    second = _pull(admin)
    totals = second["totals"]
    expect((totals["updates"], totals["ignored"]) == (3, ASSETS - 3), f"the second pull: {totals}")
    servers = admin.count("cmdb_ci_server", "serial_numberSTARTSWITHSN-")
    expect(servers == ASSETS, f"{servers} servers instead of {ASSETS}")
    exchange = admin.count("ecc_queue", "topic=JDBCProbe")
    expect(exchange >= 4, f"the queue shows {exchange} messages of the exchange")
    return Shown(
        went_in=f"{ASSETS} rows, then 3 changed",
        came_out=f"{ASSETS} servers made, then exactly 3 updated",
        seconds=seconds,
        evidence=_evidence(admin, first["sys_id"], second["sys_id"]),
    )


def _evidence(admin: Client, first: str, second: str) -> tuple[Evidence, ...]:
    server = admin.the("cmdb_ci_server", "serial_number=SN-00001")["sys_id"]
    schedule = admin.the("scheduled_import_set", f"name={SCHEDULE}")["sys_id"]
    agent = admin.the("ecc_agent", f"name={AGENT}")["sys_id"]
    return (
        Evidence("A server that was updated", "cmdb_ci_server", server),
        Evidence("The first pull", "sys_import_set_run", first),
        Evidence("The second pull", "sys_import_set_run", second),
        Evidence("The nightly schedule", "scheduled_import_set", schedule),
        Evidence("The MID server", "ecc_agent", agent),
        Evidence("The whole exchange", "ecc_queue", query="topic=JDBCProbe"),
    )


def _pull(admin: Client) -> Any:
    """Run the schedule now; return its one run with ``sys_id`` and ``totals``."""
    reply = admin.send("POST", "/api/midspan/v1/imports/run", json={"name": SCHEDULE})
    (done,) = reply["result"]["runs"]
    expect(not done["errors"], f"the import reported {done['errors'][:3]}")
    return done


SCENARIO = Scenario(
    title="Nightly assets from a private database",
    direction="inbound through a MID server",
    opened_by="The MID server connects to the instance, and to the database beside it",
    run=run,
)
