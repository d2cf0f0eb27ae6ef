"""Debian's Alertmanager posts to a Scripted REST service of a real `midspan serve`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.guard import GUARD

from midspan.demo.processes import Process
from midspan.demo.run import app_files
from midspan.demo.scenario import Client

from .mid_lab import until

PROGRAM = "prometheus-alertmanager"
PASSWORD = "chosen for this test"
RESOLVED, REPEAT = "6", timedelta(seconds=1)
"""A state of incidents; how often Alertmanager says again that an alert fires."""
SERVICE = {"app.yaml"} | {
    f"rest/alertmanager/{name}" for name in ("service.yaml", "receive.js", "list.js")
}
"""The demo's files that make the service; its flows and imports need more than this test has."""

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        not shutil.which(PROGRAM) and not os.environ.get("CI"),
        reason=f"needs {PROGRAM}: apt-get install {PROGRAM}, or make test-system",
    ),
]


class Instance:
    """A served instance with the demo's service, seen by its administrator."""

    def __init__(self, process: Process, admin: Client) -> None:
        self.process = process
        self.admin = admin

    def incidents(self, alertname: str) -> dict[str, dict[str, str]]:
        """Return the incidents of an alert by fingerprint; a second one for the same fails."""
        fields = "number,correlation_id,correlation_display,short_description,impact,state"
        found = self.admin.rows("incident", f"short_descriptionSTARTSWITH{alertname} ", fields)
        by_fingerprint = {row["correlation_id"]: row for row in found}
        assert len(by_fingerprint) == len(found), found
        return by_fingerprint


class Alertmanager:
    """A running Alertmanager and its own API."""

    def __init__(self, url: str, log: Path) -> None:
        self.log = log
        self._http = httpx.Client(base_url=url, timeout=GUARD)

    def ready(self) -> bool:
        """Tell whether it takes alerts."""
        try:
            return self._http.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def push(self, alertname: str, hosts: list[str], *, ended: bool = False) -> None:
        """Send alerts as Prometheus does; with an end in the past they are resolved."""
        now = datetime.now(UTC)
        end = now - timedelta(seconds=1) if ended else now + timedelta(hours=1)
        alerts = [
            {
                "labels": {"alertname": alertname, "instance": host, "severity": "critical"},
                "annotations": {"summary": f"{alertname} on {host}"},
                "startsAt": (now - timedelta(minutes=1)).isoformat(),
                "endsAt": end.isoformat(),
            }
            for host in hosts
        ]
        self._http.post("/api/v2/alerts", json=alerts).raise_for_status()

    def fingerprints(self, alertname: str) -> dict[str, str]:
        """Return the fingerprints it gave the firing alerts, by host."""
        answer = self._http.get("/api/v2/alerts", params={"filter": f'alertname="{alertname}"'})
        alerts: list[dict[str, Any]] = answer.raise_for_status().json()
        return {alert["labels"]["instance"]: alert["fingerprint"] for alert in alerts}

    def delivered(self) -> int:
        """Return how many webhook calls it made and did not see fail; one may be under way."""
        return self._metric("notifications_total") - self._metric("notifications_failed_total")

    def refused(self) -> int:
        """Return how many webhook calls failed so far."""
        return self._metric("notifications_failed_total")

    def _metric(self, name: str) -> int:
        start = f'alertmanager_{name}{{integration="webhook"}} '
        lines = self._http.get("/metrics").raise_for_status().text.splitlines()
        (line,) = (line for line in lines if line.startswith(start))
        return int(float(line.removeprefix(start)))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """An instance with the demo's app and the user that Alertmanager signs in as."""
    folder = tmp_path_factory.mktemp("instance")
    arguments = ["serve", "--data", str(folder / "data"), "--port", "0"]
    process = Process("midspan", arguments, folder / "log", {"MIDSPAN_ADMIN_PASSWORD": PASSWORD})
    with ExitStack() as stack:
        stack.callback(process.stop)
        admin = Client(process.ready()["url"], "admin", PASSWORD)
        stack.callback(admin.close)
        files = {path: text for path, text in app_files().items() if path in SERVICE}
        assert files.keys() == SERVICE
        admin.send("POST", "/api/midspan/v1/apply", json={"files": files})
        user = {"user_name": "alertmanager", "first_name": "Alert", "password": PASSWORD}
        admin.send("POST", "/api/midspan/v1/users", json=user)
        yield Instance(process, admin)


