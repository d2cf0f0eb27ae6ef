"""Build hook: the agent needs the SDK wheel, from this checkout or, in a release, from an index."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

THIRD_PARTY = [
    "cryptography>=45",
    "httpcore>=1",
    "httpx>=0.28",
    "msgspec>=0.20",
    "psycopg[binary]>=3.2",
    "pyyaml>=6",
    "zstandard>=0.25",
]


class CustomMetadataHook(MetadataHookInterface):
    """Adds the dependencies: the SDK by path from a checkout, by version in a release."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Fill ``dependencies``; ``MIDSPAN_RELEASE=1`` selects the pinned SDK from an index."""
        if os.environ.get("MIDSPAN_RELEASE") == "1":
            sdk = f"midspan-sdk=={metadata['version']}"
        else:
            sdk = f"midspan-sdk @ {(Path(self.root).parent / 'sdk').as_uri()}"
        metadata["dependencies"] = [sdk, *THIRD_PARTY]
