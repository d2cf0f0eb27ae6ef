"""An instance behind a real socket, agents as processes, and a private database to read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

import psycopg
import uvicorn
from tests.guard import GUARD

from midspan.ecc import EccOptions
from midspan.importsets.relay import RelayedLoad
from midspan.instance import Instance
from midspan.records import insert
from midspan.security import SYSTEM
from midspan_mid.cli import main
from midspan_mid.home import Home, write_durably

SRC = Path(__file__).parents[2] / "src"
LEASE = timedelta(seconds=3)


def until(condition: Callable[[], bool], seconds: float = GUARD) -> None:
    """Return when the condition holds; fail after ``seconds``."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        pause.wait(0.03)


class Records:
    """What tests of agents read and write in an instance, wherever it works."""

    def __init__(self, instance: Instance) -> None:
        self.records = instance.records

    def find(self, table: str, query: str) -> list[Mapping[str, str]]:
        """Return records by an encoded query."""
        with self.records.read(SYSTEM) as transaction:
            return [record.values for record in transaction.find(table, query)]

    def add(self, table: str, values: Mapping[str, str]) -> str:
        """Insert a record."""
        with self.records.write(SYSTEM, enforce=False) as transaction:
            return transaction.apply(insert(table, values)).sys_id

    def source(self, name: str, staging: str, **values: str) -> str:
        """Make a data source with a map into servers that coalesces on the serial number."""
        given = {"name": name, "type": "JDBC", "import_set_table_name": staging, **values}
        source = self.add("sys_data_source", given)
        mapped = {"name": name, "source_table": staging, "target_table": "cmdb_ci_server"}
        map_id = self.add("sys_transform_map", mapped)
        for target, column, key in _FIELDS:
            entry = {"map": map_id, "target_field": target, "source_field": column}
            self.add("sys_transform_entry", {**entry, "coalesce": key})
        return source

    def totals(self, load: RelayedLoad) -> tuple[int, ...]:
        """Return inserts, updates, ignored, errors and total of an import."""
        (run,) = self.find("sys_import_set_run", f"set={load.import_set}")
        names = ("inserts", "updates", "ignored", "errors", "total")
        return tuple(int(run[name]) for name in names)


class Site(Records):
    """One instance with everything that agents need, serving on ``url``; port 0: any."""

    def __init__(self, instance: Instance, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(instance)
        self.instance = instance
        self.enrolments = instance.enrolments
        self.queue = instance.ecc
        self.queue.options = EccOptions(lease=LEASE)
        self.relay = instance.relay
        self.app = instance.application()
        config = uvicorn.Config(
            self.app, host=host, port=port, log_level="error", lifespan="off", ws="none"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self.host = host

    def start(self) -> None:
        """Begin to serve."""
        self.instance.start_work()
        self._thread.start()
        until(lambda: self._server.started)

    def stop(self) -> None:
        """End everything."""
        self.queue.signal.close()
        self._server.should_exit = True
        self._thread.join()
        self.app.close()

    @property
    def url(self) -> str:
        """Where the instance listens."""
        return f"http://{self.host}:{self._server.servers[0].sockets[0].getsockname()[1]}"

    def finished(self, load: RelayedLoad) -> Mapping[str, str]:
        """Wait for the end of an import and return its set."""
        until(lambda: self.relay.state(load) in ("processed", "error", "cancelled"))
        (found,) = self.find("sys_import_set", f"sys_id={load.import_set}")
        return found


_FIELDS = (
    ("serial_number", "u_serial", "true"),
    ("name", "u_name", "false"),
    ("ram", "u_ram", "false"),
)


@contextmanager
def serving(instance: Instance, host: str = "127.0.0.1") -> Iterator[Site]:
    """Serve an instance for the block."""
    site = Site(instance, host)
    site.start()
    try:
        yield site
    finally:
        site.stop()


class PrivateDatabase:
    """A table of servers that only the agent may read."""

    def __init__(self, url: str, prefix: str, rows: int) -> None:
        self.url = url
        self.prefix = prefix
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS servers (serial text, name text, ram int)"
            )
            connection.execute("DELETE FROM servers")
            with connection.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO servers VALUES (%s, %s, %s)",
                    [(f"{prefix}-{n}", f"host\t{prefix} {n}", 1024 + n) for n in range(rows)],
                )

    def change(self, serials: list[int]) -> None:
        """Give some servers another name."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            for number in serials:
                connection.execute(
                    "UPDATE servers SET name = %s WHERE serial = %s",
                    (f"renamed {number}", f"{self.prefix}-{number}"),
                )

    def target(self) -> dict[str, str]:
        """Return the entry of ``targets`` in mid.yaml."""
        parts = urlsplit(self.url)
        host = parse_qs(parts.query).get("host", [""])[0]
        if host.startswith("/"):
            address = f"postgresql://{parts.path}?host={host}"
        else:
            address = f"postgresql://{parts.hostname}:{parts.port or 5432}{parts.path}"
        secret = {"password": parts.password} if parts.password else {}
        return {"url": address, "user": parts.username or "postgres", **secret}


class Addressed(Protocol):
    """Something with the address of an instance."""

    @property
    def url(self) -> str:
        """Where the instance listens."""
        ...


class AgentProcess:
    """An agent's home and its runs; ``prefix`` goes before the command."""

    def __init__(
        self, site: Addressed, root: Path, name: str, prefix: tuple[str, ...] = ()
    ) -> None:
        self.site = site
        self.name = name
        self.home = Home(root / name)
        self.log = root / f"{name}.log"
        self._prefix = prefix
        self._popen: subprocess.Popen[bytes] | None = None

    def enrol(self, code: str, *, url: str = "") -> int:
        """Enrol by the command line; return its exit status."""
        arguments = ["enrol", "--url", url or self.site.url, "--code", code, "--name", "host"]
        return main([*arguments, "--home", str(self.home.root)])

    def configure(self, **config: object) -> None:
        """Write ``mid.yaml``."""
        values = {"url": self.site.url, "name": self.name, "grace_seconds": 0, **config}
        write_durably(self.home.config, json.dumps(values).encode())

    def start(self) -> None:
        """Run the agent."""
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                [*self._prefix, sys.executable, "-m", "midspan_mid", "run", "--home",
                 str(self.home.root)],
                env={**os.environ, "PYTHONPATH": str(SRC)},
                stderr=log,
            )  # fmt: skip

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        assert self._popen is not None
        if self._popen.poll() is None:
            self._popen.send_signal(number)
        return self._popen.wait(GUARD)

    @property
    def running(self) -> bool:
        """Tell whether a run was started and not ended."""
        return self._popen is not None and self._popen.poll() is None
