"""Build hook: the instance needs its sibling wheels, from this checkout or from an index."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

THIRD_PARTY = [
    "argon2-cffi>=25.1",
    "authlib>=1.6",
    "cryptography>=45",
    "dbos>=3.4,<4",
    "granian>=2.8",
    "httpx>=0.28",
    "joserfc>=1.4",
    "lxml>=6",
    "msgspec>=0.20",
    "openpyxl>=3.1",
    "orjson>=3.11",
    "psycopg[binary,pool]>=3.2",
    "python-multipart>=0.0.20",
    "pyyaml>=6",
    "quickjs-ng>=0.17,<0.18",
    "rich>=14",
    "signxml>=5",
    "starlette>=1.0",
    "typer>=0.20",
    "tzdata",
    "xlsxwriter>=3.2",
    "zstandard>=0.25",
]


class CustomMetadataHook(MetadataHookInterface):
    """Adds the dependencies: sibling wheels by path from a checkout, by version in a release."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Fill ``dependencies``; ``MIDSPAN_RELEASE=1`` selects pinned siblings from an index."""
        packages = Path(self.root) / "packages"
        if os.environ.get("MIDSPAN_RELEASE") == "1":
            version = metadata["version"]
            siblings = [f"midspan-sdk=={version}", f"midspan-mid=={version}"]
        else:
            parts = ("sdk", "mid")
            siblings = [f"midspan-{part} @ {(packages / part).as_uri()}" for part in parts]
        metadata["dependencies"] = [*siblings, *THIRD_PARTY]
