"""Virtual environments that hold what wheels ask for and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterable, Mapping
from email import message_from_bytes
from importlib import metadata
from pathlib import Path
from zipfile import ZipFile

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

Ours = Mapping[str, list[str]]
"""What our own wheels require, by their names."""


def requirements_of(wheels: Iterable[Path]) -> Ours:
    """Return what the metadata of each wheel asks for."""
    found: dict[str, list[str]] = {}
    for wheel in wheels:
        with ZipFile(wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith("-info/METADATA"))
            about = message_from_bytes(archive.read(name))
        found[canonicalize_name(about["Name"])] = about.get_all("Requires-Dist") or []
    return found


def third_party(wanted: str, ours: Ours) -> set[str]:
    """Return the names of everything foreign that ``wanted`` asks for, directly or not."""
    left, seen = [Requirement(wanted)], set()
    while left:
        requirement = left.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        asked = ours[name] if name in ours else metadata.requires(name) or []
        left += [found for found in map(Requirement, asked) if _applies(found, extras)]
    return {str(name) for name, _ in seen} - ours.keys()


def _applies(requirement: Requirement, extras: frozenset[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras})


class EmptyEnvironment:
    """A virtual environment without pip; processes in it do not see the one that runs the tests."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, symlinks=True)
        self.bin = folder / "bin"
        self.python = self.bin / "python"
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        self.packages = folder / "lib" / version / "site-packages"

    def give(self, names: Iterable[str]) -> None:
        """Copy installed packages from the environment that runs the tests, file by file.

        They are the files that ``make setup`` installed under the hashes of the lock. Copying them
        takes two seconds, installing them again half a minute; ``check`` compares the result with
        what the wheels ask for.
        """
        here = Path(sysconfig.get_path("purelib"))
        for name in names:
            for file in metadata.files(name) or []:
                source = Path(str(file.locate()))
                if source.is_relative_to(here) and ".." not in file.parts and source.exists():
                    target = self.packages / file
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(source, target)

    def install(self, *arguments: str, cwd: Path) -> None:
        """Install with pip, into here."""
        self._pip("install", "--quiet", *arguments, cwd=cwd)

    def check(self) -> None:
        """Fail if something that a package here requires is missing, or has the wrong version."""
        self._pip("check", cwd=self.bin)

    def run(self, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run one of its programs in ``cwd``; return how it ended."""
        return subprocess.run(
            [self.bin / command[0], *command[1:]],
            cwd=cwd,
            env=self.variables(),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def variables(self) -> dict[str, str]:
        """Return environment variables that lead to no other Python code."""
        strange = ("PYTHON", "VIRTUAL_ENV", "MIDSPAN_")
        kept = {name: text for name, text in os.environ.items() if not name.startswith(strange)}
        return {**kept, "COLUMNS": "200", "TERM": "dumb"}

    def _pip(self, *arguments: str, cwd: Path) -> None:
        pip = [sys.executable, "-m", "pip", "--python", str(self.python)]
        done = subprocess.run(
            [*pip, *arguments], cwd=cwd, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
