"""Published clients, unmodified, against a live `midspan serve`; what passed is in the guide."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from midspan.demo.processes import Process

from .install import FOLDER, REMEDY, is_installed
from .instance import PASSWORD, fill
from .lab import VENDOR_HOST, make_certificates, vendor_host_proxy

SCRIPTS = Path(__file__).parent / "scripts"
GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "point-your-client-here.md"
SECONDS = 900
"""Guards against hanging only."""
PYTHON, ANSIBLE = "python", "ansible"
CLIENTS = {
    # script: (name in the guide, what runs it)
    "pysnow_client.py": ("pysnow", ANSIBLE),
    "pysnc_client.py": ("PySNC", PYTHON),
    "aiosnow_client.py": ("aiosnow", PYTHON),
    "snowloader_client.py": ("snowloader", PYTHON),
    "ansible_client.py": ("Ansible, `servicenow.servicenow`", ANSIBLE),
    "servicenow_cli_client.py": ("servicenow-cli", PYTHON),
    "servicenow_rest_api_client.cjs": ("servicenow-rest-api", "node"),
    "n8n_client.cjs": ("n8n, node *ServiceNow*", "node"),
}
LIVE_TESTS = "snowloader, its own live tests"
NOT_OURS = {
    "test_incident_metadata_has_raw_cmdb_ci": "it wants a sys_id in `cmdb_ci`, where snowloader"
    " 0.8.1 itself puts the name; the sys_id is in `cmdb_ci_sys_id`",
    "test_verify_catches_a_sweep_that_really_did_lose_rows": "it wants rows to be lost between"
    " pages that are sorted by a date only; Midspan loses none",
}
"""Tests of snowloader that fail, and why they have to."""

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        not is_installed() and not os.environ.get("CI"),
        reason="needs the clients: make clients, or make test-system",
    ),
]


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Serve an instance with records behind https; yield what its clients need to know."""
    assert is_installed(), "make clients"
    folder = tmp_path_factory.mktemp("clients")
    authority, certificate, key = make_certificates(folder)
    arguments = ["serve", "--ephemeral", "--port", "0"]
    arguments += ["--tls-cert", str(certificate), "--tls-key", str(key)]
    given = {"MIDSPAN_ADMIN_PASSWORD": PASSWORD}
    process = Process("midspan", arguments, folder / "log", given)
    with ExitStack() as stack:
        stack.callback(process.stop)
        url = process.ready()["url"]
        known = fill(url, authority)
        proxy = stack.enter_context(vendor_host_proxy(int(url.rpartition(":")[2])))
        home = folder / "home"
        home.mkdir()
        yield {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(home),
            "CLIENT_URL": url,
            "CLIENT_VENDOR_URL": f"https://{VENDOR_HOST}",
            "CLIENT_PROXY": proxy,
            "CLIENT_AUTHORITY": str(authority),
            "CLIENT_COLLECTIONS": str(FOLDER / "collections"),
            "REQUESTS_CA_BUNDLE": str(authority),
            "SSL_CERT_FILE": str(authority),
            "NODE_EXTRA_CA_CERTS": str(authority),
            "NODE_PATH": str(FOLDER / "node" / "node_modules"),
            **known,
        }


@pytest.mark.parametrize("script", CLIENTS)
def test_client(script: str, variables: dict[str, str]) -> None:
    name, runner = CLIENTS[script]
    if runner == "node":
        assert shutil.which("node"), REMEDY
        command = ["node", "--require", str(SCRIPTS / "vendor_host.cjs")]
    else:
        command = [str(FOLDER / runner / "bin" / "python")]
    said = run([*command, str(SCRIPTS / script)], variables)
    assert said.stdout, said.stderr
    result = json.loads(said.stdout.splitlines()[-1])
    problems = {one["name"]: one["problem"] for one in result["checks"] if one["problem"]}
    assert not problems, "\n\n".join(f"{name}:\n{text}" for name, text in problems.items())
    total = len(result["checks"])
    assert row(name) == [result["version"], f"{total} of {total}"]


def test_the_live_tests_of_snowloader(variables: dict[str, str], tmp_path: Path) -> None:
    """Its own tests, as published, at the address that it takes for a real instance."""
    (source,) = (FOLDER / "source").iterdir()
    report = tmp_path / "report.xml"
    command = [str(FOLDER / PYTHON / "bin" / "python"), "-m", "pytest", "-q", "-c", os.devnull]
    command += ["--rootdir", str(source), "-p", "no:cacheprovider", f"--junit-xml={report}"]
    live = {
        "SNOW_INSTANCE": variables["CLIENT_VENDOR_URL"],
        "SNOW_USER": variables["CLIENT_USER"],
        "SNOW_PASS": variables["CLIENT_PASSWORD"],
        "HTTPS_PROXY": variables["CLIENT_PROXY"],
    }
    said = run([*command, str(source / "tests" / "integration")], {**variables, **live})
    assert report.exists(), said.stdout + said.stderr
    cases = ET.parse(report).findall(".//testcase")  # noqa: S314 - written by the line above
    ended: dict[str, list[str]] = {"failure": [], "error": [], "skipped": []}
    for case in cases:
        for child in case:
            ended.get(child.tag, []).append(str(case.get("name")))
    assert sorted(ended["failure"]) == sorted(NOT_OURS), said.stdout
    assert ended["error"] == [], said.stdout
    assert all(re.search("langchain|llamaindex|adapters", name) for name in ended["skipped"])
    ran = len(cases) - len(ended["skipped"])
    version = source.name.rpartition("-")[2]
    assert row(LIVE_TESTS) == [version, f"{ran - len(NOT_OURS)} of {ran}"]


def run(command: list[str], variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=variables, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def row(name: str) -> list[str]:
    """Return version and result of a client's row in the guide."""
    rows = [line.strip("| ").split(" | ") for line in GUIDE.read_text().splitlines()]
    found: list[Any] = [cells for cells in rows if cells[0] == name]
    assert len(found) == 1, f"{GUIDE.name} has {len(found)} rows of {name}"
    return [found[0][1], found[0][-1]]