def running(folder: Path, receiver: str, password: str, stack: ExitStack) -> Alertmanager:
    """Start an Alertmanager that posts to ``receiver``; it ends with ``stack``."""
    config = {
        "route": {
            "receiver": "midspan",
            "group_by": ["alertname"],
            "group_wait": "100ms",
            "group_interval": "200ms",
            "repeat_interval": f"{REPEAT.total_seconds():.0f}s",
        },
        "receivers": [
            {
                "name": "midspan",
                "webhook_configs": [
                    {
                        "url": receiver,
                        "send_resolved": True,
                        "http_config": {
                            "basic_auth": {"username": "alertmanager", "password": password}
                        },
                    }
                ],
            }
        ],
    }
    (folder / "alertmanager.yml").write_text(json.dumps(config))  # JSON is YAML
    log = folder / "alertmanager.log"
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                PROGRAM,
                f"--config.file={folder / 'alertmanager.yml'}",
                f"--storage.path={folder / 'alertmanager'}",
                f"--web.listen-address={address}",
                "--cluster.listen-address=",
                "--log.level=debug",
            ],
            stdout=output,
            stderr=output,
        )
    stack.callback(_end, process)
    manager = Alertmanager(f"http://{address}", log)
    stack.callback(manager.close)
    until(lambda: process.poll() is not None or manager.ready())
    assert process.poll() is None, log.read_text()
    return manager


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    process.wait(GUARD)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def test_alerts_of_a_group_become_incidents_once_and_are_resolved(
    instance: Instance, tmp_path: Path, stack: ExitStack
) -> None:
    receiver = f"{instance.admin.url}/api/midspan/alertmanager/alerts"
    manager = running(tmp_path, receiver, PASSWORD, stack)
    manager.push("DiskFull", ["db01:9100", "db02:9100"])
    until(lambda: len(instance.incidents("DiskFull")) == 2)
    opened = instance.incidents("DiskFull")
    fingerprints = manager.fingerprints("DiskFull")
    assert {host: opened[mark]["short_description"] for host, mark in fingerprints.items()} == {
        "db01:9100": "DiskFull on db01:9100",
        "db02:9100": "DiskFull on db02:9100",
    }
    assert {row["correlation_display"] for row in opened.values()} == {"midspan"}
    assert {row["impact"] for row in opened.values()} == {"1"}
    assert RESOLVED not in {row["state"] for row in opened.values()}
    told = manager.delivered()
    until(lambda: manager.delivered() >= told + 2)  # it repeats what fires
    assert instance.incidents("DiskFull") == opened, "a repeated notification changes nothing"

    manager.push("DiskFull", ["db01:9100"], ended=True)
    first, second = fingerprints["db01:9100"], fingerprints["db02:9100"]
    until(lambda: instance.incidents("DiskFull")[first]["state"] == RESOLVED)
    assert instance.incidents("DiskFull")[second] == opened[second], "the other still fires"
    manager.push("DiskFull", ["db02:9100"], ended=True)
    until(lambda: instance.incidents("DiskFull")[second]["state"] == RESOLVED)
    assert {row["number"] for row in instance.incidents("DiskFull").values()} == {
        row["number"] for row in opened.values()
    }
    assert manager.refused() == 0, manager.log.read_text()


def test_a_wrong_password_opens_nothing(
    instance: Instance, tmp_path: Path, stack: ExitStack
) -> None:
    receiver = f"{instance.admin.url}/api/midspan/alertmanager/alerts"
    manager = running(tmp_path, receiver, "not the password", stack)
    manager.push("MemoryLow", ["db01:9100"])
    until(lambda: manager.refused() >= 2)
    assert "401" in manager.log.read_text()
    assert instance.incidents("MemoryLow") == {}
