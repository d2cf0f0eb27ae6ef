"""Installs clients that are not ours into ``.clients``, each as its registry publishes it.

Everything is pinned with its hash: Python packages in ``locks``, JavaScript packages in ``node``.
They stay apart from our own environment, and nothing of them is in a wheel. Without a change in
the pins a second call does nothing. ``make clients`` and, with CI set, ``make test`` call this.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

HERE = Path(__file__).parent
FOLDER = HERE.parents[1] / ".clients"
LOCKS, NODE = HERE / "locks", HERE / "node"
COLLECTION = "ansible_collections/servicenow/"
LIVE_TESTS = "snowloader-0.8.1/tests/"
N8N_NODES = "n8n-nodes-base@1.80.0"
"""One node of this package is used. Its dependencies, a gigabyte, serve the others."""
N8N_NODES_SHA512 = (
    "BKgm9FRqhDB718ey+dKG5ISTjTynReeyOcvLmug4X7ZthqKrWb3W1Wgc1KZ9iNLpWn2P5fT7CERI9EoHWOSv5g=="
)
REMEDY = "JavaScript clients need node and npm: apt-get install nodejs npm, or make test-system"


def wanted() -> str:
    """Return a digest of everything that says what to install."""
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted([*LOCKS.iterdir(), *NODE.iterdir(), Path(__file__)]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def is_installed() -> bool:
    """Tell whether ``.clients`` holds what is wanted."""
    stamp = FOLDER / "installed"
    return stamp.exists() and stamp.read_text() == wanted()


def install() -> None:
    """Fill ``.clients`` anew."""
    if not shutil.which("npm"):
        sys.exit(REMEDY)
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    for name in ("python", "ansible"):
        _environment(name)
    _sources()
    _node()
    (FOLDER / "installed").write_text(wanted())


def _environment(name: str) -> None:
    """Make a virtual environment with what a lock names."""
    _run(sys.executable, "-m", "venv", FOLDER / name)
    hashed = ("--require-hashes", "--no-compile", "-r")
    _pip(name, "install", *hashed, LOCKS / "build.lock")
    _pip(name, "install", "--no-build-isolation", *hashed, LOCKS / f"{name}.lock")


def _sources() -> None:
    """Take the collection out of Ansible's wheel, and the live tests out of snowloader's source."""
    archives = FOLDER / "archives"
    command = ("download", "--no-deps", "--no-build-isolation", "--require-hashes")
    _pip("python", *command, "--dest", archives, "-r", LOCKS / "sources.lock")
    (wheel,) = archives.glob("ansible-*.whl")
    with ZipFile(wheel) as packed:
        names = [name for name in packed.namelist() if name.startswith(COLLECTION)]
        for name in names:
            packed.extract(name, FOLDER / "collections")
    (source,) = archives.glob("snowloader-*.tar.gz")
    _unpack(source, LIVE_TESTS, FOLDER / "source")
    shutil.rmtree(archives)


def _node() -> None:
    """Install the JavaScript packages, and beside them the one whose dependencies stay away."""
    node = FOLDER / "node"
    shutil.copytree(NODE, node)
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--silent")
    _run("npm", "ci", "--omit=optional", *quiet, folder=node)
    _run("npm", "pack", N8N_NODES, "--silent", folder=node)
    (packed,) = node.glob("n8n-nodes-base-*.tgz")
    found = base64.b64encode(hashlib.sha512(packed.read_bytes()).digest()).decode()
    if found != N8N_NODES_SHA512:
        sys.exit(f"{N8N_NODES} has the hash {found} instead of {N8N_NODES_SHA512}")
    _unpack(packed, "package/", node)
    (node / "package").rename(node / "node_modules" / "n8n-nodes-base")
    packed.unlink()


def _unpack(archive: Path, prefix: str, into: Path) -> None:
    """Write the files of an archive whose names begin with ``prefix``; nothing else of it."""
    with tarfile.open(archive) as packed:
        for member in packed:
            content = packed.extractfile(member) if member.isfile() else None
            path = (into / member.name).resolve()
            if content is None or not member.name.startswith(prefix):
                continue
            if not path.is_relative_to(into.resolve()):
                sys.exit(f"{archive.name} holds {member.name}, which is outside of it")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.read())


def _pip(environment: str, *words: str | Path) -> None:
    options = ("--quiet", "--disable-pip-version-check")
    _run(FOLDER / environment / "bin" / "python", "-m", "pip", words[0], *options, *words[1:])


def _run(*command: str | Path, folder: Path = HERE) -> None:
    variables = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(command, cwd=folder, env=variables, check=True)


if __name__ == "__main__":
    if not is_installed():
        install()
