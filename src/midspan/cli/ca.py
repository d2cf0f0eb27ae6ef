"""``midspan ca``: the certificate that clients of ``midspan serve --tls`` have to trust."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from midspan.cli.options import AsJson


def ca(
    data: Annotated[
        Path | None,
        typer.Option(help="Data directory (default: $MIDSPAN_DATA or ~/.local/share/midspan)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the CA certificate of a data directory; works without an instance."""
    from cryptography.hazmat.primitives import hashes

    from midspan.cli.authority import read_ca
    from midspan.cli.node import default_data
    from midspan.cli.output import show_json

    file, certificate = read_ca((data or default_data()).absolute())
    text = file.read_text()
    if as_json:
        show_json(
            {
                "file": str(file),
                "sha256": certificate.fingerprint(hashes.SHA256()).hex(),
                "expires": f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S}",
                "certificate": text,
            }
        )
    else:
        typer.echo(text, nl=False)
