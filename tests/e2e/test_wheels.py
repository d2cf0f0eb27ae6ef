"""What users install: three wheels, each whole, each in an environment that was empty before."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import httpx
import pytest
from tests.guard import GUARD

from .empty_environment import EmptyEnvironment, requirements_of, third_party

ROOT = Path(__file__).parents[2]
PROJECTS = {
    "midspan_sdk": ("packages/sdk", {"midspan_sdk"}),
    "midspan_mid": ("packages/mid", {"midspan_mid", "midspan_link"}),
    "midspan": (".", {"midspan", "midspan_apps", "midspan_spokes"}),
}
"""Each wheel: where its project is, and the packages it carries."""
SPOKE_TESTS = re.compile(r"midspan_spokes/\w+/tests/")
"""A spoke's tests live in its folder and stay out of the wheel: they need pytest."""
SECRET = "chosen for this test"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdists, and the wheels built from them, as a release makes them."""
    folder = tmp_path_factory.mktemp("dist")
    for place, _ in PROJECTS.values():
        done = subprocess.run(
            [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT / place],
            env={**os.environ, "MIDSPAN_RELEASE": "1"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


def wheel(dist: Path, name: str) -> Path:
    (found,) = dist.glob(f"{name}-*.whl")
    return found


def files_of_wheel(dist: Path, name: str) -> set[str]:
    with ZipFile(wheel(dist, name)) as archive:
        return {file for file in archive.namelist() if not file.endswith("/")}


def files_of_sdist(dist: Path, name: str) -> set[str]:
    (found,) = dist.glob(f"{name}-*.tar.gz")
    with tarfile.open(found) as archive:
        return {file.name.partition("/")[2] for file in archive.getmembers() if file.isfile()}


def sources(packages: set[str]) -> set[str]:
    """Return the files of packages that are or could be committed, relative to ``src``."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *packages],
        cwd=ROOT / "src",
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {name for name in listed.split("\0") if name and (ROOT / "src" / name).is_file()}


@pytest.mark.parametrize("name", PROJECTS)
def test_every_file_is_packed_and_nothing_else(dist: Path, name: str) -> None:
    packages = PROJECTS[name][1]
    packed = {file for file in files_of_wheel(dist, name) if ".dist-info/" not in file}
    expected = {file for file in sources(packages) if not SPOKE_TESTS.match(file)}
    assert {package: f"{package}/py.typed" in packed for package in packages} == dict.fromkeys(
        packages, True
    )
    assert packed == expected
    archived = files_of_sdist(dist, name)
    assert {f"src/{file}" for file in sources(packages)} <= archived
    assert {"LICENSE", "PKG-INFO", "pyproject.toml"} <= archived


@pytest.mark.parametrize("name", PROJECTS)
def test_every_wheel_carries_the_licence_and_asks_for_no_path(dist: Path, name: str) -> None:
    with ZipFile(wheel(dist, name)) as archive:
        (path,) = (file for file in archive.namelist() if file.endswith("/licenses/LICENSE"))
        assert archive.read(path) == (ROOT / "LICENSE").read_bytes()
    (asked,) = requirements_of([wheel(dist, name)]).values()
    assert [requirement for requirement in asked if "@" in requirement] == []


def test_what_lies_twice_is_the_same() -> None:
    agent, sdk = ROOT / "packages/mid", ROOT / "packages/sdk"
    assert (agent / "sources.py").read_bytes() == (sdk / "sources.py").read_bytes()


def environment(folder: Path, dist: Path, wanted: str) -> EmptyEnvironment:
    """Return an environment with what our wheels need from others, and none of ours."""
    made = EmptyEnvironment(folder / "environment")
    assert list(made.packages.iterdir()) == []
    made.give(third_party(wanted, requirements_of(dist.glob("*.whl"))))
    return made


