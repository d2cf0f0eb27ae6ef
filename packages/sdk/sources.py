"""Build hook: takes packages from ``src/`` of the checkout, or of the unpacked sdist.

An sdist cannot reach outside itself, so the same file lies beside each ``pyproject.toml`` here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Sources(BuildHookInterface[Any]):
    """Adds the packages that ``pyproject.toml`` lists for this hook, with all their data files."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Put each package at the top of a wheel, or under ``src/`` of an sdist."""
        root = Path(self.root)
        unpacked = root / "src"
        sources = unpacked if unpacked.is_dir() else root.parents[1] / "src"
        prefix = "src/" if self.target_name == "sdist" else ""
        for package in self.config["packages"]:
            build_data["force_include"][str(sources / package)] = prefix + package
