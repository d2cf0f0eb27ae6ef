"""Options that many commands share."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer
from msgspec import Struct

CA = "MIDSPAN_CA"
"""Variable that names the CA to trust an instance by; ``midspan --ca`` sets it."""
DEFAULT_URL = "http://127.0.0.1:8080"

Url: TypeAlias = Annotated[
    str, typer.Option("--url", envvar="MIDSPAN_URL", help="Address of the instance.")
]
User: TypeAlias = Annotated[
    str,
    typer.Option("--user", envvar="MIDSPAN_USER", help="Password: MIDSPAN_PASSWORD, or asked."),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class Connection(Struct, frozen=True):
    """Where the instance is and who asks."""

    url: str
    user: str