@pytest.fixture
def outside() -> Iterator[Path]:
    """A folder that every user may enter: PostgreSQL's programs run as another one than root.

    Runs of pytest at the same time close its own folder for others.
    """
    with tempfile.TemporaryDirectory(prefix="midspan-wheels-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def empty(outside: Path) -> Path:
    """An empty folder outside the checkout."""
    folder = outside / "empty"
    folder.mkdir()
    return folder


def test_the_demo_runs_from_the_wheels(dist: Path, outside: Path, empty: Path) -> None:
    place = environment(outside, dist, "midspan[demo]")
    wheels = [str(wheel(dist, name)) for name in PROJECTS]
    place.install("--no-index", "--no-deps", *wheels, cwd=empty)
    place.check()
    run = place.run("midspan", "demo", "--exit", cwd=empty)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "All 4 integrations held." in run.stdout
    assert list(empty.iterdir()) == [], "it leaves nothing where it was started"


def test_the_checkout_installs_with_pip_alone(dist: Path, outside: Path, empty: Path) -> None:
    place = environment(outside, dist, "midspan[demo]")
    cache = outside / "cache"
    place.install(".", "--cache-dir", str(cache), cwd=ROOT)
    place.check()
    kept = {file.name.partition("-")[0] for file in cache.rglob("*.whl")}
    assert kept & {"midspan_sdk", "midspan_mid"} == set(), "the next version would not be installed"
    for name in PROJECTS:
        packed = {file for file in files_of_wheel(dist, name) if ".dist-info/" not in file}
        missing = {file for file in packed if not (place.packages / file).is_file()}
        assert missing == set()
    run = place.run("midspan", "--version", cwd=empty)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.strip() == f"midspan {wheel(dist, 'midspan').name.split('-')[1]}"


IMPORT = {
    "app.yaml": "name: stock\nlabel: Stock\nversion: 0.1.0\n",
    "imports/racks.yaml": (
        "source: {name: Racks, type: JDBC, target: stock, query: Specific SQL,"
        " sql_statement: 'SELECT name FROM racks'}\n"
        "staging: u_racks\ncolumns: [name]\n"
        "map:\n  name: Racks\n  target: cmn_department\n"
        "  fields:\n    - {source: u_name, target: name, coalesce: true}\n"
    ),
}


def test_the_agent_works_without_the_instance(
    dist: Path, outside: Path, empty: Path, start: Callable[..., Any]
) -> None:
    place = environment(outside, dist, "midspan-mid")
    wheels = [str(wheel(dist, name)) for name in ("midspan_sdk", "midspan_mid")]
    place.install("--no-index", "--no-deps", *wheels, cwd=empty)
    place.check()
    assert place.run("midspan-mid", "--help", cwd=empty).returncode == 0
    refused = place.run("python", "-c", "import midspan", cwd=empty)
    assert "No module named 'midspan'" in refused.stderr

    node = start("--ephemeral", "--port", "0", MIDSPAN_ADMIN_PASSWORD=SECRET)
    url = node.ready()["url"]
    with httpx.Client(base_url=url, auth=("admin", SECRET), timeout=GUARD) as admin:
        enrol(place, admin, url, empty)
        with (outside / "agent.log").open("wb") as log:
            agent = subprocess.Popen(
                [place.bin / "midspan-mid", "run", "--home", empty / "home"],
                cwd=empty, env=place.variables(), stderr=log,
            )  # fmt: skip
        try:
            until(lambda: rows(admin, "ecc_agent", "name=alone^status=Up") != [])
            asked = admin.post("/api/midspan/v1/imports/run", json={"name": "Racks"})
            assert asked.status_code == 200, asked.text
            (done,) = asked.json()["result"]["runs"]
            assert done["totals"]["inserts"] == 3, json.dumps(done)
        finally:
            agent.send_signal(signal.SIGTERM)
            assert agent.wait(GUARD) == 0, (outside / "agent.log").read_text()


def enrol(place: EmptyEnvironment, admin: httpx.Client, url: str, folder: Path) -> None:
    """Enrol an agent that alone knows a database of three rows; validate it; add an import."""
    with sqlite3.connect(folder / "stock.db") as database:
        database.execute("CREATE TABLE racks AS SELECT value AS name FROM json_each('[1, 2, 3]')")
    database.close()
    reply = admin.post("/api/midspan/v1/mid/code", json={"name": "alone"})
    code = reply.raise_for_status().json()["result"]["code"]
    home = folder / "home"
    options = ("--url", url, "--code", code, "--name", "alone", "--home", str(home))
    enrolled = place.run("midspan-mid", "enrol", *options, cwd=folder)
    assert enrolled.returncode == 0, enrolled.stderr
    targets = {"stock": {"url": f"sqlite://{folder / 'stock.db'}"}}
    config = home / "mid.yaml"
    config.write_text(json.dumps({"url": url, "name": "alone", "targets": targets}))
    config.chmod(0o600)
    admin.post("/api/midspan/v1/mid/validate", json={"name": "alone"}).raise_for_status()
    installed = admin.post("/api/midspan/v1/apply", json={"files": IMPORT})
    assert installed.status_code < 300, installed.text


def rows(admin: httpx.Client, table: str, query: str) -> list[Any]:
    answer = admin.get(f"/api/now/table/{table}", params={"sysparm_query": query})
    found: list[Any] = answer.raise_for_status().json()["result"]
    return found


def until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds; fail when it never does."""
    end = time.monotonic() + GUARD
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        pause.wait(0.05)
