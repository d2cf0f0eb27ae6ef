"""``midspan restore``: a backup becomes an instance again; offline, and never over another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from midspan.cli.options import AsJson


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What midspan backup wrote.")],
    data: Annotated[
        Path | None,
        typer.Option(help="Empty directory (default: $MIDSPAN_DATA or ~/.local/share/midspan)."),
    ] = None,
    database: Annotated[
        str, typer.Option(envvar="MIDSPAN_DATABASE", help="Empty postgresql://… for the records.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Fill an empty data directory from a backup; the master key has to be there first."""
    from midspan.api.restoring import restore as put_back
    from midspan.cli.lock import locked
    from midspan.cli.node import default_data
    from midspan.cli.output import reading, say, show_json
    from midspan.kernel.settings import Settings

    folder = (data or default_data()).absolute()
    settings = Settings(data=folder, database=database)
    with locked(folder), reading(file) as progress:
        manifest = put_back(file, settings, progress)
    found = {"version": manifest.version, "created": manifest.created, "data": str(folder)}
    if as_json:
        show_json({**found, "database": manifest.database, "files": list(manifest.files)})
    else:
        say(f"Restored what {manifest.version} saved at {manifest.created} UTC to {folder}.")
        more = " --database …" if database else ""
        say(f"Start it with: midspan serve --data {folder}{more}")
