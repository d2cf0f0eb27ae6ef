"""Import contracts, the licence list and what must never be written into the repository."""

from __future__ import annotations

import re
import subprocess
import sys
from email.message import Message
from importlib import metadata
from pathlib import Path
from typing import cast

ROOT = Path(__file__).parents[2]
PERMISSIVE = re.compile(
    r"MIT|BSD|Apache|ISC|PSF|Python Software Foundation|Unlicense|Zlib|CC0|0BSD|PostgreSQL|HPND",
    re.IGNORECASE,
)
USED_UNMODIFIED = {
    "certifi": "MPL-2.0",
    "hypothesis": "MPL-2.0",
    "pathspec": "MPL-2.0",
    "psycopg": "LGPL-3.0-only",
    "psycopg-binary": "LGPL-3.0-only",
    "psycopg-pool": "LGPL-3.0-only",
}
"""Weak copyleft, used as published; a new entry needs a reason in its review."""
UNSTATED = {"lxml-stubs": "Apache-2.0", "quickjs-ng": "MIT"}
"""Packages whose metadata does not name the licence that their source carries."""
PIECES = (
    ("python", "hosted"),
    ("npm", "js"),
    ("py", "pi.org"),
    ("--index", "-url"),
    ("deb.", "debian"),
)
"""In two pieces each, so that this file does not hold what it looks for."""
HOSTS = re.compile("|".join(re.escape(first + second) for first, second in PIECES))


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, check=True, text=True
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_imports_go_downwards_only() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run(
        [str(linter), "--config", ".importlinter", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout


def test_every_dependency_has_a_licence_on_the_list() -> None:
    names = re.findall(
        r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==", (ROOT / "requirements.lock").read_text(), re.MULTILINE
    )
    wrong = {}
    for name in names:
        try:
            about = cast("Message", metadata.metadata(name))
        except metadata.PackageNotFoundError:
            continue  # locked for another platform
        stated = " ".join(
            [
                about.get("License-Expression") or "",
                (about.get("License") or "")[:200],
                *(c for c in about.get_all("Classifier") or [] if c.startswith("License")),
            ]
        )
        if not PERMISSIVE.search(stated) and name not in USED_UNMODIFIED | UNSTATED:
            wrong[name] = stated
    assert wrong == {}


def test_no_registry_host_is_named() -> None:
    named = [
        str(path.relative_to(ROOT))
        for path in tracked()
        if HOSTS.search(path.read_text(errors="replace"))
    ]
    assert named == []


def test_the_lock_file_has_a_hash_for_everything() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    entries = re.split(r"\n(?=[a-z0-9])", lock)
    assert [entry.split()[0] for entry in entries if "==" in entry and "--hash" not in entry] == []
